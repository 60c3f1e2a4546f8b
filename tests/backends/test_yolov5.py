"""``synet yolov5`` on the installed package and on forks that nobody may touch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import real_forks
from real_forks import LOOK, MIXED, RENAMED, installed, run, training

slow = pytest.mark.slow


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


@pytest.mark.parametrize(
    "cfg", ["zoo", pytest.param("stock", marks=slow), pytest.param("mixed", marks=slow)]
)
def test_the_installed_package_trains_validates_and_saves(data, tmp_path, cfg):
    out = tmp_path / "runs" / "installed"
    train = [*cfg_of(cfg, tmp_path), *training(data, out)]
    told = run("-m", "synet", "yolov5", "train", *train, cwd=tmp_path)
    assert "Results saved to" in told
    best = out / "weights" / "best.pt"
    look = json.loads(run("-c", LOOK, best, "", cwd=tmp_path).splitlines()[-1])
    assert look[1] == [] and "yolov5.models.common.Conv" not in look[0]

    check = ["--weights", best, "--data", data, "--img", "96", "--workers", "0"]
    told = run(
        *("-m", "synet", "yolov5", "val", *check, "--project", tmp_path / "val"), cwd=tmp_path
    )
    assert "Fusing layers" in told and "mAP50" in told


@slow
@pytest.mark.parametrize("module", ["detect", "export"])
def test_the_other_scripts_of_the_installed_package(data, tmp_path, module):
    out = tmp_path / "runs" / "installed"
    synet = ["-m", "synet", "yolov5"]
    run(*synet, "train", *cfg_of("zoo", tmp_path), *training(data, out), cwd=tmp_path)
    best = out / "weights" / "best.pt"
    if module == "detect":
        source = ["--source", data.parent / "images" / "val", "--project", tmp_path / "detect"]
        run(*synet, "detect", "--weights", best, "--img", "96", *source, cwd=tmp_path)
        assert len(list((tmp_path / "detect" / "exp").glob("*.png"))) == 4
    else:
        run(*synet, "export", "--weights", best, "--include", "torchscript", cwd=tmp_path)
        assert best.with_suffix(".torchscript").stat().st_size > 100_000


@slow
def test_segmentation_trains(tmp_path):
    data = real_forks.draw_images(tmp_path / "drawn", polygons=True)
    out = tmp_path / "runs" / "segment"
    cfg = ["--cfg", installed() / "models" / "segment" / "yolov5n-seg.yaml", "--weights", ""]
    run(
        *("-m", "synet", "yolov5", "segment/train", *cfg, *training(data, out)),
        cwd=tmp_path,
    )
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
    run("-m", "synet", "yolov5", "--repo", folder / repo, *train, cwd=tmp_path)
    best = out / "weights" / "best.pt"
    look = json.loads(run("-c", LOOK, best, folder / repo, cwd=tmp_path).splitlines()[-1])
    assert look[1] == [] and "synet.layers.conv.Conv" in look[0]


def test_the_console_script_tells_a_mistake_in_one_line(tmp_path):
    told = run("-m", "synet", "yolov5", "trian", cwd=tmp_path, status=2)
    assert told.startswith(f"synet: {installed()} has no module 'trian'; it has ")
    assert "segment/train" in told and told.count("\n") == 1
