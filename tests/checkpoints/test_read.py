"""Checkpoints load without running anything that they bring along."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import gc
import importlib
import importlib.util
import io
import os
import pathlib
import pickle
import subprocess
import threading
import weakref
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
import wrapt
from hostile import archive, call, glob, mapping, pickled, text
from torch import nn

from synet.checkpoints import read as checkpoint
from synet.system.errors import CheckpointError

# ------------------------------------------------------------------------- what must load


def test_state_dict(tmp_path):
    wanted = nn.Linear(3, 2).state_dict()
    torch.save(wanted, tmp_path / "a.pt")
    found = checkpoint.read(tmp_path / "a.pt")
    assert found.keys() == wanted.keys()
    assert torch.equal(found["weight"], wanted["weight"])


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch<1.6"])
def test_plain_data_as_trainers_save_it(tmp_path, zipped):
    wanted = {
        "best_fitness": np.float64(0.25),
        "maps": np.arange(6, dtype=np.float32).reshape(2, 3),
        "opt": {"save_dir": pathlib.Path("runs") / "exp", "hyp": b"x", "none": b""},
        "namespace": argparse.Namespace(lr=0.1, freeze=[0]),
        "date": datetime.datetime(2024, 2, 29).isoformat(),
        "when": datetime.datetime(2024, 2, 29),
        "sets": ({1, 2}, frozenset({3}), collections.Counter("aab"), slice(1, 2)),
        "half": torch.ones(2, dtype=torch.float16),
        "types": (torch.float32, torch.Size([1, 2]), torch.device("cpu"), torch.__version__),
    }
    file = tmp_path / "a.pt"
    torch.save(wanted, file, _use_new_zipfile_serialization=zipped)
    found = checkpoint.read(file)
    assert np.array_equal(found.pop("maps"), wanted.pop("maps"))
    assert torch.equal(found.pop("half"), wanted.pop("half"))
    assert found == wanted
    assert type(found["best_fitness"]) is np.float64


@pytest.mark.parametrize("name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_of_either_generation(tmp_path, name):
    scalar = np.float64(0.5).__reduce__()
    body = call(glob(name, "scalar"), pickled(scalar[1][0]), pickled(scalar[1][1]))
    found = checkpoint.read(archive(tmp_path / "a.pt", mapping(best_fitness=body)))
    assert found == {"best_fitness": 0.5}


def test_paths_of_another_system(tmp_path):
    body = call(glob("pathlib", "WindowsPath"), text("runs"), text("exp"))
    found = checkpoint.read(archive(tmp_path / "a.pt", mapping(save_dir=body)))
    assert found["save_dir"].as_posix() == "runs/exp"


def test_a_bare_module(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.SiLU()), tmp_path / "a.pt")
    model = checkpoint.read(tmp_path / "a.pt")["model"]
    assert type(model[0]) is nn.Conv2d
    assert model.eval()(torch.zeros(1, 1, 5, 5)).shape == (1, 2, 3, 3)


def test_modules_of_the_fork_are_imported_when_needed(fork, tmp_path):
    model = fork.yolo.Block(4).half()
    torch.save({"model": model}, tmp_path / "a.pt")
    fork.forget()
    found = checkpoint.read(tmp_path / "a.pt", [fork.root])["model"]
    assert type(found) is fork.yolo.Block
    assert torch.equal(found.linear.weight, model.linear.weight)
    torch.save(found, tmp_path / "again.pt")  # it is the class that pickle finds by name


@pytest.fixture(scope="module")
def yolov5_checkpoint(tmp_path_factory):
    """What the stock package's train.py saves, after a real optimizer step."""
    if importlib.util.find_spec("yolov5") is None:
        pytest.skip("the yolov5 package is not installed")
    from synet.patches.repairs.libraries import apply_library_repairs
    from synet.patches.undo import Applied

    applied = Applied()
    apply_library_repairs(applied)
    try:
        yolo = importlib.import_module("yolov5.models.yolo")
        tools = importlib.import_module("yolov5.utils.torch_utils")
    finally:
        applied.undo()
    root = Path(yolo.__file__).parents[1]
    model = yolo.Model(str(root / "models" / "yolov5n.yaml"), ch=3, nc=2)
    ema = tools.ModelEMA(model)
    optimizer = tools.smart_optimizer(model, "SGD", 0.01, 0.9, 1e-4)
    sum(x.square().mean() for x in model(torch.rand(2, 3, 64, 64))).backward()
    optimizer.step()
    ema.update(model)
    model.names = {0: "a", 1: "b"}
    file = tmp_path_factory.mktemp("yolov5") / "last.pt"
    torch.save(
        {
            "epoch": 0,
            "best_fitness": np.array([0.125]),
            "model": copy.deepcopy(model).half(),
            "ema": copy.deepcopy(ema.ema).half(),
            "updates": ema.updates,
            "optimizer": optimizer.state_dict(),
            "opt": {"save_dir": Path("runs/exp"), "freeze": [0]},
            "date": datetime.datetime.now().isoformat(),
        },
        file,
    )
    return file, root, ema.ema


