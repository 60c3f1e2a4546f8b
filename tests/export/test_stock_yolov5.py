"""The package's own YOLOv5n, unpatched: a model that knows nothing of SyNet exports."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import stock_yolov5
import torch
from keras_twin import BAR, draw, export, settle, to_keras


@pytest.fixture(scope="module")
def model():
    yolo = stock_yolov5.yolo()
    logging.disable(logging.INFO)
    torch.manual_seed(0)
    try:
        return settle(yolo.Model(stock_yolov5.config("yolov5n.yaml")))
    finally:
        logging.disable(logging.NOTSET)


def test_it_is_exported_as_it_is(model):
    assert {type(m).__module__.partition(".")[0] for m in model.modules()} == {"yolov5", "torch"}
    shape = (128, 160)
    image = draw(1, 3, *shape, low=0, high=1)
    predictions, levels = export(model, image, imgsz=shape)(to_keras(image))
    exact = copy.deepcopy(model).double()
    head = exact.model[-1]
    head.stride, head.grid = head.stride.double(), [torch.empty(0)] * 3
    with torch.no_grad():
        wanted, raw = exact(image.double())
    unit = np.array([max(shape)] * 4 + [1] * 81)
    np.testing.assert_allclose(predictions / unit, wanted / unit, rtol=0, atol=BAR)
    assert np.ptp(wanted[..., 4]) > 0.01
    for ours, theirs in zip(levels, raw, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=BAR)
