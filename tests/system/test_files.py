from __future__ import annotations

import os
import stat

import pytest

from synet.system.errors import SynetError
from synet.system.files import (
    atomic_folder,
    atomic_path,
    fill_folder,
    new_folder,
    refuse_foreign,
    refuse_used,
    regular_bytes,
    write_atomic,
)


def test_only_ordinary_files_are_read(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"four")
    assert regular_bytes(file) == regular_bytes(str(file), 4) == b"four"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    refused = [(tmp_path / "pipe", "no ordinary file"), (tmp_path / "link", "no ordinary file")]
    refused += [(tmp_path, "a folder"), ("a\0b", "no file has such a name")]
    for path, told in refused:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is what it says
            regular_bytes(path)
        assert told in caught.value.strerror
    with pytest.raises(OSError, match="larger than 0 MiB"):
        regular_bytes(file, 3)
    with pytest.raises(FileNotFoundError):
        regular_bytes(tmp_path / "none")


def test_each_new_folder_has_a_name_of_its_own(tmp_path):
    parent = tmp_path / "runs" / "new"
    assert new_folder(parent) == parent / "exp"
    (parent / "exp2").write_text("not even a folder")
    assert new_folder(parent) == parent / "exp3"


def test_a_folder_that_comes_to_be_when_it_is_full(tmp_path):
    def fill(folder):
        (folder / "more").mkdir()
        (folder / "more" / "a.txt").write_text("a")
        assert not [*(tmp_path / "exp").iterdir()]

    folder = fill_folder(tmp_path, fill)
    assert folder == tmp_path / "exp"
    assert (folder / "more" / "a.txt").read_text() == "a"
    new_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((tmp_path / "exp2").stat().st_mode)
    assert fill_folder(tmp_path, fill=lambda folder: None) == tmp_path / "exp3"
    assert {path.name for path in tmp_path.iterdir()} == {"exp", "exp2", "exp3"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_fails_leaves_nothing(tmp_path, error):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise error

    with pytest.raises(error):
        fill_folder(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SynetError, match="cannot write to .*file"):
        new_folder(tmp_path / "file")
    with pytest.raises(SynetError, match="cannot write to .*file"):
        fill_folder(tmp_path / "file", lambda folder: None)
    with pytest.raises(SynetError, match="cannot write .*: No space left"):
        fill_folder(tmp_path, _full)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _full(folder):
    raise OSError(28, "No space left on device")


def test_a_folder_comes_whole(tmp_path):
    with atomic_folder(tmp_path / "deep" / "er") as private:
        (private / "file").write_text("text")
        assert os.listdir(tmp_path / "deep") == [private.name]
    assert os.listdir(tmp_path / "deep") == ["er"]
    assert (tmp_path / "deep" / "er" / "file").read_text() == "text"
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "deep" / "er").stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_or_not_at_all(stop, there, tmp_path):
    if there:
        (tmp_path / "out").mkdir()
    with pytest.raises(stop), atomic_folder(tmp_path / "out") as private:
        (private / "file").write_text("text")
        raise stop
    assert os.listdir(tmp_path) == ["out"] * there
    assert not there or not os.listdir(tmp_path / "out")


def test_an_empty_folder_is_taken_even_where_one_stands_in_it(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with atomic_folder(".") as private:
        (private / "file").touch()
    assert os.listdir(tmp_path / "here") == ["file"]


@pytest.mark.parametrize("kind", ["full", "file"])
def test_nothing_of_the_users_is_touched(kind, tmp_path):
    place = tmp_path / "out"
    if kind == "full":
        place.mkdir()
        (place / "theirs").touch()
    else:
        place.write_text("theirs")
    for attempt in (refuse_used, lambda folder: atomic_folder(folder).__enter__()):
        with pytest.raises(SynetError, match="out exists and is no empty folder; name another"):
            attempt(place)
    assert os.listdir(tmp_path) == ["out"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(SynetError, match="cannot write .*file/out: ") as caught,
        atomic_folder(tmp_path / "file" / "out"),
    ):
        pytest.fail("there is no such place")
    assert "\n" not in str(caught.value)


def test_what_synet_did_not_make_is_not_replaced(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.touch()
    theirs.touch()
    refuse_foreign(ours, lambda path: path == ours)
    refuse_foreign(tmp_path / "new" / "file", lambda path: False)
    for path, said in (
        (theirs, "theirs exists and SyNet did not make it; move it, or give --out"),
        (tmp_path, "is a folder; give the file to write with --out"),
        (ours / "below", "cannot write .*below: .*ours is a file"),
    ):
        with pytest.raises(SynetError, match=said):
            refuse_foreign(path, lambda path: path == ours)


# ---------------------------------------------------------------- what may be in the way of a file


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file.txt", tmp_path / "link.txt"
    link.symlink_to(target)  # which is not there yet
    write_atomic(link, "one")
    write_atomic(link, "two")
    assert link.is_symlink() and target.read_text() == "two"
    assert os.listdir(tmp_path / "real") == ["file.txt"]


def test_a_link_to_what_synet_did_not_make(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(SynetError, match="link exists and SyNet did not make it"):
        refuse_foreign(tmp_path / "link", lambda path: False)


@pytest.mark.skipif(os.name == "nt", reason="Unix")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("folder", "it is a folder; name a file"),
        ("loop", "it is a link that leads to itself"),
        ("pipe", "it is a device or a pipe; name a file"),
        ("device", "it is a device or a pipe; name a file"),
    ],
)
def test_what_is_no_file_is_refused_and_stays(kind, said, tmp_path):
    place = tmp_path / kind
    if kind == "folder":
        place.mkdir()
    elif kind == "loop":
        place.symlink_to(place)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(os.devnull)
    before = os.lstat(place).st_mode, os.stat(os.devnull).st_ino
    with pytest.raises(SynetError, match=f"cannot write .*{kind}: {said}"):
        write_atomic(place, "text")
    assert (os.lstat(place).st_mode, os.stat(os.devnull).st_ino) == before
    assert os.listdir(tmp_path) == [kind]


def test_what_comes_to_be_there_while_it_is_written(tmp_path):
    place = tmp_path / "file"
    with pytest.raises(SynetError, match="it is a folder"), atomic_path(place) as private:
        private.write_text("text")
        place.mkdir()
        (place / "theirs").touch()
    assert os.listdir(tmp_path) == ["file"] and os.listdir(place) == ["theirs"]


@pytest.mark.skipif(os.name == "nt", reason="Unix")
def test_a_full_disk(tmp_path):
    import resource
    import signal

    place = tmp_path / "file"
    write_atomic(place, "what was there")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(SynetError, match="cannot write .*file: File too large"):
            write_atomic(place, b"x" * 10_000)
        with pytest.raises(SynetError, match="cannot write .*out: File too large"):
            with atomic_folder(tmp_path / "out") as private:
                (private / "file").write_bytes(b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert place.read_text() == "what was there"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Unix")
def test_rights_are_those_of_ordinary_files_or_stay(tmp_path):
    (tmp_path / "plain").touch()
    write_atomic(tmp_path / "new", "text")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new").chmod(0o600)
    write_atomic(tmp_path / "new", "more")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
