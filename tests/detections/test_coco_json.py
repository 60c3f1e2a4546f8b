"""What was found as COCO's results, read back by pycocotools."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from synet.detections.coco_json import class_entries, found_entries, image_id
from synet.detections.detections import Detections


def detections(**more) -> Detections:
    boxes = [[10.5, 20, 30, 50], [0, 0, 8, 6]]
    return Detections(boxes, [0.875, 0.25], [1, 0], **more)


@pytest.mark.parametrize(
    ("name", "expected"), [("000885", 885), ("a1", "a1"), ("²", "²"), ("٣", "٣"), ("-1", "-1")]
)
def test_image_ids_are_those_of_yolo(name, expected):
    assert image_id(name) == expected


def test_boxes():
    assert found_entries("a", detections()) == [
        {"image_id": "a", "category_id": 1, "bbox": [10.5, 20, 19.5, 30], "score": 0.875},
        {"image_id": "a", "category_id": 0, "bbox": [0, 0, 8, 6], "score": 0.25},
    ]
    assert found_entries(1, detections()[:0]) == []


def test_pycocotools_reads_masks_and_keypoints(tmp_path, capsys):
    masks = np.zeros((2, 60, 40), bool)
    masks[0, 20:50, 11:30], masks[1, :6, :8] = True, True
    masks[0, 25, 15] = False
    points = np.random.default_rng(0).uniform(0, 1, (2, 17, 3))
    entries = found_entries(7, detections(masks=masks, keypoints=points))
    images = {
        "images": [{"id": 7, "height": 60, "width": 40}],
        "annotations": [],
        "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    }
    (tmp_path / "images.json").write_text(json.dumps(images))
    (tmp_path / "predictions.json").write_text(json.dumps(entries))
    results = COCO(tmp_path / "images.json").loadRes(str(tmp_path / "predictions.json"))
    capsys.readouterr()
    for number, annotation in enumerate(results.loadAnns(results.getAnnIds())):
        np.testing.assert_array_equal(results.annToMask(annotation), masks[number])
        np.testing.assert_allclose(annotation["keypoints"], points[number].ravel(), atol=6e-4)
        assert rle.area(annotation["segmentation"]) == masks[number].sum()


def test_rotated_boxes():
    """A quarter turn: width and height swap places."""
    turned = [[20, 30, 10, 4, np.pi / 2], [20, 30, 10, 4, 0]]
    first, second = found_entries(1, detections(rotated=turned))
    np.testing.assert_allclose(first["rbox"], turned[0], atol=1e-5)
    np.testing.assert_allclose(first["poly"], [22, 25, 22, 35, 18, 35, 18, 25], atol=1e-3)
    np.testing.assert_allclose(second["poly"], [15, 28, 25, 28, 25, 32, 15, 32], atol=1e-3)


def test_classes():
    assert class_entries("a", np.float32([0.25, 0.625, 0.125])) == [
        {
            "image_id": "a",
            "category_id": 1,
            "score": 0.625,
            "probabilities": [0.25, 0.625, 0.125],
        }
    ]
