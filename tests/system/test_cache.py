from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from synet.system import cache
from synet.system.errors import SynetError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def remember(value, *parts):
    """What is kept of `parts`, and whether it had to be made."""
    made = []
    found = cache.remembered("kind", parts, lambda: made.append(1) or value)
    return found, bool(made)


def test_what_was_made_once_is_kept_by_all_that_it_depends_on(place):
    assert remember(b"one", "a", b"b") == (b"one", True)
    assert remember(b"two", "a", b"b") == (b"one", False)
    assert remember(b"two", "ab", b"") == (b"two", True)
    assert stat.S_IMODE((place / "kind").stat().st_mode) == 0o700
    assert cache.recall("kind", ("a", "b")) == b"one" and cache.recall("kind", ("c",)) is None


def test_what_is_damaged_is_made_again(place):
    remember(b"one" * 100, "a")
    (file,) = (place / "kind").iterdir()
    file.write_bytes(file.read_bytes()[:-4])
    assert remember(b"two", "a") == (b"two", True)
    assert remember(b"three", "a") == (b"two", False)


def test_failures_are_not_kept(place):
    with pytest.raises(ZeroDivisionError):
        cache.remembered("kind", ("a",), lambda: 1 // 0)
    assert not (place / "kind").exists()


def test_the_oldest_go(place, monkeypatch):
    monkeypatch.setattr(cache, "MOST_BYTES", 120)
    for number in range(4):
        remember(bytes(os.urandom(40)), str(number))
        os.utime(place / "kind" / cache.name_of([str(number)]), (number, number))
    assert [cache.recall("kind", (str(n),)) is None for n in range(4)] == [True, True, False, False]


def test_without_a_place_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "file"))
    assert [remember(b"one", "a") for _ in range(2)] == [(b"one", True)] * 2
    with pytest.raises(SynetError, match="cannot write .*file/x.*; let SYNET_CACHE name another"):
        cache.private_folder("x")


def test_where_it_lies(monkeypatch, tmp_path):
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("SYNET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.folder() == Path("/xdg/synet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache.folder() == Path("/home/me/.cache/synet")
