"""Tables and files, of a detector of colours whose figures are known."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from colour_detector import ColourDetector, make_dataset
from rich.console import Console

from synet.commands.metrics import table
from synet.data.yolo_yaml import load_dataset
from synet.evaluation.metrics import measure
from synet.evaluation.metrics_files import (
    ROWS,
    Grid,
    as_csv,
    as_json,
    as_markdown,
    confusion_grid,
    precision_grid,
    threshold_grid,
)

NAMES = ("[red]", "a|b", "blue")  # as markup of a terminal or of a page they would vanish


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two data sets: one all right, one with a false alarm, a mix-up and a miss."""
    folder = tmp_path_factory.mktemp("colours")
    easy = make_dataset(folder / "easy", [[(0, 10, 10, 20, 30, 250)]], NAMES)
    hard = make_dataset(
        folder / "hard",
        [
            [(0, 10, 10, 20, 30, 200), (0, 60, 10, 20, 20, 225, False)],
            [(1, 10, 10, 20, 30, 190), (0, 60, 10, 20, 20, 30)],
        ],
        NAMES,
    )
    label = next((folder / "hard" / "labels").rglob("1.txt"))
    lines = label.read_text().splitlines()
    label.write_text("\n".join(["2" + lines[0][1:], *lines[1:]]))  # found as 1, and is 2
    datasets = [load_dataset(easy), load_dataset(hard)]
    models = {"a/one.pt": ColourDetector(NAMES), "a/two.pt": ColourDetector(NAMES, gain=0.001)}
    return measure(models, datasets, [0.6, 0.9], progress=False)


@pytest.fixture
def model(measured):
    return measured.models[0]


def shown(grid: Grid) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table(grid))
    return captured.get()


def test_precision_of_each_class_and_data_set(model):
    grid = precision_grid(model)
    assert grid.title == "Average precision of one.pt"
    easy, hard, together = grid.groups
    assert easy[0] == ("easy/data", "all", "1", "1", "1.000", "1.000")
    assert easy[2] == ("", "a|b", "", "0", "-", "-")
    assert hard[0][:4] == ("hard/data", "all", "2", "3")
    assert together[0][:4] == ("all data sets", "all", "3", "4")
    assert together[3][1:4] == ("blue", "", "1")
    assert [row[1] for row in together[1:]] == list(NAMES)


def test_of_many_classes_the_most_labelled(tmp_path):
    names = [f"class {number}" for number in range(30)]
    scene = [(number, 4 * number, 5, 3, 3) for number in range(3)]
    data = make_dataset(tmp_path, [scene], names)
    for file in (tmp_path / "labels").rglob("*.txt"):
        file.write_text(file.read_text().replace("2 0", "29 0", 1))
    detector = ColourDetector(NAMES)
    result = measure(
        {"m": detector}, [load_dataset(data)], classes=names[27:], progress=False
    ).models[0]
    assert len(precision_grid(result, ROWS).groups[0]) == 1 + 3
    grid = precision_grid(result, 1)
    assert [row[1] for row in grid.groups[0]] == ["all", "class 29"]
    assert "the 1 most labelled of 3 classes" in grid.caption


def test_thresholds_on_all_data_first(model):
    sixty, nine, best = threshold_grid(model).groups
    assert [row[2] for row in sixty] == ["all data sets", "easy/data", "hard/data"]
    assert sixty[0] == ("precision 0.6", "0.75", "all data sets", "0.667", "0.500", "0.571")
    assert sixty[1][3:] == ("1.000", "1.000", "1.000")
    assert nine[0][:2] == ("precision 0.9", "0.9") and nine[2][3:] == ("-", "0.000", "0.000")
    assert best[0][0] == "best F1"


def test_what_is_not_reached_is_told(measured):
    grid = threshold_grid(measured.models[1])  # finds nothing at all
    assert [group[0][1] for group in grid.groups] == ["not reached"] * 3
    assert grid.caption.endswith("; nothing was found")


def test_confusion_in_columns_and_of_many_classes_as_a_list(model, monkeypatch):
    grid = confusion_grid(model.together, 0.25)
    assert grid.header == ("found as", *NAMES, "background")
    assert grid.groups == (
        (
            ("[red]", "2", "0", "0", "1"),
            ("a|b", "0", "0", "1", "0"),
            ("blue", "0", "0", "0", "0"),
            ("background", "1", "0", "0", "0"),
        ),
    )
    monkeypatch.setattr("synet.evaluation.metrics_files.COLUMNS", 2)
    grid = confusion_grid(model.together, 0.25, 2)
    assert grid.groups == ((("background", "[red]", "1"), ("blue", "a|b", "1")),)
    assert grid.caption.startswith("2 of 3 mistakes")


def test_names_on_a_terminal_are_not_markup(model):
    text = shown(precision_grid(model))
    assert "[red]" in text and "a|b" in text
    narrow = Console(width=40)
    with narrow.capture() as captured:
        narrow.print(table(precision_grid(model)))
    assert max(map(len, captured.get().splitlines())) <= 40


def test_json(measured):
    content = json.loads(json.dumps(as_json(measured), allow_nan=False))
    one, two = content["models"]
    assert one["model"] == "a/one.pt" and content["split"] == "val"
    together = one["together"]
    assert together["classes"]["a|b"] == {"labels": 0, "ap50": None, "ap50_95": None}
    sixty = together["at"][0]
    assert (sixty["asked"], sixty["labels"], sixty["found"], sixty["right"]) == (
        *("precision 0.6", 4, 3, 2),
    )
    assert sixty["classes"]["[red]"]["precision"] == pytest.approx(2 / 3)
    assert np.sum(together["confusion"]["matrix"]) == 5
    assert [each["confidence"] for each in two["thresholds"]] == [None] * 3
    assert two["together"]["at"] == []


def test_csv(measured):
    rows = list(csv.DictReader(io.StringIO(as_csv(measured))))
    assert len(rows) == 2 * 3 * 3 * (1 + len(NAMES))  # models, data, thresholds, classes
    (row,) = [
        row
        for row in rows
        if (row["model"], row["data"], row["class"], row["asked"])
        == ("a/one.pt", "all data sets", "all", "precision 0.6")
    ]
    figures = {key: float(row[key]) for key in ("confidence", "precision", "recall", "f1")}
    assert figures == pytest.approx(
        {"confidence": 0.75, "precision": 2 / 3, "recall": 0.5, "f1": 4 / 7}
    )
    assert (row["images"], row["labels"]) == ("3", "4")
    assert {row["confidence"] for row in rows if row["model"] == "a/two.pt"} == {""}


def test_markdown(measured):
    pictures = {
        model.model: {each.data: ["f1.png"] for each in model.shown} for model in measured.models
    }
    text = as_markdown(measured, pictures)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    for lines in tables:
        columns = {line.replace(r"\|", "").count("|") for line in lines}
        assert len(columns) == 1  # the | of a name splits no cell
    assert r"a\|b" in text and r"\[red]" in text
    assert text.count("![](f1.png)") == 6
    assert "one.pt at precision 0.6: confidence above 0.75" in text


def test_a_precision_above_the_best_is_told(tmp_path):
    data = make_dataset(tmp_path, [[(0, 10, 10, 20, 30, 200), (0, 60, 10, 20, 20, 225, False)]])
    datasets = [load_dataset(data)]
    result = measure({"m": ColourDetector()}, datasets, [0.75], progress=False)
    grid = threshold_grid(result.models[0])
    assert grid.groups[0] == (("precision 0.75", "not reached", "", "-", "-", "-"),)
    assert grid.caption.endswith("; precision 0.75 is not reached: the highest is 0.500")
