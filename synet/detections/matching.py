"""Which of the boxes that were found stands for which of those that are there."""

from __future__ import annotations

import numpy as np


def match(shared: np.ndarray, scores: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair found boxes with others: the highest score first, each with the best that is free.

    Parameters
    ----------
    shared
        Overlap of each found box with each other one, ``(found, others)``.
    scores
        Of the found boxes, ``(found,)``.
    least
        The least overlap of a pair, above 0.

    Returns
    -------
    The rows and the columns of the pairs, the highest score first; no row or column occurs twice.
    """
    free = shared.copy()
    pairs = []
    for row in np.argsort(-scores, kind="stable") if shared.size else ():
        column = int(free[row].argmax())
        if free[row, column] >= least:
            pairs.append((row, column))
            free[:, column] = 0
    rows, columns = np.array(pairs, np.intp).reshape(-1, 2).T
    return rows, columns
