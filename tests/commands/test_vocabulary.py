"""One word, one thing, in every command; old spellings go on to work."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from synet.cli import main
from synet.commands.options import Gathering

# What may be spelled in several ways: all of them are there wherever one is.
SPELLINGS = (
    {"--image-shape", "--imgsz"},
    {"--confidence", "--conf"},
    {"--out", "-o"},
)
ONE_MODEL = (
    *("quantize", "profile", "summary", "sparsity", "evaluate", "predict", "latency", "report"),
    *("visualize", "zoo create"),
)
FIGURES = (
    *("quantize", "profile", "summary", "sparsity", "evaluate", "metrics", "predict", "latency"),
    *("report", "compare", "data_subset", "zoo list", "zoo create"),
)

DEVICE = ("evaluate", "metrics", "predict", "report", "latency")  # torch runs a network there
BATCH = ("evaluate", "metrics", "predict", "report")  # over many images


def find(path: str) -> click.Command:
    command = main
    for word in path.split():
        command = command.commands[word]
    return command


def all_commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def options(path: str) -> list[click.Option]:
    return [each for each in find(path).params if isinstance(each, click.Option)]


@pytest.mark.parametrize("path", ONE_MODEL)
def test_the_model_stands_first(path):
    first = next(each for each in find(path).params if isinstance(each, click.Argument))
    assert first.name == "model"


@pytest.mark.parametrize("path", all_commands())
def test_spellings_come_together(path):
    for option in options(path):
        for spellings in SPELLINGS:
            assert not spellings & {*option.opts} or spellings <= {*option.opts}, option.opts


@pytest.mark.parametrize("path", all_commands())
def test_several_values_stand_one_after_another(path):
    if any(option.multiple for option in options(path)):
        assert isinstance(find(path), Gathering)


@pytest.mark.parametrize("path", FIGURES)
def test_figures_come_as_json(path):
    assert any("--json" in option.opts for option in options(path))


@pytest.mark.parametrize(("name", "paths"), [("--device", DEVICE), ("--batch", BATCH)])
def test_where_torch_runs_it_says_on_what_and_of_how_many(name, paths):
    having = {path for path in all_commands() if any(name in each.opts for each in options(path))}
    assert having == {*paths}


@pytest.mark.parametrize(
    "line",
    ["quantize none.pt", "quantize --weights none.pt", "quantize --cfg none.pt"],
)
def test_quantize_takes_its_model_in_any_spelling(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, [*line.split(), "--force"])
    assert told.exit_code == 2 and "none.pt" in told.stderr


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("metrics a.yaml --data b.yaml c.yaml --models m.pt", {"data": ("a.yaml",)}),
        ("metrics a.yaml --project out --models m.pt", {"out": "out"}),
        ("metrics a.yaml -o out --models m.pt", {"out": "out"}),
        ("evaluate m.pt --data d.yaml --imgsz 240 320", {"image_shape": (240, 320)}),
        ("evaluate m.pt --data d.yaml --conf 0.2 --iou 0.5", {"confidence": 0.2, "iou": 0.5}),
        ("evaluate m.pt --classes car bus --data d.yaml", {"classes": ("car", "bus")}),
        ("report m.pt --classes car bus --out o.html", {"classes": ("car", "bus")}),
        ("sparsity m.pt --layers model.4 model.6 -v", {"layers": ("model.4", "model.6")}),
        ("sparsity m.pt --layers model.4,model.6", {"layers": ("model.4,model.6",)}),
        ("zoo create katana-kqvga --imgsz 64 96 -o x.yaml", {"image_shape": (64, 96)}),
        ("zoo create katana-kqvga --image-size 64 96", {"image_shape": (64, 96)}),
        ("predict m.pt a.jpg b.jpg --conf 0.5 -o out", {"confidence": 0.5, "out": "out"}),
    ],
)
def test_lines(line, found):
    words = line.split()
    length = 2 if words[0] == "zoo" else 1
    context = find(" ".join(words[:length])).make_context("synet", words[length:])
    assert {name: context.params[name] for name in found} == found


@pytest.mark.parametrize("option", ["--confidence 25", "--conf -1", "--iou 45"])
@pytest.mark.parametrize("command", ["evaluate m.pt", "predict m.pt a.jpg"])
def test_percent_is_no_fraction(command, option):
    told = CliRunner().invoke(main, f"{command} {option}".split())
    assert told.exit_code == 2


@pytest.mark.parametrize(
    "line",
    (
        ["profile", "none.tflite"],
        ["latency", "none.tflite"],
        ["run", "true"],
        ["run", "--repairs-only", "true"],
        ["yolov5", "train"],
    ),
)
def test_no_chip_is_an_option_that_is_left_out(line):
    """An empty name is a name, and no chip's."""
    result = CliRunner().invoke(main, [line[0], "--chip", "", *line[1:]])
    said = (
        "give --repairs-only alone"
        if "--repairs-only" in line
        else "no chip is named ''; there are: katana"
    )
    assert result.exit_code == 2 and said in result.stderr
