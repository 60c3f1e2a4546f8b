"""What commands print: figures as JSON alone, and tables in which no name is cut."""

from __future__ import annotations

import json
import logging

import int8_pairs
import pytest
import tiny_yolo
from click.testing import CliRunner

from synet import zoo
from synet.cli import main
from synet.custom_patches import unpatch
from synet.data.drawn_shapes import draw_dataset

WIDTH = 80  # columns of a narrow terminal
CLASSES = ["circle", "square", "triangle"]
DEEP = "a-folder-with-a-name/int8.tflite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pair of files with long names, a tiny detector, and a data set that it finds badly."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / DEEP).parent.mkdir()
    for name, content in zip(("float", "int8"), int8_pairs.long_names(), strict=True):
        (folder / DEEP).with_stem(name).write_bytes(content)
    draw_dataset(folder / "data", train=1, val=2, test=1, shape=(128, 192))
    (folder / "new.yaml").write_text("path: new\ntrain: t\nval: v\nnames: [square, circle]\n")
    (folder / "tiny.yaml").write_text(tiny_yolo.YAML.replace("nc: 2", "nc: 3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        quantized = synet_cli("quantize tiny.yaml --out tiny.tflite --json")
        assert quantized.exit_code == 0, quantized.output
        (folder / "quantized.json").write_text(quantized.stdout)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    yield
    unpatch()


def synet_cli(line, **environment):
    return CliRunner().invoke(main, line.split(), prog_name="synet", env=environment)


def read(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


DATA = "data/data.yaml"
COMPARE = f"compare a-folder-with-a-name/float.tflite {DEEP} data/images/val"
# A line of each command that prints figures, and what is to be found in them.
LINES = {
    f"summary {DEEP}": lambda found: [each["name"] for each in found["layers"]],
    f"sparsity {DEEP} -v": lambda found: [each["layer"] for each in found["layers"]],
    f"profile {DEEP} --chip katana": lambda found: [each["layer"] for each in found["operations"]],
    COMPARE: lambda found: [each["layer"] for each in found["layers"]],
    "latency tiny.tflite --runs 2 --warm-up 0": lambda found: [*found["parts"], "overall"],
    f"evaluate tiny.tflite --data {DATA}": lambda found: [*found["per_class"]],
    f"metrics {DATA} --models tiny.tflite --out out": lambda found: [
        *found["models"][0]["together"]["classes"]
    ],
    f"data_subset {DATA} new.yaml --dry-run": lambda found: found["new_names"],
    "zoo list": lambda found: [each["name"] for each in found],
}


@pytest.mark.parametrize("line", LINES)
def test_json_alone_and_tables_that_cut_no_name(line):
    told = synet_cli(f"{line} --json")
    assert told.exit_code == (3 if "katana" in line else 0), told.output
    names = LINES[line](read(told.stdout))
    assert names
    shown = synet_cli(line, COLUMNS=str(WIDTH))
    assert shown.exit_code == told.exit_code, shown.output
    for name in names:
        assert name in shown.stdout
    drawn = [each for each in shown.stdout.splitlines() if each.startswith(("┃", "│", "┡"))]
    assert max(map(len, drawn), default=0) <= WIDTH


@pytest.mark.parametrize("line", ["summary sabre-detect-qvga", "profile sabre-detect-qvga"])
def test_what_the_zoo_claims(line, tmp_path):
    """Of a model that has not been built here."""
    settings = {"SYNET_CACHE": str(tmp_path), "COLUMNS": str(WIDTH)}
    told = synet_cli(f"{line} --json", **settings)
    claims = zoo.claims(zoo.read_definition(zoo.model_path("sabre-detect-qvga")))
    assert read(told.stdout)["claims"]["parameters"] == claims.parameters
    shown = synet_cli(line, **settings)
    assert shown.exit_code == 0 and f"{claims.parameters:,}" in shown.stdout
    *table, _ = shown.stdout.splitlines()
    assert max(map(len, table)) <= WIDTH and "…" not in shown.stdout


@pytest.mark.parametrize("name", int8_pairs.LONG_NAMES)
def test_the_long_names_are_there(name):
    assert len(name) >= 31 and name in synet_cli(f"summary {DEEP}", COLUMNS="80").stdout


def test_quantize_as_json(folder):
    told = read((folder / "quantized.json").read_text())
    assert told["path"] == "tiny.tflite"
    assert told["bytes"] == (folder / "tiny.tflite").stat().st_size
    assert 0 <= told["keras"]["scores"] < 1e-4
    assert told["calibration"]["source"] == "random images"


def test_predict_as_json(folder):
    told = read(synet_cli("predict tiny.tflite data/images/val --out found --json").stdout)
    assert told["images"] == len(told["drawn"]) == 2
    results = json.loads((folder / told["folder"] / "predictions.json").read_text())
    assert told["found"] == len(results)


def test_what_is_no_number_is_null(folder):
    (folder / "background.yaml").write_text("path: empty\nval: images\nnames: [a, b, c]\n")
    draw_dataset(folder / "empty", train=1, val=1, test=1, shape=(128, 192))
    for file in (folder / "empty" / "labels").rglob("*.txt"):
        file.write_text("")
    told = synet_cli("evaluate tiny.tflite --data background.yaml --json")
    assert told.exit_code == 0, told.output
    assert read(told.stdout)["map50"] is None


def test_where_the_chip_says_no_it_ends_with_3():
    """Apart from 2, which is the user's mistake."""
    told = synet_cli(f"profile {DEEP} --chip katana --json")
    assert told.exit_code == 3
    found = read(told.stdout)
    assert not found["fits"] and found["problems"] and "does not fit katana" in found["verdict"]
    assert synet_cli(f"-q profile {DEEP} --chip katana").stdout == f"{found['verdict']}\n"
    assert synet_cli(f"profile {DEEP} --chip katanna").exit_code == 2


def test_quiet_leaves_the_last_line_and_errors():
    line = f"evaluate tiny.tflite --data {DATA}"
    loud, quiet = synet_cli(line), synet_cli(f"-q {line}")
    assert quiet.exit_code == 0
    assert quiet.stdout.splitlines() == loud.stdout.splitlines()[-1:]
    assert quiet.stderr == "" != loud.stderr
    wrong = synet_cli("-q profile none.tflite")
    assert wrong.exit_code == 2 and wrong.stdout == ""
    assert wrong.stderr == synet_cli("profile none.tflite").stderr != ""


def test_verbose_tells_each_step_and_leaves_the_log_as_it_was(capfd):
    logger = logging.getLogger("synet")
    before = logger.level, [*logger.handlers], logger.propagate
    told = synet_cli(f"-v summary {DEEP}"), synet_cli(f"-v {COMPARE}")
    assert [each.exit_code for each in told] == [0, 0]
    steps = capfd.readouterr().err.splitlines()
    assert [line.split(" ms  ")[1] for line in steps] == [
        f"reading {DEEP}",
        "starting",
        "comparing",
    ]
    assert (logger.level, logger.handlers, logger.propagate) == before


def test_the_zoo_is_told_whole():
    assert [each["name"] for each in read(synet_cli("zoo list --json").stdout)] == zoo.names()
