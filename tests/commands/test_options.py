from __future__ import annotations

import ast
import os

import click
import pytest
from click.testing import CliRunner
from on_a_terminal import seen_on_a_terminal

from synet.cli import main
from synet.commands.options import Gathering


@click.command(cls=Gathering)
@click.argument("data", nargs=-1, type=click.Path())
@click.option("--models", "-m", multiple=True)
@click.option("--precisions", multiple=True, type=float)
@click.option("--project")
@click.option("--shape", nargs=2, type=int)
@click.option("--fast", is_flag=True)
def command(**values):
    click.echo(repr({name: value for name, value in values.items() if value}))


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a --models m1 m2 --precisions 0.8 0.9", {"models": ("m1", "m2"), "data": ("a",)}),
        ("a --models m1 --models m2 --precisions 0.8 --precisions 0.9", {"models": ("m1", "m2")}),
        ("a --models=m1 m2 --models m3", {"models": ("m1", "m2", "m3")}),
        ("a -m m1 m2", {"models": ("m1", "m2")}),
        ("a b --models m1", {"data": ("a", "b"), "models": ("m1",)}),
        ("--models m1 m2 -- a b", {"data": ("a", "b"), "models": ("m1", "m2")}),
        ("--models m1 --project p a", {"data": ("a",), "models": ("m1",), "project": "p"}),
        ("--models m1 --shape 4 5 a", {"data": ("a",), "shape": (4, 5), "models": ("m1",)}),
        ("--models m1 --fast a", {"data": ("a",), "fast": True}),
        ("a --models - m2", {"models": ("-", "m2")}),
    ],
)
def test_values_one_after_another(line, values):
    result = CliRunner().invoke(command, line.split())
    assert result.exit_code == 0, result.output
    found = ast.literal_eval(result.output)
    assert {name: found[name] for name in values} == values
    assert found.get("precisions", (0.8, 0.9)) == (0.8, 0.9)


@pytest.mark.parametrize("line", ["a --models", "a --models --fast", "a --precisions 0.8 high"])
def test_what_is_missing_or_wrong_is_told_as_ever(line):
    result = CliRunner().invoke(command, line.split())
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("predict m.tflite a.jpg --confidence 25", "25 is not a fraction, 0 to 1; 25 % is 0.25"),
        ("predict m.tflite a.jpg --iou 1.5", "1.5 is not a fraction, 0 to 1"),
        ("predict m.tflite a.jpg --iou -0.1", "-0.1 is not a fraction, 0 to 1; see"),
        ("predict m.tflite a.jpg --confidence nan", "nan is not a fraction, 0 to 1; see"),
        ("metrics d.yaml --models m.pt --confidence 50", "50 % is 0.5"),
        ("metrics d.yaml --models m.pt --precisions 0.5 90", "90 % is 0.9"),
        ("predict m.tflite a.jpg --kernels slow", "'slow' is not one of 'reference', 'fast'"),
        ("evaluate m.tflite --data d.yaml --kernels slow", "'slow' is not one of"),
        ("evaluate m.pt --data d.yaml --batch 0", "0 is not in the range x>=1"),
        ("metrics d.yaml --models m.pt --batch -8", "-8 is not in the range x>=1"),
        ("predict m.pt a.jpg --batch all", "'all' is not a valid integer"),
        ("report m.pt --data d.yaml --batch 2.5", "'2.5' is not a valid integer"),
    ],
)
def test_a_value_of_another_kind_is_told(line, told):
    """Before anything is opened."""
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 2
    (error,) = result.output.splitlines()
    assert told in error


@pytest.mark.parametrize(
    "line",
    [
        "predict m.tflite a.jpg --batch 8",
        "predict m.tflite a.jpg --side-by-side n.tflite --batch 8",
        "metrics d.yaml --models m.tflite n.tflite --device 0",
        "latency m.tflite --device cuda",
    ],
)
def test_what_torch_alone_can_do_is_not_asked_of_others(line):
    told = CliRunner().invoke(main, line.split())
    assert told.exit_code == 2
    (error,) = told.stderr.splitlines()
    assert "is of a .pt checkpoint, and none runs here" in error


LOOK = """
import contextlib
from synet.cli import main
with contextlib.suppress(SystemExit):
    main({arguments})
"""


@pytest.mark.skipif(os.name == "nt", reason="terminals of Unix")
@pytest.mark.parametrize(("before", "after"), [("", ""), ("-q", ""), ("", "--json")])
def test_a_terminal_is_told_what_takes_long(before, after, tmp_path, monkeypatch):
    """Unless it asked for silence; what is wrong is told in any case."""
    monkeypatch.chdir(tmp_path)
    line = f"{before} evaluate m.pt --data none.yaml {after}"
    seen = seen_on_a_terminal(LOOK.format(arguments=line.split()))
    assert ("starting" in seen) == (not before and not after)
    assert "synet: " in seen


@pytest.mark.parametrize(
    "line",
    [
        *("evaluate m.pt --data none.yaml", "metrics none.yaml --models m.pt"),
        *("predict m.pt none.jpg", "report m.pt --data none.yaml", "latency none.pt"),
    ],
)
def test_what_loads_a_model_says_so_from_the_first_moment_on(line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["-v", *line.split()]).exit_code == 2
    assert capfd.readouterr().err.splitlines()[0].endswith("ms  starting")
