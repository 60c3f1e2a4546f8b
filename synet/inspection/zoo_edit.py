"""Editing a model yaml where it has to change and nowhere else, so that comments and layout stay.

Places are those that PyYAML notes for every value as it reads a file; what comes out is read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from synet.system.errors import SynetError
from synet.zoo import PARTS

# Replace text[start:end]: a place that is only inserted at starts where it ends.
_Edit = tuple[int, int, str]

# A comment behind a row: its number, and in some files four figures of what it costs.
_ROW_COMMENT = re.compile(
    r"(?P<before>[ \t]*# )(?P<number>\d+)\b(?P<figures>([ ]+\d[\d.]*){4}(?![\d.]))?(?P<words>.*)"
)
_FIGURES = (6, 6, 9, 7)  # columns that they take in the zoo's files


def edited(text: str, before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> str:
    """The text of a model yaml, changed so that it says `after` where it said `before`.

    Parameters
    ----------
    text
        Of the file, which says `before`.
    after
        Differs in values under the keys of the top level, in what the rows' values are, and in
        a row more or less at their start.
    path
        For messages.

    Raises
    ------
    SynetError
        It is written so that it cannot be edited like this.
    """
    nodes = {key.value: (key, value) for key, value in yaml.compose(text).value}
    edits: list[_Edit] = []
    for key in [key for key in after if after[key] != before.get(key)]:
        if key in PARTS:
            edits += _rows(text, nodes[key][1], before[key], after[key])
        elif key in nodes:
            edits.append(_section(text, *nodes[key], after[key]))
        elif "nc" in nodes:
            at = _line_end(text, nodes["nc"][1].end_mark.index)
            edits.append((at, at, f"\n{_written(key, after[key])}"))
        else:
            at = min(node.start_mark.index for node, _ in nodes.values())
            edits.append((at, at, f"{_written(key, after[key])}\n"))
    changed = _applied(text, edits)
    try:
        found = yaml.safe_load(changed)
    except yaml.YAMLError:
        found = None
    if found != after:
        raise SynetError(
            f"{path}: cannot be changed line by line; write keys and rows as `synet zoo show "
            f"katana-kqvga` does"
        )
    return changed


def commented(text: str, shift: int, figures: Mapping[int, tuple[float, ...]]) -> str:
    """The text of a model yaml with the comments behind its rows true again.

    Parameters
    ----------
    shift
        How many rows more than these comments count stand before each.
    figures
        What takes the place of the four figures in the comment of a row, where it has such.
    """
    nodes = {key.value: value for key, value in yaml.compose(text).value}
    rows = [node for part in PARTS if part in nodes for node in nodes[part].value]
    edits = []
    for index, node in enumerate(rows):
        start = node.end_mark.index
        end = _line_end(text, start)
        found = _ROW_COMMENT.fullmatch(text, start, end)
        if found and int(found["number"]) + shift == index:
            known = figures.get(index) if found["figures"] else None
            costs = "".join(
                f"{_figure(n):>{w}}" for n, w in zip(known or (), _FIGURES, strict=False)
            )
            number = f"{index:<2}" if known else f"{index}"
            words = found["words"]
            if not found["figures"] and words.startswith("   "):  # a longer number, the same column
                words = words.lstrip().rjust(len(found["number"] + words) - len(number))
            edits.append((start, end, f"{found['before']}{number}{costs}{words}".rstrip()))
    return _applied(text, edits)


def _rows(text: str, part: yaml.Node, before: list, after: list) -> list[_Edit]:
    """Edits for rows of a part of which one more or one less may stand at the start."""
    nodes, edits = part.value, []
    start = text.rfind("\n", 0, nodes[0].start_mark.index) + 1
    if len(after) > len(before):
        indent = text[start : nodes[0].start_mark.index]
        edits.append((start, start, f"{indent}{_flow(after[0])}\n"))
        after = after[1:]
    elif len(after) < len(before):
        edits.append((start, _line_end(text, nodes[0].end_mark.index) + 1, ""))
        nodes, before = nodes[1:], before[1:]
    for node, old, new in zip(nodes, before, after, strict=True):
        edits += _values(node, old, new)
    return edits


def _values(node: yaml.Node, old: Any, new: Any) -> list[_Edit]:
    """Edits for the values in which two nested lists of one form differ."""
    if old == new:
        return []
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(node.value, old, new, strict=True)
        return [edit for each in pairs for edit in _values(*each)]
    return [(node.start_mark.index, node.end_mark.index, _flow(new))]


def _section(text: str, key: yaml.Node, node: yaml.Node, value: Any) -> _Edit:
    """The edit that gives a key of the top level another value."""
    if not isinstance(value, dict):
        return (node.start_mark.index, node.end_mark.index, _flow(value))
    start = key.start_mark.index
    return (start, _line_end(text, _last_mark(node)), _written(key.value, value))


def _last_mark(node: yaml.Node) -> int:
    """Where the last value in a node ends: a block itself ends where the next key starts."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_mark(node.value[-1][1])
    return node.end_mark.index


def _written(key: str, value: Any) -> str:
    """A key of the top level, as the zoo's files write them."""
    if not isinstance(value, dict):
        return f"{key}: {_flow(value)}"
    lines = [f"{key}:"]
    for name, item in value.items():
        plain = item if isinstance(item, str) else _flow(item)
        line = f"  {name}: {plain}"
        lines.append(f"{line:<33} # height, width" if name == "image_shape" else line)
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """Numbers, texts and lists of them in one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _figure(number: float) -> str:
    """Three digits, and no more than one behind the point."""
    if number < 0.05:
        return "0"
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}"


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)


def _applied(text: str, edits: list[_Edit]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
