"""`kill -9` at random moments, and a disk that is full: what the user finds afterwards.

    python benchmarks/interrupt.py [--moments 30] [--seed 0] [COMMAND ...]

Each command runs once to its end, and then again and again in fresh folders, killed before a random
one of its operations on files (two moments of three, so that those between renames are met) or
after a random time. As often it runs where no file takes more than a random number of bytes, which
it must tell in one line. Each time, what was there before must be as it was, what is there under a
final name must be whole, and the next run must succeed and leave what the first one left, nothing
else.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

import killed  # noqa: E402
import tiny_files  # noqa: E402
import tiny_yolo  # noqa: E402

from synet.data.drawn_shapes import draw_dataset  # noqa: E402

NEW = "train: images/train\nval: images/val\nnames: [circle, square]\n"
MODULES = (
    "torch",
    "keras",
    "ultralytics",
    "synet.quantization.quantize_model",
    "synet.report",
    "synet.evaluate",
)


@dataclass(frozen=True)
class Command:
    """What is typed; whether a result that is there is written over; which files differ by run."""

    words: str
    again: bool = True
    varies: Callable[[str], bool] = lambda name: False


COMMANDS = {
    "quantize": Command(
        "quantize --weights tiny.pt --data data/data.yaml --out new.tflite --force"
    ),
    "report": Command(
        "report tiny.tflite --data data/data.yaml --out page.html",
        varies=lambda name: name == "page.html",  # it tells how long it took
    ),
    "zoo create": Command("zoo create tiny.yaml --nc 3 -o new.yaml", again=False),
    "predict": Command("predict tiny.tflite data/images/val --out runs"),
    "data_subset": Command("data_subset data/data.yaml new/new.yaml", again=False),
}


def prepare(folder: Path, server: killed.Server) -> Path:
    """What a user has: a data set, a checkpoint and its int8 file, a yaml for a subset."""
    user = folder / "user"
    draw_dataset(user / "data", train=6, val=4, test=2, shape=(64 * 4, 96 * 4))
    shutil.copy(tiny_files.checkpoint("detect"), user / "tiny.pt")
    tiny_yolo.write(user)
    (user / "new" / "images").mkdir(parents=True)
    (user / "new" / "images" / "mine.txt").write_text("mine")
    (user / "new" / "new.yaml").write_text(NEW)
    words = COMMANDS["quantize"].words.replace("new.tflite", "tiny.tflite").split()
    succeed(words, user, server)
    return user


def succeed(words: list[str], folder: Path, server: killed.Server) -> dict:
    told = server.run(words, folder)
    if told["status"] != 0:
        raise RuntimeError(told["said"])
    return told


def tree(folder: Path) -> dict[str, bytes]:
    """Every file in `folder`; links as where they lead from."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def is_private(name: str) -> bool:
    return ".synet-" in name


def wrong(
    command: Command,
    before: Mapping[str, bytes],
    whole: Mapping[str, bytes],
    after: Mapping[str, bytes],
) -> str:
    """What is lost, or half-written; empty for a good end."""
    for name, content in before.items():
        if after.get(name) != content:
            return f"lost: {name}"
    for name in after.keys() - before.keys():
        if is_private(name):
            continue
        if command.varies(name):
            if not after[name].rstrip().endswith(b"</html>"):
                return f"half-written: {name}"
        elif after[name] != whole.get(name):
            return f"half-written: {name}"
    return ""


def moment(
    command: Command, user: Path, folder: Path, server: killed.Server, whole: dict, kill: dict
) -> tuple[bool, str]:
    """Whether a run was killed, and what is wrong after it and after the next one."""
    shutil.copytree(user, folder, symlinks=True)
    before = tree(folder)
    told = server.run(command.words.split(), folder, **kill)
    problem = wrong(command, before, whole, tree(folder))
    problem = problem or _untold(told)
    if problem or told["status"] == 0:
        return told["status"] != 0, problem
    done = not command.again and whole.keys() <= tree(folder).keys()
    told = server.run(command.words.split(), folder)
    if told["status"] != (2 if done else 0):
        return True, f"the next run: {told['status']} {told['said'].strip().splitlines()[-1:]}"
    left = tree(folder).keys() - whole.keys()
    if command is COMMANDS["predict"]:  # the next run has a folder of its own
        left = {name for name in left if is_private(name)}
    return True, f"left: {sorted(left)}" if left else ""


def _untold(told: dict) -> str:
    """What is wrong with how a run ended by itself; empty for nothing."""
    lines = [line for line in told["said"].splitlines() if line.strip()]
    plain = told["status"] == 2 and lines[-1].startswith("synet: ") and "Traceback" not in lines[0]
    return "" if told["status"] in (0, -9) or plain else f"told: {told['status']} {lines[-1:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", default=list(COMMANDS))
    options = parser.parse_args()
    failed = 0
    print(
        "| command | seconds | operations | killed | out of room | lost or half-written "
        "| badly told | next run fails |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, killed.server(*MODULES) as server:
        user = prepare(Path(folder), server)
        for name in options.commands:
            numbers, command = random.Random(f"{options.seed} {name}"), COMMANDS[name]
            place = shutil.copytree(user, Path(folder, "place"))
            start = time.monotonic()
            told = succeed(command.words.split(), place, server)
            seconds = time.monotonic() - start
            whole, ends = tree(place), []
            largest = max(len(content) for content in whole.values())
            for number in range(2 * options.moments):
                shutil.rmtree(place)
                kill = {"at": numbers.randint(1, told["operations"])}
                if number >= options.moments:
                    kill = {"room": int(largest ** numbers.random())}
                elif number % 3 == 2:
                    kill = {"seconds": numbers.uniform(0.01, seconds)}
                was_killed, problem = moment(command, user, place, server, whole, kill)
                ends.append((was_killed, problem))
                if problem:
                    print(f"{name}, {kill}: {problem}", file=sys.stderr)
            shutil.rmtree(place)
            bad, lost = (
                sum(problem.startswith(words) for _, problem in ends)
                for words in (("told",), ("lost", "half"))
            )
            again = sum(bool(problem) for _, problem in ends) - lost - bad
            failed += lost + again + bad
            dead, full = (
                f"{sum(stopped for stopped, _ in some)} of {len(some)}"
                for some in (ends[: options.moments], ends[options.moments :])
            )
            print(
                f"| {name} | {seconds:.1f} | {told['operations']} | {dead} | {full} "
                f"| {lost} | {bad} | {again} |",
                flush=True,
            )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
