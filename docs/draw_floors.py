"""Draw floors.svg: the rooms of synet on the floors of the contract, and who imports whom.

The floors are read from `.importlinter`, the arrows from the source; the picture is what both say:

    python docs/draw_floors.py

An arrow that follows from others is left out: whatever imports a room may import what that room
imports.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path(__file__).with_name("floors.svg")

WIDTH, FLOOR_HEIGHT, LEFT = 880, 84, 60  # pixels
ROOM_WIDTH, ROOM_HEIGHT = 128, 40
INK, PAPER, LINE, ROOM = "#1b2b34", "#ffffff", "#7a8b99", "#e3eef6"

Floors = list[list[str]]


def read_floors(contract: Path = ROOT / ".importlinter") -> Floors:
    """The rooms of each floor, the highest floor first; the faces of the root above all."""
    config = configparser.ConfigParser()
    config.read(contract)
    floors = config["importlinter:contract:floors"]
    faces = floors["exhaustive_ignores"].split()
    layers = [line for line in floors["layers"].splitlines() if line]
    return [[f"{len(faces)} faces"], *([room.strip() for room in row.split("|")] for row in layers)]


def read_imports(floors: Floors) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second; all modules of the root are one.

    Nobody but the template that users copy imports a face, by another contract.
    """
    graph = grimp.build_graph("synet", cache_dir=None)
    rooms, faces = {room for floor in floors for room in floor}, floors[0][0]

    def room_of(module: str) -> str:
        name = module.partition(".")[2].partition(".")[0]
        return name if name in rooms else faces

    pairs = (
        (room_of(module), room_of(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    )
    return {(above, below) for above, below in pairs if above != below != faces}


def needed(imports: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others."""
    reached = set(imports)
    for _ in imports:
        further = {(a, d) for (a, b), (c, d) in product(reached, imports) if b == c}
        if further <= reached:
            break
        reached |= further
    return {(a, b) for a, b in imports if not any((a, c) in reached for c, d in imports if d == b)}


def centres(floors: Floors) -> dict[str, tuple[float, float]]:
    """Where the middle of each room lies."""
    return {
        room: (
            LEFT + (WIDTH - LEFT) * (place + 0.5) / len(floor),
            FLOOR_HEIGHT * (number + 0.5),
        )
        for number, floor in enumerate(floors)
        for place, room in enumerate(floor)
    }


def lines(floors: Floors, arrows: set[tuple[str, str]]) -> Iterator[str]:
    """The picture as SVG, line by line."""
    height = FLOOR_HEIGHT * len(floors)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="15" text-anchor="middle">'
    )
    yield "<title>The rooms of synet by floor; an arrow leads to what is imported</title>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>'
    at = centres(floors)
    for x, y in at.values():
        yield (
            f'<rect x="{x - ROOM_WIDTH / 2:.0f}" y="{y - ROOM_HEIGHT / 2:.0f}" rx="6" '
            f'width="{ROOM_WIDTH}" height="{ROOM_HEIGHT}" fill="{ROOM}" stroke="{LINE}"/>'
        )
    for above, below in sorted(arrows):
        (x, y), (to_x, to_y) = at[above], at[below]
        y, to_y = y + ROOM_HEIGHT / 2, to_y - ROOM_HEIGHT / 2
        yield (
            f'<path d="M{x:.0f} {y:.0f}L{to_x:.0f} {to_y:.0f}" stroke="{LINE}" '
            f'marker-end="url(#tip)"><title>{escape(above)} imports {escape(below)}</title></path>'
        )
    for number in range(1, len(floors)):
        y = FLOOR_HEIGHT * (number + 0.5) + 5
        yield f'<text x="24" y="{y:.0f}" fill="{LINE}">{len(floors) - number}</text>'
    for room, (x, y) in at.items():
        yield f'<text x="{x:.0f}" y="{y + 5:.0f}" fill="{INK}">{escape(room)}</text>'
    yield "</svg>"


def picture() -> str:
    """The content of floors.svg."""
    floors = read_floors()
    return "\n".join(lines(floors, needed(read_imports(floors)))) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
