from __future__ import annotations

import copy
from pathlib import Path

import pytest
import tiny_yolo
import yaml
from click.testing import CliRunner

from synet import zoo
from synet.cli import main
from synet.custom_patches import unpatch
from synet.inspection.zoo_create import Changes, changed, create
from synet.models.get_model import get_model, to_tflite_bytes
from synet.system.errors import ChipError, SynetError
from synet.tflite.graph import read_graph

HERE = Path("ours.yaml")
SECTION = "synet: {chip: katana, image_shape: [64, 64]}\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Files are made in the working directory, and the process may be patched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("synet.data.calibration.INSPECTION", 2)  # no claim depends on numbers
    yield
    unpatch()


def definition(name):
    return zoo.read_definition(zoo.model_path(name))


def of(name, out=HERE, **values):
    """A zoo model's definition with changes."""
    path = zoo.model_path(name)
    return changed(definition(name), Changes(**values), path, out)


# --- the definition -----------------------------------------------------------------------------


def test_multiples_are_those_of_yolo():
    new = of("katana-kqvga", width=0.5, depth=2, nc=3, image_shape=(256, 320))
    assert (new["width_multiple"], new["depth_multiple"], new["nc"]) == (0.5, 2, 3)
    assert new["synet"]["image_shape"] == [256, 320]
    assert zoo.rows_of(new) == zoo.rows_of(definition("katana-kqvga"))


def test_what_the_multiples_do_not_reach_is_scaled_in_the_row():
    old, new = definition("sabre-detect-vga"), of("sabre-detect-vga", width=0.7, depth=0.5)
    pairs = list(zip(zoo.rows_of(old), zoo.rows_of(new), strict=True))
    stages = [(a[3], b[3]) for a, b in pairs if a[2] == "CSP"]
    assert ([64, 4, 64], [64, 2, 48]) in stages and ([128, 3], [128, 2]) in stages
    assert all(a == b for a, b in pairs if a[2] != "CSP")
    again = changed(new, Changes(width=1.0, depth=1.0), HERE, HERE)
    assert ([64, 4, 72]) in [row[3] for row in zoo.rows_of(again)]


def test_gray_images_for_a_model_in_colour_and_back():
    old = definition("sabre-keypoint-vga")
    gray = of("sabre-keypoint-vga", channels=1)
    assert gray["ch"] == 1 and gray["kpt_shape"] == old["kpt_shape"]
    rows = zoo.rows_of(gray)
    assert rows[0] == [-1, 1, "Grayscale", []] and len(rows) == len(zoo.rows_of(old)) + 1
    for (source, *rest), (before, *same) in zip(rows[1:], zoo.rows_of(old), strict=True):
        many = isinstance(before, list)
        moved = [n + (n >= 0) for n in (before if many else [before])]
        assert (source, rest) == (moved if many else moved[0], same)
    assert changed(gray, Changes(channels=3), HERE, HERE) == old
    assert of("sabre-keypoint-vga", channels=3) == old
    assert of("katana-kvga", channels=1) == definition("katana-kvga")


def test_a_yaml_with_scales_keeps_the_one_in_use():
    scales = {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]}
    given = {**definition("sabre-detect-vga"), "scales": scales}
    for source, out, wanted in (
        ("yolov8s.yaml", "ours.yaml", {"s": [0.33, 0.3, 1024]}),
        ("yolov8.yaml", "yolov8m.yaml", {"m": [0.33, 0.3, 1024]}),
        ("ours.yaml", "out.yaml", {"n": [0.33, 0.3, 1024]}),
    ):
        new = changed(copy.deepcopy(given), Changes(width=0.3), Path(source), Path(out))
        assert new["scales"] == wanted and "width_multiple" not in new
    assert given["scales"] == scales
    for bad in (3, [0.5], [0, 1, 8], ["a", 1, 8]):
        with pytest.raises(SynetError, match=r"^m.yaml: scales: n: .* is not \[depth, width, most"):
            changed({**given, "scales": {"n": bad}}, Changes(width=1), Path("m.yaml"), HERE)


# --- the file -----------------------------------------------------------------------------------


