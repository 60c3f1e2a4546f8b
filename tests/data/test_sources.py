"""What the words after the model stand for."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_video import write as write_video

from synet.data.images import write_image
from synet.data.sources import find_sources
from synet.system.errors import DataError

GREY = np.full((20, 30, 3), 128, np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of pictures, a video, a text, a deeper folder, and a file called as a camera is."""
    for name in ("b.png", "a.jpg", "Straße 7.jpg", "deep/er/c.png", "deep/[x].png", ".hidden.png"):
        write_image(tmp_path / name, GREY)
    write_image(tmp_path / "8.jpg", GREY).rename(tmp_path / "8")
    write_video(tmp_path / "clip.mp4")
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*places, **options) -> list[str]:
    return [str(source) for source in find_sources(places, **options)]


def test_files_and_folders_in_the_order_given(place):
    inside = ["Straße 7.jpg", "a.jpg", "b.png", "clip.mp4"]
    assert found("b.png", ".", "clip.mp4") == ["b.png", *inside, "clip.mp4"]
    assert found(place / "deep" / "er") == [str(place / "deep" / "er" / "c.png")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["b.png"]),
        ("*", ["Straße 7.jpg", "a.jpg", "b.png", "clip.mp4"]),
        ("**/*.png", ["b.png", "deep/[x].png", "deep/er/c.png"]),
        ("Stra?e [0-9].jpg", ["Straße 7.jpg"]),
        ("deep/[x].png", ["deep/[x].png"]),  # there is a file of that name
    ],
)
def test_globs(place, pattern, expected):
    assert found(pattern) == expected


def test_a_number_is_a_camera_unless_it_is_a_file(place):
    assert found("8") == ["8"]
    with pytest.raises(DataError, match="^camera 97: no such camera$"):
        find_sources(["97"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.png", "no.png: no such image, video or folder"),
        ("-1", "-1: no such image, video or folder"),
        ("*.gif", r"\*.gif: no image or video has such a path"),
        ("x" * 300, "x+: cannot be read: File name too long"),
        ("deep", "deep: no images or videos in this folder"),
    ],
)
def test_what_is_not_there(place, name, said):
    (place / "deep" / "[x].png").unlink()
    with pytest.raises(DataError, match=f"^{said}$"):
        find_sources(["a.jpg", name])


def test_pictures(place):
    image, video = find_sources(["a.jpg", "clip.mp4"])
    ((picture),) = image.pictures()
    np.testing.assert_array_equal(picture.image, GREY)
    assert (image.name, image.total, picture.frame) == ("a", 1, None)
    assert (video.name, video.total) == ("clip", 4)
    assert [each.frame for each in video.pictures()] == [0, 1, 2, 3]
    (few,) = find_sources(["clip.mp4"], most=3)
    assert few.total == len(list(few.pictures())) == 3
    (many,) = find_sources(["clip.mp4"], most=9)
    assert many.total == len(list(many.pictures())) == 4
    with pytest.raises(DataError, match="notes.txt: not an image"):
        list(find_sources(["notes.txt"])[0].pictures())


def test_images_of_other_kinds_are_told(place, caplog):
    (place / "odd.ppm").write_bytes(b"")
    assert found(".") == ["Straße 7.jpg", "a.jpg", "b.png", "clip.mp4"]
    (told,) = caplog.messages
    kinds = "2 files are images of a kind that SyNet does not take (1 without a suffix, 1 .ppm)"
    assert told.endswith(f": left out: {kinds}")
    (place / "only").mkdir()
    (place / "odd.ppm").rename(place / "only" / "odd.ppm")
    with pytest.raises(DataError, match=r"no images or videos in this folder; 1 file is an image"):
        found("only")
