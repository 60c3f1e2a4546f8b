"""Models that were trained with ``single_cls``: judged with all classes of the data as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_yolo

from synet.data.drawn_shapes import draw_dataset
from synet.data.yolo_yaml import label_path, load_dataset
from synet.evaluation.evaluate import evaluate
from synet.evaluation.metrics import metrics
from synet.models.forks import load_model
from synet.models.get_model import get_model
from synet.system.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set of three classes, and a model that finds one: ``item``, as YOLOv5 calls it."""
    folder = tmp_path_factory.mktemp("single")
    draw_dataset(folder / "data", train=1, val=3, test=1, shape=(128, 192))
    return folder


@pytest.fixture(scope="module")
def checkpoint(folder):
    """Writes a checkpoint of the model, with what its YOLO notes of the training."""
    import torch

    model = get_model(tiny_yolo.write(folder), nc=1)
    model.names = {0: "item"}

    def write(**content) -> Path:
        torch.save({"model": model, "ema": None, **content}, folder / "best.pt")
        return folder / "best.pt"

    return write


@pytest.mark.parametrize("options", ["opt", "train_args"])
def test_it_is_judged_as_its_trainer_judged_it(folder, checkpoint, options):
    data = folder / "data" / "data.yaml"
    weights = checkpoint(**{options: {"single_cls": True}})
    report = evaluate(weights, data, progress=False)
    images = load_dataset(data).images("val")
    boxes = sum(len(label_path(image).read_text().splitlines()) for image in images)
    assert (report.images, report.boxes) == (3, boxes)
    assert [*report.per_class] == ["item"]
    both = metrics([data], [weights], progress=False)
    assert both.models[0].together.classes == ("item",)
    assert both.models[0].together.labels == boxes


def test_another_model_of_one_class_is_not(folder, checkpoint):
    weights = checkpoint(opt={"single_cls": False})
    with pytest.raises(DataError, match="finds 'item', which"):
        evaluate(weights, folder / "data" / "data.yaml", progress=False)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"opt": {"single_cls": True}}, ("yolov5", True)),
        ({"opt": {"single_cls": False}}, ("yolov5", False)),
        ({"train_args": {"single_cls": True}}, ("ultralytics", True)),
        ({"train_args": {"task": "detect"}}, ("ultralytics", False)),
        ({"train_args": {"single_cls": "no"}}, ("ultralytics", False)),
        ({}, ("", False)),
    ],
)
def test_who_trained_it_and_how_is_read_from_the_checkpoint(checkpoint, content, told):
    model = load_model(checkpoint(**content))
    assert (model.trained_by, model.single_class) == told


def test_labels_of_classes_beyond_the_names_are_labels_of_the_one_class(folder):
    dataset = load_dataset(folder / "data" / "data.yaml")
    image = dataset.images("val")[0]
    one = replace(dataset, names=("item",), single_class=True)
    assert one.labels(image)[:, 0].tolist() == [0] * len(dataset.labels(image))
