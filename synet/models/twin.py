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
from synet.models.predictor import Predictor, load_predictor
from synet.system.errors import SynetError

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

    def load(self, predictor: Predictor, repo: str | Path | None, **settings: Any) -> Predictor:
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
        return reference


def find_twin(model: str | Path, asked: str | Path | None = None) -> Twin | None:
    """The float model of a file: the one that is asked for, else the checkpoint beside the file."""
    path = asked or float_twin(model)
    return Twin(path, bool(asked)) if path else None
