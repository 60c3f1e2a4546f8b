from __future__ import annotations

import cv2
import numpy as np
import pytest

from synet.data import load_dataset, read_labels
from synet.images import read_image
from synet.shapes import NAMES, SIZES, draw_dataset, draw_image

SHAPE = (240, 320)


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_image(np.random.default_rng(seed), SHAPE) for seed in range(60)]


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_same_seed_same_bytes(tmp_path):
    for name in ("one", "two"):
        draw_dataset(tmp_path / name, seed=3, train=3, val=2, test=1)
    assert len(files(tmp_path / "one")) == 2 * 6 + 1
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_another_seed_draws_other_pictures(tmp_path):
    for seed in (0, 1):
        draw_dataset(tmp_path / str(seed), seed=seed, train=1, val=0, test=0)
    image = "images/train/0000.jpg"
    assert (tmp_path / "0" / image).read_bytes() != (tmp_path / "1" / image).read_bytes()


def test_no_picture_is_drawn_twice(tmp_path):
    draw_dataset(tmp_path, train=8, val=8, test=8)
    images = [path.read_bytes() for path in tmp_path.rglob("*.jpg")]
    assert len(set(images)) == 24


def test_more_pictures_leave_the_first_ones_as_they_were(tmp_path):
    draw_dataset(tmp_path / "few", train=1, val=1, test=0)
    draw_dataset(tmp_path / "many", train=3, val=2, test=1)
    few, many = files(tmp_path / "few"), files(tmp_path / "many")
    few = {path: content for path, content in few.items() if path.suffix != ".yaml"}
    assert few.items() <= many.items()


def test_it_is_a_yolo_data_set_wherever_it_is_moved(tmp_path):
    draw_dataset(tmp_path / "here", train=2, val=3, test=1, shape=(96, 128))
    (tmp_path / "here").rename(tmp_path / "there")
    dataset = load_dataset(tmp_path / "there" / "data.yaml")
    assert dataset.names == NAMES
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [2, 3, 1]
    for image in dataset.images("val"):
        assert read_image(image).shape == (96, 128, 3)
        assert len(read_labels(image, len(NAMES))) >= 1


def test_labels_are_within_the_picture_and_of_the_promised_size(pictures):
    labels = np.concatenate([labels for _, labels in pictures])
    centre, size = labels[:, 1:3], labels[:, 3:]
    assert (centre - size / 2 >= 0).all() and (centre + size / 2 <= 1).all()
    longer = (size * SHAPE[::-1]).max(axis=1)
    low, high = SIZES
    assert longer.min() >= low and longer.max() <= high + 2  # corners fill their pixels
    assert set(labels[:, 0]) == {0, 1, 2}
    counts = [len(labels) for _, labels in pictures]
    assert min(counts) == 1 and max(counts) >= 4


def test_shapes_can_be_seen_in_grayscale(pictures):
    """Inside a box it is, on the whole, another brightness than just around it."""
    steps = []
    for image, labels in pictures:
        gray = np.float32(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        for _, x, y, w, h in labels:
            left, right = int((x - w / 4) * 320), int((x + w / 4) * 320)
            top, bottom = int((y - h / 4) * 240), int((y + h / 4) * 240)
            inner = gray[top:bottom, left:right].mean()
            x1, x2 = (max(0, int((x + side * w / 2) * 320) + side * 4) for side in (-1, 1))
            y1, y2 = (max(0, int((y + side * h / 2) * 240) + side * 4) for side in (-1, 1))
            ring = gray[y1:y2, x1:x2]
            edge = np.concatenate([ring[:3].ravel(), ring[-3:].ravel()])
            steps.append(abs(inner - np.median(edge)))
    assert np.median(steps) > 35
    assert np.mean(np.array(steps) > 15) > 0.9


def test_pictures_differ_in_brightness(pictures):
    means = [image.mean() for image, _ in pictures]
    assert min(means) < 80 and max(means) > 150
