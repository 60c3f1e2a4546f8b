"""Kinds of arguments, and what a shell offers to complete them with.

Names and paths are refused nowhere here: what is wrong with one is told by what reads it, in one
line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from glob import escape, iglob
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class Anywhere(click.Path):
    """The path of a file or a folder, there or not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: D102
        return str(value)


class Folder(Anywhere):
    """The path of a folder; only folders are offered."""

    name = "directory"

    def shell_complete(  # noqa: D102
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


class Model(Anywhere):
    """A model file, or the name of a model of the zoo."""

    def shell_complete(  # noqa: D102
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # bash shows the last of both, other shells both: names unless a file is begun
        files = super().shell_complete(ctx, param, incomplete)
        is_begun = incomplete and next(iglob(f"{escape(incomplete)}*"), None)
        zoo = _beginning(_zoo_names(), incomplete)
        return [*zoo, *files] if is_begun else [*files, *zoo]


class Word(click.ParamType):
    """A word, often one of those that `words` returns when it is asked."""

    name = "text"

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: D102
        return str(value)

    def shell_complete(  # noqa: D102
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _beginning(self._words(), incomplete)


class ChipName(Word):
    """The name of a chip, or the yaml of one of one's own, which goes by its name from then on."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: D102
        from synet.chips import add_chip

        is_own = Path(value).suffix == ".yaml" and Path(value).is_file()
        return add_chip(value) if is_own else str(value)


class Fraction(click.FloatRange):
    """A number from 0 to 1: a confidence, an overlap, a precision."""

    name = "fraction"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        number = click.FLOAT.convert(value, param, ctx)
        if not 0 <= number <= 1:
            percent = f"; {number:g} % is {number / 100:g}" if 1 < number <= 100 else ""
            self.fail(f"{number:g} is not a fraction, 0 to 1{percent}", param, ctx)
        return number


class PassedOn(Model):
    """An argument of another program: a file, as a rule, or the model that it is to run."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        return value

    def shell_complete(  # noqa: D102
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        key, equals, begun = incomplete.rpartition("=")  # of ultralytics: model=sabre-...
        if not equals:
            return super().shell_complete(ctx, param, incomplete)
        # which is one word to the shell, whose own files would stand in for the whole of it
        words = [*_zoo_names(), *sorted(iglob(f"{escape(begun)}*"))]
        return _beginning([f"{key}={word}" for word in words], incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _zoo_names() -> list[str]:
    from synet import zoo

    return zoo.names()


def _chip_names() -> tuple[str, ...]:
    from synet.chips import chips

    return chips()


def _activations() -> tuple[str, ...]:
    from synet.chips.record import ACTIVATIONS

    return tuple(ACTIVATIONS)


FILE, FOLDER, MODEL, PASSED_ON = Anywhere(), Folder(), Model(), PassedOn()
FRACTION = Fraction()
CHIP, ZOO = ChipName(_chip_names), Word(_zoo_names)
ACTIVATION = Word(_activations)
MODULE = Word(lambda: ("train", "val", "detect", "export", "segment/train", "classify/train"))
SPLIT = click.Choice(("train", "val", "test"))
