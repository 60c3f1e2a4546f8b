"""A page for each command: it is there, it is linked, and what it shows can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from synet.cli import COMMANDS, main

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"
