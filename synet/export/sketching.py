"""Lowering on shapes alone: what a function of torch would become, before anything is exported.

So a model that is being built is judged by the very code that will export it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import synet.export.lowerings  # noqa: F401 - fills the table
from synet.chips import Chip
from synet.export.context import Context
from synet.export.proxy import lower, unwrap
from synet.export.registry import lowering_of
from synet.export.sketch import KIT, UNREAD, Sketch
from synet.layers.exporting import lowering_in
from synet.system.errors import ExportError

Operation = tuple[str, Mapping[str, Any]]


class Sketching(Context):
    """What the lowerings run in where they are to say what they would build.

    Attributes
    ----------
    operations
        TFLite operations, with what a chip may limit: kernel, stride, dilation, padding and the
        image's size before and after.
    notes
        What functions are exported as that cost more than they seem to, and why.
    """

    def __init__(self, chip: Chip | None) -> None:
        super().__init__(chip)
        self.operations: list[Operation] = []
        self.notes: list[tuple[str, str]] = []

    def answer(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """What `synet.export.proxy.lower` answers, with `operations` and `notes` anew."""
        with self._anew():
            result = lower(function, args, dict(kwargs))
        lowering = lowering_of(function)
        if lowering is not None and lowering.fused:
            self.operations = [(name, {}) for name in lowering.fused]
        return result

    def give(self, output: Any) -> Any:
        """What leaves the network for an `output` of proxies."""
        with self._anew():
            given = unwrap(output)
            if any(sketch.made == UNREAD for sketch in _sketches(given)):
                self.operations.append((UNREAD, {}))
            return given

    @contextmanager
    def _anew(self) -> Iterator[None]:
        self.operations, self.notes = [], []
        with lowering_in(self):
            yield

    @property
    def kit(self) -> Any:
        """What lowerings build with."""
        return KIT

    def layer_name(self, function: str) -> str:
        """Nobody reads it."""
        return function

    def tell(self, now: str, why: str) -> None:
        """Keep what a function is exported as, and why."""
        self.notes.append((now, why))

    def refusal(self, text: str) -> ExportError:
        """Whoever asks knows where the network is."""
        return ExportError(text)


def _sketches(value: Any) -> Iterator[Sketch]:
    if isinstance(value, Sketch):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _sketches(item)
