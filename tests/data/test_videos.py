"""Videos written and read again, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_video import LEVELS, write

from synet.data.videos import Stream, is_video, video_writer
from synet.system.errors import DataError, SynetError


def test_what_is_written_is_read(tmp_path):
    path = write(tmp_path / "Straße 1" / "Fluß.mp4")
    stream = Stream.probe(path)
    assert (stream.total, stream.frames_per_second, stream.is_camera) == (4, 10.0, False)
    assert stream.name == "Fluß"
    frames = list(stream.frames())
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    for level, frame in zip(LEVELS, frames, strict=True):
        assert np.abs(frame[:, 36:].astype(int) - level).mean() < 6
        red, green, blue = frame[:, :28].reshape(-1, 3).mean(axis=0)
        assert red > 180 and green < 60 and blue < 60


@pytest.mark.parametrize("speed", [0.5, 24000 / 1001, 239.7602, 1000.3])
def test_any_speed(tmp_path, speed):
    found = Stream.probe(write(tmp_path / "a.mp4", speed=speed))
    assert found.frames_per_second == pytest.approx(speed, rel=1e-3) and found.total == 4


def test_an_odd_size_loses_a_pixel(tmp_path):
    frames = list(Stream.probe(write(tmp_path / "odd.mp4", shape=(49, 65))).frames())
    assert frames[0].shape == (48, 64, 3)


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), video_writer(tmp_path / "a.mp4", 10) as add:
        add(np.zeros((48, 64, 3), np.uint8))
        _ = 1 / 0
    with (
        pytest.raises(SynetError, match="cannot write .*a.mp4"),
        video_writer(tmp_path / "a.mp4", 10),
    ):
        pass  # a video of no frames is none
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_opened_is_told_in_a_line(tmp_path, capfd):
    whole = write(tmp_path / "whole.mp4").read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"hello"), ("empty", b"")):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name}.mp4: not a video, or a damaged one$"):
            Stream.probe(path)
    with pytest.raises(DataError, match="^camera 97: no such camera$"):
        Stream.probe(97)
    assert capfd.readouterr() == ("", "")


def test_videos_by_their_suffix():
    assert is_video("a/B.MP4") and is_video("x.mkv")
    assert not is_video("a.jpg") and not is_video(".hidden.mp4") and not is_video("mp4")
