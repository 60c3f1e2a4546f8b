"""What the rows of a model may say: numbers, layers, and the words that these give meaning to.

A builder evaluates the texts of a row as Python, in a module that imports what loads files and
runs commands. A yaml may be a stranger's, and so may be the rows that lie in a checkpoint: what
a text may be is told here, and all else is refused before a builder sees it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from typing import Any

from synet.patches.declaration import Fork
from synet.patches.layer_classes import LayerClasses
from synet.system.errors import PatchError
from synet.system.text import shown

LARGEST = 100_000  # of any number: channels, classes and sizes of a model are far below
MOST_REPEATS = 100
DEEPEST = 8
LONGEST = 200

LAYER = re.compile(r"((torch\.)?nn\.|torchvision\.ops\.)?[A-Za-z_]\w*", re.ASCII)
WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What YOLOv5's line works out from the definition, besides what it reads there.
WORKED_OUT = {"na", "no"}


class RowWords:
    """Checks the rows of one builder.

    Parameters
    ----------
    fork
        The builder's.
    """

    def __init__(self, fork: Fork) -> None:
        self.names = fork.names
        self.layers = LayerClasses(fork)
        code = inspect.unwrap(fork.names[fork.family.builder]).__code__
        self.keys = {text for const in code.co_consts for text in _texts(const)}
        # nc, anchors: variables of the builder that it reads from the definition
        self.read = (self.keys | WORKED_OUT) & {*code.co_varnames}

    def check(self, row: list) -> None:
        """See that a row ``[from, number, layer, [arguments]]`` is nothing but that.

        Raises
        ------
        PatchError
            It is not; without its place.
        """
        source, repeats, name, args = row
        sources = source if isinstance(source, list) else [source]
        if not sources or not all(type(each) is int and abs(each) <= LARGEST for each in sources):
            raise PatchError(f"{shown(source)} is no number of a row, nor a list of such numbers")
        if type(repeats) not in (int, float) or not abs(repeats) <= MOST_REPEATS:
            raise PatchError(f"{shown(repeats)} is no number of layers up to {MOST_REPEATS}")
        if not isinstance(name, str):
            self._check_layer(name, name)
        elif not LAYER.fullmatch(name):
            raise _code(name)
        elif (value := self.named(name)) is not None:
            self._check_layer(value, name)
        self._check(args)

    def check_key(self, key: str, value: Any) -> None:
        """See that what the builder reads under another key of a definition is no more than that.

        Raises
        ------
        PatchError
            It is; without its place.
        """
        rows = value if isinstance(value, list) else []
        for row in [row for row in rows if isinstance(row, list) and _like_row(row)]:
            self.check(row)
        if key in self.keys:
            self._check(value)

    def named(self, name: str) -> Any:
        """What the name of a layer stands for in the builder's module; None for nothing."""
        home, _, last = name.rpartition(".")
        if not home:
            return self.names.get(last)
        if home == "torchvision.ops":
            from torchvision import ops

            return getattr(ops, last, None)
        from torch import nn

        return getattr(nn, last, None)

    def _check(self, value: Any, depth: int = 0) -> None:
        if depth > DEEPEST:
            raise PatchError(f"its arguments are nested more than {DEEPEST} deep")
        if isinstance(value, str):
            self._check_text(value, depth)
        elif isinstance(value, (list, tuple, dict)):
            for each in (*value, *value.values()) if isinstance(value, dict) else value:
                self._check(each, depth + 1)
        elif isinstance(value, (int, float)):
            if not abs(value) <= LARGEST:
                raise PatchError(f"{shown(value)} is not a number up to {LARGEST}")
        elif value is not None:
            self._check_layer(value, value)

    def _check_text(self, text: str, depth: int) -> None:
        if not text.strip():
            return  # a scale that is not chosen, in ultralytics
        try:
            tree = ast.parse(text[: LONGEST + 1].strip(), mode="eval")  # eval() strips blanks, too
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _code(text) from None
        if len(text) > LONGEST:
            raise _code(text)
        self._check_node(tree.body, text, depth)

    def _check_node(self, node: ast.expr, text: str, depth: int) -> None:
        """A constant, a list, a name, a layer of torch, or one that is made: ``nn.SiLU()``."""
        if depth > DEEPEST:
            raise _code(text)
        match node:
            case ast.Constant(value=str() as word) if WORD.fullmatch(word):
                pass  # in quotes of its own, it stays text
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                self._check(value, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                self._check(value, depth + 1)
            case ast.List(elts=nodes) | ast.Tuple(elts=nodes):
                for each in nodes:
                    self._check_node(each, text, depth + 1)
            case ast.Name(id=name):
                self._check_name(name)
            case ast.Attribute() if LAYER.fullmatch(name := ast.unparse(node)):
                self._check_layer(self.named(name), name)
            case ast.Call(func=ast.Attribute() as layer, args=nodes, keywords=keywords):
                self._check_node(layer, text, depth)
                for each in (*nodes, *(keyword.value for keyword in keywords)):
                    self._check_node(each, text, depth + 1)
            case _:
                raise _code(text)

    def _check_name(self, name: str) -> None:
        """A value of the definition, a layer, or a word that means nothing to the builder."""
        known = name in self.names or hasattr(builtins, name)
        if name not in self.read and known:
            value = self.names.get(name, getattr(builtins, name, None))
            self._check_layer(value, name, f"; if it is a word, write \"'{name}'\"")

    def _check_layer(self, value: Any, title: Any, hint: str = "") -> None:
        if reason := self.layers.why_not(value):
            raise PatchError(f"{shown(title)} {reason}; a row holds numbers and layers{hint}")


def _like_row(row: list) -> bool:
    return len(row) == 4 and isinstance(row[2], str) and isinstance(row[3], list)


def _code(text: str) -> PatchError:
    return PatchError(f"{shown(text)} is code, which no model yaml may hold; use names and numbers")


def _texts(value: Any) -> list[str]:
    """The texts among a constant of code: one, or those of a tuple."""
    values = value if isinstance(value, (tuple, frozenset)) else (value,)
    return [each for each in values if isinstance(each, str)]
