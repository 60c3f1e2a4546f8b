"""Checkpoints load without running anything that they bring along."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import importlib.util
import io
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import wrapt
from torch import nn

from synet import checkpoint
from synet.errors import CheckpointError

FORK = """
import os
from torch import nn
from elsewhere_{tag} import Stranger

run = os.system
Conv = os.system


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.built = eval(cfg)


class Runner(nn.Module):
    def forward(self, code):
        eval(code)


class NotAModule:
    def __setstate__(self, state):
        eval(state)
"""

ELSEWHERE = """
from torch import nn


class Stranger(nn.Module):
    pass
"""


class Fork:
    """A fork in a folder of its own, whose modules nothing has imported."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.root = folder / "fork"
        self.marker = folder / "executed"
        self.package = f"fork_{tag}"
        (self.root / self.package).mkdir(parents=True)
        (self.root / self.package / "__init__.py").touch()
        (self.root / self.package / "yolo.py").write_text(FORK.format(tag=tag))
        touch = f"open({str(self.marker)!r}, 'w').close()\n"
        (self.root / f"setup_{tag}.py").write_text(touch)
        (folder / f"elsewhere_{tag}.py").write_text(ELSEWHERE)
        (folder / f"trap_{tag}.py").write_text(touch + ELSEWHERE)
        self.tag = tag

    @property
    def yolo(self):
        return importlib.import_module(f"{self.package}.yolo")

    def forget(self) -> None:
        for name in [n for n in sys.modules if self.tag in n]:
            del sys.modules[name]


