"""From a model and a data set to the page about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synet.data.yolo_yaml import Dataset
from synet.detections.score_shift import confidence_shift
from synet.evaluation.found import Found
from synet.inspection.profile import Profile, profile
from synet.report import sections
from synet.report.gallery import gallery
from synet.report.interface import interface
from synet.report.operating import operating_point
from synet.report.page import Content, is_ours, render
from synet.report.sections import Missing
from synet.report.subject import Subject, open_subject
from synet.system import optional_packages
from synet.system.files import refuse_foreign, write_atomic
from synet.system.steps import step
from synet.tflite.kernels import FAST


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
    command: str = "synet.write_report(...), in Python",
    progress: bool = True,
    strict: bool = False,
    kernels: str = FAST,
    device: str = "",
    batch: int = 1,
    compiler: str = "",
    cfg: str | Path | None = None,
) -> Content:
    """All that a report tells, as plain data.

    Parameters
    ----------
    model
        A ``.tflite`` file; or a ``.pt`` checkpoint, for the file beside it that was made of it.
    data, split, classes, repo, strict, progress, cfg
        As for `synet.evaluation.evaluate.evaluate`.
    chip, compiler
        As for `synet.inspection.profile.profile`.
    float_model
        What the file was made of. Default: the ``.pt`` of the same name beside it. Without one
        the report says what it cannot tell.
    images
        How many images of the split the errors of layers are measured on.
    command
        What was typed, for the record.
    kernels, device, batch
        As for `synet.models.predictor.load_predictor`: the first of what int8 finds, the others of
        what the float model finds. Errors of layers are those of the reference kernels.

    Raises
    ------
    SynetError
        The model cannot be run, is a classifier, or has not been quantized; the chip is not
        known; a `DataError` where the data cannot be used.
    """
    settings = kernels, device, batch, cfg
    subject = open_subject(model, data, split, strict, float_model, repo, *settings)
    step("costs on the chip")
    profiled = profile(subject.file, chip, compiler=compiler)
    int8, found = subject.found(classes, progress)
    errors = subject.errors(int8.images, images, progress)
    step("the gallery")
    return Content(
        **_origin(subject, command, profiled, str(data), len(int8.images)),
        **_costs(profiled),
        errors=errors,
        **_findings(int8, found, subject.dataset),
    )


def _origin(
    subject: Subject, command: str, profiled: Profile, data: str, images: int
) -> dict[str, Any]:
    """What of a page is told by the file itself, and by how the page was made."""
    twin = subject.twin
    return {
        "title": subject.file.name,
        "split": subject.split,
        "doubt": sections.doubt(subject.content),
        "notes": profiled.notes,
        "interface": interface(subject.predictor.model),
        "made": sections.made(
            command,
            subject.file,
            subject.content,
            None if isinstance(twin, Missing) else Path(twin.path),
            profiled,
            data,
            subject.split,
            images,
            subject.predictor.kernels,
        ),
    }


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
