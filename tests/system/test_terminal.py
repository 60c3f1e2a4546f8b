"""Tables on a narrow terminal: no name is cut, and what is left out is told."""

from __future__ import annotations

import io

import pytest

from synet.system.terminal import NameTable, Terminal, silenced

LAYER = "model.22.cv2.0.m.0.attention.qkv.conv"
FILE = "runs/train/exp12/weights/" + "a-long-name-" * 8 + "best.tflite"


def drawn(table, width):
    stream = io.StringIO()
    Terminal(file=stream, width=width).print(table, crop=False)
    return stream.getvalue()


def table(**options):
    made = NameTable("layer", "what for", **options)
    for heading in ("share", "output"):
        made.add_column(heading, justify="right")
    made.add_row(LAYER, "so many words that they need lines of their own", "12.3%", "1x120x160x64")
    made.add_row("traffic light", "", "3.2%", "1x30x40x128")
    return made


@pytest.mark.parametrize("width", [10, 40, 60, 80, 200])
def test_names_and_figures_are_whole_or_absent(width):
    text = drawn(table(spare=("output", "share"), wrapped=("what for",)), width)
    assert LAYER in text and "traffic light" in text
    for heading, figures in (("share", ("12.3%", "3.2%")), ("output", ("1x120x160x64",))):
        is_there = f" {heading} " in text.partition("no room for")[0]
        assert is_there == all(figure in text for figure in figures)
        assert is_there != (heading in text.partition("no room for: ")[2])
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width


def test_what_goes_first():
    text = drawn(table(spare=("output", "share"), wrapped=("what for",)), 70)
    assert "no room for: output\n" in text.replace("  ", "") and "12.3%" in text


def test_where_nothing_may_go_lines_are_longer_than_the_terminal():
    text = drawn(table(), 40)
    assert LAYER in text and "1x120x160x64" in text and "no room" not in text


def test_titles_and_captions_break_between_words():
    narrow = NameTable(title=f"{FILE} on val of my.yaml", caption=f"see {FILE}")
    narrow.add_column("class")
    narrow.add_row("car")
    text = drawn(narrow, 80)
    assert text.count(FILE) == 2


def test_nothing_is_drawn_where_it_shall_be_silent():
    with silenced():
        assert drawn(table(), 80) == ""
    assert LAYER in drawn(table(), 80)
