"""The files around the source: hooks, notes for the change log, the length of the README."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_is_a_page():
    assert len(read("README.md").splitlines()) <= 150


def test_notes_are_of_a_kind_that_the_change_log_has():
    kinds = re.findall(r'^directory = "(\w+)"$', read("pyproject.toml"), re.MULTILINE)
    notes = [note for note in (ROOT / "news").iterdir() if note.name != "README.md"]
    for note in notes:
        assert re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(kinds)})\.md", note.name), note.name
        assert note.read_text(encoding="utf-8").strip(), f"{note.name} is empty"


def test_hooks_run_what_make_test_runs_before_the_tests():
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in local["hooks"]}
    recipe = re.search(r"^test: .*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)[1]
    checks = [line.strip().removesuffix(" .") for line in recipe.splitlines()]
    assert hooks == {line.replace("$(BIN)", ".venv/bin") for line in checks if "pytest" not in line}
