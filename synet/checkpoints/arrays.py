"""Numbers and arrays of numpy's out of a checkpoint, made anew.

Of what numpy pickles only the plain facts are read, type, shape and bytes; none of it reaches
numpy's own ways of filling a type or an array, which believe what they are given.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synet.checkpoints.machine import ForbiddenError

_ORDERS = ("<", ">", "|", "=")
# Kind and size, or the one letter that numpy has for them: numbers and truth values.
_TYPE = re.compile(r"([<>|=]?)(b1|[iu][1248]|f[248]|c8|c16|[?bBhHiIlLqQefd])")
# The state of such a type, after its version and byte order.
_PLAIN_STATE = (None, None, None, -1, -1, 0)


@dataclass(eq=False)
class Unfilled:
    """A type or an array of which the file has not told all yet."""

    dtype: np.dtype | None = None
    open: set[Unfilled] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self.open.add(self)


class Arrays:
    """Makes the numbers and arrays of one file."""

    def __init__(self) -> None:
        self._open: set[Unfilled] = set()

    def dtype(self, text: Any, align: Any = False, copy: Any = False) -> Unfilled:
        """``numpy.dtype``."""
        known = _TYPE.fullmatch(text) if type(text) is str else None
        if known is None:
            raise ForbiddenError(f"has arrays of {ascii(text)[:40]}, which are no numbers")
        return Unfilled(np.dtype(text), self._open)

    def scalar(self, dtype: Any, data: Any = None) -> np.generic:
        """``numpy.core.multiarray.scalar``."""
        return _array(_plain(dtype), (), data)[()]

    def unfilled(self, cls: Any, shape: Any, code: Any) -> Unfilled:
        """``numpy.core.multiarray._reconstruct``: all that counts comes with the state."""
        return Unfilled(None, self._open)

    def from_buffer(
        self, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
    ) -> np.ndarray:
        """``numpy.core.numeric._frombuffer``, as protocol 5 has it."""
        if axes is None:
            return _array(_plain(dtype), shape, data, order)
        if not _is_shape(axes) or not _is_shape(shape) or sorted(axes) != [*range(len(shape))]:
            raise ForbiddenError("has an array with axes that are none")
        return _array(_plain(dtype), shape, data).transpose(axes)

    def filled(self, thing: Unfilled, state: Any) -> np.dtype | np.ndarray:
        """The type or the array that `thing` is, now that its state is known."""
        if thing not in self._open:
            raise ForbiddenError("fills an array twice")
        self._open.discard(thing)
        if thing.dtype is not None:
            return _ordered(thing.dtype, state)
        if type(state) is not tuple or len(state) != 5 or type(state[3]) not in (bool, int):
            raise ForbiddenError("fills an array as numpy does not")
        _, shape, dtype, fortran, data = state
        return _array(_plain(dtype), shape, data, "F" if fortran else "C")

    @property
    def are_filled(self) -> bool:
        """Is everything filled that was begun? A type by its text alone is whole, too."""
        return all(thing.dtype is not None for thing in self._open)


def _plain(dtype: Any) -> np.dtype:
    if type(dtype) is Unfilled and dtype.dtype is not None:
        return dtype.dtype  # as its text says
    if not isinstance(dtype, np.dtype):
        raise ForbiddenError("has an array of no type")
    return dtype


def _ordered(dtype: np.dtype, state: Any) -> np.dtype:
    """A type in the byte order that its state tells, if it tells no more than that."""
    if type(state) is not tuple or len(state) < 3 or state[1] not in _ORDERS:
        raise ForbiddenError("fills a type of numpy's")
    rest = state[2:] if type(state[0]) is int else ()
    if any(type(part) not in (int, type(None)) for part in rest) or rest != _PLAIN_STATE:
        raise ForbiddenError("fills a type of numpy's")
    return dtype.newbyteorder(state[1])


def _is_shape(shape: Any) -> bool:
    return type(shape) is tuple and all(type(size) is int and size >= 0 for size in shape)


def _array(dtype: np.dtype, shape: Any, data: Any, order: Any = "C") -> np.ndarray:
    if isinstance(data, str):  # as Python 2 wrote bytes
        data = data.encode("latin-1")
    if not _is_shape(shape) or type(data) not in (bytes, bytearray) or order not in ("C", "F"):
        raise ForbiddenError("has an array of no shape or content")
    size = math.prod(shape) * dtype.itemsize
    if len(shape) > 32 or len(data) != size:
        raise ForbiddenError(f"has {len(data)} bytes for an array that takes {size}")
    return np.frombuffer(data, dtype).copy().reshape(shape, order=order)
