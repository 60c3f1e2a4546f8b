"""What a user waits for before anything happens: ``import synet`` and ``synet --help``.

python benchmarks/start.py [--runs N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BARS = {
    "import synet": (["-c", "import synet"], 0.05),
    "synet --help": (["-m", "synet", "--help"], 0.25),
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    empty, commands = [], {name: [] for name in BARS}
    for _ in range(runs):  # interleaved: all of them meet the same machine
        empty.append(seconds(["-c", "pass"]))
        for name, (arguments, _) in BARS.items():
            commands[name].append(seconds(arguments))
    bare = statistics.median(empty)
    print(f"| command | median, s | over an empty Python ({bare:.3f} s) | bar |")
    print("| --- | --- | --- | --- |")
    for name, values in commands.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.3f} | {median - bare:.3f} | {BARS[name][1]} |")


if __name__ == "__main__":
    main()
