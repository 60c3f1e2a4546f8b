"""How rows of a model yaml become layers of the installed yolov5, and what is said where not."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch
import yaml
from changed_file import write_changed
from model_yaml import model_yaml
from patched import patched_fork
from torch import nn

from synet import layers, zoo
from synet.custom_patches import unpatch
from synet.models.forks import build_model
from synet.models.locate import installed
from synet.patches.target import only
from synet.system.errors import ChipError, DataError, PatchError, SynetError

MIXED = model_yaml(
    backbone="""
    [-1, 1, Grayscale, []]
    [-1, 1, Conv, [16, 3, 2]]
    [-1, 1, Stem, [32]]
    [-1, 4, InvertedResidual, [32, 1, 2]]
    [-1, 4, C3, [32]]
    [[-1, 3, 2], 1, Add, []]
    [-1, 1, Conv, [64, 3, 2]]
    [-1, 1, SPPF, [64, 5]]
    """,
    head="""
    [-1, 1, nn.Upsample, [None, 2, nearest]]
    [[-1, 5], 1, Concat, [1]]
    [-1, 1, Head, [32]]
    [[10, 7], 1, Detect, [nc, anchors]]
    """,
    about="synet: {chip: katana, image_shape: [72, 96]}\n",
    multiples=(0.5, 0.5),
)
LINE = {text.strip(): number for number, text in enumerate(MIXED.splitlines(), 1)}


@pytest.fixture(scope="module")
def fork():
    yield patched_fork(installed("yolov5"), "katana")
    unpatch()


@pytest.fixture
def build(fork, tmp_path):
    def build(*changes: tuple[str, str]) -> nn.Module:
        return build_model(write_changed(tmp_path / "mixed.yaml", MIXED, *changes))

    return build


def fails(build, kind, old: str, new: str, row: str) -> str:
    """Build with `old` made `new`; the error must name the line of `row`."""
    with pytest.raises(kind) as caught:
        build((old, new))
    message = str(caught.value)
    assert "\n" not in message
    assert re.match(rf"\S+mixed\.yaml:{LINE[row]}: ", message), message
    return message.partition(": ")[2]


def in_out(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_channels, m.out_channels) for m in module.modules() if isinstance(m, nn.Conv2d)]


# ------------------------------------------------------------------------------ what is built


def test_width_and_depth_multiples_reach_zoo_layers(build):
    model = build().model
    stem, stack, c3 = model[2], model[3], model[4]
    assert type(stem) is layers.Stem and in_out(stem) == [(8, 4), (4, 16)]
    assert type(stack) is nn.Sequential and len(stack) == 2  # 4 x depth_multiple
    assert in_out(stack[0]) == [(16, 32), (32, 32), (32, 16)]  # 32 x width_multiple, expand 2
    assert len(c3.m) == 2
    assert in_out(model[10])[-1][1] == 16


def test_only_the_first_of_a_stack_strides(build):
    strided = ("4, InvertedResidual, [32, 1, 2]", "4, InvertedResidual, [32, 2, 2]")
    model = build(strided, ("[[-1, 3, 2], 1, Add, []]", "[[-1, 3], 1, Add, []]"))
    first, second = model.model[3]
    assert first.depthwise.conv.stride == (2, 2) and second.depthwise.conv.stride == (1, 1)
    assert model.stride.tolist() == [16, 32]


def test_add_reads_every_input(build):
    model = build().eval()
    add = model.model[5]
    assert type(add) is layers.Add and add.f == [-1, 3, 2]
    assert {2, 3} <= set(model.save)
    seen = {}
    for index in (2, 3, 4, 5):
        model.model[index].register_forward_hook(
            lambda _, __, result, index=index: seen.__setitem__(index, result)
        )
    model(torch.rand(1, 1, 64, 96))
    torch.testing.assert_close(seen[5], seen[4] + seen[3] + seen[2])


def test_grayscale_lets_colour_images_in(build):
    model = build().eval()
    assert type(model.model[0]) is layers.Grayscale and model.yaml["ch"] == 1
    gray = torch.rand(2, 1, 64, 96)
    torch.testing.assert_close(model(gray)[0], model(gray.expand(-1, 3, -1, -1))[0])


def test_nothing_of_the_fork_is_left_in_its_own_blocks(build, fork):
    common = importlib.import_module("yolov5.models.common")
    assert common.Conv is fork.names["Conv"] is layers.Conv
    stock = Path(common.__file__).with_name("yolov5n.yaml")
    for model in (build(), build_model(stock)):
        kinds = {type(module) for module in model.modules()}
        assert not kinds & {nn.SiLU, nn.MaxPool2d}
        assert {kind for kind in kinds if kind.__name__ in ("Conv", "Detect", "Concat", "Cat")} == {
            layers.Conv,
            layers.Detect,
            layers.Cat,
        }
        assert any(kind.__module__ == "yolov5.models.common" for kind in kinds)  # C3, SPPF
        assert {m.kernel_size for m in model.modules() if isinstance(m, layers.MaxPool2d)} == {5}
        assert (model.synet["chip"], model.synet["channels"]) == ("katana", 1)


def test_an_activation_in_the_yaml_is_not_run_and_not_used(build):
    poison = "nc: 2\nactivation: exec('raise SystemExit')"
    assert not [m for m in build(("nc: 2", poison)).modules() if isinstance(m, nn.SiLU)]


def test_the_definition_that_the_model_keeps_is_the_users(build):
    assert build().yaml["backbone"] == yaml.safe_load(MIXED)["backbone"]


def test_a_model_builds_again_from_the_mapping_it_keeps(build, fork):
    model = build()
    again = fork.names["Model"](model.yaml)
    assert [type(a) for a in again.modules()] == [type(a) for a in model.modules()]


def test_a_zoo_name_is_found_by_the_forks_own_functions(fork):
    path = zoo.find_model_path("katana-kqvga")
    general = importlib.import_module("yolov5.utils.general")
    assert general.check_yaml("katana-kqvga.yaml") == general.check_file("katana-kqvga") == path
    assert general.check_yaml(file="katana-kqvga.yaml") == path
    assert fork.names["Model"]("katana-kqvga").yaml["ch"] == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[-1, 1, Head, [32]]", "[-1, 1, Conv2d, [32, 3]]"),
        ("[[-1, 5], 1, Concat, [1]]", "[[-1, 5], 1, Cat, [1]]"),
        ("nn.Upsample, [None, 2, nearest]", "Upsample, [2]"),
        ("[-1, 4, C3, [32]]", "[-1, 1, MaxPool2d, [5]]"),
        ("[-1, 4, C3, [32]]", "[-1, 1, BatchNorm, [0]]"),
    ],
)
def test_low_level_layers_ride_too(build, old, new):
    model = build((old, new)).eval()
    assert model(torch.rand(1, 1, 64, 96))[0].shape == (1, 3 * (8 * 12 + 4 * 6), 7)


def test_attention_gives_way_to_what_the_chip_runs_and_is_told(build, caplog):
    model = build(("4, C3, [32]", "1, C3TR, [32]"))
    kinds = {type(module).__name__ for module in model.modules()}
    assert "Mixer" in kinds and not kinds & {"MultiheadAttention", "TransformerLayer"}
    (record,) = [r for r in caplog.records if "Mixer" in r.getMessage()]
    row = LINE["- [-1, 4, C3, [32]]"]
    assert re.match(rf"\S+mixed\.yaml:{row}: .*TransformerBlock", record.getMessage())


def test_stock_models_of_colour_images_see_gray_on_a_gray_camera(build):
    stock = Path(importlib.import_module("yolov5.models.common").__file__).with_name("yolov5n.yaml")
    model = build_model(stock).eval()
    assert type(model.model[0][0]) is layers.Grayscale and model.model[0].i == 0
    assert model.model[0][1].conv.in_channels == 1 and model.synet["channels"] == 1
    gray = torch.rand(1, 1, 64, 96)
    torch.testing.assert_close(model(gray)[0], model(gray.expand(-1, 3, -1, -1))[0])


# ----------------------------------------------------------------- a name that both sides know


@pytest.fixture
def forks_own_add(fork):
    class Add(nn.Module):
        def forward(self, x):
            return x

    builder = vars(fork.module)
    builder["Add"] = Add
    yield Add
    del builder["Add"]


def test_a_name_of_the_fork_is_the_forks_in_its_own_yaml(build, forks_own_add):
    header = ("synet: {chip: katana, image_shape: [72, 96]}\n", "")
    model = build(header, ("[[-1, 3, 2], 1, Add, []]", "[-1, 1, Add, []]"))
    assert type(model.model[5]) is forks_own_add


def test_a_name_of_the_fork_is_ours_in_a_yaml_made_for_synet(build, forks_own_add):
    assert type(build().model[5]) is layers.Add


# ------------------------------------------------------------------------- what cannot be built


def test_an_unknown_layer_and_its_neighbours(build):
    row = "- [-1, 1, Stem, [32]]"
    message = fails(build, PatchError, "Stem", "InvertedResidul", row)
    assert "no layer 'InvertedResidul' in yolov5.models.yolo" in message
    assert message.endswith("did you mean InvertedResidual?")


def test_an_unknown_layer_of_torch(build):
    row = "- [-1, 1, nn.Upsample, [None, 2, nearest]]"
    message = fails(build, PatchError, "nn.Upsample", "nn.Upsampel", row)
    assert "did you mean nn.Upsample" in message


@pytest.mark.parametrize(
    ("old", "new", "problem", "instead"),
    [
        ("[64, 3, 2]", "[64, 9, 2]", "kernel 9x9, the limit is 7x7", "at most 7x7"),
        ("4, C3, [32]", "1, nn.MaxPool2d, [[5, 3], 1, [2, 1]]", "kernel 5x3", "at most 3x3"),
        ("[None, 2, nearest]", "[None, 2, bilinear]", "RESIZE_BILINEAR", "nearest-neighbour"),
        ("Stem, [32]", "Conv, [32, 3, 2, 0]", "'same' padding", "(1, 1)"),
    ],
)
def test_what_the_chip_cannot_run(build, old, new, problem, instead):
    row = next(row for row in LINE if old in row)
    message = fails(build, ChipError, old, new, row)
    assert problem in message and instead in message


def test_grayscale_in_a_yaml_of_three_channels(build):
    message = fails(build, ChipError, "ch: 1\n", "\n", "- [-1, 1, Grayscale, []]")
    assert "write ch: 1" in message


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[-1, 1, Stem, [32]]", "[-1, Stem, [32]]", "a layer is [from, number, module"),
        ("[-1, 1, Stem, [32]]", "[-1, 1, Stem, 32]", "a layer is [from, number, module"),
        ("Stem, [32]", "Stem, []", "Stem: missing a required argument: 'c2'"),
        ("Stem, [32]", "Stem, [32, 4, 4]", "Stem: too many positional arguments"),
        ("Stem, [32]", "Stem, [32, x]", "Stem: TypeError"),
        ("Stem, [32]", "C3, [32, 1, 1, 1, 1, 1, 1]", "C3: TypeError"),
        ("Stem, [32]", "Stem, [wide]", "Stem: TypeError"),
    ],
)
def test_rows_that_are_wrong(build, old, new, problem):
    assert problem in fails(build, SynetError, old, new, "- [-1, 1, Stem, [32]]")


@pytest.mark.parametrize(
    "code",
    [
        """Stem, ["__import__('os').system('true')"]""",
        """Stem, ["[print(n) for n in 'a']"]""",
        """"(lambda c1, c2: nn.Identity())", [32]""",
        """os.system, ["true"]""",
        """Conv, ["nn.modules.module.warnings.sys.exit()"]""",
    ],
)
def test_code_in_a_row_is_not_run(build, code):
    message = fails(build, PatchError, "Stem, [32]", code, "- [-1, 1, Stem, [32]]")
    assert "is code, which no model yaml may hold" in message


def test_code_in_the_rows_of_a_checkpoint_is_not_run(fork, tmp_path):
    definition = yaml.safe_load(MIXED)
    definition["backbone"][1][3] = [f"open({str(tmp_path / 'made')!r}, 'w')"]
    with pytest.raises(PatchError, match=r"^model definition, layer 1: .* is code"):
        fork.names["Model"](definition)
    assert not (tmp_path / "made").exists()


def test_channels_that_do_not_add_up(build):
    row = "- [[-1, 3, 2], 1, Add, []]"
    message = fails(build, ChipError, "4, C3, [32]", "4, C3, [64]", row)
    assert message == "Add: a sum of 32 and 16 and 16 channels"


def test_images_that_do_not_belong_together(build):
    row = "- [[-1, 5], 1, Concat, [1]]"
    message = fails(build, ChipError, "[[-1, 5], 1,", "[[-1, 1], 1,", row)
    assert message == "Concat: images of 32x32 and 128x128 do not belong together"


def test_a_yaml_without_backbone(build):
    with pytest.raises(SynetError, match=r"mixed\.yaml: no 'backbone', a list of layers$"):
        build(("backbone:", "bakbone:"))


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_yaml_for_another_chip_in_a_script_for_one_chip(fork, tmp_path, monkeypatch, as_mapping):
    path = tmp_path / "other.yaml"
    path.write_text(MIXED.replace("chip: katana", "chip: sabre"))
    cfg = yaml.safe_load(path.read_text()) if as_mapping else str(path)
    model = fork.names["Model"](cfg)  # SyNet has patched by itself: the chip is the model's
    assert model.synet["chip"] == "sabre" and fork.chip == "katana"
    monkeypatch.setattr(fork, "target", only("katana"))
    with pytest.raises(ChipError, match="is made for sabre, and this process is patched for kat"):
        fork.names["Model"](cfg)


def test_a_definition_without_anchors_names_the_way_out(fork, tmp_path):
    anchors = MIXED[MIXED.index("anchors:") : MIXED.index("backbone:")]
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED.replace(anchors, "").replace("[nc, anchors]", "[nc]"))
    with pytest.raises(PatchError) as caught:
        fork.names["Model"](str(path))
    assert str(caught.value) == (
        f"{path}:{len(path.read_text().splitlines())}: Detect: the heads of yolov5.models.yolo "
        f"need anchors, and this definition has none; train it with: "
        f"synet ultralytics train model=mixed.yaml"
    )


# ----------------------------------------------------------------------------------- data yaml


def test_folders_of_a_data_yaml_start_at_the_yaml(fork, tmp_path, monkeypatch):
    check_dataset = importlib.import_module("yolov5.utils.general").check_dataset
    data, images = labelled(tmp_path)
    found = check_dataset(str(data))
    assert found["train"] == found["val"] == str(images)
    assert found["nc"] == 2 and dict(found["names"]) == {0: "a", 1: "b"}


def labelled(folder):
    """A data set of one image (its name is all that is looked at) with one label file."""
    images, labels = folder / "set" / "images", folder / "set" / "labels"
    for file in (images / "x.jpg", labels / "x.txt"):
        file.parent.mkdir(parents=True)
        file.touch()
    data = folder / "set" / "my.yaml"
    data.write_text("path: .\ntrain: images\nval: images\nnames: {0: a, 1: b}\n")
    return data, images


def test_a_split_without_images_or_labels(fork, tmp_path):
    check_dataset = importlib.import_module("yolov5.utils.general").check_dataset
    data, images = labelled(tmp_path)
    (tmp_path / "set" / "labels" / "x.txt").unlink()
    with pytest.raises(DataError, match="my.yaml: train: none of the 1 images has labels"):
        check_dataset(str(data))
    (images / "x.jpg").unlink()
    with pytest.raises(DataError, match="my.yaml: val: no images in "):
        check_dataset(str(data))


def test_a_data_set_that_is_elsewhere_is_left_to_the_fork(fork, tmp_path):
    general = importlib.import_module("yolov5.utils.general")
    data = tmp_path / "stock.yaml"
    data.write_text("path: ../nowhere\ntrain: images\nval: images\nnames: [a]\n")
    with pytest.raises(DataError, match="nowhere/images does not exist: Dataset not found"):
        general.check_dataset(str(data), autodownload=False)


def test_a_file_that_is_not_found(fork):
    general = importlib.import_module("yolov5.utils.general")
    with pytest.raises(SynetError, match="^File not found: nothing-like-it.yaml$"):
        general.check_file("nothing-like-it.yaml")
    with pytest.raises(SynetError, match="katana-kqvgaa.yaml; did you mean katana-kqvga or "):
        general.check_yaml("katana-kqvgaa.yaml")
