from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

import pytest

import synet

HEAVY = ("torch", "tensorflow", "keras", "cv2", "yolov5", "ultralytics", "numpy", "pandas")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_importing_takes_50_ms():
    code = "import time; t = time.perf_counter(); import synet; print(time.perf_counter() - t)"
    assert median(float(run(code)[0]) for _ in range(5)) < 0.05


def test_help_takes_a_quarter_of_a_second():
    def seconds():
        start = perf_counter()
        subprocess.run([sys.executable, "-m", "synet", "--help"], check=True, capture_output=True)
        return perf_counter() - start

    assert median(seconds() for _ in range(5)) < 0.25


@pytest.mark.parametrize(
    "code",
    [
        "import synet",
        "import synet.errors, synet.zoo, synet.files; synet.zoo.names()",
        "from synet.cli import main; main(['--help'], standalone_mode=False)",
        "from synet.cli import main; main(['zoo', 'list'], standalone_mode=False)",
    ],
    ids=["import", "zoo", "help", "list"],
)
def test_nothing_heavy_is_imported(code):
    loaded = run(f"{code}\nimport sys; print('LOADED', *sys.modules)")
    loaded = loaded[loaded.index("LOADED") :]
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


@pytest.mark.parametrize("name", synet.__all__)
def test_what_it_lists_it_has(name):
    assert callable(getattr(synet, name))
    assert name in dir(synet)


def test_what_it_has_not():
    with pytest.raises(AttributeError, match="module 'synet' has no attribute 'nothing'"):
        synet.nothing  # noqa: B018
