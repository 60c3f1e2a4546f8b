from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import int8_models
import pytest
import yaml

import synet.chips
from synet.chips import OpRule, chips, get_chip, read_chip
from synet.system.errors import ChipError
from synet.tflite.graph import Graph, Operator, Tensor, read_graph
from synet.verdict.check import ACTIVATIONS, WEIGHTS, violations

FILES = {name: Path(synet.chips.__file__).with_name(f"{name}.yaml") for name in chips()}


@pytest.fixture(scope="module")
def katana():
    return get_chip("katana")


@pytest.fixture(scope="module")
def good():
    return read_graph(int8_models.good())


@pytest.fixture(scope="module")
def bad():
    return read_graph(int8_models.bad())


# The record


def test_katana(katana):
    assert "katana" in chips()
    assert get_chip("katana") is katana
    assert (katana.name, katana.image_channels, katana.activation) == ("katana", 1, "relu6")
    assert katana.activations_max_bytes == 640 * 1024
    assert katana.weights_max_bytes == 512 * 1024
    assert katana.ops["MAX_POOL_2D"].kernel_max == 3
    assert katana.ops["ADD"] == OpRule()
    assert "PAD" not in katana.ops
    with pytest.raises(TypeError):
        katana.ops["PAD"] = OpRule()
    with pytest.raises(dataclasses.FrozenInstanceError):
        katana.weights_max_bytes = 1 << 30


@pytest.mark.parametrize("name", chips())
def test_every_operation_in_a_chips_file_is_one_of_tflite(name):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    chip = get_chip(name)
    # IMAGE: what to do where the input has other channels than the camera
    assert {*chip.ops, *chip.alternatives} - {"IMAGE"} <= vars(BuiltinOperator).keys()
    tables = [*map(set, chip.compiler.tables.values())] if chip.compiler else [set()]
    some_leave_to_the_cpu = set.union(*tables) - set.intersection(*tables)
    assert chip.ops.keys() & chip.alternatives.keys() <= some_leave_to_the_cpu


@pytest.mark.parametrize("name", chips())
def test_every_line_says_how_it_is_known(name):
    facts, _ = FILES[name].read_text().split("# Advice")
    lines = [line for line in facts.splitlines() if re.match(r"[^#]*\w.*:", line.partition("#")[0])]
    assert len(lines) > 25
    for line in lines:
        sections = r"\s*(dtypes|ops|spelling|compiler|memories):"
        heading = re.fullmatch(rf"schema: 1|title: .*|{sections}", line)
        assert heading or re.search(r"# (known|assumption|Vela)\b", line), line


def test_sabre():
    sabre = get_chip("sabre")
    assert sabre.image_channels == 3 and {*sabre.padding} == {"SAME", "VALID"}
    assert sabre.activations_max_bytes == 1536000 and sabre.weights_max_bytes is None
    compiler = sabre.compiler
    assert (compiler.name, compiler.accelerator) == ("vela", "ethos-u55-128")
    assert (compiler.clock_hz, compiler.macs_per_cycle) == (400_000_000, 128)
    assert compiler.weights[:2] == ("vmem", "lpmem") and compiler.arena == "vmem"
    assert compiler.memories["lpmem"].bytes == 1536000
    assert compiler.memories[compiler.weights[-1]].bytes is None  # something always holds them
    assert compiler.memories["lpmem"].clock_scale == 0.25


@pytest.mark.parametrize("name", chips())
def test_what_katana_runs_every_chip_runs(name, katana):
    chip = get_chip(name)
    assert chip.image_channels >= katana.image_channels
    assert chip.activation == katana.activation and {*katana.padding} <= {*chip.padding}
    assert all({*katana.dtypes[role]} <= {*chip.dtypes[role]} for role in katana.dtypes)
    assert chip.activations_max_bytes >= katana.activations_max_bytes
    for operation, rule in katana.ops.items():
        more = chip.ops[operation]
        assert more.kernel_max is None or (rule.kernel_max or 1) <= more.kernel_max, operation
        for limit in ("strides", "dilations", "scales"):
            theirs, ours = getattr(more, limit), getattr(rule, limit)
            assert theirs is None or (ours and {*ours} <= {*theirs}), operation