def test_a_changed_copy_and_its_claims():
    source = tiny_yolo.write(Path())
    before = source.read_text()
    changes = Changes(width=2, nc=3, image_shape=(96, 128))
    made = create(source, changes)
    assert made.path == Path("tiny-w2-nc3-96x128.yaml") and source.read_text() == before
    assert {path.name for path in Path().iterdir()} == {"tiny.yaml", made.path.name}
    found = zoo.read_definition(made.path)
    claims = zoo.claims(found)
    assert claims == made.after and claims.image_shape == (96, 128)
    expected = changed(zoo.read_definition(source), changes, source, made.path)
    assert {**found, "synet": None} == {**expected, "synet": None}
    # true of what any command makes of it
    network, graph = get_model(made.path), read_graph(to_tflite_bytes(made.path))
    assert claims.parameters == sum(p.numel() for p in network.parameters())
    assert (claims.macs, claims.peak_activation_bytes) == (graph.macs, graph.peak_activation()[0])
    assert len(network.names) == 3 and network.image_shape == (96, 128)
    back = changed(found, Changes(width=1, nc=2, image_shape=(64, 96)), made.path, HERE)
    assert zoo.rows_of(back) == zoo.rows_of(yaml.safe_load(before))


def test_what_does_not_fit_is_told_and_not_written():
    tiny_yolo.write(Path())
    arguments = ["zoo", "create", "tiny.yaml", "--image-size", "768", "1152", "-o", "large.yaml"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 3 and not Path("large.yaml").exists()
    (line,) = refused.stderr.splitlines()
    assert line.startswith("synet: does not fit katana: ")
    assert line.endswith(", it fits; no file was written, --force writes it")
    forced = CliRunner().invoke(main, [*arguments, "--force"])
    assert forced.exit_code == 0 and forced.stderr.startswith("problem: ")
    *_, verdict, wrote = forced.stdout.splitlines()
    assert verdict.startswith("does not fit katana: ") and wrote == "wrote large.yaml"
    assert zoo.claims(zoo.read_definition("large.yaml")).image_shape == (768, 1152)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "nothing to change in katana-kqvga: give --width, "),
        ({"nc": 0}, "^katana-kqvga: nc: 0 is not a whole number above 0"),
        ({"width": 0}, "width_multiple: 0 is not a number above 0"),
        ({"width": float("inf")}, "width_multiple: inf is not a number above 0"),
        ({"channels": 2}, "katana-kqvga: ch: 2 is not 1 .gray. or 3 .colour."),
        ({"depth": float("nan")}, "depth_multiple: nan is not a number above 0"),
        ({"image_shape": (240, 0)}, r"image_shape: \[240, 0\] is not \[height, width\]"),
        ({"image_shape": (250, 320)}, "250x320 is no multiple of the largest stride, 16; 256x320"),
        ({"channels": 3}, "made for katana, whose camera gives 1 channel, not 3"),
    ],
    ids=repr,
)
def test_values_that_cannot_be(values, said):
    with pytest.raises(SynetError, match=said) as caught:
        create("katana-kqvga", Changes(**values))
    assert not isinstance(caught.value, ChipError) and "\n" not in str(caught.value)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_written_over(link):
    if link:
        HERE.symlink_to("nowhere.yaml")
    else:
        HERE.write_text("mine")
    with pytest.raises(SynetError, match="ours.yaml exists"):
        create("katana-kqvga", Changes(nc=2), HERE)
    assert [path.name for path in Path().iterdir()] == ["ours.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nc: 1\nbackbone: []\n", "names no chip and image size"),
        ("synet: {chip: katana}\nnc: 1\n", "names no chip and image size"),
        ("synet: {chip: katan, image_shape: [8, 8]}\nbackbone: [[-1, 1, Conv, [8]]]\n", "katan"),
        ("- a\n", "a model yaml is a mapping"),
        (f"{SECTION}nc: 1\n", "given.yaml: no backbone and head, each a list of layers"),
        (f"{SECTION}nc: 1\nbackbone: 7\nhead: []\n", "no backbone and head"),
        (f"{SECTION}nc: 1\nbackbone: [[-1, 1, Conv]]\nhead: []\n", "layer 0: a layer is .from"),
        (f"{SECTION}nc: 1\nbackbone: [[a, 1, Conv, []]]\nhead: []\n", "layer 0: a layer is"),
    ],
)
def test_yamls_that_cannot_be_changed(text, said):
    Path("given.yaml").write_text(text)
    with pytest.raises(SynetError, match=said) as caught:
        create("given.yaml", Changes(nc=2, channels=1), HERE)
    assert "\n" not in str(caught.value)
    assert not HERE.exists()


@pytest.mark.parametrize("out", ["ours", "ours.pt", "best.txt"])
def test_the_file_is_a_yaml(out):
    with pytest.raises(SynetError, match=f"^{out}: the name of a model yaml ends in .yaml"):
        create("katana-kqvga", Changes(nc=2), out)
