from __future__ import annotations

import cv2
import numpy as np
import pytest

from synet.data.drawn_shapes import NAMES, SIZES, Shape, draw_dataset, draw_image, label
from synet.data.images import read_image
from synet.data.yolo_yaml import load_dataset, read_labels

SHAPE = (240, 320)


@pytest.fixture(scope="module")
def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures, and the labels of the boxes in each."""
    drawn = [draw_image(np.random.default_rng(seed), SHAPE) for seed in range(60)]
    return [(image, np.array([label(each, SHAPE) for each in shapes])) for image, shapes in drawn]


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


def test_every_task_labels_the_same_pictures(tmp_path):
    for task in ("detect", "segment", "pose", "obb"):
        draw_dataset(tmp_path / task, train=2, val=1, test=0, task=task)
    first = [tmp_path / task / "images/train/0001.jpg" for task in ("segment", "pose", "obb")]
    drawn = (tmp_path / "detect/images/train/0001.jpg").read_bytes()
    assert all(image.read_bytes() == drawn for image in first)


@pytest.fixture(scope="module")
def shapes() -> list[Shape]:
    drawn = [draw_image(np.random.default_rng(seed), SHAPE)[1] for seed in range(40)]
    return [shape for each in drawn for shape in each]


def boxes_of(points: np.ndarray) -> np.ndarray:
    low, high = points.min(0), points.max(0)
    return np.concatenate([(low + high) / 2, high - low])


def test_a_segment_is_the_outline(shapes):
    for shape in shapes:
        points = label(shape, SHAPE, "segment")[1:].reshape(-1, 2)
        assert len(points) == {0: 48, 1: 4, 2: 3}[shape.kind]
        assert np.abs(boxes_of(points) - label(shape, SHAPE)[1:]).max() < 1 / 200


def test_keypoints_are_the_outermost_points_that_can_be_seen(shapes):
    hidden = 0
    for shape in shapes:
        x, y, w, h, *rest = label(shape, SHAPE, "pose")[1:]
        top, right, bottom, left = np.reshape(rest, (4, 3))
        hidden += sum(point[2] == 0 for point in (top, right, bottom, left))
        for point, axis, edge in (
            (top, 1, y - h / 2),
            (bottom, 1, y + h / 2),
            (left, 0, x - w / 2),
            (right, 0, x + w / 2),
        ):
            if point[2]:
                assert abs(point[axis] - edge) < 1 / 100
            else:
                assert not point.any()
    assert 0 < hidden < len(shapes)


def test_the_rectangle_of_a_square_is_the_square(shapes):
    for shape in shapes:
        row = label(shape, SHAPE, "obb")
        assert len(row) == 9 and (row >= 0).all()
        if shape.kind == 1:
            corners = (shape.corners + 0.5) / SHAPE[::-1]
            apart = np.abs(row[1:].reshape(4, 1, 2) - corners).max(-1).min(1)
            assert apart.max() < 1 / 100


def test_to_classify_there_is_a_folder_a_class(tmp_path):
    assert draw_dataset(tmp_path, train=6, val=3, test=0, task="classify") == tmp_path
    for split, count in (("train", 2), ("val", 1)):
        assert [len([*(tmp_path / split / name).iterdir()]) for name in NAMES] == [count] * 3


def test_a_task_without_labels_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="sing"):
        draw_dataset(tmp_path, train=1, val=1, test=0, task="sing")
