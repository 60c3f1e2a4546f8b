"""Forks found below a folder, and their models, built from a yaml or read from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from patched import patched_fork
from real_forks import MIXED, RENAMED, installed

from synet.cli import main
from synet.custom_patches import patch_custom, unpatch
from synet.models import forks as backend
from synet.system.errors import CheckpointError, PatchError, SynetError

# ------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize("fork", ["clone", "package", "both"])
def test_builders_of_every_layout_are_found(forks, fork):
    root = forks["package"].parent if fork == "both" else forks[fork]
    with backend.find_fork(root, "katana") as found:
        assert Path(found.module.__file__).is_relative_to(root)
        made = found.names["Model"]("katana-kqvga").synet
        assert (made["chip"], made["channels"]) == ("katana", 1)
        patched = {f.module.__name__ for f in patch_custom("katana", fixed=False).forks}
    names = {"clone": {"models.yolo"}, "package": {f"{RENAMED}.models.yolo"}}
    expected = names.get(fork, set().union(*names.values()))
    assert patched >= expected


def test_a_folder_without_a_builder(tmp_path):
    (tmp_path / "other.py").write_text("def parse(d):\n    pass\n")
    with pytest.raises(PatchError, match=r"no module defines a parse_model\("):
        backend.find_fork(tmp_path, "katana").__enter__()


def test_a_builder_of_another_line_is_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "strange_builder.py").write_text("\ndef parse_model(cfg):\n    pass\n")
    with pytest.raises(PatchError, match=r"strange_builder has parse_model\(cfg\)"):
        backend.find_fork(tmp_path, "katana").__enter__()


def test_no_such_repo(tmp_path):
    with pytest.raises(SynetError, match=r"--repo .*nowhere: no such folder$"):
        backend.find_fork(tmp_path / "nowhere", "katana").__enter__()


def test_patches_explains_what_is_swapped(forks):
    # wide, for YOLOs that other tests have imported are told as well
    wide = {"COLUMNS": "400"}
    result = CliRunner().invoke(main, ["patches", str(forks["clone"])], env=wide)
    assert result.exit_code == 0, result.output
    rows = [line.replace("│", " ").split() for line in result.output.splitlines()]
    assert ["models.common.Conv", "class", "models.common.Conv", "synet.layers.conv.Conv"] in rows
    assert any(row[:1] == ["models.yolo.parse_model"] for row in rows)
    assert f"models.yolo in {forks['clone']}: " in result.output


# ------------------------------------------------------------------------------------- loading


def save(model: torch.nn.Module, path: Path, **more) -> Path:
    torch.save({"model": model.half(), "ema": None, "epoch": -1, **more}, path)
    return path


def test_names_and_image_shape_of_a_checkpoint(tmp_path):
    model = backend.build_model("katana-kqvga", nc=2)
    loaded = backend.load_model(save(model, tmp_path / "best.pt"))
    assert loaded.names == {0: "0", 1: "1"} and loaded.image_shape == (240, 320)
    assert not loaded.training and next(loaded.parameters()).dtype == torch.float32


def test_image_shape_of_a_stock_model_is_what_it_trained_at(tmp_path):
    model = backend.build_model(installed() / "models" / "yolov5n.yaml")
    path = save(model, tmp_path / "best.pt", opt={"imgsz": 96})
    assert backend.load_model(path).image_shape == (96, 96)


def test_a_checkpoint_trained_without_the_patch_is_as_it_was_trained(tmp_path):
    fork = patched_fork(installed(), "katana")
    unpatch()
    model = fork.names["Model"](str(installed() / "models" / "yolov5n.yaml")).eval()
    image = torch.rand(1, 3, 64, 96)
    path = save(model, tmp_path / "best.pt")
    loaded = backend.load_model(path)
    assert loaded.synet == {"chip": None, "channels": 3}
    with torch.no_grad():
        assert torch.equal(loaded(image)[0], model.float()(image)[0])


def test_a_checkpoint_without_a_model_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"model": {"weight": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match=r"weights\.pt: holds no YOLO model"):
        backend.load_model(path)


def test_number_of_classes_of_a_yaml(tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    model = backend.build_model(path, nc=5)
    assert model.names == {i: str(i) for i in range(5)} and model.image_shape == (64, 96)
    assert yaml.safe_load(MIXED)["nc"] == 2
