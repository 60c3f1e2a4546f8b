"""What a shell is offered for each argument: names that SyNet knows, and files by the shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete

from synet import zoo
from synet.chips import chips
from synet.cli import main

SPLITS = ["train", "val", "test"]
FILES = [("file", "")]


def offered(words: str, begun: str = "") -> list[tuple[str, str]]:
    """Kind and text of what is offered to complete `begun` with, behind `words`."""
    completer = ShellComplete(main, {}, "synet", "_SYNET_COMPLETE")
    found = completer.get_completions(words.split(), begun)
    return [(item.type, item.value) for item in found]


def plain(words: str, begun: str = "") -> list[str]:
    return [text for kind, text in offered(words, begun) if kind == "plain"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        *("profile", "summary", "sparsity", "latency", "evaluate", "visualize", "predict"),
        *("report", "quantize", "quantize --cfg", "metrics my.yaml --models", "zoo create"),
        *("predict a.tflite b.jpg --side-by-side", "evaluate a.tflite --float", "yolov5 train"),
        "run -- python train.py --cfg",
    ],
)
def test_a_model_is_a_name_of_the_zoo_or_a_file(words):
    assert offered(words) == [*FILES, *(("plain", name) for name in zoo.names())]
    assert plain(words, "katana-k") == ["katana-kqvga", "katana-kvga"]


def test_a_file_that_is_begun_goes_before_names(here):
    """bash shows its own files, or our words: the last that is told."""
    assert offered("profile", "kata")[0] == ("file", "kata")
    (here / "kata [1].tflite").touch()
    assert offered("profile", "kata")[-1] == ("file", "kata")
    assert offered("profile", "kata [")[-1] == ("file", "kata [")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("zoo show", zoo.names()),
        *((f"{words} --chip", [*chips()]) for words in ("profile", "quantize", "yolov5", "run")),
        *((f"{words} --split", SPLITS) for words in ("evaluate", "metrics", "report")),
        ("quantize --backend", ["yolov5", "ultralytics"]),
        ("ultralytics train model=sab", [name for name in zoo.names() if name.startswith("sab")]),
    ],
)
def test_words(words, expected):
    *before, last = words.split()
    if "=" in last:
        key, _, begun = last.partition("=")
        assert plain(" ".join(before), last) == [f"{key}={name}" for name in expected]
    else:
        assert plain(words) == expected
        assert offered(words, expected[0][:2])[0][0] == "plain"


@pytest.mark.parametrize(
    "words",
    [
        *("evaluate a.tflite --data", "quantize --data", "report a.tflite --data", "metrics"),
        *("data_subset", "data_subset old.yaml", "compare", "compare a.pt b.tflite"),
        *("predict a.tflite", "latency a.tflite --image", "quantize --out", "compare a -o"),
        *("quantize --weights", "metrics a.yaml --data", "quantize --dump-layers"),
    ],
)
def test_files_are_the_shells(words):
    assert offered(words) == FILES


@pytest.mark.parametrize(
    "words",
    [
        *("patches show", "patches check", "patches new", "demo --out", "predict a b --out"),
        *("metrics --predictions", "metrics --project", "evaluate --repo", "compare --dump"),
    ],
)
def test_folders_are_the_shells(words):
    assert offered(words) == [("dir", "")]


def every_parameter(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_parameter(command, (*path, name))
            continue
        for parameter in command.params:
            yield pytest.param(parameter, id=" ".join((*path, name, parameter.name)))


@pytest.mark.parametrize("parameter", every_parameter())
def test_what_is_named_like_a_file_completes_as_one(parameter):
    """An argument without a completion of its own would keep the shell from completing files."""
    placeholders = (parameter.metavar or "").rstrip(".").split()
    if isinstance(parameter, click.Argument) or {*placeholders} & {"FILE", "DIR", "YAML", "PT"}:
        assert parameter.type.shell_complete(click.Context(main), parameter, "")


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_takes_its_own_files(here):
    """The script that `--help` tells to evaluate, in a bash that notes what it asks for."""
    (here / "my model.tflite").touch()
    script = """
        compopt() { local IFS=' '; echo "compopt $*"; }
        eval "$(_SYNET_COMPLETE=bash_source synet)"
        complete() { COMP_WORDS=(synet profile "$1"); COMP_CWORD=2; COMPREPLY=()
                     _synet_completion synet; echo "${COMPREPLY[*]}"; }
        complete my; complete katana-k
    """
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    own_files, names = (
        ("compopt -o default", ""),
        ("compopt -o default", "katana-kqvga katana-kvga"),
    )
    assert done.stdout.splitlines() == [*own_files, *names]
