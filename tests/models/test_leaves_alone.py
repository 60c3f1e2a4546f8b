"""A script calls the library, and finds its process as it was: its functions, and everybody's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch_fork
from real_forks import MIXED

from synet.data.drawn_shapes import draw_dataset

# What a user may well have: beside the script, and under names that forks use as well.
BYSTANDER = """
class Conv:
    pass

class Images:
    def __getitem__(self, index):
        return index

def load_image(path):
    return path

def letterbox(image):
    return image

def check_requirements():
    return "mine"
"""

WATCH = """
import json, os, sys, warnings
import numpy, torch
import synet, synet.models.get_model, synet.models.forks, synet.checkpoints.read
import mine, package.module, models
from synet.system.process import names_of

OWN = {"mine", "package", "package.module", "models"}
WATCHED = {name for name in sys.modules if name.partition(".")[0] in ("numpy", "yaml", "argparse")}
WATCHED |= OWN | {"builtins", "torch", "torch.nn.modules.module", "torch.serialization", "warnings"}
CLASSES = (torch.Tensor, torch.nn.Module, __import__("argparse").ArgumentParser)


def objects():
    found = {}
    for name in WATCHED:
        for key, value in names_of(sys.modules[name]).items():
            found[name, key] = value
            if isinstance(value, type) and name in OWN:
                found |= {(name, key, n): v for n, v in vars(value).items()}
    for cls in CLASSES:
        found |= {(cls.__name__, n): v for n, v in vars(cls).items()}
    return {key: value for key, value in found.items() if callable(value)}


def surroundings():
    hooks = [h for h in sys.meta_path if type(h).__module__.startswith(("synet", "models"))]
    process = [sys.argv, sys.path, sys.excepthook, sys.displayhook, dict(os.environ), os.getcwd()]
    contents = [list(sys.argv), list(sys.path), hooks, list(warnings.filters)]
    return [*process, *contents, torch.get_num_threads(), str(torch.tensor([1 / 3])),
            numpy.get_printoptions()]



def unchanged(before, around, here):
    changed = [pair for pair in zip(around, surroundings()) if pair[0] != pair[1]]
    assert not changed, changed
    after = objects()
    changed = [key for key in before.keys() | after if before.get(key) is not after.get(key)]
    changed = set(changed) - {("torch", "manual_seed")}  # torch does that itself, and compiles
    assert not changed, changed
    assert all(sys.modules.get(name) is module for name, module in here.items())
    assert mine.load_image("a.jpg") == "a.jpg" and mine.check_requirements() == "mine"


"""

MODELS = """
REPO, CFG, WEIGHTS, CALLS = json.loads(sys.argv[1])
library = {
    "yaml": lambda: synet.get_model("katana-kqvga"),
    "fork": lambda: synet.get_model(CFG, repo=REPO),
    "checkpoint": lambda: synet.get_model(WEIGHTS, repo=REPO),
    "none": lambda: failing(lambda: synet.get_model("no-such-model")),
    "unfit": lambda: failing(lambda: synet.get_model("unfit.yaml", repo=REPO)),
}


def failing(call):
    try:
        call()
    except synet.system.errors.SynetError:
        return None
    raise AssertionError("it should have failed")


before, around, here = objects(), surroundings(), dict(sys.modules)
made = [library[call]() for call in CALLS]
unchanged(before, around, here)
import models, utils
assert models.OWNER == utils.OWNER == "the user"
assert not [name for name in sys.modules if name in ("models.yolo", "models.common")]
models_made = [model for model in made if model is not None]
for model in models_made:
    model(torch.zeros(1, 1, 64, 64))
print(json.dumps([type(model).__module__ for model in models_made]))
"""


COMMANDS = """
import keras
from synet.inspection.compare import compare_layers
from synet.evaluation.evaluate import evaluate
from synet.inspection.latency import latency
from synet.evaluation.metrics import metrics
from synet.evaluation.predict import predict
from synet.inspection.profile import profile
from synet.quantize import quantize_model
from synet.inspection.sparsity import sparsity
from synet.inspection.summary import summarize

(CFG, DATA) = json.loads(sys.argv[1])
before, around, here = objects(), surroundings(), dict(sys.modules)
torch.save({"model": synet.get_model(CFG)}, "best.pt")
image = next(__import__("pathlib").Path(DATA).parent.rglob("*.jpg"))
for _ in range(2):
    quantize_model("best.pt", DATA, number=2, force=True, progress=False)
    evaluate("best.pt", DATA, progress=False)
    metrics([DATA], ["best.tflite"], progress=False)
    predict("best.pt", [image], "found", progress=False)
    compare_layers("best.pt", "best.tflite", [image], progress=False)
    latency("best.pt", runs=2, warm_up=1, progress=False)
    summarize("best.pt")
    sparsity("best.pt")
    profile("best.pt")
    synet.check(synet.get_model("best.pt"), "katana", (64, 96))
unchanged(before, around, here)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A script, what lies beside it, and elsewhere a fork with a checkpoint of it."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    for file in ("mine.py", "package/module.py"):
        (folder / file).write_text(BYSTANDER)
    for name in ("models.py", "utils.py"):
        (folder / name).write_text('OWNER = "the user"\n')
    (folder / "models_script.py").write_text(WATCH + MODELS)
    (folder / "commands_script.py").write_text(WATCH + COMMANDS)
    (folder / "mixed.yaml").write_text(MIXED)
    unfit = torch_fork.FILES["small.yaml"].replace("Conv", "Convolve")
    (folder / "unfit.yaml").write_text(unfit)
    fork = torch_fork.write(folder / "elsewhere" / "fork", torch_fork.TWO_LINES)
    save = "\nimport torch\ntorch.save({'model': Model('small.yaml')}, 'best.pt')\n"
    text = torch_fork.TWO_LINES + "from models.yolo import Model\n" + save
    (fork / "save.py").write_text(text)
    torch_fork.run(sys.executable, "save.py", cwd=fork)
    return folder


@pytest.mark.parametrize("calls", [["yaml"], ["fork", "checkpoint", "none", "unfit"] * 3])
def test_a_library_call_leaves_everything_as_it_was(folder, calls):
    fork = folder / "elsewhere" / "fork"
    told = json.dumps([str(fork), str(fork / "small.yaml"), str(fork / "best.pt"), calls])
    out, _ = torch_fork.run(sys.executable, "models_script.py", told, cwd=folder)
    expected = {"yaml": ["yolov5.models.yolo"]}.get(calls[0], ["models.yolo"] * 2 * 3)
    assert json.loads(out.splitlines()[-1]) == expected


@pytest.mark.slow
def test_whatever_the_library_does_with_a_model(folder):
    data = draw_dataset(folder / "data", train=1, val=2, test=2, shape=(120, 160))
    splits, _, _ = data.read_text().partition("names:")
    data.write_text(f"{splits}names: ['0', '1', '2']\n")  # as an untrained model calls them
    told = json.dumps([str(folder / "mixed.yaml"), str(data)])
    torch_fork.run(sys.executable, "commands_script.py", told, cwd=folder)


def test_a_log_of_the_users_is_written_to_as_before(tmp_path):
    """Both YOLOs configure logs when they are imported, which closes the handlers of others."""
    code = """
import logging, sys
import synet
logging.basicConfig(filename="mine.log", filemode="w", level="INFO")
logging.info("before")
synet.get_model("katana-kqvga")
logging.info("after")
assert "yolov5" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "mine.log").read_text()
    assert "before" in text and "after" in text
