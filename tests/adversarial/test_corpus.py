"""Files of strangers, each through the commands that open such a file, and through a patched fork.

Nothing of them may run, write, connect, end the process, take a gigabyte or ten seconds; what is
wrong with them is told in one line.
"""

from __future__ import annotations

import pytest
from adversarial import corpus
from adversarial.watch import Job, all_faults, faults, workers

KINDS = tuple(corpus.COMMANDS)
MAIN, OTHERS = slice(0, 1), slice(1, None)
PATCHED = {"patched": "katana", "modules": ("yolov5.models.yolo", "ultralytics.nn.tasks")}


@pytest.fixture(scope="module")
def sound(tmp_path_factory, shared):
    network = shared / "models" / "person_detection_480x640.tflite"
    return corpus.Sound.write(tmp_path_factory.mktemp("sound"), network)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def strangers(folder, sound):
    return corpus.write(folder, sound)


def run(jobs, folder, tmp_path, **options):
    with workers(tmp_path, folder, files=corpus.SUBSET, **options) as processes:
        found = all_faults(jobs, processes)
    assert not found, f"{len(found)} faults:\n" + "\n".join(found)


def test_there_are_enough_of_them(strangers):
    assert sum(map(len, strangers.values())) >= 300
    assert all(strangers[kind] for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_main_command(kind, strangers, sound, folder, tmp_path):
    run(corpus.jobs(strangers[kind], sound, MAIN), folder, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_main_command_with_a_sound_file(kind, sound, tmp_path):
    """What is typed is right: it is the file that is refused, and not the command."""
    (tmp_path / "none").mkdir()
    arguments = sound.typed(corpus.COMMANDS[kind][0], sound.of_kind(kind))
    with workers(tmp_path, tmp_path / "none", files=corpus.SUBSET) as processes:
        told = processes.do(Job(kind, "synet", arguments))
    assert told["status"] in (0, 1) and "Traceback" not in told["err"], told


@pytest.mark.parametrize("kind", corpus.FORKS)
def test_a_patched_fork(kind, strangers, folder, tmp_path):
    some = slice(None, None, 10 if kind == "model" else 1)  # each is built twice, in seconds
    run(corpus.fork_jobs(strangers[kind][some]), folder, tmp_path, **PATCHED)


@pytest.mark.parametrize("yolo", corpus.YOLOS)
def test_a_command_that_runs_a_yolo(yolo, strangers, sound, folder, tmp_path):
    run(corpus.yolo_jobs(yolo, strangers, sound, 15), folder, tmp_path)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("yolo", corpus.YOLOS)
def test_a_command_that_runs_a_yolo_with_every_file(yolo, strangers, sound, folder, tmp_path):
    run(corpus.yolo_jobs(yolo, strangers, sound, 1), folder, tmp_path)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_patched_fork_with_every_model(strangers, folder, tmp_path):
    run(corpus.fork_jobs(strangers["model"]), folder, tmp_path, **PATCHED)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_every_command(kind, strangers, sound, folder, tmp_path):
    run(corpus.jobs(strangers[kind], sound, OTHERS), folder, tmp_path)


# ---------------------------------------------------------------- the watch sees what it is for

DEEDS = {
    "started": "import os; os.system('true')",
    "started, too": "import subprocess; subprocess.run(['true'])",
    "connected": "import socket; socket.getaddrinfo('localhost', 80)",
    "wrote": "open({canary!r}, 'w').close()",
    "wrote, made": "import os; os.mkdir({canary!r} + '-folder')",
    "wrote, removed": "import os; os.remove({canary!r})",
    "took": "x = b'x' * (1 << 30) + b'x' * (1 << 29)",
    "took 1": "import time\nend = time.process_time() + 11\nwhile time.process_time() < end: pass",
    "ended": "import os; os.abort()",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_the_watch_sees(deed, tmp_path):
    (tmp_path / "strangers").mkdir()
    code = DEEDS[deed].format(canary=str(tmp_path / "strangers" / "canary"))
    with workers(tmp_path, tmp_path / "strangers") as processes:
        told = processes.do(Job("", "python", (code,)))
    found = list(faults(Job("", "python", ()), told))
    assert len(found) == 1, found
    assert found[0].startswith(deed.partition(",")[0]), found


@pytest.mark.parametrize(
    ("status", "err", "wrong"),
    [
        (2, "synet: a.pt is no checkpoint\n", ""),
        (2, "", "said 0 lines"),
        (2, "synet: a\nb\n", "said 2 lines"),
        (2, "images   0% -:--:--\nsynet: a\n", ""),
        (2, f"synet: {'x' * 10_000}\n", "said a line of"),
        (2, "synet: a\nsynet: b\n", "said 2 lines"),
        (2, "Traceback\nsynet: b\n", "said 2 lines"),
        (2, "synet: \x1b[2J\n", "printed"),
        (1, "Traceback\nValueError: x\n", "status 1"),
        (0, "", "status 0"),
        (None, "", ""),
    ],
)
def test_what_a_command_says(status, err, wrong):
    told = {"status": status, "err": err, "out": "", "found": [], "bytes": 0, "seconds": 0}
    found = list(faults(Job("", "synet", ()), told))
    assert len(found) == bool(wrong)
    assert not found or found[0].startswith(wrong)
