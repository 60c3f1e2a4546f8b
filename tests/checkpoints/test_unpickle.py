"""Hostile files run nothing, whoever reads them, and are refused in one line."""

from __future__ import annotations

import argparse
import copyreg
import io
import json
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import hostile
import pytest
import torch
import wrapt

from synet.checkpoints import read as checkpoint
from synet.system.errors import CheckpointError

NAMES = list(hostile.pickles(argparse.Namespace(package="", canary="", tag="")))


def patched_load(fork):
    return wrapt.FunctionWrapper(torch.load, checkpoint.safe_load(lambda: [fork.root]))


READERS = {
    "read": lambda fork, file: checkpoint.read(file, [fork.root]),
    "read without the fork": lambda fork, file: checkpoint.read(file, forkless=True),
    "torch.load": lambda fork, file: patched_load(fork)(file, weights_only=False),
    "torch.load of a stream": lambda fork, file: patched_load(fork)(
        io.BytesIO(file.read_bytes()), "cpu", pickle
    ),
}


def assert_refused(fork, file, read, *words):
    before = set(sys.modules)
    with pytest.raises(CheckpointError) as caught:
        read(fork, file)
    message = str(caught.value)
    assert message.isprintable()  # one line, and nothing that a terminal would obey
    assert len(message) < 1000
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not fork.canary.exists()
    ran = {name.partition(".")[0] for name in set(sys.modules) - before if fork.tag in name}
    assert ran <= {fork.package, f"elsewhere_{fork.tag}"}
    assert not list(Path().glob("*.patch"))  # torch < 1.6's


@pytest.mark.parametrize("imported", [False, True], ids=["fork not imported", "fork imported"])
@pytest.mark.parametrize("name", NAMES)
def test_hostile_pickles(fork, tmp_path, name, imported):
    assert not imported or fork.yolo
    body = hostile.pickles(fork)[name]
    called = name.removeprefix("calls ").rpartition(".")[2] if name.startswith("calls ") else ""
    for write in hostile.WRITERS.values():
        file = write(tmp_path / f"{write.__name__}.pt", body)
        for reader, read in READERS.items():
            place = "" if "stream" in reader else file.name
            assert_refused(fork, file, read, place, called)


@pytest.mark.parametrize("name", ["constructor", "function of the fork", "newer name"])
def test_what_is_feared_does_happen_to_who_trusts(fork, tmp_path, name):
    """It is the reading that stops these, not an accident in how they are made."""
    file = hostile.archive(tmp_path / "best.pt", hostile.pickles(fork)[name])
    torch.load(file, weights_only=False)
    assert fork.canary.exists()


def test_extensions_of_pickle_that_are_in_use(fork, tmp_path):
    copyreg.add_extension("posix", "system", 240)
    try:
        command = hostile.text(f"touch {fork.canary}")
        pickle.loads(b"\x80\x02\x82\xf0.")  # Python keeps what it found
        file = hostile.archive(tmp_path / "best.pt", hostile.call(b"\x82\xf0", command))
        assert_refused(fork, file, READERS["read"], "instruction 0x82")
    finally:
        copyreg.remove_extension("posix", "system", 240)


def test_all_refused_names_are_told(fork, tmp_path):
    body = hostile.mapping(
        a=hostile.call(hostile.glob("posix", "system"), hostile.text("true")),
        b=hostile.new(hostile.glob("shelve", "Shelf")),
    )
    file = hostile.archive(tmp_path / "best.pt", body)
    assert_refused(fork, file, READERS["read"], "posix.system, shelve.Shelf", "SYNET_TRUST")


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_checkpoint(fork, tmp_path, reader, monkeypatch):
    (tmp_path / "made").mkdir()
    found = list(hostile.files(tmp_path / "made", fork.canary))
    opened = []
    monkeypatch.setattr(tarfile, "open", lambda *args, **options: opened.append(args))
    for file in found:
        if "torch.load" in reader and file.stem in ("list", "folder", "missing"):
            continue  # torch.load returns any data, and its errors of the system are the fork's
        assert_refused(fork, file, READERS[reader])
    assert not opened


COMMAND = """
import contextlib, io, json, sys
from synet.cli import main

for file in sys.argv[1:]:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        try:
            status = main(["quantize", "--weights", file, "--data", "none.yaml"])
        except SystemExit as error:
            status = error.code
    print(json.dumps([status, errors.getvalue()]))
"""


def test_the_command_line_refuses_in_one_line(fork, tmp_path):
    names = ["calls os.system", "newer name", "constructor", "layer, called", "getattr chain"]
    body = hostile.pickles(fork)
    files = [hostile.archive(tmp_path / f"{at}.pt", body[name]) for at, name in enumerate(names)]
    files.append(hostile.legacy(tmp_path / "old.pt", body["calls builtins.eval"]))
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *files], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(files)
    for file, (status, said) in zip(files, answers, strict=True):
        assert status == 2
        assert said.count("\n") == 1, said
        assert file.name in said
    assert not fork.canary.exists()
