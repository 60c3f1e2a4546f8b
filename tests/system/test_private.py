from __future__ import annotations

import os
from pathlib import Path

import pytest

from synet.system.files import atomic_folder, atomic_path, fill_folder, write_atomic
from synet.system.private import lock, make_private, release, sweep

fcntl = pytest.importorskip("fcntl")


def left_behind(place: Path, suffix: str = "", make=Path.touch) -> Path:
    """What a writer for `place` that was killed has left."""
    private, locks = make_private(place, make, suffix)
    release(locks)
    return private


def test_its_name_tells_its_place_and_keeps_the_suffix(tmp_path):
    private, locks = make_private(tmp_path / "best.tflite", Path.touch, ".tflite")
    try:
        assert private.parent == tmp_path
        assert private.name.startswith(".best.tflite-")
        assert private.name.endswith(".synet-part.tflite")
        assert not lock(private)  # somebody has it
    finally:
        release(locks)


@pytest.mark.parametrize(
    "name", ["x" * 240 + ".txt", "ä" * 120 + ".txt", "[a]*?.txt", ".txt", "a b"]
)
def test_any_name_that_a_file_system_takes(name, tmp_path):
    assert write_atomic(tmp_path / name, "text").read_text() == "text"
    left_behind(tmp_path / name, ".txt")
    write_atomic(tmp_path / name, "more")
    assert os.listdir(tmp_path) == [name]


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, caplog):
    place = tmp_path / "best.tflite"
    left = left_behind(place, ".tflite")
    foreign = [tmp_path / ".best.tflite-mine", tmp_path / ".other-01234567.synet-part"]
    for path in foreign:
        path.touch()
    write_atomic(place, b"content")
    assert {*tmp_path.iterdir()} == {place, *foreign}
    assert f"removing {left}, which a run that was killed has left" in caplog.text


def test_of_a_writer_that_is_alive_it_stays(tmp_path):
    place = tmp_path / "best.tflite"
    with atomic_path(place) as first:
        first.write_text("first")
        write_atomic(place, "second")
        assert first.read_text() == "first"
        assert place.read_text() == "second"
    assert place.read_text() == "first"  # the last one, wholly
    assert [*tmp_path.iterdir()] == [place]


def test_folders_alike(tmp_path):
    left = left_behind(tmp_path / "out", make=Path.mkdir)
    (left / "half").mkdir()
    with atomic_folder(tmp_path / "out") as private:
        (private / "whole").touch()
    assert [*tmp_path.iterdir()] == [tmp_path / "out"]


def test_a_numbered_folder_that_was_never_filled_goes_as_well(tmp_path):
    for name in ("exp", "exp2", "exp3"):
        (tmp_path / name).mkdir()
    (tmp_path / "exp2" / "theirs").touch()
    for name in ("exp", "exp2"):
        left_behind(tmp_path / name, make=Path.mkdir)
    assert fill_folder(tmp_path, lambda private: (private / "new").touch()).name == "exp"
    assert {*tmp_path.rglob("*")} == {
        *(tmp_path / name for name in ("exp", "exp/new", "exp2", "exp2/theirs", "exp3"))
    }


def test_below_a_folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        left_behind(folder / "x.npy", ".npy")
    assert len(sweep(tmp_path, lambda name: True, "**/*")) == 3
    assert {*tmp_path.rglob("*")} == {tmp_path / "a", tmp_path / "a" / "b"}


def test_a_link_of_that_name_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    link = tmp_path / ".new.txt-01234567.synet-part.txt"
    link.symlink_to(theirs)
    write_atomic(tmp_path / "new.txt", "text")
    assert link.is_symlink() and theirs.read_text() == "theirs"