def test_yolov5_checkpoint(yolov5_checkpoint):
    file, root, ema = yolov5_checkpoint
    found = checkpoint.read(file, [root])
    assert found["best_fitness"] == 0.125
    assert found["opt"]["save_dir"] == Path("runs/exp")
    assert found["optimizer"]["state"]
    model = found["ema"].float().eval()
    assert type(model) is type(ema)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model(image)[0], ema.half().float().eval()(image)[0], atol=1e-4)


def test_yolov5_checkpoint_without_its_fork_is_refused_by_name(yolov5_checkpoint):
    refused(yolov5_checkpoint[0], "yolov5.models.common.", "--repo")


@pytest.fixture(scope="module")
def ultralytics_checkpoint(tmp_path_factory):
    """What ultralytics' trainers save; those of some years left the loss hanging on the model."""
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("the ultralytics package is not installed")
    from ultralytics.cfg import get_cfg
    from ultralytics.nn import tasks

    model = tasks.PoseModel("yolov8n-pose.yaml", nc=2, verbose=False)
    model.args, model.names = get_cfg(), {0: "a", 1: "b"}
    model.criterion = model.init_criterion()
    model.model[-1].detect = tasks.Detect.forward
    file = tmp_path_factory.mktemp("ultralytics") / "best.pt"
    torch.save(
        {
            "epoch": -1,
            "best_fitness": np.float64(0.125),
            "model": None,
            "ema": copy.deepcopy(model).half(),
            "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
            "train_args": vars(model.args),
            "train_metrics": {"fitness": np.float32(0.125)},
            "train_results": {"epoch": [1]},
        },
        file,
    )
    return file, Path(tasks.__file__).parents[1], model


def test_ultralytics_checkpoint(ultralytics_checkpoint):
    file, root, model = ultralytics_checkpoint
    found = checkpoint.read(file, [root])
    assert found["train_args"] == vars(model.args)
    ema = found["ema"].float().eval()
    assert type(ema) is type(model)
    assert ema.args == model.args
    assert not hasattr(ema, "criterion")
    assert ema.model[-1].detect is model.model[-1].detect
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = copy.deepcopy(model).half().float().eval()(image)[0]
        assert torch.allclose(ema(image)[0], wanted, atol=1e-3, rtol=1e-3)


