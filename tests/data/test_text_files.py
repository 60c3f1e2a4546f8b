"""Text files of a YOLO: there or not, text or not."""

from __future__ import annotations

import pytest

from synet.data.text_files import read_bytes, read_lines
from synet.system.errors import DataError


def test_a_file_that_is_not_there_says_nothing(tmp_path):
    (tmp_path / "file").touch()
    for missing in ("none.txt", "file/none.txt"):
        assert read_bytes(tmp_path / missing, "labels") == b""
        assert read_lines(tmp_path / missing, "labels") == []


def test_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf0 1\r\n1 2\n")
    assert read_lines(path, "labels") == ["0 1", "1 2"]
    assert read_bytes(path, "labels").startswith(b"\xef\xbb\xbf0")


def test_what_cannot_be_read_is_told_by_its_name(tmp_path):
    with pytest.raises(DataError, match=r": cannot read the predictions: it is a folder$"):
        read_bytes(tmp_path, "predictions")
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff0 1")
    with pytest.raises(DataError, match=r"a\.txt: cannot read the labels: not UTF-8 text$"):
        read_lines(path, "labels")