def test_an_unknown_chip_is_answered_with_the_near_and_the_known():
    with pytest.raises(ChipError, match=r"'katanna'; did you mean katana\? There are: .*katana"):
        get_chip("katanna")
    with pytest.raises(ChipError, match="no chip is named '../chips/katana'"):
        get_chip("../chips/katana")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"schema": 2}, "schema is 2; this version of SyNet reads schema 1"),
        ({"schema": None}, "schema is missing"),
        (
            {"weights_max_byte": 1},
            "weights_max_byte is not a known key; did you mean weights_max_b",
        ),
        ({7: 1}, "7 is not a known key"),
        ({"title": None}, "title is missing"),
        ({"title": 3}, "title is 3, not a text"),
        ({"weights_max_bytes": "512 KiB"}, "weights_max_bytes is '512 KiB', not a whole number"),
        ({"weights_max_bytes": True}, "weights_max_bytes is True, not a whole number"),
        ({"image_channels": 0}, "image_channels is 0, not a whole number above 0"),
        ({"activation": "mish"}, "activation is 'mish', not one of relu, relu6, silu, hardswish"),
        ({"padding": "SAME"}, "padding is 'SAME', not a list"),
        ({"padding": ["same"]}, r"padding\[0\] is 'same', not one of SAME, VALID"),
        ({"dtypes": []}, r"dtypes is \[\], not a mapping"),
        ({"dtypes": {"activations": ["int8"]}}, "dtypes.weights is missing"),
        ({"ops": ["ADD"]}, r"ops is \['ADD'\], not a mapping"),
        ({"ops": {"ADD": 1}}, "ops.ADD is 1, neither empty nor a mapping"),
        ({"ops": {True: None}}, "ops is True, not a text"),
        ({"ops": {"CONV_2D": {"kernal_max": 7}}}, "ops.CONV_2D.kernal_max is not .* kernel_max"),
        ({"ops": {"CONV_2D": {"strides": 2}}}, "ops.CONV_2D.strides is 2, not a list"),
        ({"ops": {"CONV_2D": {"strides": []}}}, r"ops.CONV_2D.strides is \[\], not a list"),
        ({"ops": {"CONV_2D": {"strides": [1, 0.5]}}}, r"ops.CONV_2D.strides\[1\] is 0.5, not"),
        ({"alternatives": {"PAD": 1}}, "alternatives.PAD is 1, not a text"),
    ],
)
def test_a_wrong_chip_file_names_file_and_key(tmp_path, edit, message):
    """None in `edit` takes the key away."""
    raw = {**yaml.safe_load(FILES["katana"].read_text()), **edit}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in raw.items() if value is not None}))
    with pytest.raises(ChipError, match=rf"mine.yaml: {message}") as error:
        read_chip(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"weights_max_bytes": 1}, "weights_max_bytes is for a chip without a compiler"),
        ({"compiler": None}, "compiler is None, not a mapping"),
        ({"compiler.name": "velo"}, "compiler.name is 'velo', not one of vela"),
        (
            {"compiler.tables": {"5.3": ["GELU"]}},
            "compiler.tables.5.3 is none of the versions 5.2, ",
        ),
        (
            {"compiler.tables": {"5.2": ["SILU"]}},
            "compiler.tables.5.2\\[0\\] is 'SILU', not",
        ),
        ({"compiler.clock": 1}, "compiler.clock is not a known key; did you mean clock_hz"),
        ({"compiler.arena": "vmen"}, "compiler.arena: no memory is named 'vmen'; did you mean vm"),
        ({"compiler.arena": "flash_66_mhz"}, "compiler.memories.flash_66_mhz.bytes is missing"),
        ({"compiler.weights": []}, r"compiler.weights is \[\], not a list"),
        ({"compiler.weights": ["rom"]}, "compiler.weights: no memory is named 'rom'"),
        ({"compiler.arena_port": "Axi2"}, "compiler.arena_port is 'Axi2', not one of Axi0, Axi1"),
        ({"compiler.memories.vmem": 3}, "compiler.memories.vmem is 3, not a mapping"),
        ({"compiler.memories.vmem": {"bytes": 4}}, "compiler.memories.vmem.clock_scale is missing"),
        ({"compiler.memories.vmem.reads": 0}, "compiler.memories.vmem.reads is 0, not a whole"),
        (
            {"compiler.memories.vmem.clock_scale": -0.5},
            "compiler.memories.vmem.clock_scale is -0.5, not a number above 0",
        ),
    ],
)
def test_a_wrong_compiler_names_file_and_key(tmp_path, edit, message):
    raw = yaml.safe_load(FILES["sabre"].read_text())
    for key, value in edit.items():
        *sections, last = key.split(".")
        section = raw
        for name in sections:
            section = section[name]
        section[last] = value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ChipError, match=rf"mine.yaml: {message}") as error:
        read_chip(path)
    assert "\n" not in str(error.value)


