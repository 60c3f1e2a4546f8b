from __future__ import annotations

import configparser
import os
import pkgutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import synet

HEAVY = ("torch", "tensorflow", "keras", "cv2", "yolov5", "ultralytics", "numpy", "pandas")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


# Processor time, as tests run side by side; benchmarks/start.py measures what a user waits for.


def test_importing_takes_50_ms():
    code = "import time; t = time.process_time(); import synet; print(time.process_time() - t)"
    assert min(float(run(code)[0]) for _ in range(5)) < 0.05


def test_help_takes_a_quarter_of_a_second():
    def seconds():
        before = os.times()
        subprocess.run([sys.executable, "-m", "synet", "--help"], check=True, capture_output=True)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])  # user and system time of children

    assert min(seconds() for _ in range(5)) < 0.25


@pytest.mark.parametrize(
    "code",
    [
        "import synet",
        "import synet.system.errors, synet.zoo, synet.system.files; synet.zoo.names()",
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


def test_no_function_hides_a_package_with_modules_of_its_own():
    packages = {each.name for each in pkgutil.iter_modules(synet.__path__) if each.ispkg}
    assert "report" in packages and not packages & {*synet.__all__}
    told = run("import synet.report.write as w; print(w.__name__, callable(w.write_report))")
    assert told == ["synet.report.write", "True"]


def test_types_ship():
    """A type checker believes the annotations of a package that says so."""
    assert resources.files("synet").joinpath("py.typed").is_file()
    config = configparser.ConfigParser()
    config.read(Path(__file__).parent.parent / "setup.cfg")
    assert "py.typed" in config["options.package_data"]["synet"].split()
