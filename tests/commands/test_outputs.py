"""Whatever lies where a command is to write: it stays as it is, and is told in one line at once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from synet.cli import main
from synet.custom_patches import unpatch

COMMANDS = {  # OUT is what is written, INPUT what is read
    "quantize": "quantize --weights INPUT --data data.yaml --out OUT",
    "report": "report INPUT --data data.yaml --out OUT",
    "zoo create": "zoo create INPUT --nc 3 -o OUT",
    "compare": "compare best.pt INPUT image.png --out OUT",
    "compare --dump": "compare best.pt INPUT image.png --dump OUT",
}
SUFFIXES = {"quantize": ".tflite", "report": ".html", "zoo create": ".yaml", "compare": ".csv"}
INPUTS = {"quantize": "in.pt", "zoo create": "in.yaml"}
WAYS = ("input", "file", "folder", "link", "dangling", "loop", "pipe", "device", "below a file")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in.pt", "in.tflite", "best.pt", "image.png", "theirs", "data.yaml"):
        (tmp_path / name).write_text("the user's")
    (tmp_path / "in.yaml").write_text("train: images\nval: images\nnames: [a]\n")
    yield tmp_path
    unpatch()


def obstacle(way: str, name: str) -> str:
    """Put something in the way of `name`; what to give for OUT."""
    path = Path(name)
    if way == "file":
        path.write_text("the user's")
    elif way == "folder":
        path.mkdir()
        (path / "theirs").write_text("the user's")
    elif way == "link":
        path.symlink_to("theirs")
    elif way == "dangling":
        path.symlink_to("nowhere")
    elif way == "loop":
        path.symlink_to(name)
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "device":
        path.symlink_to(os.devnull)
    else:
        return f"theirs/{name}"
    return name


def state(folder: Path) -> dict[str, object]:
    return {
        str(path): (os.lstat(path).st_mode, os.lstat(path).st_ino, os.lstat(path).st_mtime_ns)
        for path in folder.rglob("*")
    }


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_in_the_way_of_an_output(command, way, here):
    if way == "dangling" and command in ("quantize", "report", "compare --dump"):
        pytest.skip("what a link leads to is written: see tests/test_files.py")
    given = INPUTS.get(command, "in.tflite")
    out = given if way == "input" else obstacle(way, f"out{SUFFIXES.get(command, '')}")
    before = state(here)
    words = {"INPUT": given, "OUT": out}
    arguments = [words.get(word, word) for word in shlex.split(COMMANDS[command])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("synet: ") and out in line
    assert state(here) == before


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")
@pytest.mark.parametrize("way", ["file", "folder", "link", "loop", "pipe", "device"])
def test_what_is_in_the_way_of_the_demo(way, here):
    out = obstacle(way, "out")
    before = state(here)
    result = CliRunner().invoke(main, ["demo", "--out", out])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("synet: ") and "out" in line
    assert state(here) == before


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")
@pytest.mark.parametrize("way", ["file", "folder", "link", "dangling", "loop", "pipe", "device"])
@pytest.mark.parametrize("name", ["images/train", "labels/train", "new-classes.yaml"])
def test_what_is_in_the_way_of_a_data_set(name, way, here):
    for part, text in (("images/0.jpg", ""), ("labels/0.txt", "0 0.5 0.5 0.1 0.1\n")):
        file = here / "old" / part
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (here / "old" / "data.yaml").write_text("train: images\nnames: [a]\n")
    (here / "new").mkdir()
    (here / "new" / "new.yaml").write_text("train: images/train\nnames: [a]\n")
    place = here / "new" / name
    place.parent.mkdir(exist_ok=True)
    obstacle(way, str(place))
    before = state(here)
    result = CliRunner().invoke(main, ["data_subset", "old/data.yaml", "new/new.yaml"])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("synet: ") and str(place) in line
    assert state(here) == before
