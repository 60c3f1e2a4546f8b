"""``synet ultralytics``, and ultralytics in a script, patched: every task at a rectangle."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import marks
import pytest
import yaml
from click.testing import CliRunner
from real_forks import run

import synet
from synet.backends import ultralytics as backend
from synet.cli import main
from synet.custom_patches import patch_custom, unpatch
from synet.models.locate import installed
from synet.patches import patch_ultralytics
from synet.system.errors import SynetError

SHAPE = (64, 160)
HEADS = {
    "detect": "[[2, 3], 1, Detect, [nc]]",
    "segment": "[[2, 3], 1, Segment, [nc, 8, 16]]",
    "pose": "[[2, 3], 1, Pose, [nc, [1, 3]]]",
    "obb": "[[2, 3], 1, OBB, [nc, 1]]",
    "classify": "[3, 1, Classify, [nc]]",
}
TINY = """\
synet: {{chip: sabre, image_shape: {shape}}}
nc: 2
kpt_shape: [1, 3]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - {head}
"""
QUICK = {"epochs": 1, "batch": 3, "device": "cpu", "plots": False, "workers": 0, "amp": False}
WORDS = [f"{key}={value}" for key, value in QUICK.items()]


def write_tiny(folder: Path, task: str = "detect") -> Path:
    path = folder / f"tiny-{task}.yaml"
    path.write_text(TINY.format(shape=list(SHAPE), head=HEADS[task]))
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("marks")
    data = {task: marks.draw(folder / task, task) for task in marks.TASKS}
    return data | {"classify": marks.draw_classes(folder / "classify")}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path_factory.mktemp("cache")))


# --------------------------------------------------------------------------------- in a script


@pytest.fixture
def seen(monkeypatch):
    """Shapes of the images that models are given, by the mode that they are in."""
    patch_ultralytics(roots=[installed("ultralytics")])
    tasks = importlib.import_module("ultralytics.nn.tasks")
    shapes, forward = defaultdict(set), tasks.BaseModel.forward

    def watched(model, x, *args, **kwargs):
        image = x["img"] if isinstance(x, dict) else x
        shapes["train" if model.training else "eval"].add(tuple(image.shape[1:]))
        return forward(model, x, *args, **kwargs)

    monkeypatch.setattr(tasks.BaseModel, "forward", watched)
    return shapes


@pytest.mark.parametrize("task", HEADS)
def test_every_task_trains_validates_and_predicts_at_height_and_width(seen, drawn, tmp_path, task):
    from ultralytics import YOLO

    model = YOLO(str(write_tiny(tmp_path, task)))
    seen.clear()  # ultralytics runs a model once when it is built
    started = []
    model.add_callback("on_train_start", lambda trainer: (started.append(trainer), seen.clear()))
    model.train(data=str(drawn[task]), project=str(tmp_path), name="run", **QUICK)
    assert seen == {"train": {(3, *SHAPE)}, "eval": {(3, *SHAPE)}}
    assert yaml.safe_load((tmp_path / "run" / "args.yaml").read_text())["imgsz"] == list(SHAPE)

    best = tmp_path / "run" / "weights" / "best.pt"
    model = YOLO(str(best))
    assert model.overrides["imgsz"] == list(SHAPE) and type(model.overrides["imgsz"]) is list
    assert model.model.synet["chip"] == "sabre"
    seen.clear()
    model.val(data=str(drawn[task]), plots=False, workers=0, project=str(tmp_path))
    images = drawn[task].parent / "images" if task != "classify" else drawn[task] / "val" / "dark"
    model.predict(str(images), verbose=False, project=str(tmp_path))
    assert seen["eval"] == {(3, *SHAPE)} and not seen["train"]
    assert synet.get_model(best).image_shape == SHAPE


def test_a_size_that_is_given_is_that(seen, drawn, tmp_path):
    from ultralytics import YOLO

    model = YOLO(str(write_tiny(tmp_path)))
    model.add_callback("on_train_start", lambda _: seen.clear())
    options = {"data": str(drawn["detect"]), "project": str(tmp_path), **QUICK}
    model.train(**options, name="tall", imgsz=(96, 32), multi_scale=0.0, rect=True)
    assert seen["train"] == {(3, 96, 32)} == seen["eval"]
    best = tmp_path / "tall" / "weights" / "best.pt"
    assert synet.get_model(best).image_shape == (96, 32)  # rather than what its yaml says

    model = YOLO(str(best))  # goes on from its weights, which are the whole of it
    model.add_callback("on_train_start", lambda _: seen.clear())
    seen.clear()
    model.train(**options, name="square", imgsz=64)
    assert seen["train"] == {(3, 64, 64)}


def test_the_patch_for_one_chip_refuses_a_model_of_another(tmp_path):
    patch_ultralytics("katana", roots=[installed("ultralytics")])
    from ultralytics import YOLO

    path = write_tiny(tmp_path)
    with pytest.raises(SynetError, match=rf"{path} is made for sabre, and this process is patch"):
        YOLO(str(path))


# -------------------------------------------------------------------------------- chips and lines


def test_models_of_several_chips_in_one_process(tmp_path):
    tiny = write_tiny(tmp_path)
    for _ in range(2):
        katana, sabre = synet.get_model("katana-kqvga"), synet.get_model(tiny)
        assert (katana.synet["chip"], sabre.synet["chip"]) == ("katana", "sabre")
        assert [type(m).__module__ for m in (katana, sabre)] == [
            "yolov5.models.yolo",
            "ultralytics.nn.tasks",
        ]
    patch_custom("katana")  # as a training script does: SyNet's own functions know better
    assert synet.get_model(tiny).synet["chip"] == "sabre" and sabre.image_shape == SHAPE


@pytest.mark.parametrize(
    ("name", "kind", "chip"),
    [
        ("yolov8n.yaml", "DetectionModel", "sabre"),
        ("yolo11n-pose", "PoseModel", "sabre"),
        ("yolov8n-cls.yaml", "ClassificationModel", "sabre"),
        ("yolov5n.yaml", "DetectionModel", "katana"),
    ],
)
def test_names_of_stock_yamls(name, kind, chip):
    model = synet.get_model(name)
    assert type(model).__name__ == kind and model.synet["chip"] == chip
    widths = {m.out_channels for m in model.modules() if hasattr(m, "out_channels")}
    assert 16 in widths  # n: a quarter of 64


def test_the_chip_of_a_stock_yaml_may_be_chosen():
    model = synet.get_model("yolov8n.yaml", chip="katana")
    assert (model.synet["chip"], model.synet["channels"]) == ("katana", 1)


def test_a_name_that_nobody_has():
    with pytest.raises(SynetError, match="katana-kqvgaa: no such file.*did you mean katana-kqvga"):
        synet.get_model("katana-kqvgaa")


# ----------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory) -> Path:
    """A run of ``synet ultralytics train`` in a fresh process."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["train", f"model={write_tiny(folder)}", f"data={drawn['detect']}", *WORDS]
    more = [f"project={folder}", "name=run", "epochs=2", "save_period=1"]
    told = run("-m", "synet", "ultralytics", *words, *more, cwd=folder)
    assert "imgsz=64,160" in told and "updating to" not in told
    assert "conv.Conv" not in told  # neither the fork's nor ours by its path
    return folder / "run" / "weights" / "best.pt"


