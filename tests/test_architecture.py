"""The page on the house says what is so: its picture is drawn, its rooms are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def script():
    spec = importlib.util.spec_from_file_location("draw_floors", DOCS / "draw_floors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_contract_and_imports_say():
    drawn = (DOCS / "floors.svg").read_text(encoding="utf-8")
    assert drawn == script().picture(), "run: python docs/draw_floors.py"


def test_an_arrow_that_follows_from_others_is_left_out():
    assert script().needed({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}


def test_the_table_has_every_room_on_its_floor():
    shown, floor = {}, ""
    for number, names in re.findall(r"^\| (\d?) ?\| (.*?) \|", PAGE, re.MULTILINE):
        floor = number or floor
        shown |= {name: floor for name in re.findall(r"`(\w+)/?`", names)}
    floors = script().read_floors()[1:]
    rooms = {room: str(9 - place) for place, floor in enumerate(floors) for room in floor}
    assert shown == rooms
