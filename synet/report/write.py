"""From a model and a data set to the page about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synet.data.yolo_yaml import Dataset, load_dataset
from synet.detections.score_shift import confidence_shift
from synet.evaluation.found import Found, find_all, judged_by
from synet.inspection.compare import Comparison, compare_layers
from synet.inspection.profile import Profile, profile
from synet.models.predictor import Predictor, load_predictor, require_torch
from synet.models.twin import find_twin
from synet.report import sections
from synet.report.gallery import gallery
from synet.report.interface import interface
from synet.report.operating import operating_point
from synet.report.page import Content, is_ours, render
from synet.report.sections import Missing
from synet.system import optional_packages
from synet.system.errors import SynetError
from synet.system.files import refuse_foreign, write_atomic
from synet.system.steps import step
from synet.tflite.graph import read_graph
from synet.tflite.kernels import FAST
from synet.tflite.model import read_content

NO_TWIN = Missing(
    "Not measured: this takes the float model that the file was made of, and no .pt of its name "
    "lies beside it (--float PT names another)."
)


def write_report(
    model: str | Path, data: str | Path, out: str | Path = "report.html", **options: Any
) -> Content:
    """Write a page about an int8 file: one html file that needs no other and no network.

    Parameters
    ----------
    model, data, options
        As for `gather`.
    out
        The page. One that is there is replaced only if SyNet made it.

    Returns
    -------
    What the page tells.

    Raises
    ------
    SynetError
        As `gather`; or the page cannot be written.

    Examples
    --------
    >>> page = synet.write_report("best.tflite", "my.yaml", "report.html", images=2, progress=False)
    >>> page.title, page.chip.name, page.models["int8"].images
    ('best.tflite', 'katana', 2)
    """
    out = Path(out)
    refuse_foreign(out, is_ours)
    # what is not installed is told before minutes of work
    for module in ("jinja2", "plotly.offline"):
        optional_packages.load(module, "report", "writing a report")
    content = gather(model, data, **options)
    page = render(content)
    refuse_foreign(out, is_ours)  # it took a while
    write_atomic(out, page)
    return content


def gather(
    model: str | Path,
    data: str | Path,
    split: str = "val",
    chip: str | None = None,
    float_model: str | Path | None = None,
    classes: Sequence[str] | None = None,
    images: int = 8,
    repo: str | Path | None = None,
    command: str = "",
    progress: bool = True,
    strict: bool = False,
    kernels: str = FAST,
    device: str = "",
    batch: int = 1,
    compiler: str = "",
) -> Content:
    """All that a report tells, as plain data.

    Parameters
    ----------
    model
        A ``.tflite`` file; or a ``.pt`` checkpoint, for the file beside it that was made of it.
    data, split, classes, repo, strict
        As for `synet.evaluation.evaluate.evaluate`.
    chip
        Its name. Default: the file's own, see `synet.inspection.profile.chip_of`.
    float_model
        What the file was made of. Default: the ``.pt`` of the same name beside it. Without one
        the report says what it cannot tell.
    images
        How many images of the split the errors of layers are measured on.
    command
        What was typed, for the record.
    progress
        Whether to show progress bars on stderr.
    kernels
        As for `synet.models.predictor.load_predictor`; of what int8 finds. Errors of layers are
        those of the reference kernels.
    device, batch
        As for `synet.models.predictor.load_predictor`; of what the float model finds.
    compiler
        The version of the chip's compiler to ask, as for `synet.inspection.profile.profile`.

    Raises
    ------
    SynetError
        The model cannot be run, is a classifier, or has not been quantized; the chip is not
        known; a `DataError` where the data cannot be used.
    """
    file = quantized(Path(model))
    name, content = _int8_content(file)
    twin = find_twin(file, float_model)
    require_torch([file, twin.path if twin else None], device, batch)
    predictor = load_predictor(file, kernels=kernels)
    dataset = judged_by(predictor, load_dataset(data, strict))
    dataset.images(split)
    settings = {"device": device, "batch": batch}
    reference: Predictor | Missing = NO_TWIN
    if twin:
        reference = twin.tried(lambda: twin.load(predictor, repo, **settings), _unusable)

    step("costs on the chip")
    profiled = profile(file, chip, compiler=compiler)
    step("what int8 finds")
    how = {"split": split, "classes": classes, "progress": progress}
    int8 = find_all(predictor, dataset, model=name, **how)
    found: Found | None = None
    errors: Comparison | Missing = NO_TWIN
    if isinstance(reference, Missing):
        errors = reference
    elif twin:
        step("what float finds")
        found = find_all(reference, dataset, model=str(twin.path), **how)
        step("errors of the layers")
        sample = int8.images[:: max(1, len(int8.images) // images)][:images]
        errors = twin.tried(
            lambda: compare_layers(twin.path, file, sample, repo=repo, progress=progress),
            _unmeasured,
        )
    step("the gallery")
    return Content(
        title=file.name,
        split=split,
        doubt=sections.doubt(content),
        notes=profiled.notes,
        **_costs(profiled),
        errors=errors,
        **_findings(int8, found, dataset),
        interface=interface(predictor.model),
        made=sections.made(
            command or "synet.write_report(...), in Python",
            file,
            content,
            Path(twin.path) if twin and found else None,
            profiled,
            str(data),
            split,
            len(int8.images),
            predictor.kernels,
        ),
    )


def _costs(profiled: Profile) -> dict[str, Any]:
    """What of a page is told by the chip's file, or its compiler."""
    return {
        "chip": profiled.chip,
        "verdict": sections.verdict(profiled),
        "layers": sections.layers(profiled),
        "peak_bytes": profiled.judged.peak_bytes,
        "held": sections.held_at_peak(profiled),
        "trades": sections.trades(profiled),
        "operations": sections.operation_kinds(profiled),
    }


def _findings(int8: Found, found: Found | None, dataset: Dataset) -> dict[str, Any]:
    """What of a page is told by what int8 finds, and the float model, where there is one."""
    both = {"float": found, "int8": int8} if found else {"int8": int8}
    return {
        "shift": confidence_shift(zip(int8.found, found.found, strict=True)) if found else None,
        "models": {kind: sections.accuracy(each, dataset) for kind, each in both.items()},
        "changes": sections.precision_changes(found, int8, dataset),
        "operating": operating_point(both, dataset),
        "gallery": gallery(int8, found, dataset.names) if found else (),
        "mistakes": gallery(int8, None, dataset.names),
    }


def quantized(model: Path) -> Path:
    """The int8 file of a model: itself, or the one beside a checkpoint.

    Raises
    ------
    SynetError
        It is neither, or there is no such file.
    """
    if model.suffix not in {".pt", ".tflite"}:
        raise SynetError(f"{model}: expected a .tflite file, or the .pt checkpoint beside one")
    if not model.is_file():
        raise SynetError(f"{model}: no such file")
    file = model.with_suffix(".tflite")
    if not file.is_file():
        raise SynetError(
            f"{file}: not there yet; make it first: synet quantize --weights {model} --data YAML"
        )
    return file


def _int8_content(file: Path) -> tuple[str, bytes]:
    name, content = read_content(file)
    if not any(tensor.scale for tensor in read_graph(file).tensors):
        raise SynetError(f"{name} is not quantized; make an int8 file of it with `synet quantize`")
    return name, content


def _unusable(error: SynetError) -> Missing:
    return Missing(f"Not measured: the float model cannot be used: {error}.")


def _unmeasured(error: SynetError) -> Missing:
    return Missing(f"Not measured: {error}.")
