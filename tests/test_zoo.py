from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from keras_twin import BAR, draw, settle

from synet import zoo
from synet.chips import get_chip, violations
from synet.custom_patches import unpatch
from synet.errors import SynetError
from synet.graph import read_graph
from synet.layers.heads import head_form
from synet.models import get_model
from synet.quantize import to_keras, to_tflite_bytes
from synet.tflite import TfliteModel

NAMES = zoo.names()


@pytest.fixture(autouse=True)
def no_patch_is_left():
    yield
    unpatch()


# --- find_model_path: safe to call on whatever a user typed ------------------------------------


def packaged(name):
    (path,) = zoo.FOLDER.rglob(f"{name}.yaml")
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_zoo_name_becomes_the_packaged_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.find_model_path(name) == packaged(name)
    assert zoo.find_model_path(f"{name}.yaml") == packaged(name)
    assert zoo.find_model_path(Path(f"{name}.yaml")) == packaged(name)
    assert zoo.model_path(name) == Path(packaged(name))


@pytest.mark.parametrize("kind", [str, Path])
def test_an_existing_file_is_returned_as_it_was_given(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("katana-kvga.yaml").write_text("mine: true\n")
    Path("models").mkdir()
    Path("models/ours.yaml").touch()
    for name in ("katana-kvga.yaml", "./katana-kvga.yaml", "models/ours.yaml"):
        given = kind(name)
        assert zoo.find_model_path(given) is given
    assert zoo.find_model_path("katana-kvga") == packaged("katana-kvga")


@pytest.mark.parametrize(
    "name",
    [
        *("", None, "none.yaml", "models/yolov5n.yaml", "katana", "katana-kvga.yml", "best.pt"),
        *("katana/katana-kvga.yaml", "KATANA-KVGA", Path("none.yaml"), Path(""), "..", "*"),
        *({"nc": 1}, 7, ["katana-kvga.yaml"], False),
    ],
    ids=repr,
)
def test_anything_else_is_returned_unchanged(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.find_model_path(name) is name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("katana-vga.yaml", "did you mean .*katana-kvga"),
        ("katana-kqvg", "did you mean katana-kqvga"),
        ("yolov9.yaml", "the zoo has katana-kqvga, katana-kvga"),
    ],
)
def test_a_wrong_name_suggests_near_ones(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SynetError, match=f"^{name}: no such file, and no such zoo model; {hint}"):
        zoo.model_path(name)


# --- definitions and claims --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "a model yaml is a mapping"),
        ("", "a model yaml is a mapping"),
        ("a: [1\nb: 2", "not a yaml file"),
        ("!!python/object/apply:os.system [echo]", "not a yaml file"),
    ],
)
def test_files_that_are_no_definitions(text, said, tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(SynetError, match=said) as caught:
        zoo.read_definition(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["none.yaml", "."])
def test_what_cannot_be_read(path, tmp_path):
    with pytest.raises(SynetError, match="cannot be read"):
        zoo.read_definition(tmp_path / path)


def test_a_yaml_without_claims_makes_none():
    assert zoo.claims({"nc": 1}) == zoo.Claims()
    assert zoo.claims({"synet": None}) == zoo.Claims()
    assert zoo.claims({"synet": {"chip": "katana", "image_shape": [2, 3]}}) == zoo.Claims(
        "katana", (2, 3)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chips": "katana"}, "m.yaml: synet: 'chips' is not a claim; there are chip, image_shape"),
        ("katana", "m.yaml: synet: 'katana' is not a claim"),
        *(
            ({"image_shape": shape}, r"m.yaml: synet: image_shape: .* is not \[height, width\]")
            for shape in (640, [640], [1, 2, 3], [0, 4], ["4", 4], [4.0, 4], "4x4")
        ),
    ],
)
def test_claims_that_are_none(given, said):
    with pytest.raises(SynetError, match=said):
        zoo.claims({"synet": given}, "m.yaml")


