"""A checkpoint knows its chip: what is trained from it is made for that, or refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import real_forks
import torch
from patched import patched_fork
from real_forks import installed, run, training

from synet import zoo
from synet.custom_patches import unpatch
from synet.models.locate import installed as package
from synet.patches.target import only
from synet.system.errors import ChipError


@pytest.fixture(scope="module")
def fork():
    yield patched_fork(package("yolov5"), "katana")
    unpatch()


@pytest.fixture(scope="module")
def own(fork) -> str:
    """A yaml of the fork's own, which claims no chip."""
    return str(fork.root / "models" / "yolov5n.yaml")


@pytest.fixture
def weights(fork, own, tmp_path) -> Path:
    """What a training of that yaml for Sabre leaves behind."""
    path = tmp_path / "a-sabre.pt"
    with fork.aimed_at("sabre", "silu"):
        torch.save({"model": fork.names["Model"](own), "epoch": -1}, path)
    return path


def test_a_training_that_goes_on_is_of_the_checkpoints_chip(fork, weights, monkeypatch):
    definition = torch.load(weights)["model"].yaml
    model = fork.names["Model"](definition)  # as a YOLO does that is given no --cfg
    assert model.synet == {
        "chip": "sabre",
        "channels": 3,
        "activation": "silu",
        "pads_alike": True,
    }
    monkeypatch.setattr(fork, "target", only("katana"))
    with pytest.raises(ChipError, match="^the checkpoint is made for sabre, and this process is p"):
        fork.names["Model"](definition)


def test_a_yaml_that_claims_no_chip_is_built_for_that_of_the_weights(
    fork, own, weights, monkeypatch
):
    assert fork.names["Model"](own).synet["chip"] == "katana"
    monkeypatch.setattr(fork, "weights", str(weights))
    made = fork.names["Model"](own).synet
    assert (made["chip"], made["activation"], made["pads_alike"]) == ("sabre", "silu", True)
    monkeypatch.setattr(fork, "target", only("katana"))
    with pytest.raises(ChipError, match=r"a-sabre\.pt is made for sabre, and this process is patc"):
        fork.names["Model"](own)


def test_a_yaml_that_claims_another_chip_than_the_weights_have_is_told(
    fork, weights, monkeypatch, caplog
):
    monkeypatch.setattr(fork, "weights", str(weights))
    with caplog.at_level(logging.WARNING, "synet"):
        model = fork.names["Model"](zoo.find_model_path("katana-kqvga"))
    assert model.synet["chip"] == "katana"
    assert "is made for katana, and the training starts from " in caplog.text


def test_weights_of_no_chip_change_nothing(fork, own, tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    for name in (path, tmp_path / "not-here.pt"):
        monkeypatch.setattr(fork, "weights", str(name))
        assert fork.names["Model"](own).synet["chip"] == "katana"


@pytest.mark.slow
def test_yolov5_resumes_and_fine_tunes_for_the_chip(tmp_path):
    data = real_forks.draw_images(tmp_path / "drawn")
    synet = ["-m", "synet", "yolov5"]
    cfg = ["--cfg", installed() / "models" / "yolov5n.yaml", "--weights", ""]
    run(*synet, "--chip", "sabre", "train", *cfg, *training(data, tmp_path / "a"), cwd=tmp_path)
    last = tmp_path / "a" / "weights" / "last.pt"
    tune = ["train", "--weights", last, *training(data, tmp_path / "b")]
    run(*synet, *tune, cwd=tmp_path)
    look = "import sys, synet; print(synet.get_model(sys.argv[1]).synet['chip'])"
    best = tmp_path / "b" / "weights" / "best.pt"
    assert run("-c", look, best, cwd=tmp_path).splitlines()[-1] == "sabre"
    told = run(*synet, "--chip", "katana", *tune, cwd=tmp_path, status=2)
    assert told.splitlines()[-1] == (
        f"synet: {last} is made for sabre, and this process is patched for katana"
    )
