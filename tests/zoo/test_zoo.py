from __future__ import annotations

import copy
import dataclasses
import math
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from compilers import asking
from keras_twin import BAR, draw, settle
from micro_twin import assert_same_in_micro

from synet import zoo
from synet.chips import get_chip
from synet.custom_patches import unpatch
from synet.data.drawn_shapes import draw_dataset
from synet.export.convert import to_keras
from synet.inspection.zoo_create import computed_claims, row_figures
from synet.layers.heads import PIXELS, head_form
from synet.models.get_model import get_model, to_tflite_bytes
from synet.system.errors import SynetError
from synet.tflite.model import TfliteModel
from synet.verdict.judge import judge
from synet.verdict.vela import compile_for

NAMES = zoo.names()
SABRE = [name for name in NAMES if name.startswith("sabre-")]
SHAPES = {
    **{"kvga": (480, 640), "kqvga": (240, 320)},
    **{"vga": (480, 640), "wqvga": (256, 480), "qvga": (240, 320)},
}
OUTPUTS = {
    "detect": {"x1y1", "x2y2", "scores"},
    "pose": {"x1y1", "x2y2", "scores", "keypoints", "presence"},
    "segment": {"x1y1", "x2y2", "scores", "coefficients", "prototypes"},
    "classify": {"probabilities"},
}
COSTS = {"sram_bytes": 1, "weight_bytes": 1, "cycles": 1, "placement": "vmem"}
# The vendor's models, which ours of that task and shape have to beat.
VENDOR = {
    "sabre-detect-vga": "person_detection_480x640",
    "sabre-keypoint-wqvga": "person_pose_detection_256x480",
}


def some(names, every_time):
    """Names as parameters, those that are left to slow runs marked."""
    return [
        name if every_time(name) else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def is_small(name):
    return not name.startswith("sabre-") or name.endswith("-qvga")


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


@pytest.mark.parametrize("name", [name for name in NAMES if "keypoint" in name])
def test_pose_is_another_word_for_keypoint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alias = name.replace("keypoint", "pose")
    assert zoo.find_model_path(f"{alias}.yaml") == zoo.find_model_path(alias) == packaged(name)
    with pytest.raises(SynetError, match=f"did you mean .*{name}"):
        zoo.model_path(f"{alias}a")


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
        ("sabre-detection-qvga", "did you mean .*sabre-detect-qvga"),
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
        ({"chip": 7}, "m.yaml: synet: chip: 7 is not a name"),
        ({"macs": -1}, "m.yaml: synet: macs: -1 is not a whole number"),
        ({"cycles": "7"}, "m.yaml: synet: cycles: '7' is not a whole number"),
        *(
            ({"compilers": costs}, "m.yaml: synet: compilers: .* is not the costs of each version")
            for costs in (7, {"4.3": {"cycles": 7}}, {4.3: COSTS}, {"4.3": {**COSTS, "cycles": 0}})
        ),
        *(
            ({"image_shape": shape}, r"m.yaml: synet: image_shape: .* is not \[height, width\]")
            for shape in (640, [640], [1, 2, 3], [0, 4], ["4", 4], [4.0, 4], "4x4")
        ),
    ],
)
def test_claims_that_are_none(given, said):
    with pytest.raises(SynetError, match=said):
        zoo.claims({"synet": given}, "m.yaml")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        *(("nc", value, "a whole number above 0") for value in (0, -1, 1.5, "2", None, True)),
        *(("ch", value, "a whole number above 0") for value in (0, [3])),
        *(("width_multiple", value, "a number above 0") for value in (0, -0.5, "half", math.inf)),
        ("depth_multiple", 0, "a number above 0"),
    ],
)
def test_numbers_that_no_model_for_a_chip_has(key, value, said):
    given = {"synet": {"chip": "katana"}, key: value}
    with pytest.raises(SynetError) as caught:
        zoo.claims(given, "m.yaml")
    assert str(caught.value) == f"m.yaml: {key}: {value!r} is not {said}"
    assert zoo.claims({key: value}) == zoo.Claims()  # a fork's own yaml is its own affair


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


