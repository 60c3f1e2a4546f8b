"""The guide for unknown forks, followed to the letter on the fork that it is about."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synet.data.drawn_shapes import draw_dataset

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "unknown-forks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
PROGRAMS = {"synet": [sys.executable, "-m", "synet"], "python": [sys.executable]}


@pytest.fixture(scope="module")
def fork(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guide") / "odd-yolo"
    shutil.copytree(ROOT / "examples" / "odd-yolo", folder)
    draw_dataset(folder, train=16, val=4, test=4).rename(folder / "my.yaml")
    return folder


def typed(line: str, folder: Path, status: int = 0) -> str:
    program, *arguments = shlex.split(line)
    clean = {k: v for k, v in os.environ.items() if k not in ("SYNET_RUN", "PYTHONPATH")}
    done = subprocess.run(
        [*PROGRAMS[program], *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def test_the_guide_leads_from_an_unknown_fork_to_an_int8_file(fork):
    script, told = fork / "train.py", ""
    for language, text in BLOCKS:
        if "synet_patch.patch" in text:
            source = script.read_text(encoding="utf-8")
            script.write_text(f"{text}\n{source}", encoding="utf-8")
        for line in text.splitlines() if language == "sh" else ():
            told = typed(line, fork, status=2 if line == "synet patches ." else 0)
            if line == "synet patches .":
                shown = re.search(r"^    synet: \S+: (.*); \.\.\.$", GUIDE, re.MULTILINE)
                assert told.startswith(f"synet: {fork}: {shown[1]}; ") and told.count("\n") == 1
            if line == "synet patches new .":
                found = next(text for _, text in BLOCKS if text.startswith("# Found"))
                patch = (fork / "synet_patch.py").read_text()
                assert found in patch and "# GAP:" not in patch
                for name, value in re.findall(r"^\| `([A-Z]+)` \|.*\| `(\w+)` ", GUIDE, re.M):
                    assert re.search(rf'^{name} = \(?"{value}"', patch, re.MULTILINE)
    assert "Keras against torch" in told and "wrote best.tflite" in told


def test_what_is_written_once_is_not_written_over(fork):
    if not (fork / "synet_patch.py").exists():
        typed("synet patches new .", fork)
    (fork / "synet_patch.py").write_text("mine\n")
    told = typed("synet patches new .", fork, status=2)
    assert told == "synet: synet_patch.py exists; move it, or go on with it\n"
    assert (fork / "synet_patch.py").read_text() == "mine\n"
