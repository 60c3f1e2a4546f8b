"""What every test gets: a fair share of the processors, a home of its own, the shared inputs."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _share_processors() -> None:
    """Give each worker its part of the processors, before numpy, torch and tensorflow look."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(variable, threads)


def _leave_home_alone() -> None:
    """Keep both YOLOs from writing settings and fonts into the user's home."""
    for variable in ("YOLO_CONFIG_DIR", "YOLOV5_CONFIG_DIR"):
        folder = tempfile.mkdtemp(prefix="synet-tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[variable] = folder


def _share_cache() -> None:
    """Give all workers one cache, made for this run, whose variable they inherit."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.mkdtemp(prefix="synet-tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["SYNET_CACHE"] = folder


def _hear_ctrl_c() -> None:
    """A shell's background jobs, as tests may be, start with Ctrl-C ignored, and so their own."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_hear_ctrl_c()
_share_processors()
_share_cache()
_leave_home_alone()
os.environ["MPLBACKEND"] = "Agg"
# xdist tells its workers how wide its own terminal is; tables are as wide as where there is none.
os.environ.pop("COLUMNS", None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests take minutes, lest a worker be left alone with them.

    What our own code does by a deprecated name is an error; setup.cfg ignores it elsewhere.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        for category in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
            item.add_marker(pytest.mark.filterwarnings(f"error::{category}:synet"))


_looked_through = 0  # modules


def pytest_runtest_setup() -> None:
    """Leave what libraries made out of garbage collections, of which an export does one.

    Looking through all of torch and tensorflow takes longer than most tests.
    """
    global _looked_through
    if len(sys.modules) > _looked_through + 100:
        gc.collect()
        gc.freeze()
        _looked_through = len(sys.modules)


def pytest_unconfigure() -> None:
    """Let them end as ever: some tell what is left of them."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets and models that lies beside the checkout."""
    folder = Path(os.environ.get("SYNET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared inputs at {folder}; SYNET_SHARED names another folder")
    return folder
