"""The float model that an int8 file was made of, to compare it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from synet.models.predictor import Predictor, load_predictor
from synet.system.errors import SynetError

T = TypeVar("T")


def load_twin(
    twin: str | Path,
    predictor: Predictor,
    repo: str | Path | None,
    settings: Mapping[str, Any],
    instead: Callable[[SynetError], T] | None = None,
) -> Predictor | T:
    """The float model that a file was made of, at the shape of the file.

    Parameters
    ----------
    twin, repo, settings
        As for `synet.models.predictor.load_predictor`: ``device`` and ``batch``.
    predictor
        The file.
    instead
        Of a twin that nobody asked for: makes what stands in for one that cannot be used.

    Raises
    ------
    SynetError
        It cannot be run, or is no such model: it finds another number of classes.
    """
    try:
        return _opened(twin, predictor, repo, settings)
    except SynetError as error:
        if instead is None:
            raise
        return instead(error)


def _opened(
    twin: str | Path, predictor: Predictor, repo: str | Path | None, settings: Mapping[str, Any]
) -> Predictor:
    reference = load_predictor(twin, predictor.image_shape, repo, **settings)
    if len(reference.names) != len(predictor.names):
        raise SynetError(
            f"{twin}: finds {len(reference.names)} classes, and the model "
            f"{len(predictor.names)}; give the model's own float twin with --float"
        )
    return reference
