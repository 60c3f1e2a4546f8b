"""Classes of a model and of a data set, which go by their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from synet.data.yolo_yaml import Dataset
from synet.system.errors import DataError


def ids_of_classes(
    found: Sequence[str],
    dataset: Dataset,
    classes: Sequence[str] | None = None,
    model: str = "model",
    elsewhere: Collection[str] = (),
) -> np.ndarray:
    """For each class of a model, its id in the dataset.

    Parameters
    ----------
    found
        The names that the model gives its classes; ``"0"``, ``"1"``, ... where it gives none.
    dataset, classes, model, elsewhere
        As for `synet.evaluation.found.find_all`.

    Returns
    -------
    int ``(classes,)``; -1 for a class that only other data names.

    Raises
    ------
    DataError
        The dataset lacks a class, or as many names are not given as there are classes.
    """
    names = tuple(classes or found)
    if len(names) != len(found):
        raise DataError(f"{model}: finds {len(found)} classes, but {len(names)} are named: {names}")
    unnamed = tuple(str(index) for index in range(len(names)))
    if names in (dataset.names, unnamed) and len(names) == len(dataset.names):
        return np.arange(len(names))
    here = [name for name in names if name in dataset.names]
    unknown = [name for name in names if name not in {*here, *(elsewhere if here else ())}]
    if unknown:
        raise DataError(
            f"{model}: finds '{unknown[0]}', which {dataset.yaml} does not name; it has "
            f"{', '.join(dataset.names[:5])}{', ...' if len(dataset.names) > 5 else ''}; "
            "say in its terms what the model finds (--classes, in the model's order)"
        )
    return np.array([dataset.names.index(name) if name in here else -1 for name in names])


def unique_name(dataset: Dataset, index: int) -> str:
    """The name of a class, with its id where another class has the same name."""
    name = dataset.names[index]
    return name if dataset.names.count(name) == 1 else f"{name} ({index})"
