"""How much of the teacher's features the student's hold, whatever the channels of either.

Between networks of different width one trains a 1x1 convolution, which is thrown away in the end.
The best one is known, though: it is a least-squares fit. Solved for in each batch it needs no
optimizer, is the same for all ranks' purposes, and nothing of it has to be saved or resumed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synet.teaching.rows import Rows

RIDGE = 1e-3  # of the mean variance of the student's channels: it may have dead ones


def feature_term(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    rows: tuple[Sequence[Rows], Sequence[Rows]],
) -> Tensor | None:
    """The mean share that is missing, over levels that both networks have; None without any.

    Parameters
    ----------
    student, teacher
        What each one's head is given, level by level.
    rows
        What the heads make of it.
    """
    found = []
    for mine, of_mine in zip(student, rows[0], strict=True):
        for theirs, of_theirs in zip(teacher, rows[1], strict=True):
            if of_mine.stride == of_theirs.stride:
                found.append(missing_share(mine, theirs))
    return torch.stack(found).mean() if found else None


def missing_share(student: Tensor, teacher: Tensor) -> Tensor:
    """Of the variance of the teacher's channels, what no 1x1 convolution of the student's tells."""
    height, width = student.shape[-2:]
    images = student, teacher[..., :height, :width]  # which was shown a larger one
    x, y = (t.float().movedim(1, -1).flatten(0, -2) for t in images)
    x, y = x - x.mean(0), y - y.mean(0)
    y = y / y.std(0).clamp(min=1e-6)
    with torch.no_grad():  # at its best, how it depends on x no longer matters
        gram = x.T @ x
        gram.diagonal().add_(RIDGE * gram.diagonal().mean() + 1e-6)
        best = torch.linalg.solve_ex(gram, x.T @ y).result
    return (y - x @ best).square().sum() / y.square().sum().clamp(min=1e-6)
