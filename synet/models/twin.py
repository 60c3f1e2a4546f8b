"""The float model that an int8 file was made of, to compare it with.

One that is asked for has to do. One that nobody asked for just lies beside the file: what goes
wrong with it is told, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synet.detections.score_shift import float_twin
from synet.models.predictor import Predictor, load_predictor, require_torch
from synet.system.errors import SynetError
from synet.tflite.kernels import FAST

T = TypeVar("T")
Instead = TypeVar("Instead")


@dataclass(frozen=True)
class Twin:
    """The float model of a file.

    Attributes
    ----------
    path
        Where it lies.
    is_asked_for
        Whether somebody named it.
    """

    path: str | Path
    is_asked_for: bool

    def tried(self, use: Callable[[], T], instead: Callable[[SynetError], Instead]) -> T | Instead:
        """What `use` makes of it; for one that nobody asked for, `instead` of an error."""
        try:
            return use()
        except SynetError as error:
            if self.is_asked_for:
                raise
            return instead(error)

    def load(self, predictor: Predictor, repo: str | Path | None, **settings: Any) -> OpenTwin:
        """Open it at the shape of the file.

        Parameters
        ----------
        predictor
            The file.
        repo, settings
            As for `synet.models.predictor.load_predictor`: ``device`` and ``batch``.

        Raises
        ------
        SynetError
            It cannot be run, or is no such model: it finds another number of classes.
        """
        reference = load_predictor(self.path, predictor.image_shape, repo, **settings)
        if len(reference.names) != len(predictor.names):
            raise SynetError(
                f"{self.path}: finds {len(reference.names)} classes, and the model "
                f"{len(predictor.names)}; give the model's own float twin with --float"
            )
        return OpenTwin(self.path, self.is_asked_for, reference)


@dataclass(frozen=True)
class OpenTwin(Twin):
    """The float model of a file, and what runs it."""

    predictor: Predictor


def find_twin(model: str | Path, asked: str | Path | None = None) -> Twin | None:
    """The float model of a file: the one that is asked for, else the checkpoint beside the file."""
    path = asked or float_twin(model)
    return Twin(path, bool(asked)) if path else None


def load_with_twin(
    model: str | Path,
    asked: str | Path | None,
    instead: Callable[[SynetError], Instead],
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
    kernels: str = FAST,
    device: str = "",
    batch: int = 1,
    cfg: str | Path | None = None,
) -> tuple[Predictor, OpenTwin | Instead | None]:
    """Open a model, and the float model that it was made of, where there is one.

    Parameters
    ----------
    model, image_shape, repo, kernels, device, batch, cfg
        As for `synet.models.predictor.load_predictor`; the last three of the float model, too.
    asked
        The float model, as for `find_twin`.
    instead
        Given what is wrong with a float model that nobody asked for: what stands in its place.

    Raises
    ------
    SynetError
        The model, or a float model that is asked for, cannot be run.
    """
    twin = find_twin(model, asked)
    require_torch([model, twin.path if twin else None], device, batch)
    settings: dict[str, Any] = {"device": device, "batch": batch, "cfg": cfg}
    predictor = load_predictor(model, image_shape, repo, kernels=kernels, **settings)
    if twin is None:
        return predictor, None
    return predictor, twin.tried(lambda: twin.load(predictor, repo, **settings), instead)
