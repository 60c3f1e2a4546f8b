"""kill -9 at every operation on files: nothing is lost or half-written, and the next run works."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import killed
import pytest
import yaml

pytest.importorskip("fcntl")


@pytest.fixture(scope="module")
def server():
    with killed.server("synet.data.subset") as made:
        yield made


def tree(folder: Path) -> dict[str, bytes | str]:
    """What is in a folder; links as where they lead, empty folders left out."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def old_and_new(folder: Path) -> tuple[Path, Path]:
    """A data set of four images, and the definition of another beside a file of the user's."""
    old, new = folder / "old", folder / "new"
    for number in range(4):
        for part, name in (("images", f"{number}.jpg"), ("labels", f"{number}.txt")):
            file = old / part / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number % 2} 0.5 0.5 0.1 0.1\n")
    (old / "old.yaml").write_text("train: images\nval: images\nnames: [a, b]\n")
    (new / "images").mkdir(parents=True)
    (new / "images" / "theirs.txt").write_text("the user's")
    definition = {split: f"images/{split}" for split in ("train", "val")} | {"names": ["b"]}
    (new / "new.yaml").write_text(yaml.safe_dump(definition))
    return old / "old.yaml", new / "new.yaml"


def test_a_data_set_is_there_wholly_or_not_at_all(server, tmp_path):
    whole, command = None, ("data_subset", "old/old.yaml", "new/new.yaml")
    at = 0
    while True:
        folder = tmp_path / str(at)
        old_and_new(folder)
        before = tree(folder)
        told = server.run(command, folder, at)
        if not at:
            assert told["status"] == 0, told["said"]
            whole, most = tree(folder), told["operations"]
            assert most > 20
        else:
            after = tree(folder)
            assert {name: after[name] for name in before} == before
            if told["status"] != 0:
                assert told["status"] == -9, told["said"]
                again = server.run(command, folder)
                if "exists already" in again["said"]:  # it was killed when all was done
                    assert again["status"] == 2
                else:
                    assert again["status"] == 0, again["said"]
            assert set(tree(folder)) == set(whole), at
        at += 1
        if at > most:
            break


def test_what_the_user_has_put_there_since_is_his(server, tmp_path):
    """Killed between the renames; a file is added to one folder, another is put in its place."""
    old_and_new(tmp_path / "count")
    command = ("data_subset", "old/old.yaml", "new/new.yaml")
    most = server.run(command, tmp_path / "count")["operations"]
    between = 0
    for at in range(1, most + 1):
        folder = tmp_path / str(at)
        old_and_new(folder)
        server.run(command, folder, at)
        labels, images = folder / "new/labels/val", folder / "new/images/val"
        if labels.exists() and not (folder / "new/new-classes.yaml").exists():
            between += 1
            (labels / "mine.txt").write_text("mine")
            again = server.run(command, folder)
            assert again["status"] == 2 and "labels/val exists already" in again["said"]
            assert (labels / "mine.txt").read_text() == "mine"
            assert not images.exists()
    assert between >= 3


def test_two_processes_that_write_the_same(server, tmp_path):
    """One of them makes it, the other says so in a line, and neither spoils what the other made."""
    command = ("data_subset", "old/old.yaml", "new/new.yaml")
    old_and_new(tmp_path / "alone")
    server.run(command, tmp_path / "alone")
    whole = set(tree(tmp_path / "alone"))
    with killed.server("synet.data.subset") as other, ThreadPoolExecutor(2) as pool:
        for number in range(5):
            folder = tmp_path / str(number)
            old_and_new(folder)
            told = list(pool.map(lambda each: each.run(command, folder), (server, other)))  # noqa: B023
            assert sorted(each["status"] for each in told) in ([0, 0], [0, 2]), told
            for each in told:
                assert each["status"] == 0 or each["said"].splitlines()[-1].startswith("synet: ")
            assert set(tree(folder)) == whole
            assert all(path.exists() for path in folder.rglob("*"))
