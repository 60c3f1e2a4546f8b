from __future__ import annotations

import dataclasses

import int8_models
import int8_ops
import pytest

from synet.chips import get_chip
from synet.tflite.graph import read_graph
from synet.verdict.check import violations
from synet.verdict.judge import judge


def test_a_chip_without_a_compiler_is_judged_by_its_file():
    katana = get_chip("katana")
    for content in (int8_models.good(), int8_models.bad()):
        graph, found = read_graph(content), judge(content, katana)
        assert list(found.violations) == violations(graph, katana)
        assert found.compiled is None and found.peak_bytes == graph.peak_activation()[0]
        assert sum(held.bytes for held in found.fullest) == found.peak_bytes
    assert judge(int8_models.good(), katana).fullest[0].layer == "model.5.cat"


def test_a_chip_with_one_is_judged_by_that():
    sabre = get_chip("sabre")
    found = judge(int8_models.bad(), sabre)
    assert violations(found.graph, sabre) and found.violations == ()  # a stride of 4 does run
    assert found.peak_bytes == found.compiled.sram_bytes
    assert found.excess_bytes == found.compiled.sram_bytes - 1536000


def test_what_runs_on_the_processor_gets_a_remedy():
    found = {
        v.problem.split()[0]: v.fix for v in judge(int8_ops.left(), get_chip("sabre")).operations
    }
    assert found["GATHER"] == "slice, or leave the choice to the application"
    assert found["DEPTHWISE_CONV_2D"] == "use a stride of 1, 2 or 3"
    assert found["AVERAGE_POOL_2D"] == "use a kernel of at most 8x8"
    (found,) = judge(int8_models.not_quantized(), get_chip("sabre")).violations
    assert found.problem.startswith("CONV_2D runs on sabre's CPU, not on its NPU (")
    assert "synet quantize" in found.fix


@pytest.mark.parametrize("name", ["katana", "sabre"])
def test_memory_at_the_limit_fits_and_a_byte_more_does_not(name):
    chip, content = get_chip(name), int8_models.good()
    peak = judge(content, chip).peak_bytes
    if chip.compiler:  # apart from the weights, or they would want room, too
        compiler = dataclasses.replace(chip.compiler, weights=("lpmem",))
        chip = dataclasses.replace(chip, compiler=compiler)
    small = dataclasses.replace(chip, activations_max_bytes=peak)
    assert judge(content, small).violations == ()
    found = judge(content, dataclasses.replace(chip, activations_max_bytes=peak - 1))
    assert found.operations == () and found.excess_bytes == 1
    assert [violation.where for violation in found.memory] == ["model.5.cat"]