@cache
def exported(name):
    torch.manual_seed(0)
    content = to_tflite_bytes(name)
    unpatch()
    return content


@cache
def compiled(name):
    return compile_for(exported(name), get_chip(claims(name).chip))


@pytest.mark.parametrize("name", some(NAMES, lambda name: is_small(name) or name in VENDOR))
def test_every_claim_is_true(name, monkeypatch):
    monkeypatch.setattr("synet.data.calibration.INSPECTION", 2)  # no claim depends on numbers
    made, model = claims(name), built(name)
    assert model.image_shape == made.image_shape and model.synet["chip"] == made.chip
    judged = judge(exported(name), get_chip(made.chip))
    assert judged.violations == ()
    file = TfliteModel(exported(name))
    assert (file.image_shape, file.channels) == (made.image_shape, judged.chip.image_channels)
    assert {port.name for port in file.outputs} == OUTPUTS[zoo.task(definition(name))]
    found = computed_claims(model, judged)
    assert_equal(found, dataclasses.replace(made, compilers={}))
    figures = row_figures(judged.graph, len(layers(name)))
    for number, line in enumerate(row_lines(name) if name not in SABRE else ()):
        told = [float(word) for word in line.partition("# ")[2].split()[1:5]]
        assert told == pytest.approx(figures[number], rel=0.01, abs=0.06), line
    assert_same_in_micro(exported(name))  # here, where the file is made


def assert_equal(found, made):
    """Random weights are others in another torch: compressed, and ordered, a little differently."""
    for claim in dataclasses.fields(made):
        room = {"sram_bytes": 0.05, "weight_bytes": 0.01, "cycles": 0.01}.get(claim.name)
        bar = getattr(made, claim.name)
        assert getattr(found, claim.name) == (pytest.approx(bar, rel=room) if room else bar)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", SABRE)
def test_the_other_compiler_says_what_is_claimed_of_it(name, monkeypatch):
    monkeypatch.setattr("synet.data.calibration.INSPECTION", 2)
    chip = get_chip("sabre")
    for version in chip.compiler.versions[1:]:
        found = computed_claims(built(name), judge(exported(name), asking(chip, version)))
        assert_equal(found, dataclasses.replace(claims(name).by(version), compilers={}))


@pytest.mark.parametrize("name", NAMES)
def test_every_cost_is_claimed(name):
    made = claims(name)
    costs = (made.sram_bytes, made.weight_bytes, made.cycles, made.placement)
    assert 0 not in (made.parameters, made.macs)
    if get_chip(made.chip).compiler is None:
        assert made.peak_activation_bytes and not any(costs)
    else:
        assert all(costs) and not made.peak_activation_bytes
    chip = get_chip(made.chip)
    assert list(made.compilers) == [*(chip.compiler.versions[1:] if chip.compiler else ())]


@pytest.mark.parametrize("name", SABRE)
def test_all_of_a_model_lies_in_the_two_fast_memories(name):
    made, memories = claims(name), get_chip("sabre").compiler.memories
    vmem, lpmem = memories["vmem"].bytes, memories["lpmem"].bytes
    if name.endswith("-qvga"):
        assert made.placement == "vmem"
    if made.placement == "vmem":
        assert made.sram_bytes + made.weight_bytes <= vmem
    else:
        assert made.sram_bytes <= vmem and made.weight_bytes <= lpmem


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_model_needs_more_and_computes_less(name, shared):
    theirs = (shared / "models" / f"{VENDOR[name]}.tflite").read_bytes()
    bar, ours = compile_for(theirs, get_chip("sabre")), compiled(name)
    assert claims(name).image_shape == TfliteModel(theirs).image_shape
    assert ours.sram_bytes <= bar.sram_bytes
    assert ours.weight_bytes <= bar.weight_bytes
    assert ours.cycles < bar.cycles
    assert ours.macs > bar.macs
    assert ours.macs_per_cycle > 1.25 * bar.macs_per_cycle


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_what_it_is(name):
    chip, *words = name.split("-")
    assert claims(name).chip == chip
    assert claims(name).image_shape == SHAPES[words[-1]]
    assert definition(name)["ch"] == get_chip(chip).image_channels
    if len(words) > 1:
        assert zoo.task(definition(name)) == {"keypoint": "pose"}.get(words[0], words[0])


