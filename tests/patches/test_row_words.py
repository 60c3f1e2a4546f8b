"""A row of a model holds layers and numbers; what else a fork's module holds is out of reach."""

from __future__ import annotations

import resource

import careless_fork
import pytest
import yaml
from careless_fork import DEFINITION, HONEST_ROWS, NO_LAYERS, ROW, hostile_rows

from synet.custom_patches import patch_custom, unpatch
from synet.patches.declaration import Fork
from synet.patches.layer_classes import LayerClasses
from synet.patches.row_words import RowWords
from synet.patches.target import REPAIRS_ALONE
from synet.patches.yolov5 import FAMILY
from synet.system.errors import SynetError


@pytest.fixture(scope="module")
def careless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("careless")
    canary = folder / "canary"
    root = careless_fork.write(folder, "careless_of_rows", canary)
    module = careless_fork.load(folder, "careless_of_rows")
    return Fork(module, root, FAMILY, REPAIRS_ALONE), canary


def row_of(text):
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", NO_LAYERS)
def test_what_is_no_layer(careless, name):
    fork, canary = careless
    value = RowWords(fork).named(name)
    assert value is not None
    assert LayerClasses(fork).why_not(value)
    assert not canary.exists()


def test_what_is_a_layer(careless):
    fork, _ = careless
    layers = LayerClasses(fork)
    for name in ("Conv", "DWConv", "Sized", "Concat", "Detect", "nn.Upsample", "torch.nn.SiLU"):
        assert not layers.why_not(RowWords(fork).named(name)), name
    assert layers.why_not(fork.names["Opening"]) == "calls open when it is made, as no layer does"
    assert layers.why_not(fork.names["MultiBackend"]) == "is made from 'weights', as no layer is"


@pytest.mark.parametrize("name", hostile_rows("x"))
def test_a_hostile_row_is_refused(careless, name):
    fork, canary = careless
    with pytest.raises(SynetError) as error:
        RowWords(fork).check(row_of(hostile_rows(canary)[name]))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
    assert not canary.exists()


@pytest.mark.parametrize("text", HONEST_ROWS)
def test_an_honest_row_is_let_pass(careless, text):
    RowWords(careless[0]).check(row_of(text))


def test_numbers_as_rows_have_them(careless):
    words = RowWords(careless[0])
    for number in (10**30, float("nan"), -float("inf"), "1e999", "-1000001", 1 + 2j):
        with pytest.raises(SynetError):
            words.check([-1, 1, "Sized", [number]])


@pytest.fixture
def patched(tmp_path):
    canary = tmp_path / "canary"
    root = careless_fork.write(tmp_path, f"careless_{abs(hash(tmp_path))}", canary)
    unpatch()
    patch_custom("katana", roots=[root])
    yield careless_fork.load(tmp_path, root.name), canary
    unpatch()


@pytest.mark.parametrize("given", ["file", "checkpoint"])
def test_a_patched_fork_builds_no_hostile_row(patched, tmp_path, given):
    """Whether a model is built from a file or, as when a run is resumed, from a mapping."""
    module, canary = patched
    file, rows = tmp_path / "model.yaml", hostile_rows(canary)
    for text in rows.values():
        file.write_text(DEFINITION.format(row=text))
        with pytest.raises(SynetError) as error:
            module.Model(str(file) if given == "file" else yaml.safe_load(file.read_text()), ch=1)
        place = f"{file}:8: " if given == "file" else "model definition, layer 1: "
        assert str(error.value).startswith(place)
        assert not canary.exists(), text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth_multiple: 1.0", "depth_multiple: .nan", "depth_multiple: nan is not a number"),
        ("depth_multiple: 1.0", "depth_multiple: 1.0e+9", "is not a number above 0, up to 10"),
        ("width_multiple: 1.0", "width_multiple: .inf", "width_multiple: inf is not a number"),
        ("nc: 2", "nc: 1000000000", "nc: 1000000000 is not a number above 0"),
        ("nc: 2", "nc: run()", "nc: 'run..' is not a number above 0"),
        ("anchors: [", "anchors: [[run()], ", "anchors: 'run..' is code"),
        ("nc: 2", "nc: 2\nmore: [[-1, 1, run, [1]]]", "more: 'run' is a function, and no layer"),
    ],
)
def test_what_else_a_definition_says(patched, tmp_path, old, new, message):
    module, canary = patched
    (tmp_path / "model.yaml").write_text(DEFINITION.format(row=ROW).replace(old, new))
    with pytest.raises(SynetError, match=f"model.yaml: .*{message}"):
        module.Model(str(tmp_path / "model.yaml"), ch=1)
    assert not canary.exists()


def test_a_patched_fork_builds_what_rows_say(patched, tmp_path):
    module, canary = patched
    for text in ("[-1, 3, Conv, [8, 3, 1]]", "[-1, 1, DWConv, [8, 3, 1]]"):
        (tmp_path / "model.yaml").write_text(DEFINITION.format(row=text))
        model = module.Model(str(tmp_path / "model.yaml"), ch=1)
        assert len(model.model) == 4
    assert model.model[1].conv.groups == 8
    assert not canary.exists()


def test_a_model_of_gigabytes_is_not_built(patched, tmp_path):
    module, _ = patched
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    for rows in (
        "[-1, 1, Conv, [99999, 3, 1]]\n  - [-1, 1, Conv, [99999, 3, 1]]",
        "[-1, 1, Conv, [9000, 9, 1]]\n  - [-1, 1, Conv, [9000, 9, 1]]",
        "[-1, 1, nn.Linear, [20000, 20000]]",
        '[-1, 1, Sized, [8, "nn.Linear(20000, 20000)"]]',
    ):
        (tmp_path / "model.yaml").write_text(DEFINITION.format(row=rows))
        with pytest.raises(SynetError, match="model.yaml:[89]: .*up to here the model takes"):
            module.Model(str(tmp_path / "model.yaml"), ch=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
