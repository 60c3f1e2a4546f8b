from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from synet.system.errors import SynetError
from synet.system.private import lock, release
from synet.system.staging import JOURNAL, staged_together, undo_killed

fcntl = pytest.importorskip("fcntl")


def places_of(folder: Path) -> list[Path]:
    return [folder / "images", folder / "labels", folder / "map.yaml"]


def stage(folder: Path) -> list[Path]:
    """Three places that are filled together; the file is the last."""
    *folders, file = places_of(folder)
    with staged_together(folders, file, "text") as staged:
        for place in folders:
            (staged[place] / "file").write_text(place.name)
    return [*folders, file]


def journal_of(folder: Path, places: list[Path]) -> Path:
    """As a run leaves it that was killed while it moved things to `places`."""
    told = {}
    for place in places:
        status = place.lstat() if place.exists() else None
        told[str(place)] = [status.st_dev, status.st_ino, status.st_mtime_ns] if status else [0]
    journal = folder / f".map.yaml-01234567{JOURNAL}"
    journal.write_text(json.dumps(told))
    return journal


def test_all_of_them_and_nothing_else(tmp_path):
    places = stage(tmp_path)
    assert {*tmp_path.iterdir()} == {*places}
    assert (tmp_path / "map.yaml").read_text() == "text"


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_what_a_killed_run_had_moved_goes(tmp_path, moved):
    places = stage(tmp_path)
    for place in places[moved:2]:
        (place / "file").unlink()
        place.rmdir()
    places[2].unlink()
    journal_of(tmp_path, places)
    undo_killed(places_of(tmp_path))
    assert not [*tmp_path.iterdir()]


def test_of_one_that_had_moved_all_nothing_goes(tmp_path):
    places = stage(tmp_path)
    journal_of(tmp_path, places)
    undo_killed(places_of(tmp_path))
    assert {*tmp_path.iterdir()} == {*places}


def test_what_is_another_by_now_stays(tmp_path):
    images, labels, file = stage(tmp_path)
    file.unlink()
    journal_of(tmp_path, [images, labels, file])
    (images / "mine").touch()
    os.utime(labels, ns=(0, 0))
    undo_killed(places_of(tmp_path))
    assert {*tmp_path.iterdir()} == {images, labels}
    assert (images / "mine").exists()


def test_of_one_that_is_alive_all_stays(tmp_path):
    images, labels, file = stage(tmp_path)
    file.unlink()
    journal = journal_of(tmp_path, [images, labels, file])
    handles = lock(journal)
    try:
        undo_killed(places_of(tmp_path))
    finally:
        release(handles)
    assert {*tmp_path.iterdir()} == {images, labels, journal}


def test_a_journal_of_other_places_is_none_of_our_business(tmp_path):
    (tmp_path / "theirs").mkdir()
    journal = journal_of(tmp_path, [tmp_path / "theirs", tmp_path / "gone"])
    undo_killed(places_of(tmp_path))
    assert {*tmp_path.iterdir()} == {tmp_path / "theirs", journal}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a', b"\xff"])
def test_a_journal_that_was_not_finished(tmp_path, content):
    (tmp_path / "mine").touch()
    (tmp_path / f".map.yaml-01234567{JOURNAL}").write_bytes(content)
    undo_killed(places_of(tmp_path))
    assert [*tmp_path.iterdir()] == [tmp_path / "mine"]


def test_of_two_at_once_the_second_is_refused_wholly(tmp_path):
    places = [tmp_path / "images", tmp_path / "labels"]
    with (
        pytest.raises(SynetError, match="images exists already"),
        staged_together(places, tmp_path / "map.yaml", "second") as staged,
    ):
        (staged[places[0]] / "file").write_text("second")
        stage(tmp_path)
    assert {*tmp_path.iterdir()} == {*places, tmp_path / "map.yaml"}
    assert (tmp_path / "map.yaml").read_text() == "text"
    assert (places[0] / "file").read_text() == "images"


def test_a_full_disk_names_a_place(tmp_path):
    with (
        pytest.raises(SynetError, match="cannot write .*map.yaml: No space left on device"),
        staged_together([tmp_path / "images"], tmp_path / "map.yaml", ""),
    ):
        raise OSError(28, "No space left on device")
    assert not [*tmp_path.iterdir()]
