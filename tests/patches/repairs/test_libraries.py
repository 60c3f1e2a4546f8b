"""Each repair answers an error that is seen here first, and leaves no trace."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from urllib.error import URLError

import matplotlib
import numpy as np
import pytest
import torch
from PIL import ImageFont

from synet.patches.repairs.fork_functions import FORK_REPAIRS
from synet.patches.repairs.libraries import AUTOINSTALL, LIBRARY_REPAIRS, apply_library_repairs
from synet.patches.repairs.matplotlib import font_file
from synet.patches.undo import Applied

REPAIRS = {repair.name: repair for repair in LIBRARY_REPAIRS}


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
    repairs = [*LIBRARY_REPAIRS, *FORK_REPAIRS]
    assert len({repair.name for repair in repairs}) == len(repairs)
    assert all(repair.error and repair.since for repair in repairs)


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
    return seen | {name: os.environ.get(name) for name in AUTOINSTALL}


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
    assert apply_library_repairs(clean)
    assert apply_library_repairs(Applied()) == []


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
