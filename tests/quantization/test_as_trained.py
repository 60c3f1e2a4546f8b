"""Networks that were trained without SyNet: exported as they are, or refused whole."""

from __future__ import annotations

import copy

import pytest
import tiny_ultralytics as tiny
from click.testing import CliRunner

from synet.cli import main
from synet.inspection.compare import compare_layers
from synet.inspection.profile import profile
from synet.quantization.quantize_model import quantize_model
from synet.system.errors import SynetError
from synet.tflite.metadata import notes_of, read_metadata

ACTS = ["model.0.act", "model.1.act", "model.2.act", "model.3.act"]


@pytest.fixture
def stock(monkeypatch):
    """Ultralytics' own network, as `get_model` gives one that was trained without the patch."""
    network = tiny.network("detect")
    network.synet = {"chip": None, "channels": 3}
    network.image_shape, network.names = tiny.SHAPE, {0: "thing", 1: "other", 2: "third"}
    monkeypatch.setattr("synet.models.get_model.get_model", lambda *_, **__: copy.deepcopy(network))
    return network


def quantized(data, **options):
    return quantize_model("best.pt", data, number=3, progress=False, **options)


def test_silu_becomes_one_operation_and_the_file_gives_back_its_twin(stock, data):
    result = quantized(data)
    assert max(result.keras.scores, result.keras.boxes) <= 1e-4  # before anything stands in
    assert result.judged.chip.name == "sabre" and not result.judged.violations
    assert not result.judged.compiled.on_cpu
    told = read_metadata(result.content)
    assert told["as_trained"] and told["chip"] == "sabre"
    assert [each["layer"] for each in told["approximates"]][:4] == ACTS
    assert {(each["was"], each["by"]) for each in told["approximates"]} == {("SiLU", "GELU")}
    trained, stands, needs = notes_of(told)
    assert trained == "as trained: no layer was replaced"
    assert stands.startswith(f"GELU stands for SiLU in {len(told['approximates'])} layers, 0.0")
    assert needs == "needs Vela 5.2: TFLite Micro has no GELU"
    assert profile(result.path).notes == (trained, stands, needs)
    assert result.twin.agreement.scores < 0.01
    assert {op.name for op in result.judged.graph.operators} >= {"GELU", "PAD"}

    image = data.parent / "val" / "images" / "0.png"
    found = compare_layers("best.pt", result.path, [image], progress=False)
    assert {*ACTS} <= {each.layer for each in found.layers if each.op == "GELU"}
    assert min(each.sqnr_db for each in found.outputs.values()) > 10


def test_the_network_as_it_is(stock, data):
    told = read_metadata(quantized(data, approximate="none").content)
    assert told["as_trained"] and "approximates" not in told and "needs" not in told


def test_a_compiler_without_a_table_for_it(stock, data):
    """Of Vela 4.3 it is a question of what is free alone: another Vela takes minutes to install."""
    with pytest.raises(SynetError, match="GELU cannot stand for .* one of: HARD_SWISH, none"):
        quantized(data, compiler="4.3", approximate="GELU")


def test_what_katana_lacks_is_told_first_and_whole(stock, data):
    with pytest.raises(SynetError) as error:
        quantized(data, chip="katana")
    first, *rows, last = str(error.value).splitlines()
    assert first == "katana does not run this network:"
    assert rows[0].startswith("input: the image has 3 channels, katana gives 1; ")
    for path in ACTS:
        assert sum(row.startswith(f"{path} (SiLU): the activation is SiLU") for row in rows) == 1
    assert sum("PAD" in row for row in rows) >= 4
    assert last.startswith("train it for katana, or ") and last.endswith("--make-safe")


def test_stand_ins_for_who_asks(stock, data, caplog):
    result = quantized(data, chip="katana", make_safe=True)
    told = read_metadata(result.content)
    assert told["chip"] == "katana" and told["channels"] == 1
    assert "as_trained" not in told and "approximates" not in told
    assert any("SiLU" in record.message for record in caplog.records)


def test_the_command_tells_it(stock, data):
    given = ["quantize", "--cfg", "yolov8n.yaml", "--data", str(data), "--number", "3"]
    ran = CliRunner().invoke(main, [*given, "--exact", "model.3"], catch_exceptions=False)
    lines = ran.output.splitlines()
    assert "as trained: no layer was replaced" in lines
    assert any(line.startswith("GELU stands for SiLU in") for line in lines)
    assert lines[-1].endswith("; it needs Vela 5.2: TFLite Micro has no GELU")
    layers = [each["layer"] for each in read_metadata("model.tflite")["approximates"]]
    assert layers[:3] == ACTS[:3] and ACTS[3] not in layers