@pytest.fixture
def fork(tmp_path, monkeypatch):
    fork = Fork(tmp_path, f"t{abs(hash(tmp_path)) % 10**10}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(fork.root)
    importlib.invalidate_caches()
    yield fork
    fork.forget()


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
        "objects": np.array(["a", None], dtype=object),
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
    assert found.pop("objects").tolist() == wanted.pop("objects").tolist()
    assert torch.equal(found.pop("half"), wanted.pop("half"))
    assert found == wanted
    assert type(found["best_fitness"]) is np.float64


@pytest.mark.parametrize("name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_of_either_generation(tmp_path, name):
    scalar = np.float64(0.5).__reduce__()
    body = call(glob(name, "scalar"), pickled(scalar[1][0]), pickled(scalar[1][1]))
    found = checkpoint.read(archive(tmp_path / "a.pt", entry("best_fitness", body)))
    assert found == {"best_fitness": 0.5}


def test_paths_of_another_system(tmp_path):
    body = call(glob("pathlib", "WindowsPath"), text("runs"), text("exp"))
    found = checkpoint.read(archive(tmp_path / "a.pt", entry("save_dir", body)))
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
    from synet.patches.compat import apply_library_repairs
    from synet.patches.engine import Applied

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


def test_classes_named(yolov5_checkpoint):
    named = checkpoint.classes_named(yolov5_checkpoint[0])
    assert {"yolov5.models.yolo.Detect", "torch.nn.modules.conv.Conv2d"} <= named


# ---------------------------------------------------------------------- what must not run


def text(string: str) -> bytes:
    data = string.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def glob(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def entry(key: str, value: bytes) -> bytes:
    return b"}" + text(key) + value + b"s"


def pickled(value: object) -> bytes:
    """The instructions that make `value`, without head and end."""
    return pickle.dumps(value, protocol=2)[2:-1]


def archive(file: Path, body: bytes, **options: int) -> Path:
    """A zip such as torch.save writes, around any pickle."""
    with zipfile.ZipFile(file, "w", **options) as out:
        out.writestr("a/data.pkl", b"\x80\x02" + body + b".")
        out.writestr("a/version", "3\n")
    return file


def plain(file: Path, body: bytes) -> Path:
    file.write_bytes(b"\x80\x02" + body + b".")
    return file


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
    "eval": lambda marker: Reduce(eval, f"open({str(marker)!r}, 'w')"),
    "exec": lambda marker: Reduce(exec, f"open({str(marker)!r}, 'w')"),
    "open": lambda marker: Reduce(open, str(marker), "w"),
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


@pytest.mark.parametrize("protocol", [2, 4])
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
    named = f"{function.__module__.lstrip('_')}.{function.__qualname__}"
    # torch judges its own names, and stops at the first instruction of a newer protocol
    refused(file, "" if command == "torch.load" and protocol == 4 else named)
    assert not marker.exists()
    if command != "torch.load":
        pickle.loads(pickle.dumps(content))  # the payload does what it is feared for
        assert marker.exists()


def smuggled(fork: Fork) -> dict[str, bytes]:
    """Pickles that try to get at code by way of names that may be listed."""
    touch = text(f"touch {fork.marker}")
    expression = text(f"open({str(fork.marker)!r}, 'w')")
    yolo = f"{fork.package}.yolo"
    model = glob(yolo, "Model")
    path = call(glob("pathlib", "PosixPath"), text(str(fork.marker)))
    return {
        "getattr chain": call(call(glob("__builtin__", "getattr"), path, text("touch"))),
        "attribute of a listed class": call(glob("pathlib.PosixPath", "touch"), path),
        "method of a layer": call(glob("__builtin__", "getattr"), model, text("load_state_dict")),
        "forward of a path": call(glob("__builtin__", "getattr"), path, text("forward")),
        "forward of a layer, called": call(
            call(glob("__builtin__", "getattr"), glob(yolo, "Runner"), text("forward")), expression
        ),
        "function of the fork": call(glob(yolo, "run"), touch),
        "function named as a layer": call(glob(yolo, "Conv"), touch),
        "module's module": call(glob(f"{yolo}.os", "system"), touch),
        "torch.nn's own imports": call(glob("torch.nn.modules.module.warnings.sys", "exit")),
        "no module of the fork": glob(yolo, "NotAModule") + b")\x81" + expression + b"b",
        "constructor": call(model, expression),
        "constructor, by torch's own": call(
            glob("torch._tensor", "_rebuild_from_type_v2"),
            model,
            model,
            b"(" + expression + b"t",
            b"}",
        ),
        "script of the fork": glob(f"setup_{fork.tag}", "Thing") + b")\x81",
        "module that is not the fork's": glob(f"trap_{fork.tag}", "Stranger") + b")\x81",
        "class that is not the fork's": glob(yolo, "Stranger") + b")\x81",
        "old style instance": b"(" + touch + b"iposix\nsystem\n",
        "extension code": b"\x82\x01)R",
    }


@pytest.mark.parametrize("write", [archive, plain])
@pytest.mark.parametrize("imported", [True, False], ids=["imported", "not imported"])
@pytest.mark.parametrize("trick", smuggled(argparse.Namespace(package="", marker="", tag="")))
def test_smuggled(fork, tmp_path, trick, imported, write):
    if imported:
        assert fork.yolo
    refused(write(tmp_path / "a.pt", smuggled(fork)[trick]), roots=[fork.root])
    assert not fork.marker.exists()
    assert f"trap_{fork.tag}" not in sys.modules


def test_a_layer_may_borrow_the_forward_of_another(fork, tmp_path):
    """As YOLOv5's Segment does; torch pickles it as a call of getattr."""
    layer = fork.yolo.Block(2)
    layer.detect = fork.yolo.Runner.forward
    torch.save(layer, tmp_path / "a.pt")
    loaded = checkpoint.read(tmp_path / "a.pt", [fork.root])["model"]
    assert loaded.detect is fork.yolo.Runner.forward


def test_nothing_is_called_on_the_files_behalf(fork, tmp_path):
    """An instance that the file makes has a forward, and torch has a function that calls it."""
    expression = text(f"open({str(fork.marker)!r}, 'w')")
    runner = pickled(fork.yolo.Runner())
    rebuild = glob("torch._tensor", "_rebuild_from_type_v2")
    body = call(rebuild, runner, glob("torch", "Tensor"), b"(" + expression + b"t", b"}")
    refused(archive(tmp_path / "a.pt", body), "_rebuild_from_type_v2", roots=[fork.root])
    assert not fork.marker.exists()


def test_the_constructor_would_have_run(fork):
    """The guard of 'constructor' above is what stops it, not an accident of the pickle."""
    pickle.loads(b"\x80\x02" + smuggled(fork)["constructor"] + b".")
    assert fork.marker.exists()


def damaged(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.pt"
    torch.save({"weight": torch.zeros(1000)}, whole)
    data = whole.read_bytes()
    files = {
        "html": b"<!DOCTYPE html>\n<html><body>404</body></html>",
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "empty": b"",
        "cut short": data[: len(data) // 2],
        "cut to its head": data[:40],
        "noise": b"\x80\x02" + bytes(range(1, 128)),
        "long string": b"\x80\x02X\xff\xff\xff\xffabc",
        "zip of something": None,
    }
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.pt").write_bytes(content)
    with zipfile.ZipFile(folder / "zip of something.pt", "w") as out:
        out.writestr("readme.txt", "hello")
    with zipfile.ZipFile(folder / "script.pt", "w") as out:
        out.writestr("a/constants.pkl", "")
        out.writestr("a/data.pkl", "")
    archive(folder / "bomb.pt", text("0" * 10**6), compression=zipfile.ZIP_DEFLATED)
    lying = archive(folder / "lying.pt", b"}").read_bytes()
    at = lying.rindex(b"PK\x01\x02") + 20  # sizes in the last entry of the directory
    lying = lying[:at] + (b"\xff\xff\xff\x7f" * 2) + lying[at + 8 :]
    (folder / "lying.pt").write_bytes(lying)
    archive(
        folder / "huge.pt",
        call(glob("__builtin__", "bytearray"), b"\x8a\x07" + b"\xff" * 6 + b"\0"),
    )
    torch.save([1, 2], folder / "list.pt")
    (folder / "folder.pt").mkdir()
    whole.unlink()
    return {path.stem: path for path in folder.glob("*.pt")} | {"missing": folder / "missing.pt"}


def test_damaged(tmp_path):
    files = damaged(tmp_path)
    assert len(files) == 15
    for path in files.values():
        refused(path)


@pytest.mark.parametrize("name", ["bomb", "lying"])
def test_what_unpacks_to_more_than_the_file_is_not_unpacked(tmp_path, name):
    refused(damaged(tmp_path)[name], "claims to unpack to more")


@pytest.mark.parametrize("name", ["html", "text", "empty"])
def test_classes_named_in_what_is_no_checkpoint(tmp_path, name):
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.classes_named(damaged(tmp_path)[name])


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
    torch.save({"model": Reduce(os.system, f"touch {fork.marker}")}, bad)
    source = (lambda p: io.BytesIO(p.read_bytes())) if as_file else str
    for options in ({}, {"weights_only": False}, {"pickle_module": pickle}):
        assert type(load(source(good), "cpu", **options)["model"]) is fork.yolo.Block
        with pytest.raises(CheckpointError):
            load(source(bad), map_location="cpu", **options)
    assert not fork.marker.exists()


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
