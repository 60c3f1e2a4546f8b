"""Reading and writing images, and the letterbox that networks see them through."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from placed_boxes import in_input

from synet.data.images import PADDING, Placement, letterbox, read_image, to_channels, write_image
from synet.system.errors import DataError, SynetError

RNG = np.random.default_rng(0)
SHAPES = [(240, 320), (480, 640), (241, 323), (64, 64)]
IMAGES = [(480, 640), (375, 500), (333, 97), (31, 1001), (64, 64), (1, 1)]


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", ["a.png", "größe 図.png", "B.BMP"])
def test_images_survive_writing_and_reading(tmp_path, name):
    image = noise(5, 7)
    path = write_image(tmp_path / "new folder" / name, image)
    np.testing.assert_array_equal(read_image(path), image)


def test_jpeg_keeps_thin_coloured_lines(tmp_path):
    image = np.full((32, 32, 3), 128, np.uint8)
    image[:, 15] = (230, 159, 0)
    stored = read_image(write_image(tmp_path / "a.jpg", image))
    assert np.abs(stored.astype(int) - image)[:, 15].max() < 30


def test_grayscale_files_become_rgb(tmp_path):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((3, 4), 77, np.uint8))
    image = read_image(path)
    assert image.shape == (3, 4, 3)
    assert (image == 77).all()


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_unreadable_image(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: not an image, or a damaged one"):
        read_image(path)


def test_a_device_has_no_end(tmp_path):
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zero\.png: cannot read the image: it is no ordinary"):
        read_image(tmp_path / "zero.png")


def test_missing_image_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"a\.png: cannot read the image: No such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot read the image"):
        read_image(tmp_path)


def test_unknown_image_format(tmp_path):
    with pytest.raises(SynetError, match=r"no image format is called '\.what'"):
        write_image(tmp_path / "a.what", noise(2, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("image_shape", IMAGES)
def test_letterbox_fits_centres_and_pads(shape, image_shape):
    padded, placement = letterbox(np.zeros((*image_shape, 3), np.uint8), shape)
    assert padded.shape == (*shape, 3)
    assert padded.dtype == np.uint8
    inside = (padded == 0).all(axis=-1)
    assert (padded[~inside] == PADDING).all()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (rows[0], columns[0]) == (placement.top, placement.left)
    assert len(rows) == shape[0] or len(columns) == shape[1]  # it touches two sides
    assert 0 <= (shape[0] - 1 - rows[-1]) - rows[0] <= 1  # an odd pixel goes below
    assert 0 <= (shape[1] - 1 - columns[-1]) - columns[0] <= 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("image_shape", IMAGES[:-1])
def test_letterbox_has_the_geometry_of_yolov5(shape, image_shape):
    """Its rule: half of the padding on each side, 0.1 less before and 0.1 more after, rounded."""
    ratio = min(shape[0] / image_shape[0], shape[1] / image_shape[1])
    half = [
        (whole - round(part * ratio)) / 2 for whole, part in zip(shape, image_shape, strict=True)
    ]
    _, placement = letterbox(np.zeros((*image_shape, 3), np.uint8), shape)
    assert placement.scale == ratio
    assert (placement.top, placement.left) == tuple(round(each - 0.1) for each in half)


def test_letterbox_leaves_an_image_of_its_shape_alone():
    image = noise(48, 64)
    padded, placement = letterbox(image, (48, 64))
    np.testing.assert_array_equal(padded, image)
    assert placement == Placement(1.0, 0, 0, (48, 64), (48, 64))


def test_shrinking_averages_instead_of_skipping():
    checkers = np.indices((100, 100)).sum(axis=0) % 2 * 255
    padded, _ = letterbox(np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8), (25, 25))
    assert np.abs(padded.astype(int) - 127.5).max() < 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("image_shape", IMAGES)
def test_boxes_go_there_and_back(shape, image_shape):
    height, width = image_shape
    _, placement = letterbox(np.zeros((height, width, 3), np.uint8), shape)
    boxes = np.array([[0, 0, width, height], [width / 4, height / 3, width / 2, height]])
    there = in_input(placement, boxes)
    assert (there >= -1e-3).all()
    assert (there <= np.array([shape[1], shape[0]] * 2) + 1e-3).all()
    np.testing.assert_allclose(placement.to_image(there), boxes, atol=1e-3 * max(image_shape))


def test_a_box_follows_its_object():
    image = np.zeros((100, 300, 3), np.uint8)
    image[20:40, 30:90] = 255
    padded, placement = letterbox(image, (60, 60))
    ((x1, y1, x2, y2),) = in_input(placement, np.array([[30, 20, 90, 40]]))
    seen = np.argwhere((padded > 200).all(axis=-1))
    np.testing.assert_allclose(seen.min(axis=0), (y1, x1), atol=0.5)
    np.testing.assert_allclose(seen.max(axis=0) + 1, (y2, x2), atol=0.5)


def test_boxes_are_clipped_to_the_image():
    _, placement = letterbox(np.zeros((50, 100, 3), np.uint8), (100, 100))
    (box,) = placement.to_image(np.array([[-10, -10, 500, 500]]))
    np.testing.assert_array_equal(box, [0, 0, 100, 50])
    assert placement.to_image(np.zeros((0, 4))).shape == (0, 4)


def test_one_channel_is_luma():
    image = noise(64, 64)
    luma = image @ np.array([0.299, 0.587, 0.114])
    grey = to_channels(image, 1)
    assert grey.shape == (64, 64, 1)
    assert grey.dtype == np.uint8
    assert np.abs(grey[..., 0] - luma).max() <= 0.51
    assert to_channels(np.full((1, 1, 3), PADDING, np.uint8), 1).item() == PADDING


def test_three_channels_are_left_alone():
    image = noise(2, 2)
    assert to_channels(image, 3) is image


def test_other_channels():
    with pytest.raises(SynetError, match="takes 4 channels; images can be given as 1 or 3"):
        to_channels(noise(2, 2), 4)
