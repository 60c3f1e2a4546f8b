"""Ultralytics' own export formats, of a model with SyNet's layers."""

from __future__ import annotations

import importlib

import pytest
import torch
from keras_twin import settle

from synet.models.locate import installed
from synet.patches import patch_ultralytics

SHAPE = (64, 96)
PYRAMID = """\
synet: {chip: sabre, image_shape: [64, 96]}
nc: 2
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, C2f, [64, True]]
  - [-1, 1, Conv, [96, 3, 2]]
  - [-1, 1, SPPF, [96, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 2], 1, Concat, [1]]
  - [[6, 4], 1, Detect, [nc]]
"""


def runs_torchscript(path):
    return torch.jit.load(path)


def runs_onnx(path):
    pytest.importorskip("onnx")
    evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(path)
    return lambda image: [torch.from_numpy(evaluator.run(None, {"images": image.numpy()})[0])]


FORMATS = {  # how to run it, and options: simplifying would install a package
    "torchscript": (runs_torchscript, {}),
    "onnx": (runs_onnx, {"simplify": False}),
}


@pytest.mark.filterwarnings("ignore")  # exporters warn of their own age
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_gives_what_the_model_gives(name, tmp_path, monkeypatch):
    run, options = FORMATS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyramid.yaml").write_text(PYRAMID)
    patch_ultralytics(roots=[installed("ultralytics")])
    model = importlib.import_module("ultralytics").YOLO("pyramid.yaml")
    assert any(type(m).__module__.startswith("synet.") for m in settle(model.model).modules())
    image = torch.rand(1, 3, *SHAPE)
    with torch.no_grad():
        expected = model.model(image)[0]
    file = model.export(format=name, imgsz=list(SHAPE), **options)
    found = run(str(file))(image)
    found = found if isinstance(found, torch.Tensor) else found[0]
    off = (found - expected).abs()
    assert found.shape == expected.shape == (1, 6, off.shape[2])
    assert off[:, :4].max() / max(SHAPE) < 1e-4 and off[:, 4:].max() < 1e-4
