"""Each repair answers an error that is seen here first, and leaves no trace."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from urllib.error import URLError

import cv2
import matplotlib
import numpy as np
import pytest
import torch
import wrapt
import yaml
from PIL import ImageFont

from synet.patches.repairs import fork_functions as fork_repairs
from synet.patches.repairs import libraries as compat
from synet.patches.repairs.matplotlib import font_file
from synet.patches.repairs.stand_in_modules import pkg_resources
from synet.patches.undo import Applied

REPAIRS = {repair.name: repair for repair in compat.LIBRARY_REPAIRS}
FORK_REPAIRS = {repair.name: repair for repair in fork_repairs.FORK_REPAIRS}


def old_trapz():
    assert np.trapz([0.0, 1.0], [0.0, 2.0]) == 1.0


def old_aliases():
    assert np.array([1.7]).astype(np.int).tolist() == [1]
    assert np.zeros(1, dtype=np.float).dtype == np.float64
    assert np.NaN != np.NaN and np.product([2, 3]) == 6


def old_getsize():
    font = ImageFont.truetype(str(font_file()), 20)
    short, height = font.getsize("ab")
    long, _ = font.getsize("abab")
    assert 0 < short < long and height == font.getbbox("ab")[3]
    assert ImageFont.load_default().getsize("ab")[0] > 0


def old_pkg_resources():
    pkg = importlib.import_module("pkg_resources")
    assert pkg.parse_version("1.10.0+cpu") > pkg.parse_version("1.9")


def old_ipython():
    assert importlib.import_module("IPython").get_ipython() is None
    importlib.import_module("IPython.display").display("shown")


def old_colors():
    colors = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    rgb = [tuple(int(h[1 + i : 1 + i + 2], 16) for i in (0, 2, 4)) for h in colors]
    assert rgb[0] == (31, 119, 180)


def old_clamp():
    cells, gain = torch.tensor([-1, 5, 99]), torch.ones(7) * 80
    assert cells.clamp_(0, gain[3] - 1).tolist() == [0, 5, 79]
    assert cells.clamp_(min=gain[3] - 70).tolist() == [10, 10, 79]
    assert torch.tensor([0.5, 2.0]).clamp_(torch.tensor(0.75), 1).tolist() == [0.75, 1.0]


def old_font():
    target = Path("Arial.ttf")
    torch.hub.download_url_to_file(
        "https://synet.invalid/assets/Arial.ttf?raw=1", str(target), progress=False
    )
    assert ImageFont.truetype(str(target), 12).getbbox("a")


def old_autoinstall():
    assert os.environ["YOLO_AUTOINSTALL"] == os.environ["YOLOv5_AUTOINSTALL"] == "false"


def old_labels():
    joined = np.concatenate((3, ["1.5", "2"]), axis=None)
    assert np.array([joined], dtype=np.float32).tolist() == [[3.0, 1.5, 2.0]]
    assert np.concatenate(([1], [2])).dtype.kind == "i"


def old_mish():
    mish = importlib.import_module("mish_cuda").MishCuda()
    value = torch.tensor([1.0])
    torch.testing.assert_close(mish(value), value * torch.tanh(torch.log(1 + value.exp())))


def old_cpuinfo():
    assert importlib.import_module("cpuinfo").get_cpu_info()["brand_raw"]


def old_extension():
    Path("rotated_fork").mkdir(exist_ok=True)
    Path("rotated_fork/__init__.py").write_text("from . import nms_rotated_ext\n")
    sys.modules.pop("rotated_fork", None)
    importlib.invalidate_caches()
    extension = importlib.import_module("rotated_fork").nms_rotated_ext
    boxes = torch.tensor([[50, 50, 40, 20, 0.0], [50, 50, 40, 20, 0.1], [90, 90, 9, 9, 1.0]])
    kept = extension.nms_rotated(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
    assert kept.tolist() == [1, 2]


OLD_CODE = {
    "np_concat_str": (old_labels, TypeError),
    "stub_cpuinfo": (old_cpuinfo, ImportError),
    "stub_mish_cuda": (old_mish, ImportError),
    "stub_nms_rotated": (old_extension, ImportError),
    "np_trapz": (old_trapz, AttributeError),
    "np_alias": (old_aliases, AttributeError),
    "pillow_getsize": (old_getsize, AttributeError),
    "pkg_resources": (old_pkg_resources, ImportError),
    "ipython": (old_ipython, ImportError),
    "mpl_cycle": (old_colors, TypeError),
    "clamp_mixed": (old_clamp, RuntimeError),
    "font": (old_font, (URLError, OSError)),
    "autoinstall": (old_autoinstall, KeyError),
}


@pytest.fixture
def clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("YOLO_AUTOINSTALL", raising=False)
    monkeypatch.delenv("YOLOv5_AUTOINSTALL", raising=False)
    applied = Applied()
    yield applied
    applied.undo()


def test_every_repair_has_old_code():
    assert OLD_CODE.keys() == REPAIRS.keys()
    names = [*REPAIRS, *FORK_REPAIRS]
    assert len(set(names)) == len(compat.LIBRARY_REPAIRS) + len(fork_repairs.FORK_REPAIRS)
    assert all(r.error and r.since for r in (*REPAIRS.values(), *FORK_REPAIRS.values()))


def snapshot() -> dict:
    """Everything that a library repair may touch."""
    fonts = (ImageFont.ImageFont, ImageFont.FreeTypeFont)
    owners = (np, torch.Tensor, torch.hub, *fonts)
    seen: dict = {"finders": list(sys.meta_path)}
    seen |= {(repr(owner), name): value for owner in owners for name, value in vars(owner).items()}
    seen |= {
        name: sys.modules.get(name) for name in ("pkg_resources", "IPython", "IPython.display")
    }
    seen["cycle"] = matplotlib.rcParams["axes.prop_cycle"]
    return seen | {name: os.environ.get(name) for name in compat.AUTOINSTALL}


@pytest.mark.parametrize("name", OLD_CODE)
def test_library_repair(name, clean):
    repair, (old_code, error) = REPAIRS[name], OLD_CODE[name]
    if not repair.needed():
        old_code()
        pytest.skip(f"the libraries installed here do not need {name}")
    before = snapshot()
    with pytest.raises(error):
        old_code()
    repair.apply(clean)
    old_code()
    assert not repair.needed()
    clean.undo()
    after = snapshot()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] or after[key] == before[key] for key in before)
    with pytest.raises(error):
        old_code()


def test_only_what_is_needed_is_applied(clean):
    assert compat.apply_library_repairs(clean)
    assert compat.apply_library_repairs(Applied()) == []


def test_autoinstall_reaches_an_imported_ultralytics(clean, monkeypatch):
    checks = types.ModuleType("ultralytics.utils.checks")
    checks.AUTOINSTALL = True
    monkeypatch.setitem(sys.modules, "ultralytics.utils.checks", checks)
    REPAIRS["autoinstall"].apply(clean)
    assert checks.AUTOINSTALL is False
    clean.undo()
    assert checks.AUTOINSTALL is True


def test_other_downloads_are_not_answered_with_a_font(clean, tmp_path):
    REPAIRS["font"].apply(clean)
    source = tmp_path / "weights.bin"
    source.write_bytes(b"weights")
    torch.hub.download_url_to_file(source.as_uri(), str(tmp_path / "got.bin"), progress=False)
    assert (tmp_path / "got.bin").read_bytes() == b"weights"


# --------------------------------------------------------------------------- pkg_resources


@pytest.fixture
def pkg():
    return pkg_resources()


def test_parse_requirements(pkg, tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "# base\nnumpy>=1.18.5\n-r other.txt\n\nPillow>=7.1.2  # CVE\n"
    )
    with (tmp_path / "requirements.txt").open() as file:  # as YOLOv5 hands it over
        found = [f"{x.name}{x.specifier}" for x in pkg.parse_requirements(file)]
    assert found == ["numpy>=1.18.5", "Pillow>=7.1.2"]
    assert next(pkg.parse_requirements("Torch_Vision>=1")).key == "torch-vision"


def test_require(pkg):
    assert pkg.require("numpy>=1.0")[0].version == np.__version__
    assert pkg.get_distribution("numpy").version == np.__version__
    with pytest.raises(pkg.DistributionNotFound, match="no-such-package"):
        pkg.require("no-such-package>=1")
    with pytest.raises(pkg.VersionConflict, match="numpy<1") as caught:
        pkg.require("numpy<1")
    assert caught.value.req.name == "numpy"
    assert caught.value.dist.version == np.__version__


def test_pytest_gets_along_with_it(pkg, monkeypatch, tmp_path):
    """As in a process that is patched: it asks whatever is called pkg_resources."""
    monkeypatch.setitem(sys.modules, "pkg_resources", pkg)
    monkeypatch.syspath_prepend(tmp_path)
    assert sys.path[0] == str(tmp_path)


# ---------------------------------------------------------------------- functions of forks


def wrapped(name, function):
    return wrapt.FunctionWrapper(function, FORK_REPAIRS[name].wrapper)


def forbidden(*args, **kwargs):
    raise AssertionError("the fork's own function was called")


def test_check_requirements_tells_and_installs_nothing(tmp_path, caplog):
    file = tmp_path / "requirements.txt"
    file.write_text("numpy>=1.0\nno-such-package>=2\nnumpy<0.5\nexcluded-package\n")

    def check_requirements(requirements=file, exclude=(), install=True, cmds=""):
        forbidden()

    check = wrapped("requirements", check_requirements)
    with caplog.at_level(logging.WARNING, logger="synet"):
        assert check(exclude=("excluded-package",)) is False
    (record,) = caplog.records
    assert "no-such-package>=2 (not installed)" in record.getMessage()
    assert 'pip install "no-such-package>=2" "numpy<0.5"' in record.getMessage()
    assert "excluded-package" not in record.getMessage()
    assert check("numpy>=1.0") is True
    assert check(("numpy", "torch>=1.7"), install=True) is True
    assert check([("no-such-package", "numpy")]) is True  # alternatives
    assert check("git+https://github.com/some/where.git") is True
    assert check(tmp_path / "missing.txt") is True


def test_check_git_status_asks_nobody():
    assert wrapped("git_status", forbidden)(repo="a/b") is None


def test_check_git_info_without_gitpython_or_origin():
    def no_git(path="."):
        raise ModuleNotFoundError("No module named 'git'")

    def no_origin(path="."):
        raise AttributeError("No item found with id origin")

    nothing = {"remote": None, "branch": None, "commit": None}
    assert wrapped("git_info", no_git)() == nothing
    assert wrapped("git_info", no_origin)() == nothing
    assert wrapped("git_info", lambda path=".": {"remote": "r"})() == {"remote": "r"}


def test_hub_is_asked_only_for_what_is_not_here(tmp_path):
    (tmp_path / "best.pt").touch()
    ask = wrapped("hub", lambda repo_id, hf_token=None: f"asked for {repo_id}")
    assert ask(str(tmp_path / "best.pt"), hf_token=None) is None
    assert ask("") is None
    assert ask(repo_id="some/model") == "asked for some/model"


def test_biases_are_set_outside_of_what_is_differentiated():
    weight = torch.nn.Parameter(torch.zeros(6))

    def _initialize_biases(value):
        weight.view(2, 3)[:, 1] += value

    with pytest.raises(RuntimeError, match="leaf Variable"):
        _initialize_biases(1)
    wrapped("leaf_inplace", _initialize_biases)(1)
    assert weight.tolist() == [0, 1, 0, 0, 1, 0] and weight.requires_grad


def test_a_depthwise_convolution_is_fused():
    def fuse_conv_and_bn(conv, bn):
        fused = torch.nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size)
        weight = torch.mm(torch.diag(bn.weight), conv.weight.flatten(1))
        fused.weight.data.copy_(weight.view(fused.weight.size()))
        return fused

    conv, bn = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
            tensor.uniform_(0.5, 1.5)
    with pytest.raises(RuntimeError, match="is invalid for input of size"):
        fuse_conv_and_bn(conv, bn.eval())
    fused, x = wrapped("fuse_groups", fuse_conv_and_bn)(conv, bn), torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(fused(x), bn(conv(x)))
    assert not any(p.requires_grad for p in fused.parameters())


# --------------------------------------------------------------------- the stock package

DRIVER = """
import runpy, socket, subprocess, sys
from pathlib import Path

