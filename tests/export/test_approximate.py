"""Operations that stand for activations: what the file computes then, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from compilers import asking
from torch import nn

from synet.chips import get_chip
from synet.export.approximate import NOTHING, approximate, approximated, choices
from synet.export.convert import to_keras
from synet.export.tensorflow import to_float, to_int8
from synet.layers.activations import SILU_SCALE, SiLU
from synet.layers.same import pair
from synet.layerwise.isolated import Isolated
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph
from synet.tflite.model import TfliteModel
from synet.verdict.judge import judge

SHAPE = (16, 24)
GIVEN = "features (after out.conv)"


class Conv(nn.Module):
    """As ultralytics': the layers of a network share one activation."""

    shared = nn.SiLU()

    def __init__(self, before, after, kernel=3, stride=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, pair(kernel // 2), groups=groups)
        self.act = self.shared if act else nn.Identity()

    def forward(self, x):
        return self.act(self.conv(x))


class Network(nn.Module):
    """All that factors may pass, and what ties them."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 8, stride=2)
        self.inner = nn.ModuleList([Conv(4, 4), Conv(4, 4)])
        self.deep = Conv(12, 8, 3, groups=4)
        self.linear = Conv(8, 8, act=False)
        self.gate = Conv(8, 8, 1)
        self.clipped = Conv(8, 8, act=False)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.out = Conv(16, 8)
        self.scores = Conv(8, 2, 1, act=False)

    def forward(self, x):
        a, b = self.stem(x).chunk(2, 1)
        c = b + self.inner[1](self.inner[0](b))
        x = self.deep(torch.cat([a, b, c], 1)) + self.linear(torch.cat([a, c], 1))
        x = nn.functional.max_pool2d(x, 3, 1, 1)
        gated = self.gate(x)  # tied by the product of two activations
        x = x * torch.sigmoid(gated) + self.clipped(x).clamp(0, 6)
        x = torch.cat([nn.functional.interpolate(x, scale_factor=2), self.up(x)], 1)
        given = self.out(x)  # given, and read
        return {"features": given, "scores": torch.sigmoid(self.scores(given))}


class StandIn(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * nn.functional.gelu(x / self.factor)


def images():
    return (np.random.default_rng(n).random((*SHAPE, 3), np.float32) for n in range(3))


@cache
def network():
    torch.manual_seed(0)
    made = Network().eval()
    for parameter in made.parameters():
        parameter.data *= 2
    made.synet = {"chip": "sabre", "channels": 3}
    return made


@cache
def exact():
    return to_float(to_keras(network(), SHAPE, 3))


@cache
def rewritten():
    return approximate(exact(), choices(("GELU",)), images)


def kinds(file):
    return Counter(operator.name for operator in read_graph(file).operators)


def test_the_file_is_the_network_with_its_stand_ins():
    file, found = rewritten()
    changed = network().__class__().eval()
    changed.load_state_dict(network().state_dict())
    for each in found:
        path = {GIVEN: "out"}.get(each.layer, each.layer.removesuffix(".act"))
        changed.get_submodule(path).act = StandIn(each.factor)
    run = TfliteModel(file)
    for image in images():
        with torch.no_grad():
            expected = changed(torch.from_numpy(image).permute(2, 0, 1)[None])
        for name, values in run.run(image).items():
            wanted = expected[name].permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(values, wanted, atol=1e-4, err_msg=name)


def test_layers_are_called_as_in_the_network_and_factors_vanish():
    file, found = rewritten()
    layers = [f"{name}.act" for name in ("stem", "inner.0", "inner.1", "deep", "gate")]
    assert [each.layer for each in found] == [*layers, GIVEN]
    before, after = kinds(exact()), kinds(file)
    assert after["GELU"] == len(found) and after["LOGISTIC"] == 2
    # the product, and one behind each that is given as it is, gates or is gated
    assert before["MUL"] == len(found) + 1 and after["MUL"] == 4
    assert {each.was for each in found} == {"SiLU"} and {each.by for each in found} == {"GELU"}
    assert all(
        1.596 <= each.factor <= 1.773 and 0 < each.error < each.largest < 0.06 for each in found
    )


def test_tensors_that_are_added_or_joined_have_one_factor():
    factor = {each.layer: each.factor for each in rewritten()[1]}
    assert factor["stem.act"] == factor["inner.1.act"]
    assert len(set(factor.values())) > 2


def test_the_same_again_from_what_the_file_tells():
    file, found = rewritten()
    told = [each.metadata() for each in found]
    assert approximated(exact(), told) == file
    told[0]["layer"] = "model.99.act"
    with pytest.raises(SynetError, match="it has no SiLU in layer model.99.act for GELU"):
        approximated(exact(), told)


def test_layers_that_keep_what_they_have():
    file, found = approximate(exact(), choices(("GELU",)), images, ("inner", GIVEN))
    assert not [each for each in found if each.layer.startswith(("inner", "features"))]
    assert len(found) == len(rewritten()[1]) - 3
    assert kinds(file)["LOGISTIC"] == kinds(rewritten()[0])["LOGISTIC"] + 3
    with pytest.raises(
        SynetError, match=r"no activation .* is in layer 'inn'; they are: stem\.act"
    ):
        approximate(exact(), choices(("GELU",)), images, ("inn",))


def test_nothing_stands_in_where_nothing_is_free():
    for allowed in (choices(()), choices(("GELU",), NOTHING), choices(("HARD_SWISH",))):
        assert approximate(exact(), allowed, images) == (exact(), ())
    with pytest.raises(SynetError, match="GELU cannot stand .* one of: HARD_SWISH, none"):
        choices(("HARD_SWISH", "TANH"), "GELU")


def test_the_factors_of_a_silu_that_was_trained_as_gelu_vanish_as_they_are():
    trained = network().__class__().eval()
    trained.load_state_dict(network().state_dict())
    for each in (trained.stem, *trained.inner, trained.deep, trained.gate):
        each.act = SiLU()
    trained.synet = {"chip": "sabre", "channels": 3}
    before = to_float(to_keras(trained, SHAPE, 3))
    file, found = approximate(before, choices(("GELU",), NOTHING), images)
    assert {each.factor for each in found} == {SILU_SCALE}
    assert max(each.largest for each in found) < 1e-6
    # SiLU itself stays in the last one; the product, and behind each of the two that are tied
    assert (kinds(file)["GELU"], kinds(file)["MUL"]) == (5, 4) and kinds(before)["MUL"] > 4
    exact_run, run = TfliteModel(before).run, TfliteModel(file).run
    for image in images():
        expected, given = exact_run(image), run(image)
        for name in expected:
            np.testing.assert_allclose(given[name], expected[name], atol=1e-4)


def test_a_coarser_one_for_who_asks():
    file, found = approximate(exact(), choices(("HARD_SWISH",), "HARD_SWISH"), images)
    assert {each.by for each in found} == {"HARD_SWISH"}
    assert kinds(file)["HARD_SWISH"] == len(found) == len(rewritten()[1])
    assert max(each.error for each in found) > max(each.error for each in rewritten()[1])


@pytest.mark.parametrize(
    ("activation", "operation"),
    [(nn.GELU(), "GELU"), (nn.GELU("tanh"), "GELU"), (nn.Hardswish(), "HARD_SWISH")],
    ids=str,
)
def test_velas_table_is_what_the_reference_kernel_computes(activation, operation, tmp_path):
    """For all 256 inputs: the bytes lie in the compiled file, one after the other."""
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), activation).eval()
    small[0].weight.data *= 6
    small.synet = {"chip": "sabre", "channels": 3}
    int8 = to_int8(to_float(to_keras(small, SHAPE, 3)), images)
    graph = read_graph(int8)
    (at,) = (n for n, each in enumerate(graph.operators) if each.name == operation)
    judged = judge(int8, get_chip("sabre"))
    assert not judged.violations and not judged.compiled.on_cpu

    table = reference_table(int8, graph, at)
    (tmp_path / "small.tflite").write_bytes(int8)
    command = [sys.executable, "-m", "ethosu.vela", "small.tflite", "--output-dir", str(tmp_path)]
    command += ["--accelerator-config", get_chip("sabre").compiler.accelerator]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert table in (tmp_path / "small_vela.tflite").read_bytes()


def reference_table(int8, graph, at):
    """What TFLite's reference kernel makes of -128 to 127, in bytes."""
    operator = graph.operators[at]
    alone = Isolated(int8, {at: operator.inputs}, reference_kernels=True)
    shape = graph.tensors[operator.inputs[0]].shape
    given = np.resize(np.arange(-128, 128), shape).astype(np.int8)
    alone.run({operator.inputs[0]: given})
    return alone.values(operator.outputs[0]).ravel()[:256].tobytes()


def test_vela_4_3_leaves_it_to_the_cpu():
    """And tells what comes behind in a table of its own, where there is more than one."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 8, 3, padding=1), nn.GELU()]
    small = nn.Sequential(*layers, nn.Conv2d(8, 8, 1)).eval()
    small.synet = {"chip": "sabre", "channels": 3}
    int8 = to_int8(to_float(to_keras(small, SHAPE, 3)), images)
    judged = judge(int8, asking(get_chip("sabre"), "4.3"))
    assert [operator.name for operator, _ in judged.compiled.on_cpu] == ["GELU", "GELU"]
    assert judged.operations[0].fix.endswith("synet quantize --compiler 4.3")
    assert all(cost.cycles for cost in judged.compiled.costs if cost.op == "CONV_2D")


def test_a_chips_file_says_what_its_compiler_makes_a_table_of():
    sabre = get_chip("sabre")
    assert "GELU" in sabre.free_activations
    assert "GELU" not in sabre.asking("4.3").free_activations
    assert "HARD_SWISH" in sabre.asking("4.3").free_activations
    assert get_chip("katana").free_activations == ()