LOAD = """
import json, os, sys
from synet.patches import patch_ultralytics
patch_ultralytics()
from ultralytics import YOLO
model = YOLO(sys.argv[1])
kinds = {f"{type(m).__module__}.{type(m).__name__}" for m in model.model.modules()}
print(json.dumps([model.overrides["imgsz"], model.model.synet, sorted(kinds)]))
"""


@pytest.mark.parametrize("restricted", ["0", "1"])
def test_a_checkpoint_loads_in_a_fresh_process(trained, tmp_path, restricted):
    told = run("-c", LOAD, trained, cwd=tmp_path, ULTRALYTICS_SAFE_LOAD=restricted)
    shape, note, kinds = json.loads(told.splitlines()[-1])
    assert tuple(shape) == SHAPE and note["chip"] == "sabre"
    assert "synet.layers.conv.Conv" in kinds and "ultralytics.nn.modules.conv.Conv" not in kinds


def test_a_training_is_resumed(trained, tmp_path):
    first = trained.with_name("epoch0.pt")
    told = run("-m", "synet", "ultralytics", "train", "resume=True", f"model={first}", cwd=tmp_path)
    assert "Resuming training" in told and "imgsz=64,160" in told


def invoke(*words: str) -> str:
    result = CliRunner().invoke(main, ["ultralytics", *words])
    assert result.exit_code == 2, (result.output, result.exception)
    line = result.output.splitlines()[-1]
    assert line.startswith("synet: ")
    return line.removeprefix("synet: ")


