"""``synet yolov5`` on the installed package and on forks that nobody may touch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import real_forks
from real_forks import LOOK, MIXED, RENAMED, installed, run, training

slow = pytest.mark.slow
exhaustive = (pytest.mark.slow, pytest.mark.exhaustive)
SYNET = ("-m", "synet", "yolov5")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return real_forks.draw_images(tmp_path_factory.mktemp("drawn"))


def cfg_of(kind: str, folder: Path) -> list[str | Path]:
    (folder / "mixed.yaml").write_text(MIXED)
    return {
        "zoo": ["--cfg", "katana-kqvga.yaml"],
        "stock": ["--cfg", "yolov5n.yaml", "--weights", ""],
        "mixed": ["--cfg", folder / "mixed.yaml"],
    }[kind]


# ------------------------------------------------------------------------------- real training


def train(cfg: str, data: Path, folder: Path) -> Path:
    """Train with the installed package; the best checkpoint."""
    out = folder / "runs" / "installed"
    told = run(*SYNET, "train", *cfg_of(cfg, folder), *training(data, out), cwd=folder)
    assert "Results saved to" in told
    return out / "weights" / "best.pt"


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A checkpoint of the zoo's."""
    return train("zoo", data, tmp_path_factory.mktemp("trained"))


def looks_right(best: Path, data: Path, folder: Path) -> None:
    look = json.loads(run("-c", LOOK, best, "", cwd=folder).splitlines()[-1])
    assert look[1] == [] and "yolov5.models.common.Conv" not in look[0]

    check = ["--weights", best, "--data", data, "--img", "96", "--workers", "0"]
    told = run(*SYNET, "val", *check, "--project", folder / "val", cwd=folder)
    assert "Fusing layers" in told and "mAP50" in told


def test_the_installed_package_trains_validates_and_saves(trained, data, tmp_path):
    looks_right(trained, data, tmp_path)


@pytest.mark.parametrize("cfg", [pytest.param(cfg, marks=exhaustive) for cfg in ("stock", "mixed")])
def test_it_trains_other_networks(data, tmp_path, cfg):
    """As forks do in tests/patches/test_process.py."""
    looks_right(train(cfg, data, tmp_path), data, tmp_path)


@slow
def test_the_installed_package_detects(trained, data, tmp_path):
    source = ["--source", data.parent / "images" / "val", "--project", tmp_path / "detect"]
    run(*SYNET, "detect", "--weights", trained, "--img", "96", *source, cwd=tmp_path)
    assert len(list((tmp_path / "detect" / "exp").glob("*.png"))) == 4


@slow
def test_the_installed_package_exports(trained, tmp_path):
    run(*SYNET, "export", "--weights", trained, "--include", "torchscript", cwd=tmp_path)
    assert trained.with_suffix(".torchscript").stat().st_size > 100_000


@slow
def test_segmentation_trains(tmp_path):
    data = real_forks.draw_images(tmp_path / "drawn", polygons=True)
    out = tmp_path / "runs" / "segment"
    cfg = ["--cfg", installed() / "models" / "segment" / "yolov5n-seg.yaml", "--weights", ""]
    run(*SYNET, "segment/train", *cfg, *training(data, out), cwd=tmp_path)
    assert (out / "weights" / "best.pt").is_file()


@pytest.mark.parametrize(
    ("fork", "repo", "module"),
    [
        pytest.param("clone", "clone", "train", marks=slow),
        pytest.param("package", RENAMED, "train", marks=slow),
        pytest.param("package", ".", f"{RENAMED}/train", marks=slow),
    ],
)
def test_a_fork_without_our_lines_trains(forks, data, tmp_path, fork, repo, module):
    folder, out = forks[fork].parent, tmp_path / "runs" / "fork"
    train = [module, *cfg_of("zoo", tmp_path), *training(data, out)]
    run(*SYNET, "--repo", folder / repo, *train, cwd=tmp_path)
    best = out / "weights" / "best.pt"
    look = json.loads(run("-c", LOOK, best, folder / repo, cwd=tmp_path).splitlines()[-1])
    assert look[1] == [] and "synet.layers.conv.Conv" in look[0]


def test_the_console_script_tells_a_mistake_in_one_line(tmp_path):
    told = run(*SYNET, "trian", cwd=tmp_path, status=2)
    assert told.startswith(f"synet: {installed()} has no module 'trian'; it has ")
    assert "segment/train" in told and told.count("\n") == 1
