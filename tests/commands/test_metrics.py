"""``synet metrics`` as it is typed."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from click.testing import CliRunner
from colour_detector import make_dataset

from synet.cli import main
from synet.data.yolo_yaml import load_dataset
from synet.evaluation import plots

LABELS = "0 0.15625 0.260416 0.15625 0.3125"  # the red box of every image
SCENES = [[(0, 10, 10, 20, 30)], [(0, 10, 10, 20, 30)]]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two data sets of a box an image, and predictions of them: one is right, one wrong."""
    for name, confidence in (("day", 0.9), ("night sky", 0.5)):
        make_dataset(tmp_path / name, SCENES)
        (tmp_path / name / "data.yaml").rename(tmp_path / name / f"{name}.yaml")
        labels = tmp_path / "runs" / name / "labels"
        labels.mkdir(parents=True)
        (labels / "0.txt").write_text(f"{LABELS} {confidence}\n")
        (labels / "1.txt").write_text(f"1 {LABELS[2:]} {confidence / 2}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def synet(*arguments):
    return CliRunner().invoke(main, ["metrics", *arguments], prog_name="synet")


SETS = ("day/day.yaml", "night sky/night sky.yaml")
READ = (*SETS, "--predictions", "runs/day", "runs/night sky")


def test_predictions_of_two_data_sets(folder):
    result = synet(*READ, "--precisions", "0.6", "0.9", "--project", "out put")
    assert result.exit_code == 0, result.stderr
    for expected in ("night sky", "all data sets", "precision 0.9", "best F1", "Confusion on all"):
        assert expected in result.stdout
    *_, model, last = result.stdout.splitlines()
    # recalls up to a half at precision 1, on each and on both
    assert model == "predictions: mAP50 0.5050, mAP50-95 0.5050 on 4 images of 2 data sets"
    out = folder / "out put" / "exp"
    page = (out / "metrics.md").read_text(encoding="utf-8")
    assert all(f"![]({path.name})" in page for path in out.glob("*.png"))
    assert last == ("wrote metrics.json, metrics.csv, metrics.md and 9 pictures to out put/exp")
    assert {path.name for path in out.iterdir()} == {
        *("metrics.json", "metrics.csv", "metrics.md"),
        *(
            f"{kind}{data}.png"
            for kind in ("precision-recall", "f1", "confusion")
            for data in ("", "-day", "-night_sky")
        ),
    }
    content = json.loads((out / "metrics.json").read_text())
    thresholds = content["models"][0]["thresholds"]
    assert [each["asked"] for each in thresholds] == ["precision 0.6", "precision 0.9", "best F1"]
    assert thresholds[1]["confidence"] == 0.46  # lets 0.5 through and 0.45 not


def test_nothing_is_overwritten(folder):
    for number in ("", "2"):
        result = synet(SETS[0], *READ[2:4])
        assert result.exit_code == 0
        assert result.stdout.splitlines()[-1].endswith(f"to runs/metrics/exp{number}")
    contents = {path.name for path in (folder / "runs" / "metrics").iterdir()}
    assert contents == {"exp", "exp2"}


def test_an_interrupted_run_leaves_nothing(folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "confusion", interrupt)
    result = synet(*READ, "--project", "out")
    assert result.exit_code == 130
    assert list((folder / "out").iterdir()) == []


def test_models_on_data_sets(folder, shared):
    """Two real models that do not name their class, on two photographs each."""
    vendor = [
        shared / "models" / f"person_{name}.tflite"
        for name in ("detection_480x640", "pose_detection_256x480")
    ]
    if not all(path.is_file() for path in vendor):
        pytest.skip(f"{vendor[0]} or its neighbour is not there")
    photos = load_dataset(shared / "data" / "coco128" / "coco128.yaml").images("val")
    names = ["person", *map(str, range(1, 80))]
    sets = []
    for number, stems in enumerate((["000000000885", "000000001000"], ["000000001268"])):
        place = folder / f"set{number}"
        for path in photos:
            if path.stem in stems:
                (place / "images").mkdir(parents=True, exist_ok=True)
                (place / "labels").mkdir(exist_ok=True)
                shutil.copy(path, place / "images")
                labels = path.parents[2] / "labels" / path.parent.name / f"{path.stem}.txt"
                shutil.copy(labels, place / "labels")
        sets.append(place / "data.yaml")
        sets[-1].write_text(json.dumps({"val": "images", "names": names}))
    result = synet(
        *(*map(str, sets), "--models", *map(str, vendor), "--classes", "person"),
        *("--precisions", "0.9", "--project", "out"),
    )
    assert result.exit_code == 0, result.stderr
    assert "person_pose_detection_256x480.tflite on val" in result.stderr
    content = json.loads((folder / "out" / "exp" / "metrics.json").read_text())
    assert [each["model"] for each in content["models"]] == list(map(str, vendor))
    for each in content["models"]:
        assert [part["name"] for part in each["data"]] == ["set0/data", "set1/data"]
        assert [part["images"] for part in each["data"]] == [2, 1]
        assert list(each["together"]["classes"]) == ["person"]
        assert each["together"]["map50"] > 0.4
    pictures = sorted(path.name for path in (folder / "out" / "exp" / vendor[0].name).iterdir())
    assert "](person_detection_480x640.tflite/f1-set0_data.png)" in (
        folder / "out" / "exp" / "metrics.md"
    ).read_text(encoding="utf-8")
    assert len(pictures) == 9 and "f1-set0_data.png" in pictures


def test_the_users_mistakes(folder):
    (folder / "runs" / "day" / "labels" / "1.txt").write_text(LABELS)
    (folder / "file").write_text("")
    for arguments, said in (
        (SETS, "give either --models MODEL... or --predictions DIR..."),
        ((*READ, "--project", "file"), "file is no folder that can be written to"),
        ((*READ[:-1],), "--predictions: 1 folders for 2 data sets"),
        (READ, "1.txt:1: no confidence; let YOLO write it with --save-conf"),
        ((SETS[0], "--models", "none.pt"), "none.pt: no such file"),
    ):
        result = synet(*arguments)
        assert result.exit_code == 2
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("synet: ")]
        assert said in line
        assert not (folder / "runs" / "metrics").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_may_not_be_written(folder):
    (folder / "runs").chmod(0o500)
    result = synet(*READ)
    assert result.exit_code == 2 and "can be written to" in result.stderr


def test_completion_of_files(folder):
    words = {"COMP_WORDS": "synet metrics a.yaml --models m.pt ", "COMP_CWORD": "5"}
    result = CliRunner().invoke(
        main, [], prog_name="synet", env=words | {"_SYNET_COMPLETE": "bash_complete"}
    )
    assert result.output.split(",")[0] == "file"
