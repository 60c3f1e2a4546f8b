"""Models on several data sets, against pycocotools fed from the files by other code."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import predicted
import pytest
import yaml
from colour_detector import ColourDetector, evaluation_of_files, make_dataset

from synet.data.yolo_yaml import label_path, load_dataset
from synet.evaluation.metrics import measure, metrics, short_names
from synet.system.errors import DataError, SynetError

RED, GREEN, ZEBRA = (0, 10, 10, 20, 30), (1, 50, 40, 40, 20), (2, 90, 5, 30, 30)


# --- against pycocotools -------------------------------------------------------------------------


def usual_way(sets: list[tuple[Path, Path]], folder: Path) -> tuple[dict[str, tuple], tuple]:
    """AP50 and AP50-95 of each class and their means, by json files, from (data yaml, predictions).

    Reads the text files itself, and leaves pycocotools all its settings.
    """
    truth = {"images": [], "annotations": []}
    results = []
    for data, predictions in sets:
        dataset = load_dataset(data)
        truth["categories"] = [{"id": i, "name": name} for i, name in enumerate(dataset.names)]
        for path in dataset.images("val"):
            number = len(truth["images"]) + 1
            height, width = cv2.imread(str(path)).shape[:2]
            truth["images"].append({"id": number, "width": width, "height": height})
            for is_label, file in (
                (True, label_path(path)),
                (False, predictions / "labels" / f"{path.stem}.txt"),
            ):
                for line in dict.fromkeys(file.read_text().split("\n")) if file.is_file() else ():
                    if not line:
                        continue
                    class_id, x, y, w, h, *score = map(float, line.split())
                    left, right = (x - w / 2) * width, (x + w / 2) * width
                    top, bottom = (y - h / 2) * height, (y + h / 2) * height
                    if is_label:
                        left, right = max(left, 0), min(right, width)
                        top, bottom = max(top, 0), min(bottom, height)
                    box = [left, top, right - left, bottom - top]
                    row = {"image_id": number, "category_id": int(class_id), "bbox": box}
                    if is_label:
                        area = {"area": box[2] * box[3], "iscrowd": 0}
                        truth["annotations"].append(
                            row | area | {"id": len(truth["annotations"]) + 1}
                        )
                    else:
                        results.append(row | {"score": score[0]})
    score = evaluation_of_files(truth, results, folder)
    precision = score.eval["precision"][..., 0, -1]  # threshold, recall, class
    per_class = {
        category["name"]: (precision[0, :, i].mean(), precision[:, :, i].mean())
        for i, category in enumerate(truth["categories"])
        if precision[0, 0, i] >= 0
    }
    return per_class, (score.stats[1], score.stats[0])


def assert_same(performance, expected: tuple[dict[str, tuple], tuple]) -> None:
    per_class, mean = expected
    mine = {
        name: tuple(precision)
        for name, precision in zip(performance.classes, performance.precision, strict=True)
        if not np.isnan(precision[0])
    }
    assert mine.keys() == per_class.keys()
    for name, precision in per_class.items():
        assert mine[name] == pytest.approx(precision, abs=1e-3)
    assert performance.mean_precision == pytest.approx(mean, abs=1e-3)


@pytest.fixture(scope="session")
def bccd(shared, tmp_path_factory) -> list[tuple[Path, Path]]:
    """The val and the test split of the blood cells as two data sets, with predictions."""
    folder = tmp_path_factory.mktemp("bccd")
    original = shared / "data" / "bccd" / "bccd.yaml"
    content = yaml.safe_load(original.read_text()) | {"path": str(original.parent)}
    sets = []
    for seed, split in enumerate(("val", "test")):
        data = folder / f"{split}.yaml"
        data.write_text(yaml.safe_dump(content | {"val": content[split]}))
        sets.append((data, predicted.write(data, folder / split, seed=seed)))
    return sets


def test_two_data_sets_and_both_together_as_pycocotools_has_them(bccd, tmp_path):
    data, predictions = zip(*bccd, strict=True)
    (model,) = metrics(data, predictions=predictions, progress=False).models
    assert [each.data for each in model.sets] == ["val", "test"]
    for each, files in zip(model.sets, bccd, strict=True):
        assert_same(each, usual_way([files], tmp_path))
    assert_same(model.together, usual_way(bccd, tmp_path))
    assert model.together.images == 87 + 72
    assert 0.3 < model.together.mean_precision[0] < 0.9


def test_eighty_classes_as_pycocotools_has_them(shared, tmp_path):
    data = shared / "data" / "coco128" / "coco128.yaml"
    predictions = predicted.write(data, tmp_path / "exp")
    (model,) = metrics([data], predictions=[predictions], progress=False).models
    assert len(model.together.classes) == 80
    assert_same(model.together, usual_way([(data, predictions)], tmp_path))


# --- thresholds ----------------------------------------------------------------------------------


def test_a_threshold_is_of_all_data_and_applied_to_each(bccd):
    data, predictions = zip(*bccd, strict=True)
    (model,) = metrics(data, predictions=predictions, precisions=[0.8, 0.9], progress=False).models
    assert list(map(str, model.thresholds)) == ["precision 0.8", "precision 0.9", "best F1"]
    for threshold in model.thresholds[:2]:
        overall, of_class = model.together.above(threshold.confidence)
        assert threshold.precision <= overall.precision < threshold.precision + 0.01
        parts = [each.above(threshold.confidence)[0] for each in model.sets]
        for name in ("labels", "found", "right"):
            assert getattr(overall, name) == sum(getattr(part, name) for part in parts)
            assert getattr(overall, name) == sum(getattr(each, name) for each in of_class)
        assert parts[0].precision != parts[1].precision
    eight, nine, best = (model.together.above(each.confidence)[0] for each in model.thresholds)
    assert eight.recall > nine.recall
    assert best.f1 >= max(eight.f1, nine.f1)


def test_a_precision_that_is_not_reached(tmp_path):
    unlabelled = (0, 60, 10, 20, 20, 250, False)
    data = make_dataset(tmp_path, [[(*RED, 200), unlabelled]])
    model = run([data], precisions=[0.5, 0.51])
    reached, missed, best = model.thresholds
    assert reached.confidence is not None and missed.confidence is None
    assert missed.best == best.best == 0.5


def test_nothing_found_at_all(tmp_path):
    data = make_dataset(tmp_path, [[(*RED, 30)]])
    model = run([data], precisions=[0.5])
    assert [each.confidence for each in model.thresholds] == [None, None]
    assert np.isnan(model.thresholds[0].best)
    assert model.together.mean_precision == (0, 0)


# --- data sets of several kinds ------------------------------------------------------------------


def run(data, names=("red", "green", "blue"), **options):
    """Measure a detector of colours."""
    datasets = [load_dataset(each) for each in data]
    result = measure({"colours": ColourDetector(names)}, datasets, progress=False, **options)
    return result.models[0]


def test_data_sets_are_put_together_by_the_names_of_classes(tmp_path):
    """What is red is class 0 here and class 1 there; there nobody labelled what is blue."""
    first = make_dataset(tmp_path / "a", [[RED, GREEN, ZEBRA]])
    swapped = [(0, *RED[1:]), (1, *GREEN[1:])]
    second = make_dataset(tmp_path / "b", [swapped], names=("red", "green"))
    for file in (tmp_path / "b" / "labels").rglob("*.txt"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join(str(1 - int(line[0])) + line[1:] for line in lines))
    second.write_text(yaml.safe_dump({"val": "images/val", "names": ["green", "red"]}))
    model = run([first, second], precisions=[1])
    assert [each.data for each in model.sets] == ["a/data", "b/data"]
    assert model.sets[0].classes == ("red", "green", "blue")
    assert model.sets[1].classes == ("green", "red")
    assert model.together.classes == ("red", "green", "blue")
    assert [each.labels for each in model.together.matches] == [2, 2, 1]
    np.testing.assert_allclose(model.together.precision, 1)
    np.testing.assert_array_equal(model.together.confusion, np.diag([2, 2, 1, 0]))
    assert model.sets[1].confusion.shape == (3, 3)


def test_what_a_data_set_does_not_name_is_no_false_alarm_there(tmp_path):
    first = make_dataset(tmp_path / "a", [[RED, ZEBRA]])
    second = make_dataset(tmp_path / "b", [[RED, (*ZEBRA, 255, False)]], names=("red",))
    model = run([first, second])
    assert model.sets[1].classes == ("red",)
    assert model.together.pooled.right.all() and len(model.together.pooled.right) == 3
    assert not model.together.confusion[-1].any() and not model.together.confusion[:, -1].any()


def test_one_class_of_a_model_by_its_name_in_the_data(tmp_path):
    data = make_dataset(tmp_path, [[RED, GREEN]])
    model = run([data], names=("thing",), classes=["red"])
    assert model.together.classes == ("red",) and model.together.labels == 1


@pytest.mark.parametrize(
    ("names", "first", "second", "said"),
    [
        (("red", "zebra"), ("red", "a"), ("red", "b"), "finds 'zebra', which .*does not name"),
        (("red",), ("red",), ("green",), "finds 'red', which .*b/data.yaml does not name"),
        (("0", "1"), ("red", "green"), ("green", "red"), "does not name its classes, and the data"),
        (("red",), ("red",), ("red", "red"), r"b/data\.yaml: names 'red' twice"),
    ],
)
def test_what_cannot_be_put_together(tmp_path, names, first, second, said):
    data = [
        make_dataset(tmp_path / "a", [[RED]], names=first),
        make_dataset(tmp_path / "b", [[RED]], names=second),
    ]
    with pytest.raises(DataError, match=said):
        run(data, names=names)


def test_models_without_names_on_data_sets_of_one_list(tmp_path):
    data = [make_dataset(tmp_path / name, [[RED, GREEN]]) for name in "ab"]
    model = run(data, names=("0", "1", "2"))
    assert model.together.mean_precision == pytest.approx((1, 1))


def test_images_that_count_twice_are_told(tmp_path, caplog):
    data = make_dataset(tmp_path, [[RED], [GREEN]])
    again = data.with_name("again.yaml")
    again.write_text(data.read_text())
    model = run([data, again])
    assert model.together.images == 4
    assert "2 images are in several of the data sets" in caplog.text


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give either --models MODEL... or --predictions DIR..."),
        ({"models": ["a.pt"], "predictions": ["exp"]}, "give either"),
        ({"models": ["a.pt", "./a.pt"]}, "./a.pt: this model is given twice"),
        ({"predictions": ["a", "b"]}, "2 folders for 1 data sets"),
        ({"predictions": ["nowhere"]}, "nowhere: no such folder"),
        ({"models": ["none.pt"]}, "none.pt: no such file"),
        ({"models": ["a.pt"], "precisions": [80]}, "--precisions: 80 is not above 0"),
        (
            {"models": ["a.pt"], "project": "data.yaml"},
            "data.yaml is no folder that can be written to",
        ),
        ({"models": ["a.pt"], "split": "test"}, "no split 'test'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path, monkeypatch, options, said):
    make_dataset(tmp_path, [[RED]])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SynetError) as error:
        metrics(["data.yaml"], progress=False, **options)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_no_data_or_the_same_twice(tmp_path):
    data = make_dataset(tmp_path, [[RED]])
    with pytest.raises(SynetError, match="give one data yaml or several"):
        metrics([], models=["a.pt"])
    with pytest.raises(SynetError, match=r"data\.yaml: this data set is given twice"):
        metrics([data, tmp_path / "labels" / ".." / "data.yaml"], models=["a.pt"])


def test_short_names():
    assert short_names(["runs/a/best.pt"]) == ["best.pt"]
    assert short_names(["a/best.pt", "a/best.tflite"]) == ["best.pt", "best.tflite"]
    assert short_names(["/x/a/w/best.pt", "/x/b/w/best.pt"]) == ["a/w/best.pt", "b/w/best.pt"]
    assert short_names(["data", "x/data"]) == ["data", "x/data"]