def test_a_chip_file_that_is_none(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(ChipError, match="mine.yaml: cannot be read"):
        read_chip(path)
    for text in ("", "- a list", "a: [", "\x00"):
        path.write_text(text)
        with pytest.raises(ChipError, match="mine.yaml") as error:
            read_chip(path)
        assert "\n" not in str(error.value)


def test_a_chip_of_ones_own(tmp_path, katana):
    path = tmp_path / "mine.yaml"
    path.write_text(FILES["katana"].read_text())
    assert dataclasses.replace(read_chip(path), name="katana") == katana


def test_a_chip_is_read_without_a_framework():
    code = (
        "import sys; from synet.chips import get_chip; get_chip('katana');"
        "sys.exit(bool({'torch', 'tensorflow', 'ai_edge_litert', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# The check


def test_a_model_that_fits_has_no_violations(good, katana):
    assert violations(good, katana) == []


def test_each_layer_that_breaks_a_rule_is_named_with_figures_and_a_fix(bad, katana):
    found = [(v.where, v.problem, v.fix) for v in violations(bad, katana)]
    assert found == [
        (
            "input",
            "the image has 3 channels, katana gives 1",
            "write ch: 1 and a first layer [-1, 1, Grayscale, []] into the model yaml",
        ),
        (
            "model.0.wide",
            "CONV_2D with kernel 9x9, the limit is 7x7",
            "use a kernel of at most 7x7",
        ),
        ("model.1.jump", "CONV_2D with stride 4x4", "use a stride of 1, 2 or 3"),
        ("model.1.jump", "CONV_2D with RELU fused into it", "use relu6"),
        ("model.2.edge", "CONV_2D with padding VALID", "use padding SAME"),
        ("model.3.act", "the activation is SiLU (x times its logistic)", "use relu6"),
        ("model.4.sparse", "CONV_2D with dilation 2x2", "use a dilation of 1"),
        (
            "model.5.pool",
            "MAX_POOL_2D with kernel 9x9, the limit is 3x3",
            "stack 4 pools of 3x3 and stride 1, which is the same",
        ),
        (
            "model.6.resize",
            "RESIZE_NEAREST_NEIGHBOR from 10x14 to 40x56",
            "resize by a factor of 2, several times for more",
        ),
        (
            "model.7.up",
            "TRANSPOSE_CONV does not run on katana",
            "upsample by 2 and follow it with a convolution",
        ),
        (
            "output_2 (after model.8.flat)",
            "FULLY_CONNECTED does not run on katana",
            "use a 1x1 convolution",
        ),
    ]
    assert str(violations(bad, katana)[4]) == (
        "model.2.edge: CONV_2D with padding VALID; use padding SAME"
    )


def test_memory_at_the_limit_fits_and_a_byte_more_does_not(good, katana):
    peak, _ = good.peak_activation()
    tight = dataclasses.replace(
        katana, weights_max_bytes=good.weight_bytes, activations_max_bytes=peak
    )
    assert violations(good, tight) == []
    small = dataclasses.replace(
        katana, weights_max_bytes=good.weight_bytes - 1, activations_max_bytes=peak - 1024
    )
    weights, activations = violations(good, small)
    assert (weights.where, weights.problem) == ("weights", "3.6 KiB, katana has 3.6 KiB")
    assert activations.where == "model.5.cat"
    assert (weights.kind, activations.kind) == (WEIGHTS, ACTIVATIONS)
    assert activations.problem == "36.0 KiB of activations alive at once, katana has 35.0 KiB"


def test_a_line_edited_in_the_file_changes_the_verdict(tmp_path, bad):
    text = FILES["katana"].read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(
        text.replace("kernel_max: 7", "kernel_max: 9").replace("scales: [2]", "scales: [4]")
    )
    where = {violation.where for violation in violations(bad, read_chip(path))}
    assert "model.1.jump" in where and not {"model.0.wide", "model.6.resize"} & where


def test_a_float_model_is_told_to_quantize(katana):
    (found,) = violations(read_graph(int8_models.not_quantized()), katana)
    assert found.problem == "CONV_2D with activations of float32, not int8"
    assert "synet quantize" in found.fix


def graph_of_one(name, shape_in, shape_out, dtype="int8", constants=(), **options):
    tensors = [Tensor("image", shape_in, dtype, 1), Tensor("out", shape_out, dtype, 1)]
    tensors += [Tensor("c", (1,), kind, 1, is_constant=True) for kind in constants]
    inputs = (0, *range(2, len(tensors)))
    return Graph(
        tuple(tensors), (Operator(name, "one", inputs, (1,), options=options),), (0,), (1,)
    )


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "same"),
    [
        (8, 1, 1, True),
        (8, 1, 2, True),
        (8, 2, 2, True),  # the windows tile the image
        (9, 2, 2, False),
        (7, 3, 2, False),
        (8, 3, 1, False),
        (9, 3, 3, True),
    ],
)
def test_padding_valid_is_fine_where_same_would_pad_nothing(katana, size, kernel, stride, same):
    graph = graph_of_one(
        "MAX_POOL_2D",
        (1, size, size, 1),
        (1, 1, 1, 1),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding="VALID",
    )
    free = dataclasses.replace(katana, ops={"MAX_POOL_2D": OpRule()})
    assert (violations(graph, free) == []) is same


