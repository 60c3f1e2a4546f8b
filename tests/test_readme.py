"""What the README, the tour and the page on the library tell people to type is typed here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from synet.cli import main
from synet.custom_patches import unpatch
from synet.data.drawn_shapes import draw_dataset

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/tour.md", "docs/library.md", "README.md")  # what trains stands first
README = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)

VISUALIZE = "tests/inspection/test_visualize.py"
BEST = "runs/train/exp/weights/best.tflite"

# Commands that are not run here, with what runs them: a test, or a target of the Makefile.
ELSEWHERE = {
    "make demo": "tests/commands/test_demo_run.py::test_the_whole_demo",
    "make test": "Makefile::test",
    f"synet visualize {BEST}": f"{VISUALIZE}::test_the_command_serves_until_ctrl_c",
    "pip install -e '.[export]'": "Makefile::$(INSTALLED)",
    "pip install -e '.[all]' -c constraints.txt": "Makefile::$(INSTALLED)",
}
WANTED = """\
path: vehicles
train: images/train
val: images/val
names: {0: vehicle}
merge: {vehicle: [circle, square]}
"""
SHORTER = ("--epochs", "1", "--batch-size", "8", "--workers", "0", "--noplots")
SHORTER_STILL = ("epochs=1", "batch=8", "workers=0", "plots=False")  # in ultralytics' words
NOWHERE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
STARTING = ("run", "yolov5", "ultralytics")  # commands that run a script, as a process does once


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [*dict.fromkeys(line for block in blocks("sh") for line in block.splitlines())]
SYNET = [line for line in COMMANDS if line.startswith("synet ") and line not in ELSEWHERE]
FORK = [line for line in COMMANDS if line.startswith("python ")]


def test_every_command_is_run_by_a_test():
    assert SYNET and FORK
    assert {*COMMANDS} - {*SYNET, *FORK} == {*ELSEWHERE}
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        definition = f"def {name}(" if file.endswith(".py") else f"{name}:"
        assert f"\n{definition}" in (ROOT / file).read_text(), f"{place} is gone"


def test_every_block_is_one_that_we_read():
    fences = re.findall(r"^```(\w*)$", README, re.MULTILINE)
    assert [fence for fence in fences if fence] == [fence for fence in fences[::2]]
    assert {*fences} == {"sh", "python", ""}


@pytest.mark.parametrize("line", SYNET)
def test_options_exist(line):
    """Parsed by the command itself, and not run."""
    _, *arguments = shlex.split(line)
    command = main
    while arguments and hasattr(command, "commands") and arguments[0] in command.commands:
        name = arguments.pop(0)
        command = command.commands[name]
    assert command is not main, f"no such command: {line}"
    command.make_context(name, arguments)


def test_every_command_of_synet_is_in_the_readme():
    shown = {shlex.split(line)[1] for line in COMMANDS if line.startswith("synet ")}
    assert {*main.commands} - shown == {"demo"}  # which is what `make demo` runs


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A user's folder: a data set `my.yaml`, and a fork of YOLOv5 next to it, in a clone's layout.

    The fork is the installed package, its modules at the top level as in a clone.
    """
    package = Path(find_spec("yolov5").submodule_search_locations[0])
    fork = tmp_path_factory.mktemp("readme") / "our-yolov5"
    shutil.copytree(package, fork, ignore=shutil.ignore_patterns("__pycache__"))
    for module in fork.rglob("*.py"):
        source = module.read_text(encoding="utf-8")
        source = re.sub(r"^(\s*(?:from|import) )yolov5\.", r"\1", source, flags=re.MULTILINE)
        module.write_text(source, encoding="utf-8")
    (fork / "__init__.py").unlink()

    shutil.copytree(ROOT / "examples" / "odd-yolo", fork.parent / "odd-yolo")
    folder = fork.parent / "work"
    draw_dataset(folder, train=8, val=4, test=4).rename(folder / "my.yaml")
    (folder / "vehicles.yaml").write_text(WANTED)
    (folder.parent / "settings").mkdir()
    typed("yolo settings runs_dir=runs", folder)
    return folder


def typed(line: str, folder: Path) -> None:
    """Run a line as typed in `folder`, but train for a moment only, and without a network."""
    command, *arguments = shlex.split(line)
    if command == "synet" and arguments[0] not in STARTING:
        return typed_here(arguments, folder)
    if any(argument == "train" or argument.endswith("train.py") for argument in arguments):
        arguments += SHORTER_STILL if "ultralytics" in arguments else SHORTER
    program = {
        "synet": [sys.executable, "-m", "synet"],
        "python": [sys.executable],
        "yolo": [str(Path(sys.executable).with_name("yolo"))],
    }[command]
    # ultralytics writes where its settings say; within a test, beside its own package.
    own = {"YOLO_CONFIG_DIR": str(folder.parent / "settings")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env=environment | NOWHERE | own | {"PYTHONPATH": str(ROOT), "SYNET_RUN": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def typed_here(arguments: list[str], folder: Path) -> None:
    """Run a command of SyNet in this process, which has imported what it needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for variable, proxy in NOWHERE.items():
            patch.setenv(variable, proxy)
        try:
            done = CliRunner().invoke(main, arguments, prog_name="synet")
        finally:
            unpatch()
    assert done.exit_code == 0, f"{shlex.join(arguments)}\n{done.output[-4000:]}{done.exception!r}"


@pytest.mark.slow
def test_the_commands_of_synet(workplace):
    for line in SYNET:
        typed(line, workplace)
    assert (workplace / "runs/train/exp/weights/best.tflite").is_file()
    assert (workplace / "runs/detect/train/weights/best.tflite").is_file()
    assert [*(workplace / "runs/detect/predict").glob("*.jpg")]
    assert (workplace / "model.tflite").is_file()
    assert [*(workplace / "vehicles/images/train").iterdir()]
    assert (workplace / "runs/metrics/exp/metrics.json").is_file()
    assert (workplace / "runs/predict/exp/predictions.json").is_file()
    assert (workplace / "report.html").is_file()


@pytest.mark.slow
def test_the_two_lines_in_a_fork(workplace):
    fork = workplace.parent / "our-yolov5"
    two_lines = next(block for block in blocks("python") if "patch_custom" in block)
    script = fork / "train.py"
    script.write_text(two_lines + script.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("images", "labels"):
        shutil.copytree(workplace / name, fork / name)
    shutil.copy(workplace / "my.yaml", fork)
    for line in FORK:
        typed(line, fork)


@pytest.mark.slow
def test_the_library(workplace):
    (script,) = (block for block in blocks("python") if "askeras" in block)
    (workplace / "model.tflite").unlink(missing_ok=True)
    (workplace / "library.py").write_text(script, encoding="utf-8")
    typed("python library.py", workplace)
    assert (workplace / "model.tflite").is_file()
