"""The pages: one for each command, all public functions, links that lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from synet.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md"))]


def shown() -> list[tuple[str, str]]:
    """The lines that the pages tell people to type."""
    blocks = (
        (page, block)
        for page in PAGES
        for block in re.findall(
            r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
    return [
        (page.stem, line)
        for page, block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith(("synet ", "python -m synet "))
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_of_its_own(name):
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# synet {name}\n")
    assert any(line.split()[:2] == ["synet", name] for page, line in shown() if page == name)
    assert f"({name}.md)" in (DOCS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "line"), shown())
def test_what_is_shown_can_be_parsed(page, line):
    arguments = shlex.split(line, comments=True)
    arguments = arguments[arguments.index("synet") + 1 :]
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    command: click.Command = main
    name = ""
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        name = arguments.pop(0)
        command = command.commands[name]
    assert command is not main, f"{page}.md: no such command: {line}"
    command.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize(
    "face", ["synet", "synet.quantize", "synet.data_subset", "synet.layers", "synet.errors"]
)
def test_all_that_a_face_lists_is_among_the_public_functions(face):
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    told = {*re.findall(r"^::: (\S+)$", page, re.MULTILINE), *re.findall(r"`(synet\.\S+)`", page)}
    assert {f"{face}.{name}" for name in importlib.import_module(face).__all__} <= told


def test_modules_that_moved_are_where_the_page_says():
    page = (ROOT / "UPGRADING.md").read_text(encoding="utf-8")
    moved = re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", page, re.MULTILINE)
    assert len(moved) > 50
    assert [new for _, new in moved if find_spec(new) is None] == []