def test_pools_that_stacking_does_not_replace_get_another_fix(katana):
    for kernel, stride in (((4, 4), (1, 1)), ((5, 5), (2, 2)), ((5, 3), (1, 1))):
        graph = graph_of_one(
            "MAX_POOL_2D",
            (1, 8, 8, 1),
            (1, 8, 8, 1),
            kernel=kernel,
            stride=stride,
            padding="SAME",
        )
        (found,) = violations(graph, katana)
        assert found.fix == "use a kernel of at most 3x3"


def test_shapes_are_int32_but_data_is_not(katana):
    image = (1, 8, 8, 1)
    assert violations(graph_of_one("RESHAPE", image, (1, 64), constants=["int32"]), katana) == []
    assert violations(graph_of_one("MUL", image, image, constants=["int8"]), katana) == []
    (found,) = violations(graph_of_one("MUL", image, image, constants=["float32"]), katana)
    assert found.problem == "MUL with activations of float32, not int8"
    (found,) = violations(graph_of_one("ADD", image, image, dtype="int16"), katana)
    assert found.problem == "ADD with activations of int16, not int8"


def test_an_image_of_fewer_or_of_other_channels(katana):
    def problems(shape, chip):
        return [v.problem for v in violations(graph_of_one("RELU6", shape, shape), chip)]

    assert problems((1, 8, 8, 1), get_chip("sabre")) == problems((1, 8, 8, 3), get_chip("sabre"))
    assert problems((1, 8, 8, 1), katana) == []
    assert problems((1, 3, 8, 8), katana) == ["the image has its channels first"]


def test_an_operation_nobody_has_advice_for(katana):
    (found,) = violations(graph_of_one("COS", (1, 4, 4, 1), (1, 4, 4, 1)), katana)
    assert found.problem == "COS does not run on katana"
    assert found.fix.startswith("build it from CONV_2D, ")


def test_the_vendors_sabre_model_does_not_fit_katana(shared, katana):
    found = violations(read_graph(shared / "models" / "person_detection_480x640.tflite"), katana)
    problems = {violation.problem for violation in found}
    assert "SUB does not run on katana" in problems
    assert "1800.0 KiB of activations alive at once, katana has 640.0 KiB" in problems