def layers(name):
    return zoo.rows_of(definition(name))


def row_lines(name):
    """The lines of a yaml that a layer stands on."""
    text = Path(packaged(name)).read_text()
    rows = [line for line in text.splitlines() if line.lstrip().startswith("- [") and "," in line]
    return rows[-len(layers(name)) :]


@pytest.mark.parametrize("task", ["detect", "keypoint", "segment", "classify"])
@pytest.mark.parametrize("shape", ["vga", "wqvga", "qvga"])
def test_models_for_sabre_differ_where_they_have_to(task, shape):
    name = f"sabre-{task}-{shape}"
    detect, vga = layers(f"sabre-detect-{shape}"), layers(f"sabre-{task}-vga")
    own = layers(name)
    assert definition(name)["backbone"][:9] == definition(f"sabre-detect-{shape}")["backbone"][:9]
    if shape == "wqvga":
        assert own[1:] == vga[1:]
    if task != "classify":
        others = [row for row, its in zip(own, detect, strict=True) if row != its]
        to_head = own[-1][0] if task == "keypoint" else []
        assert others[:-1] == [own[i] for i in to_head] and others[-1:] == own[-1:] * (
            task != "detect"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_numbers_every_layer(name):
    rows = row_lines(name)
    for number, line in enumerate(rows):
        assert line.partition("# ")[2].split()[0] == str(number), line
    for line in rows[1:] if name not in SABRE else ():
        kib = line.partition("# ")[2].split()[1]
        assert kib.replace(".", "").isdigit(), line


@pytest.mark.parametrize("shape", ["own", (241, 323)], ids=str)
@pytest.mark.parametrize("name", some(NAMES, is_small))
def test_keras_equals_torch(name, shape):
    """Every output, against torch in double precision."""
    model = built(name)
    shape = model.image_shape if shape == "own" else shape
    image = draw(1, definition(name)["ch"], *shape, low=0, high=1)
    found = to_keras(model, shape, image.shape[1])(image.permute(0, 2, 3, 1).numpy())
    exact = copy.deepcopy(model).double()
    head = exact.model[-1]
    if hasattr(head, "stride"):
        head.stride = head.stride.double()
    if hasattr(head, "grid"):
        head.grid = [torch.empty(0)] * head.nl
    with torch.no_grad():
        wanted = head_form(head).as_exported(head, exact(image.double()), shape)
    assert list(found) == list(wanted)
    for output, values in wanted.items():
        unit = max(shape) if output in PIXELS else 1
        np.testing.assert_allclose(
            np.asarray(found[output]) / unit, values / unit, rtol=0, atol=BAR, err_msg=output
        )
        spread = max(shape) / 2 if output == "x1y1" else 1e-6
        assert np.ptp(wanted[output]) > spread


TRAINING = """
import os

from synet.custom_patches import patch_custom

patch_custom("sabre")

from ultralytics import YOLO

model = YOLO("sabre-detect-qvga.yaml")
options = {"epochs": 1, "imgsz": 64, "batch": 4, "workers": 0, "plots": False}
model.train(data="data.yaml", device="cpu", project=os.path.abspath("runs"), **options)
"""


def test_two_lines_train_it(tmp_path):
    """In a process of its own, as a user's script would."""
    draw_dataset(tmp_path, train=4, val=2, test=1, shape=(120, 160))
    ran = subprocess.run(
        [sys.executable, "-c", TRAINING], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    (best,) = tmp_path.rglob("best.pt")
    model = get_model(best)
    assert len(model.model) == len(layers("sabre-detect-qvga"))
    assert list(model.names.values()) == ["circle", "square", "triangle"]
    assert model.model[-1].reg_max == 1


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