def test_every_model_has_its_own_name():
    assert NAMES == sorted({path.stem for path in zoo.FOLDER.rglob("*.yaml")})
    assert {"katana-kvga", "katana-kqvga"} <= set(NAMES)


# --- each model, built -------------------------------------------------------------------------


def definition(name):
    return zoo.read_definition(packaged(name))


def claims(name):
    return zoo.claims(definition(name), name)


@cache
def built(name):
    model = get_model(name)
    unpatch()
    return settle(model)


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_is_true(name, monkeypatch):
    monkeypatch.setattr("synet.calibration.INSPECTION", 2)  # no claim depends on numbers
    made, model = claims(name), built(name)
    assert 0 not in (made.parameters, made.macs, made.peak_activation_bytes)
    assert model.image_shape == made.image_shape and model.synet["chip"] == made.chip
    assert sum(p.numel() for p in model.parameters()) == made.parameters
    content = to_tflite_bytes(name)
    graph, chip = read_graph(content), get_chip(made.chip)
    assert graph.macs == made.macs
    assert graph.peak_activation()[0] == made.peak_activation_bytes
    assert violations(graph, chip) == []
    file = TfliteModel(content)
    assert (file.image_shape, file.channels) == (made.image_shape, chip.image_channels)
    assert {port.name for port in file.outputs} == {"x1y1", "x2y2", "scores"}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_what_it_is(name):
    assert name.startswith(f"{claims(name).chip}-")
    shapes = {"kvga": (480, 640), "kqvga": (240, 320)}
    assert claims(name).image_shape == shapes[name.rpartition("-")[2]]
    assert definition(name)["ch"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_says_what_each_layer_costs(name):
    text = Path(packaged(name)).read_text()
    rows = [line for line in text.splitlines() if line.lstrip().startswith("- [") and "," in line]
    layers = rows[-len(definition(name)["backbone"]) - len(definition(name)["head"]) :]
    for number, line in enumerate(layers):
        assert line.partition("# ")[2].split()[0] == str(number), line
    for line in layers[1:]:
        kib = line.partition("# ")[2].split()[1]
        assert kib.replace(".", "").isdigit(), line


@pytest.mark.parametrize("shape", ["own", (241, 323)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_keras_equals_torch(name, shape):
    """Every output, against torch in double precision."""
    model = built(name)
    shape = model.image_shape if shape == "own" else shape
    image = draw(1, 1, *shape, low=0, high=1)
    found = to_keras(model, shape, 1)(image.permute(0, 2, 3, 1).numpy())
    exact = copy.deepcopy(model).double()
    head = exact.model[-1]
    head.stride, head.grid = head.stride.double(), [torch.empty(0)] * head.nl
    with torch.no_grad():
        wanted = head_form(head).as_exported(head, exact(image.double()), shape)
    assert list(found) == list(wanted)
    for output, values in wanted.items():
        unit = 1 if output == "scores" else max(shape)
        np.testing.assert_allclose(
            np.asarray(found[output]) / unit, values / unit, rtol=0, atol=BAR, err_msg=output
        )
    assert np.ptp(wanted["x1y1"]) > max(shape) / 2
    assert np.ptp(wanted["scores"]) > 1e-6


def test_width_and_depth_multiples_apply(tmp_path):
    wide = {**definition("katana-kqvga"), "width_multiple": 0.5, "depth_multiple": 0.5}
    path = tmp_path / "half.yaml"
    path.write_text(yaml.safe_dump(wide))
    half, full = get_model(path), built("katana-kqvga")
    channels = [
        next(m.out_channels for m in model.model[1].modules() if isinstance(m, torch.nn.Conv2d))
        for model in (half, full)
    ]
    assert channels == [8, 16]
    assert (
        0.15 < sum(p.numel() for p in half.parameters()) / claims("katana-kqvga").parameters < 0.5
    )