def test_a_whole_module_as_torch_before_1_6_wrote_it(fork, tmp_path, monkeypatch, recwarn):
    """With the source of each class, which torch would compare, and write a patch of."""
    wanted = fork.yolo.Block(3)
    torch.save(wanted, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    monkeypatch.setattr(torch.serialization, "get_source_lines_and_file", None)
    assert f"{fork.package}.yolo.Block" in checkpoint.classes_named(tmp_path / "a.pt")
    found = checkpoint.read(tmp_path / "a.pt", [fork.root])["model"]
    assert torch.equal(found.linear.weight, wanted.linear.weight)
    assert not recwarn.list


def test_a_fused_model_keeps_its_forward(fork, tmp_path):
    """YOLOs put ``forward_fuse`` in place of ``forward``; pickled, that is a bound method."""
    layer = fork.yolo.Runner()
    layer.forward = layer.forward_fuse
    torch.save(layer, tmp_path / "a.pt")
    found = checkpoint.read(tmp_path / "a.pt", [fork.root])["model"]
    assert found("anything") == "fused"


def test_a_layer_may_keep_a_class_of_torch(fork, tmp_path):
    layer = fork.yolo.Block(2)
    layer.norm = nn.BatchNorm2d
    torch.save(layer, tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt", [fork.root])["model"].norm is nn.BatchNorm2d


def test_a_fork_that_cannot_be_imported(fork, tmp_path):
    torch.save(fork.yolo.Block(2), tmp_path / "a.pt")
    fork.forget()
    file = fork.root / fork.package / "yolo.py"
    file.write_text("import not_installed_here\n" + file.read_text())
    refused(tmp_path / "a.pt", f"{fork.package}.yolo", "not_installed_here", roots=[fork.root])


def test_where_torch_is_told_to_insist_on_its_own(fork, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    torch.save(fork.yolo.Block(2), tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt", [fork.root])
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"


def test_a_model_that_was_read_is_gone_when_unused(fork, tmp_path):
    torch.save(fork.yolo.Block(2), tmp_path / "a.pt")
    gc.disable()
    try:
        seen = weakref.ref(checkpoint.read(tmp_path / "a.pt", [fork.root])["model"])
        assert seen() is None
    finally:
        gc.enable()


def test_classes_named(yolov5_checkpoint):
    named = checkpoint.classes_named(yolov5_checkpoint[0])
    assert {"yolov5.models.yolo.Detect", "torch.nn.modules.conv.Conv2d"} <= named


# ------------------------------------------------------------------------- what must not load


class Reduce:
    def __init__(self, function, *arguments) -> None:
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def refused(file: Path, *words: str, roots=()) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(file, roots)
    message = str(caught.value)
    assert "\n" not in message
    assert file.name in message
    for word in words:
        assert word in message


COMMANDS = {
    "os.system": lambda marker: Reduce(os.system, f"touch {marker}"),
    "subprocess": lambda marker: Reduce(subprocess.check_call, ["touch", str(marker)]),
    "exec": lambda marker: Reduce(exec, f"open({str(marker)!r}, 'w')"),
    "pickle.loads": lambda marker: Reduce(
        pickle.loads, pickle.dumps(Reduce(os.system, f"touch {marker}"))
    ),
    "torch.load": lambda marker: Reduce(
        torch.storage._load_from_bytes, saved(Reduce(os.system, f"touch {marker}"))
    ),
}


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("form", ["zip", "torch<1.6", "pickle"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands(tmp_path, command, form, protocol):
    marker = tmp_path / "executed"
    content = {"model": COMMANDS[command](marker)}
    file = tmp_path / "a.pt"
    if form == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=protocol))
    else:
        torch.save(
            content,
            file,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=form == "zip",
        )
    function = content["model"].reduced[0]
    refused(file, f"{function.__module__.lstrip('_')}.{function.__qualname__}")
    assert not marker.exists()
    if command != "torch.load":
        pickle.loads(pickle.dumps(content))  # the payload does what it is feared for
        assert marker.exists()


def test_a_layer_may_borrow_the_forward_of_another(fork, tmp_path):
    """As YOLOv5's Segment does; torch pickles it as a call of getattr."""
    layer = fork.yolo.Block(2)
    layer.detect = fork.yolo.Runner.forward
    for protocol in (2, 4):
        torch.save(layer, tmp_path / "a.pt", pickle_protocol=protocol)
        loaded = checkpoint.read(tmp_path / "a.pt", [fork.root])["model"]
        assert loaded.detect is fork.yolo.Runner.forward


@pytest.mark.parametrize("name", ["html", "text", "empty"])
def test_classes_named_in_what_is_no_checkpoint(tmp_path, name):
    files = {file.stem: file for file in hostile.files(tmp_path, tmp_path / "canary")}
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.classes_named(files[name])


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "bomb": "claims to unpack to more",
        "lying": "claims to unpack to more",
        "script": "TorchScript file, which is code",
        "zip of something": "not one that torch.save wrote",
        "cut at 500": "damaged or cut short",
        "noise": "a pickle that torch.save did not write",
        "list": "holds a list",
        "folder": "is a folder",
        "missing": "No such file",
    }.items(),
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, said):
    files = {file.stem: file for file in hostile.files(tmp_path, tmp_path / "canary")}
    refused(files[name], said)


def test_trust_for_one_run(tmp_path, monkeypatch):
    marker = tmp_path / "executed"
    torch.save({"model": Reduce(os.mkdir, str(marker))}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "SYNET_TRUST_CHECKPOINT=1")
    assert not marker.exists()
    monkeypatch.setenv("SYNET_TRUST_CHECKPOINT", "1")
    checkpoint.read(tmp_path / "a.pt")
    assert marker.exists()


# --------------------------------------------------------------------- in place of torch.load


def wrapped_load(*roots):
    return wrapt.FunctionWrapper(torch.load, checkpoint.safe_load(lambda: roots))


@pytest.mark.parametrize("as_file", [True, False])
def test_safe_load_honours_no_weights_only(fork, tmp_path, as_file):
    load = wrapped_load(fork.root)
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save({"model": fork.yolo.Block(2)}, good)
    torch.save({"model": Reduce(os.system, f"touch {fork.canary}")}, bad)
    source = (lambda p: io.BytesIO(p.read_bytes())) if as_file else str
    for options in ({}, {"weights_only": False}, {"pickle_module": pickle}):
        assert type(load(source(good), "cpu", **options)["model"]) is fork.yolo.Block
        with pytest.raises(CheckpointError):
            load(source(bad), map_location="cpu", **options)
    assert not fork.canary.exists()


def test_safe_load_reads_what_forks_keep(fork, tmp_path):
    load = wrapped_load(fork.root)
    cache = {
        "images/1.jpg": [np.array([[0, 0.5, 0.5, 0.1, 0.1]], dtype=np.float32), (640, 480), []],
        "hash": "0123",
        "version": 0.6,
        "results": (1, 0, 0, 0, 1),
        "msgs": ["1.jpg: ok"],
    }
    model = fork.yolo.Block(2)
    optimizer = torch.optim.Adam(model.parameters())
    model.linear(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    saved = {"ema": model, "optimizer": optimizer.state_dict(), "updates": 3, "wandb_id": None}
    torch.save(cache, tmp_path / "labels.cache")
    torch.save(saved, tmp_path / "last.pt")
    found = load(str(tmp_path / "labels.cache"))
    assert np.array_equal(found.pop("images/1.jpg")[0], cache.pop("images/1.jpg")[0])
    assert found == cache
    found = load(tmp_path / "last.pt", map_location=torch.device("cpu"), mmap=True)
    optimizer.load_state_dict(found["optimizer"])
    assert torch.equal(found["ema"].linear.weight, model.linear.weight)


def test_tensors_go_between_processes_through_torch_load(fork, monkeypatch):
    monkeypatch.setattr(torch, "load", wrapped_load(fork.root))
    wanted = nn.Linear(2, 3)
    found = pickle.loads(pickle.dumps(wanted))
    assert torch.equal(found.weight, wanted.weight)


def test_safe_load_lets_a_fork_handle_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        wrapped_load()(tmp_path / "missing.pt")


def test_no_allow_list_is_left_and_the_users_own_stays(fork, tmp_path):
    torch.save({"model": fork.yolo.Block(2)}, tmp_path / "good.pt")
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "torch.pt")
    (tmp_path / "bad.pt").write_bytes(b"\x80\x02\xff")
    users = (argparse.Namespace, "argparse.Namespace")
    before = set(torch.serialization.get_safe_globals())
    failures = []

    def work():
        try:
            for _ in range(5):
                assert checkpoint.read(tmp_path / "good.pt", [fork.root])
                refused(tmp_path / "good.pt", f"{fork.package}.yolo.Block")
                assert checkpoint.read(tmp_path / "torch.pt")
                refused(tmp_path / "bad.pt")
        except BaseException as error:
            failures.append(error)

    with torch.serialization.safe_globals([users]):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        torch.save(argparse.Namespace(a=1), tmp_path / "users.pt")
        with pytest.raises(CheckpointError, match="holds a Namespace"):
            checkpoint.read(tmp_path / "users.pt")
        assert set(torch.serialization.get_safe_globals()) == before | {users}
    assert not failures