class Offline(socket.socket):
    def connect(self, address):
        if self.family != getattr(socket, "AF_UNIX", None):
            raise OSError(f"tried to reach {address}")
        return super().connect(address)

def no_name(*args, **kwargs):
    raise socket.gaierror(f"tried to look up {args}")

socket.socket, socket.getaddrinfo = Offline, no_name

import importlib.util, torch, wrapt
from synet.checkpoints.read import safe_load
from synet.patches.repairs.libraries import apply_library_repairs
from synet.patches.repairs.fork_functions import FORK_REPAIRS
from synet.patches.undo import Applied

applied = Applied()
apply_library_repairs(applied)
root = Path(importlib.util.find_spec("yolov5").origin).parent
wrapper = safe_load(lambda: [root])
applied.bind(torch, "load", wrapt.FunctionWrapper(torch.load, wrapper))
from yolov5.utils import downloads
(hub,) = [repair for repair in FORK_REPAIRS if repair.name == "hub"]
downloads.attempt_download_from_hub = wrapt.FunctionWrapper(
    downloads.attempt_download_from_hub, hub.wrapper
)
sys.argv[0] = "train.py"
runpy.run_module("yolov5.train", run_name="__main__")
"""


def draw(folder: Path) -> Path:
    """A dozen squares, labelled."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(4, 28, 2))
            cv2.rectangle(image, (x, y), (x + 24, y + 24), (255, 255, 255), -1)
            cv2.imwrite(str(folder / "images" / split / f"{i}.png"), image)
            label = f"0 {(x + 12) / 64} {(y + 12) / 64} {24 / 64} {24 / 64}\n"
            (folder / "labels" / split / f"{i}.txt").write_text(label)
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "names": ["square"]}
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    return folder / "data.yaml"


@pytest.mark.slow
def test_stock_yolov5_trains_saves_and_resumes_offline(tmp_path):
    """A fresh home (no font, no settings), no network: one epoch, then another from its file."""
    if importlib.util.find_spec("yolov5") is None:
        pytest.skip("the yolov5 package is not installed")
    (tmp_path / "driver.py").write_text(textwrap.dedent(DRIVER))
    repository = Path(compat.__file__).parents[3]
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(repository),
        "OMP_NUM_THREADS": "1",
    }
    (tmp_path / "home" / ".config").mkdir(parents=True)

    def train(*arguments: str) -> str:
        command = [sys.executable, "driver.py", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    data = draw(tmp_path / "data")
    options = "--cfg yolov5n.yaml --imgsz 64 --batch-size 4 --workers 0 --device cpu --epochs 2"
    train(*options.split(), "--weights", "", "--data", str(data), "--save-period", "1")
    weights = tmp_path / "runs" / "train" / "exp" / "weights"
    assert (weights / "best.pt").is_file()
    assert "from epoch 1 to 2" in train("--resume", str(weights / "epoch0.pt"))
