"""Evaluation, against pycocotools called in its usual way and against what must come out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_files
import yaml
from colour_detector import ColourDetector, evaluation_of_files, make_dataset, random_images
from matched import average_precision
from vendors_files import vendors_file

from synet.commands.evaluate import table
from synet.custom_patches import unpatch
from synet.data.images import write_image
from synet.data.yolo_yaml import label_path, load_dataset
from synet.detections.detections import Detections
from synet.evaluation.evaluate import evaluate, evaluate_predictor
from synet.evaluation.found import find_all, ground_truth
from synet.models.predictor import load_predictor
from synet.system.errors import DataError, SynetError

PERFECT = pytest.approx((1, 1))  # pycocotools adds an epsilon to what it divides by


@pytest.fixture
def scenes() -> list[list[tuple]]:
    return [
        [(0, 10, 10, 20, 30), (1, 50, 40, 40, 20)],
        [(0, 5, 60, 40, 30), (0, 90, 5, 30, 30)],
        [],
    ]


def usual_way(labels, found, classes, folder: Path) -> tuple[float, float]:
    """mAP50-95 and mAP50 as the pycocotools example has it: json files, loadRes, summarize."""
    truth = {"images": [], "annotations": [], "categories": [{"id": c + 1} for c in classes]}
    results = []
    for number, (label, hits) in enumerate(zip(labels, found, strict=True), start=1):
        truth["images"].append({"id": number, "width": 640, "height": 480})
        for x1, y1, x2, y2, class_id in np.column_stack([label.boxes, label.classes]).tolist():
            annotation = {
                "id": len(truth["annotations"]) + 1,
                "image_id": number,
                "category_id": int(class_id) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            truth["annotations"].append(annotation)
        rows = np.column_stack([hits.boxes, hits.scores, hits.classes]).tolist()
        for x1, y1, x2, y2, score, class_id in rows:
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append(
                {
                    "image_id": number,
                    "category_id": int(class_id) + 1,
                    "bbox": box,
                    "score": score,
                }
            )
    score = evaluation_of_files(truth, results, folder)
    return score.stats[0], score.stats[1]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_pycocotools(tmp_path, seed):
    labels, found = random_images(np.random.default_rng(seed), crowd=200 if seed else 3)
    mine = average_precision(labels, found, range(3))
    map50_95, map50 = usual_way(labels, found, range(3), tmp_path)
    assert 0.1 < map50_95 < map50 < 0.95
    assert mine.mean(axis=0) == pytest.approx([map50, map50_95], abs=1e-12)


def test_average_precision_keeps_the_order_of_classes():
    labels, found = random_images(np.random.default_rng(0), crowd=20)
    forward = average_precision(labels, found, [0, 1, 2])
    np.testing.assert_array_equal(average_precision(labels, found, [2, 0]), forward[[2, 0]])


def test_average_precision_of_unseen_classes_is_no_number():
    labels, found = random_images(np.random.default_rng(0), crowd=20)
    assert np.isnan(average_precision(labels, found, [7])).all()


def test_average_precision_of_nothing_found_is_zero():
    labels, found = random_images(np.random.default_rng(0), crowd=20)
    nothing = [each[:0] for each in found]
    np.testing.assert_array_equal(average_precision(labels, nothing, [0, 1, 2]), 0)


def test_the_very_first_label_counts():
    """pycocotools takes an annotation with the id 0 for one that nothing matched."""
    only = [Detections([[0, 0, 9, 9]], [1], [0])]
    assert average_precision(only, only, [0]) == pytest.approx(1)


def test_a_detector_that_finds_all(tmp_path, scenes, capsys):
    report = evaluate_predictor(
        ColourDetector(), load_dataset(make_dataset(tmp_path, scenes)), progress=False
    )
    assert (report.map50, report.map50_95) == PERFECT
    assert report.per_class == {"red": PERFECT, "green": PERFECT}  # no label shows blue
    assert (report.images, report.boxes, report.image_shape) == (3, 4, (96, 128))
    assert capsys.readouterr() == ("", "")


def test_errors_cost_what_they_must(tmp_path):
    """A false alarm above both hits halves the first; a miss caps the recall at two thirds."""
    scene = [
        (0, 5, 5, 20, 20, 200, False),
        (0, 40, 5, 20, 20, 180),
        (0, 5, 50, 20, 20, 160),
        (0, 90, 50, 20, 20, 20),  # too dim to be seen
    ]
    dataset = load_dataset(make_dataset(tmp_path, [scene]))
    report = evaluate_predictor(ColourDetector(), dataset, progress=False)
    assert report.map50 == pytest.approx(67 / 101 * 2 / 3)  # recalls 0 to 0.66, precision 2 of 3


def test_boxes_half_way_off_count_at_low_thresholds_only(tmp_path):
    dataset = load_dataset(make_dataset(tmp_path, [[(0, 20, 20, 40, 40)]]))
    report = evaluate_predictor(ColourDetector(shift=4), dataset, progress=False)
    overlap = 36**2 / (2 * 40**2 - 36**2)  # 0.68: of 0.50, 0.55, 0.60, 0.65, that is four of ten
    assert 0.65 < overlap < 0.70
    assert report.map50 == pytest.approx(1)
    assert report.map50_95 == pytest.approx(0.4)


def test_images_of_any_size_are_judged_in_their_own_pixels(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    for path in dataset.images("val"):
        image = cv2.imread(str(path))
        larger = cv2.resize(image, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
        padded = cv2.copyMakeBorder(larger, 0, 480, 0, 0, cv2.BORDER_CONSTANT)
        cv2.imwrite(str(path), padded)
        labels = [line.split() for line in label_path(path).read_text().splitlines()]
        for label in labels:
            label[2], label[4] = float(label[2]) / 2, float(label[4]) / 2
        label_path(path).write_text("\n".join(" ".join(map(str, label)) for label in labels))
    report = evaluate_predictor(ColourDetector(), dataset, progress=False)
    assert report.map50 == pytest.approx(1)
    assert report.map50_95 > 0.75  # the detector's mask is whole input pixels


def test_classes_are_matched_by_name(tmp_path, scenes):
    """A model's order, and classes it never learnt, are not the dataset's."""
    data = make_dataset(tmp_path, scenes)
    content = yaml.safe_load(data.read_text())
    data.write_text(yaml.safe_dump(content | {"names": ["red", "green", "blue", "zebra"]}))
    dataset = load_dataset(data)
    swapped = ColourDetector()
    swapped.names = ("green", "red", "blue")
    assert evaluate_predictor(ColourDetector(), dataset, progress=False).map50 == pytest.approx(1)
    assert evaluate_predictor(swapped, dataset, progress=False).map50 == 0
    named = evaluate_predictor(swapped, dataset, classes=["red", "green", "blue"], progress=False)
    assert named.map50 == pytest.approx(1)


def test_all_that_is_found_in_the_ids_of_the_data(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes, ("blue", "green", "red")))
    found = find_all(ColourDetector(), dataset, progress=False)
    assert found.images == dataset.images("val")
    assert found.class_ids.tolist() == [2, 1, 0]
    assert [each.classes.tolist() for each in found.found] == [[2, 1], [2, 2], []]
    assert [each.classes.tolist() for each in found.labels] == [[0, 1], [0, 0], []]
    np.testing.assert_allclose(found.found[0].boxes, [[10, 10, 30, 40], [50, 40, 90, 60]])
    assert found.seconds > 0


def test_classes_that_only_other_data_names(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes, ("green", "thing")))
    elsewhere = {"red", "blue"}
    found = find_all(ColourDetector(), dataset, progress=False, elsewhere=elsewhere)
    assert found.class_ids.tolist() == [-1, 0, -1]
    assert [each.classes.tolist() for each in found.found] == [[0], [], []]
    with pytest.raises(DataError, match="finds 'red', which"):
        find_all(ColourDetector(), dataset, progress=False, elsewhere={"blue"})
    with pytest.raises(DataError, match="finds 'red', which"):  # nothing here could be judged
        find_all(ColourDetector(("red",)), dataset, progress=False, elsewhere=elsewhere)


def test_the_shift_from_a_float_twin(tmp_path, scenes):
    """Scores that all sink alike leave the precision as it was."""
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    twin = ColourDetector()
    same = evaluate_predictor(ColourDetector(), dataset, progress=False, reference=twin)
    sunk = evaluate_predictor(ColourDetector(gain=0.75), dataset, progress=False, reference=twin)
    assert evaluate_predictor(twin, dataset, progress=False).shift is None
    assert (same.shift.mean, same.shift.matched, same.shift.objects) == (0, 4, 4)
    assert sunk.map50 == same.map50
    assert sunk.shift.mean == pytest.approx(0.25)
    assert "confidence shift 0.2500 (mean of 4 of the 4" in table(sunk).caption


def test_classes_that_the_model_does_not_find_are_left_out(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    report = evaluate_predictor(ColourDetector(("red",)), dataset, progress=False)
    assert report.per_class == {"red": PERFECT}
    assert report.boxes == 3


def test_a_model_that_does_not_name_its_classes(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    assert evaluate_predictor(
        ColourDetector(("0", "1", "2")), dataset, progress=False
    ).map50 == pytest.approx(1)
    with pytest.raises(DataError, match="finds '0', which .*data.yaml does not name; it has red"):
        evaluate_predictor(ColourDetector(("0", "1")), dataset, progress=False, model="m.tflite")
    with pytest.raises(DataError, match="finds 2 classes, but 1 are named"):
        evaluate_predictor(ColourDetector(("0", "1")), dataset, classes=["red"], progress=False)


def test_two_classes_of_one_name_are_both_reported(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes, names=("thing", "thing", "other")))
    predictor = ColourDetector(dataset.names)
    report = evaluate_predictor(predictor, dataset, progress=False)
    assert report.per_class == {"thing (0)": PERFECT, "thing (1)": PERFECT}


def test_a_split_without_any_label_file(tmp_path, scenes):
    data = make_dataset(tmp_path, scenes)
    (tmp_path / "labels").rename(tmp_path / "annotations")
    with pytest.raises(DataError, match="val: none of the 3 images has labels; looked for .*0.txt"):
        evaluate_predictor(ColourDetector(), load_dataset(data), progress=False)


def test_only_background_has_no_precision(tmp_path):
    dataset = load_dataset(make_dataset(tmp_path, [[(0, 5, 5, 20, 20, 255, False)]]))
    report = evaluate_predictor(ColourDetector(), dataset, progress=False)
    assert np.isnan(report.map50)
    assert report.per_class == {}
    assert table(report).row_count == 0


def test_missing_data_is_told_before_the_model_is_opened(tmp_path):
    with pytest.raises(DataError, match="no.yaml"):
        evaluate(tmp_path / "no.pt", tmp_path / "no.yaml")


def test_what_is_broken_is_left_out_and_told_or_stops_the_evaluation(tmp_path, scenes, caplog):
    data = make_dataset(tmp_path, scenes)
    (tmp_path / "labels" / "val" / "1.txt").write_text("0 0.5 0.5 0.1\n")
    image = load_dataset(data).images("val")[2]
    image.write_bytes(image.read_bytes()[:200])
    image.with_suffix(".gif").write_bytes(b"GIF89a")
    report = evaluate_predictor(ColourDetector(), load_dataset(data), progress=False)
    assert (report.images, report.boxes, report.left_out) == (1, 2, 2)
    assert (report.map50, report.map50_95) == PERFECT
    assert "1 images (2 left out), 2 boxes" in table(report).caption
    others, broken = caplog.messages
    assert "val: 1 file is an image of a kind that YOLO does not take (1 .gif); left out" in others
    assert "val: left out 2 of 3 images, as YOLO does: " in broken
    assert "1.txt:1: 4 numbers" in broken and f"{image}: not an image, or a damaged" in broken
    strict = load_dataset(data, strict=True)
    with pytest.raises(DataError, match=r"\(1 \.gif\); convert, or do without --strict"):
        evaluate_predictor(ColourDetector(), strict, progress=False)
    image.with_suffix(".gif").unlink()
    with pytest.raises(DataError, match=r"1\.txt:1: 4 numbers"):
        evaluate_predictor(ColourDetector(), strict, progress=False)


def test_a_split_of_which_nothing_can_be_used(tmp_path, scenes):
    data = make_dataset(tmp_path, scenes[:1])
    (tmp_path / "labels" / "val" / "0.txt").write_text("0 0.5 0.5 0.1\n")
    with pytest.raises(DataError, match="none of the 1 images can be used; the first: .*4 numbers"):
        evaluate_predictor(ColourDetector(), load_dataset(data), progress=False)


@pytest.mark.parametrize(("line", "images"), [("ultralytics", 3), ("yolov5", 2), ("", 3)])
def test_the_tolerance_is_that_of_the_yolo_that_trained_the_model(tmp_path, scenes, line, images):
    data = make_dataset(tmp_path, scenes)
    with (tmp_path / "labels" / "val" / "1.txt").open("a") as file:
        file.write("\n0 1.005 0.5 0.1 0.1\n")
    detector = ColourDetector()
    detector.trained_by = line
    report = evaluate_predictor(detector, load_dataset(data), progress=False)
    assert (report.images, report.boxes) == (images, 5 if images == 3 else 2)


class ItemDetector(ColourDetector):
    """One that was trained with ``single_cls``, and so calls all that it finds one thing."""

    trained_by, single_class = "yolov5", True

    def __init__(self) -> None:
        super().__init__()
        self.names = ("item",)

    def outputs(self, image):
        found = ColourDetector().outputs(image)
        return {**found, "scores": found["scores"].max(axis=1, keepdims=True)}


def test_a_model_of_a_single_class_is_judged_as_it_was_trained(tmp_path, scenes):
    dataset = load_dataset(make_dataset(tmp_path, scenes))
    report = evaluate_predictor(ItemDetector(), dataset, progress=False)
    assert report.per_class == {"item": PERFECT}
    assert report.boxes == 4  # of two classes


def test_progress_goes_to_stderr(tmp_path, scenes, capsys):
    evaluate_predictor(ColourDetector(), load_dataset(make_dataset(tmp_path, scenes)), model="m.pt")
    out, err = capsys.readouterr()
    assert out == ""
    assert "m.pt on val" in err


def test_table_shows_every_class_and_the_mean(tmp_path, scenes):
    from rich.console import Console

    dataset = load_dataset(make_dataset(tmp_path, scenes))
    report = evaluate_predictor(ColourDetector(), dataset, progress=False, model="m.pt")
    report = replace(report, per_class={"red": (0.5, 0.25)}, map50=0.75, map50_95=0.125)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table(report))
    text = captured.get()
    for expected in ("m.pt on val", "red", "0.500", "0.250", "all", "0.750", "0.125", "3 images"):
        assert expected in text


def test_ground_truth_in_pixels_clipped(tmp_path):
    data = make_dataset(tmp_path, [[(1, 50, 40, 40, 20)], []])
    dataset = load_dataset(data)
    first = dataset.images("val")[0]
    with label_path(first).open("a") as file:
        file.write("\n2 0 0 0.5 0.5\n")
    truth, empty = ground_truth(dataset, dataset.images("val"))
    np.testing.assert_allclose(truth.boxes, [[50, 40, 90, 60], [0, 0, 32, 24]], atol=1e-4)
    assert truth.classes.tolist() == [1, 2]
    assert truth.scores.tolist() == [1, 1]
    assert len(empty) == 0


@pytest.fixture
def person_model(shared) -> Path:
    return vendors_file(shared, "person_detection_480x640.tflite")


def test_the_vendors_person_detector(shared, person_model):
    """Measured elsewhere as 0.680, with a recall of 1 at precision 0 drawn into the curve.

    COCO's curve ends at the last recall reached, hence the lower figure.
    """
    start = time.perf_counter()
    data = shared / "data" / "coco128" / "coco128.yaml"
    report = evaluate(person_model, data, classes=["person"], progress=False)
    assert report.map50 == pytest.approx(0.659, abs=0.005)
    assert report.map50_95 == pytest.approx(0.431, abs=0.005)
    assert (report.images, report.boxes) == (128, 350)
    assert time.perf_counter() - start < 60


def test_a_tflite_file_runs_at_its_own_shape_only(shared, person_model):
    data = shared / "data" / "coco128" / "coco128.yaml"
    with pytest.raises(SynetError, match=r"takes images of 480x640 .* not 320x320"):
        evaluate(person_model, data, image_shape=(320, 320), classes=["person"])


def test_a_file_beside_that_is_no_twin_is_told_and_one_that_was_asked_for_is_an_error(
    shared, person_model, tmp_path, caplog
):
    model = tmp_path / "best.tflite"
    model.write_bytes(person_model.read_bytes())
    model.with_suffix(".pt").write_bytes(b"no checkpoint")
    source = load_dataset(shared / "data" / "coco128" / "coco128.yaml").images("val")[0]
    (tmp_path / "images").mkdir()
    image = write_image(tmp_path / "images" / "a.png", cv2.imread(str(source)))
    label_path(image).parent.mkdir()
    label_path(image).write_text("0 0.5 0.5 0.5 0.5")
    data = tmp_path / "data.yaml"
    data.write_text("val: images\nnames: [person]")
    report = evaluate(model, data, progress=False)
    assert report.shift is None and report.boxes == 1
    assert "no confidence shift: " in caplog.text and "best.pt" in caplog.text
    with pytest.raises(SynetError, match=r"best.pt"):
        evaluate(model, data, progress=False, float_model=model.with_suffix(".pt"))


@pytest.fixture
def photos(shared, tmp_path) -> Path:
    """Seven photos, each with a label of one of the three classes of `tiny_files`."""
    found = load_dataset(shared / "data" / "coco128" / "coco128.yaml").images("train")[:7]
    (tmp_path / "images").mkdir()
    for number, photo in enumerate(found):
        (tmp_path / "images" / f"{number}.jpg").symlink_to(photo)
        path = label_path(tmp_path / "images" / f"{number}.jpg")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number % 3} 0.5 0.5 0.4 0.4\n")
    (tmp_path / "data.yaml").write_text("val: images\nnames: [circle, square, triangle]\n")
    return tmp_path / "data.yaml"


def are_in(found: Detections, others: Detections) -> bool:
    """Is each find among the others? Scores that are all but equal may change places."""
    near = np.abs(found.boxes[:, None] - others.boxes[None]).max(axis=2) < 1e-5 * 640
    near &= np.abs(found.scores[:, None] - others.scores[None]) < 1e-5
    return (near & (found.classes[:, None] == others.classes[None])).any(axis=1).all()


def test_a_batch_finds_what_single_images_do(photos):
    """However many: the last of threes is not full, and neither is that of 99."""
    dataset, path, sizes = load_dataset(photos), tiny_files.checkpoint("detect"), (1, 3, 99)
    alone, *together = (
        find_all(load_predictor(path, batch=size), dataset, confidence=0.5, progress=False)
        for size in sizes
    )
    unpatch()
    assert len(alone.found) == 7 and min(map(len, alone.found)) > 0
    assert not are_in(alone.found[0], alone.found[1])
    for run in together:
        assert run.images == alone.images
        for found, expected in zip(run.found, alone.found, strict=True):
            assert are_in(found, expected) and are_in(expected, found)


def test_images_that_cannot_be_read_are_no_part_of_a_batch(photos):
    (photos.parent / "images" / "1.jpg").unlink()
    (photos.parent / "images" / "1.jpg").write_text("no image")
    predictor = load_predictor(tiny_files.checkpoint("detect"), batch=3)
    given, run = [], predictor.outputs_of
    predictor.outputs_of = lambda images: given.append(len(images)) or run(images)
    found = find_all(predictor, load_dataset(photos), progress=False)
    unpatch()
    assert given == [3, 3]
    assert [path.stem for path in found.images] == ["0", "2", "3", "4", "5", "6"]
    assert len(found.found) == len(found.labels) == 6 and len(found.left_out) == 1


def test_a_batch_of_a_file_alone_is_refused_before_it_is_opened(photos):
    with pytest.raises(SynetError, match="^--batch 8: is of a .pt checkpoint"):
        evaluate("none.tflite", photos, batch=8)
