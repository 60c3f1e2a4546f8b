"""Predictions read from files, as both YOLOs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colour_detector import make_dataset

from synet.data.yolo_yaml import load_dataset
from synet.evaluation.yolo_predictions import read_predictions
from synet.system.errors import DataError

LINE = "0 0.5 0.5 0.25 0.5 0.75\n"


@pytest.fixture
def data(tmp_path) -> Path:
    """Two images of 128x96 pixels, 0.png and 1.png, each with a red box."""
    return make_dataset(tmp_path / "data", [[(0, 10, 10, 20, 30)], [(0, 5, 5, 20, 20)]])


@pytest.fixture
def read(data, tmp_path):
    """Read predictions given as the content of each file."""

    def read_files(files: dict[str, str | bytes], folder: str = "exp/labels", **options):
        place = tmp_path / folder
        place.mkdir(parents=True)
        for name, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            (place / name).write_bytes(content)
        return read_predictions(tmp_path / "exp", load_dataset(data), progress=False, **options)

    return read_files


@pytest.mark.parametrize("folder", ["exp/labels", "exp"])
def test_boxes_in_pixels_the_surest_first(read, folder):
    windows = b"\xef\xbb\xbf2 0.5 0.5 0.1 0.1 0.04\r\n\r\n" + LINE.encode()
    result = read({"0.txt": windows}, folder)
    first, second = result.found
    np.testing.assert_allclose(first.boxes, [[48, 24, 80, 72], [57.6, 43.2, 70.4, 52.8]], rtol=1e-6)
    assert first.classes.tolist() == [0, 2]
    assert first.scores.tolist() == pytest.approx([0.75, 0.04])
    assert len(second) == 0  # an image without a file
    assert [len(each) for each in result.labels] == [1, 1]
    assert result.class_ids.tolist() == [0, 1, 2]


def test_ids_of_other_classes(read):
    result = read({"0.txt": LINE + LINE.replace("0", "1", 1)}, classes=["blue", "red"])
    assert result.found[0].classes.tolist() == [2, 0]


def test_classes_that_only_other_data_names_are_left_out(read):
    lines = LINE + LINE.replace("0", "1", 1)
    result = read({"0.txt": lines}, classes=["zebra", "red"], elsewhere={"zebra"})
    assert result.found[0].classes.tolist() == [0]
    assert result.class_ids.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1 0.1", "no confidence; let YOLO write it with --save-conf"),
        ("0 0.5 0.5 0.1", "4 numbers; a line is 'class x y width height confidence'"),
        ("0 0.5 0.5 0.1 0.1 0.9 3", "7 numbers"),
        ("0 0.5 0.5 0.1 0.1 high", "is not made of numbers"),
        ("3 0.5 0.5 0.1 0.1 0.9", "class 3 is not one of 0 to 2"),
        ("0.5 0.5 0.5 0.1 0.1 0.9", "class 0.5 is not one of 0 to 2"),
        ("0 64 48 0.1 0.1 0.9", "64 is outside 0-1"),
        ("0 0.5 0.5 0.1 0.1 90", "90 is outside 0-1"),
        ("0 nan 0.5 0.1 0.1 0.9", "nan is outside 0-1"),
    ],
)
def test_a_broken_line(read, line, said):
    with pytest.raises(DataError, match=r"1\.txt:2: ") as error:
        read({"1.txt": LINE + line})
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_text(read):
    with pytest.raises(DataError, match=r"0\.txt: cannot read the predictions: not UTF-8 text"):
        read({"0.txt": b"\xff\xfe\x00"})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "exp: no .txt files in this folder or its 'labels'; YOLO writes them with --save-txt"),
        ({"7.txt": LINE}, "none of its 1 files is of an image of val; 7.txt is there, looked for"),
    ],
)
def test_the_wrong_folder(read, files, said):
    with pytest.raises(DataError) as error:
        read(files)
    assert said in str(error.value)


def test_no_folder(data, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        read_predictions(tmp_path / "nowhere", load_dataset(data))


def test_files_of_other_images_are_told_and_left_out(read, caplog):
    low = "0 0.5 0.5 0.25 0.5 0.001\n"
    result = read({"0.txt": low, "7.txt": "not even read", "8.txt": ""})
    assert sum(map(len, result.found)) == 1
    (message,) = caplog.messages
    assert "2 files are of no image of val and left out, 7.txt the first" in message


def test_predictions_that_start_high_are_told(read, caplog):
    read({"0.txt": LINE})
    (message,) = caplog.messages
    assert "no prediction has a confidence below 0.75" in message and "--conf-thres" in message


def test_two_images_of_one_name(data, tmp_path):
    images = data.parent / "images" / "val"
    (images / "more").mkdir()
    (images / "0.png").rename(images / "more" / "1.png")
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "1.txt").write_text(LINE)
    with pytest.raises(DataError, match=r"1\.txt may be of .*1\.png or of .*1\.png"):
        read_predictions(tmp_path / "exp", load_dataset(data), progress=False)


def test_progress_goes_to_stderr(data, tmp_path, capsys):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "1.txt").write_text(LINE)
    read_predictions(tmp_path / "exp", load_dataset(data))
    out, err = capsys.readouterr()
    assert out == "" and "exp on val" in err
