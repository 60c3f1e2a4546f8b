"""What a page is about: an int8 file and its float model, opened, and what is measured of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synet.data.yolo_yaml import Dataset, load_dataset
from synet.evaluation.found import Found, find_all, judged_by
from synet.inspection.compare import Comparison, compare_layers
from synet.models.predictor import Predictor
from synet.models.twin import OpenTwin, load_with_twin
from synet.report.sections import Missing
from synet.system.errors import SynetError
from synet.system.steps import step
from synet.tflite.graph import read_graph
from synet.tflite.model import read_content

NO_TWIN = Missing(
    "Not measured: this takes the float model that the file was made of, and no .pt of its name "
    "lies beside it (--float PT names another)."
)


@dataclass(frozen=True)
class Subject:
    """An int8 file and the float model that it was made of, opened, and the data for both.

    Attributes
    ----------
    file, content
        The int8 file.
    predictor
        What runs it.
    twin
        The float model, or why there is none that can be used.
    dataset, split
        The images, as the YOLO has them that trained the model.
    repo, cfg
        The folder of the fork that trained it, and the yaml where that is a state dict.
    """

    file: Path
    content: bytes
    predictor: Predictor
    twin: OpenTwin | Missing
    dataset: Dataset
    split: str
    repo: str | Path | None
    cfg: str | Path | None

    def found(self, classes: Sequence[str] | None, progress: bool) -> tuple[Found, Found | None]:
        """What int8 finds; and what the float model does, where there is one."""
        how: dict[str, Any] = {"split": self.split, "classes": classes, "progress": progress}
        step("what int8 finds")
        int8 = find_all(self.predictor, self.dataset, model=str(self.file), **how)
        if isinstance(self.twin, Missing):
            return int8, None
        step("what float finds")
        return int8, find_all(self.twin.predictor, self.dataset, model=str(self.twin.path), **how)

    def errors(self, images: Sequence[Path], number: int, progress: bool) -> Comparison | Missing:
        """How far the layers of the two are apart, on so many of the images, evenly chosen."""
        if isinstance(self.twin, Missing):
            return self.twin
        step("errors of the layers")
        path, sample = self.twin.path, images[:: max(1, len(images) // number)][:number]
        how: dict[str, Any] = {"repo": self.repo, "cfg": self.cfg, "progress": progress}
        return self.twin.tried(
            lambda: compare_layers(path, self.file, sample, **how),
            lambda error: Missing(f"Not measured: {error}."),
        )


def open_subject(
    model: str | Path,
    data: str | Path,
    split: str,
    strict: bool,
    float_model: str | Path | None,
    repo: str | Path | None,
    kernels: str,
    device: str,
    batch: int,
    cfg: str | Path | None,
) -> Subject:
    """Open all that a page takes, so that what is missing is told before minutes of work.

    Parameters
    ----------
    model, data, split, strict, float_model, repo, kernels, device, batch, cfg
        As for `synet.report.write.gather`.

    Raises
    ------
    SynetError
        As `gather`, of the model; a `DataError` of the data.
    """
    file = _quantized(Path(model))
    content = _int8_content(file)
    dataset = load_dataset(data, strict)
    dataset.images(split)
    predictor, twin = load_with_twin(
        file, float_model, _unusable, None, repo, kernels, device, batch, cfg
    )
    dataset = judged_by(predictor, dataset)
    return Subject(file, content, predictor, twin or NO_TWIN, dataset, split, repo, cfg)


def _quantized(model: Path) -> Path:
    """The int8 file of a model: itself, or the one beside a checkpoint."""
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


def _int8_content(file: Path) -> bytes:
    name, content = read_content(file)
    if not any(tensor.scale for tensor in read_graph(file).tensors):
        raise SynetError(f"{name} is not quantized; make an int8 file of it with `synet quantize`")
    return content


def _unusable(error: SynetError) -> Missing:
    return Missing(f"Not measured: the float model cannot be used: {error}.")