def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    assert invoke("train", "model=katana-kqvgaa") == (
        "model=katana-kqvgaa: no such file, and no such zoo model; did you mean katana-kqvga or "
        "katana-kvga?"
    )
    assert "did you mean yolov8" in invoke("train", "model=yolov88n.yaml")
    assert invoke("val", "model=best.pt").startswith("model=best.pt: no such file")
    assert "'epoch' is not a valid YOLO argument" in invoke("train", "epoch=3")
    told = invoke("train", "model=tiny-detect.yaml", "data=nowhere.yaml", "device=cpu")
    assert "'nowhere.yaml' does not exist" in told
    unpatch()
    assert "made for sabre" in invoke("--chip", "katana", "train", "model=tiny-detect.yaml")
    unpatch()
    assert "which model?" in invoke("tune", "epochs=1")


def test_the_name_of_a_zoo_model_becomes_its_file():
    root = installed("ultralytics")
    assert backend._found("model=katana-kqvga", root).endswith("katana/katana-kqvga.yaml")
    for other in ("model=yolo11n.pt", "model=yolov8n-seg.yaml", "data=my.yaml", "train"):
        assert backend._found(other, root) == other


def test_tune_is_handed_to_python(monkeypatch, tmp_path):
    """Which ultralytics' own command line does not offer."""
    patch_ultralytics(roots=[installed("ultralytics")])
    engine, given = importlib.import_module("ultralytics.engine.model"), {}
    monkeypatch.setattr(engine.Model, "tune", lambda self, **options: given.update(options))
    backend.run(["tune", f"model={write_tiny(tmp_path)}", "iterations=2", "imgsz=64,96"])
    assert given == {"iterations": 2, "imgsz": (64, 96)}


# -------------------------------------------------------------------------------------- two ranks

RANKS = """
import os, sys
from synet.patches import ranks
ranks.PATIENCE = 3
if __name__ == "__main__":
    if sys.argv[4] == "all" or os.environ["RANK"] == "0":
        from synet.patches import patch_ultralytics
        patch_ultralytics("sabre")
    from ultralytics import YOLO
    def kinds(trainer):
        names = {f"{type(m).__module__}.{type(m).__name__}" for m in trainer.model.modules()}
        os.write(1, f"\\nrank {os.environ.get('RANK')}: {sorted(names)}\\n".encode())
    model = YOLO(sys.argv[1])
    model.add_callback("on_train_start", kinds)
    model.train(data=sys.argv[2], device=sys.argv[3], project=os.getcwd(), name="run",
                epochs=1, batch=4, plots=False, amp=False, imgsz=[64, 96])
"""


def launch(folder: Path, *command: str, status: int = 0) -> str:
    (folder / "ranks.py").write_text(RANKS)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode != 0) == (status != 0), done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def absolute(data: Path) -> str:
    """A data yaml that an unpatched rank can read."""
    content = yaml.safe_load(data.read_text()) | {"path": str(data.parent)}
    path = data.with_name("absolute.yaml")
    path.write_text(yaml.safe_dump(content))
    return str(path)


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "ranks.py"]


def check_ranks(told: str, folder: Path) -> None:
    for rank in (0, 1):
        (line,) = [line for line in told.splitlines() if line.startswith(f"rank {rank}:")]
        assert "synet.layers.conv.Conv" in line and "DistributedDataParallel" in line
        assert "ultralytics.nn.modules.conv.Conv" not in line
    best = folder / "run" / "weights" / "best.pt"
    assert synet.get_model(best).image_shape == (64, 96)


def test_ranks_that_torchrun_starts_on_the_processor(drawn, tmp_path):
    data = str(drawn["detect"])
    check_ranks(
        launch(tmp_path, *TORCHRUN, str(write_tiny(tmp_path)), data, "cpu", "all"), tmp_path
    )


def test_ranks_that_ultralytics_itself_starts(drawn, tmp_path):
    pytest.importorskip("cloudpickle", reason="ultralytics launches ranks with cloudpickle")
    words = [str(write_tiny(tmp_path)), str(drawn["detect"]), "cpu,cpu", "all"]
    check_ranks(launch(tmp_path, "ranks.py", *words), tmp_path)


def test_a_rank_that_is_not_patched_stops_the_run(drawn, tmp_path):
    words = ["yolov8n.yaml", absolute(drawn["detect"]), "cpu", "first"]
    told = launch(tmp_path, *TORCHRUN, *words, status=1)
    (line,) = [line for line in told.splitlines() if line.startswith("synet: ")]
    assert "not patched alike: rank 0 for sabre; rank 1 not at all" in line
