"""The detection head of a fork in which a zoo model ends, whatever the fork calls it."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from synet.layers.binding import built
from synet.layers.branch import LastConv2d
from synet.patches.declaration import Fork

BOX_HEAD = {"nc", "anchors", "ch", "inplace"}
CHANNELS, INPUTS = 16, 6  # of the head that is tried; six maps suit one, two and three branches

# What a training head returns: a map a level (None), so many lists of them, or these keys.
Structure = int | frozenset[str] | None


def zoo_head(fork: Fork, row: list) -> list:
    """A row ``[from, 1, Detect, [nc, anchors]]`` as this fork, and its training, want it.

    The head is what the fork's family names (``Detect``), or what the fork has in its place: a
    module built from the number of classes, of anchors if it has them, and of the channels of
    its inputs. Where the losses at hand read auxiliary branches, it is a head that has them,
    all on the same inputs.
    """
    source, number, _, args = row
    name = fork.family.head
    heads = {n: value for n, value in fork.names.items() if _is_box_head(value)}
    wanted = {_read_by(loss) for loss in _losses(fork)} or {None}
    if None not in wanted:
        (structure, *_) = wanted
        name = next((n for n, head in heads.items() if _returned_by(head) == structure), name)
        source = [*source] * structure if isinstance(structure, int) else source
    name = name if name in fork.names else next(iter(heads), name)
    with_anchors = name not in heads or "anchors" in inspect.signature(heads[name]).parameters
    return [source, number, name, args if with_anchors else args[:1]]


def without_stems(head: nn.Module) -> None:
    """Leave of each branch of a head the 1x1 convolution that it ends in, in place.

    Heads without anchors bring 3x3 convolutions of their own, wide enough to be the peak of a
    small chip's memory. What stands before the head in a model of the zoo does their work.
    """
    for name, branches in head.named_children():
        if not isinstance(branches, nn.ModuleList) or not all(map(_has_stem, branches)):
            continue
        setattr(head, name, nn.ModuleList(_last_alone(branch) for branch in branches))


def _has_stem(branch: nn.Module) -> bool:
    last = branch[-1] if isinstance(branch, nn.Sequential) and len(branch) > 1 else None
    return type(last) is nn.Conv2d and last.kernel_size == (1, 1)


def _last_alone(branch: nn.Sequential) -> nn.Sequential:
    first = next(m for m in branch.modules() if isinstance(m, nn.Conv2d))
    last = branch[-1]
    return nn.Sequential(LastConv2d(first.in_channels, last.out_channels, 1))


def _is_box_head(value: Any) -> bool:
    if not (isinstance(value, type) and issubclass(value, nn.Module)):
        return False
    parameters = inspect.signature(value).parameters.values()
    required = {p.name for p in parameters if p.default is p.empty}
    names = [p.name for p in parameters]
    return names[:1] == ["nc"] and "ch" in names and required <= BOX_HEAD


def _returned_by(head: type) -> Structure:
    made = built(lambda: head(nc=1, ch=[CHANNELS] * INPUTS))
    try:
        output = made.train()([torch.zeros(1, CHANNELS, 4, 4) for _ in range(INPUTS)])
    except Exception:  # a head of another kind
        return None
    if isinstance(output, dict):
        return frozenset(output)
    lists = [part for part in output if not isinstance(part, Tensor)]
    return len(lists) or None


def _losses(fork: Fork) -> Iterator[type]:
    """Loss classes of the script that is running, and of the model that is being built."""
    yield from _named_losses(vars(sys.modules["__main__"]), vars(sys.modules["__main__"]))
    for cls in fork.building[-1:]:
        methods = [getattr(cls.model, name) for name in dir(cls.model) if not name.startswith("__")]
        for method in methods:
            code = getattr(method, "__code__", None)
            yield from _named_losses(code.co_names, method.__globals__) if code else ()


def _named_losses(names: Iterable[str], values: dict[str, Any]) -> Iterator[type]:
    for name in list(names):
        value = values.get(name)
        if "loss" in name.lower() and isinstance(value, type) and "__call__" in vars(value):
            yield value


def _read_by(loss: type) -> Structure:
    """The structure of predictions ``p`` that a loss reads: ``p[1][0]``, or ``p["one2many"]``."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(loss.__call__))).body
        predictions = tree.args.args[1].arg
    except (OSError, TypeError, AttributeError, IndexError, ValueError, SyntaxError):
        return None
    branches, keys = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Subscript(value=ast.Name(id=name), slice=ast.Constant()),
                slice=ast.Constant(value=int(index)),
            ) if name == predictions:
                branches.add(index)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if (
                name == predictions
            ):
                keys.add(key)
    return frozenset(keys) or max(branches, default=0) + 1 if keys or branches else None
