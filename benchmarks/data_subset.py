"""data_subset: `synet data_subset` beside a plain loop over the same 100,000 images.

    python benchmarks/data_subset.py [--images 100000] [--rounds 3] [--dir DIR]

Both make the same folders, side by side in one run and in turns, each round into new ones: file
systems are slow where files have just been removed. What they made is compared.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from synet.data_subset import data_subset

NAMES = ("person", "car", "bus", "truck", "bicycle", "dog")
WANTED = ("bus", "car")
BAR = 0.6


def generate(folder: Path, images: int) -> Path:
    """A data set of files that are named like images, with 0 to 7 boxes each; its yaml."""
    numbers = random.Random(0)
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    for index in range(images):
        rows = []
        for _ in range(numbers.randrange(8)):
            places = " ".join(f"{numbers.random():.6f}" for _ in range(4))
            rows.append(f"{numbers.randrange(len(NAMES))} {places}\n")
        (folder / "images/train" / f"{index:012}.jpg").write_bytes(b"pixels")
        (folder / "labels/train" / f"{index:012}.txt").write_text("".join(rows))
    return definition(folder, NAMES)


def definition(folder: Path, names: tuple[str, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "data.yaml").write_text(f"train: images/train\nnames: [{', '.join(names)}]\n")
    return folder / "data.yaml"


def plain(old: Path, new: Path) -> None:
    """One file after another, without checks: the same folders."""
    classes = {NAMES.index(name): index for index, name in enumerate(WANTED)}
    for part in ("images", "labels"):
        (new / part / "train").mkdir(parents=True)
    for image in sorted((old / "images/train").iterdir()):
        label = old / "labels/train" / f"{image.stem}.txt"
        kept = []
        if label.exists():
            with open(label) as file:
                for line in file:
                    class_id, rest = line.split(maxsplit=1)
                    if int(class_id) in classes:
                        kept.append(f"{classes[int(class_id)]} {rest}")
        with open(new / "labels/train" / label.name, "w") as file:
            file.writelines(kept)
        os.symlink(image.resolve(), new / "images/train" / image.name)


def made(folder: Path) -> dict[str, str]:
    """Links and the content of labels, by path."""
    labels = {file.name: file.read_text() for file in (folder / "labels/train").iterdir()}
    links = {file.name: os.readlink(file) for file in (folder / "images/train").iterdir()}
    return labels | links


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="Where to work. Default: for temporary files.")
    given = parser.parse_args()
    seconds = {"plain": [], "synet": []}
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        old = generate(Path(folder, "old"), given.images)
        for number in range(given.rounds):
            theirs = Path(folder, f"plain-{number}")
            ours = definition(Path(folder, f"synet-{number}"), WANTED)
            runs = [
                ("plain", lambda: plain(old.parent, theirs)),  # noqa: B023
                ("synet", lambda: data_subset(old, ours, progress=False)),  # noqa: B023
            ]
            for name, run in runs if number % 2 == 0 else reversed(runs):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
            if made(theirs) != made(ours.parent):
                raise SystemExit("the two made different data sets")
    ratios = [ours / plain for plain, ours in zip(seconds["plain"], seconds["synet"], strict=True)]
    print(f"| {given.images:,} images | median | each round |")
    print("| --- | --- | --- |")
    for title, values, digits in (
        ("plain loop, s", seconds["plain"], 1),
        ("synet data_subset, s", seconds["synet"], 1),
        (f"ratio (bar {BAR})", ratios, 2),
    ):
        each = ", ".join(f"{value:.{digits}f}" for value in values)
        print(f"| {title} | {statistics.median(values):.{digits}f} | {each} |")


if __name__ == "__main__":
    main()
