from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from synet.cli import main
from synet.data.yolo_yaml import label_path, load_dataset, read_labels
from synet.data_subset import data_subset
from synet.system.errors import DataError, SynetError

NAMES = ["person", "car", "bus", "truck", "dog"]
BOX = "0.5 0.5 0.25 0.125"


def write_yaml(file: Path, /, **content) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def add(image: Path, label: str | bytes | None = None) -> Path:
    """An image, or what passes for one as long as nobody decodes it, and its label file."""
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(b"pixels of " + image.name.encode())
    if label is not None:
        path = label_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(label if isinstance(label, bytes) else label.encode())
    return image


def rows(*classes: int) -> str:
    return "".join(f"{each} {BOX}\n" for each in classes)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Ten images to train with, of which six show a car or a bus, two to validate, one to test."""
    shown = [(1,), (2, 0), (2, 2), (0,), (), (1, 3), (4,), (2,), (1, 1, 0), None]
    for index, classes in enumerate(shown):
        label = None if classes is None else rows(*classes)
        add(tmp_path / f"old/images/train/{index}.jpg", label)
    add(tmp_path / "old/images/val/a.jpg", rows(2, 1))
    add(tmp_path / "old/images/val/b.jpg", rows(0))
    add(tmp_path / "old/images/test/c.jpg", rows(1))
    splits = {split: f"images/{split}" for split in ("train", "val", "test")}
    return write_yaml(tmp_path / "old/old.yaml", **splits, names=NAMES)


def new(old: Path, /, **content) -> Path:
    """A yaml of buses and cars to train with, in a folder of its own."""
    defaults = {"train": "images/train", "names": ["bus", "car"]}
    return write_yaml(old.parent.parent / "new/new.yaml", **(defaults | content))


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, links as the files that they lead to."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def made(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


# --- what is made -------------------------------------------------------------------------------


def test_a_subset_links_images_and_renumbers_labels(old):
    before = files(old.parent)
    definition = new(old, val="images/val", test="images/test")
    subset = data_subset(old, definition, progress=False)
    folder = definition.parent
    labels = {path.name: path.read_text() for path in (folder / "labels/train").iterdir()}
    expected = [rows(1), rows(0), rows(0, 0), "", "", rows(1), "", rows(0), rows(1, 1), ""]
    assert labels == {f"{index}.txt": text for index, text in enumerate(expected)}
    for link in (folder / "images").rglob("*.jpg"):
        assert os.readlink(link) == str(old.parent / link.relative_to(folder))
    assert {split: count.images for split, count in subset.after.items()} == {
        "train": 10,
        "val": 2,
        "test": 1,
    }
    train = subset.before["train"], subset.after["train"]
    assert [(each.images, each.background) for each in train] == [(10, 2), (10, 4)]
    assert train[0].boxes == Counter({0: 3, 1: 4, 2: 4, 3: 1, 4: 1})
    assert train[1].boxes == Counter({0: 4, 1: 4})
    assert files(old.parent) == before
    # it is a data set, which nothing in hidden or private files disturbs
    loaded = load_dataset(definition)
    assert {split: len(loaded.images(split)) for split in loaded.sources} == {
        "train": 10,
        "val": 2,
        "test": 1,
    }
    assert not [name for name in tree(folder) if "/." in f"/{name}"]


def test_the_map_of_classes(old):
    definition = new(old, names={0: "vehicle", 1: "dog"}, merge={"vehicle": ["truck", "car"]})
    subset = data_subset(old, definition, progress=False)
    assert subset.class_map == definition.parent / "new-classes.yaml"
    content = yaml.safe_load(subset.class_map.read_text())
    assert content["map"] == {1: 0, 3: 0, 4: 1} == subset.classes
    assert content["old_names"] == {1: "car", 3: "truck", 4: "dog"}
    assert content["new_names"] == {0: "vehicle", 1: "dog"}
    assert (content["old"], content["new"]) == (str(old), str(definition))
    assert (definition.parent / "labels/train/5.txt").read_text() == rows(0, 0)


def test_a_merge_may_be_one_name_and_may_hold_the_new_name(old):
    definition = new(old, names=["car", "animal"], merge={"car": ["car", "bus"], "animal": "dog"})
    assert data_subset(old, definition, progress=False).classes == {1: 0, 2: 0, 4: 1}


def test_a_link_in_the_old_set_leads_to_the_original(old):
    first = new(old)
    data_subset(old, first, progress=False)
    again = write_yaml(old.parent.parent / "third/cars.yaml", train="images", names=["car"])
    data_subset(first, again, max_bg_ratio=0, progress=False)
    assert os.readlink(again.parent / "images/0.jpg") == str(old.parent / "images/train/0.jpg")
    assert files(again.parent / "labels") == {
        "0.txt": rows(0).encode(),
        "5.txt": rows(0).encode(),
        "8.txt": rows(0, 0).encode(),
    }


def test_labels_beside_the_images_where_no_folder_is_named_images(old):
    definition = new(old, train="train")
    data_subset(old, definition, max_bg_ratio=0, progress=False)
    assert made(definition.parent)[:3] == ["new-classes.yaml", "new.yaml", "train/0.jpg"]
    assert (definition.parent / "train/1.txt").read_text() == rows(0)
    assert len(list((definition.parent / "train").iterdir())) == 12


def test_copies_keep_their_times_and_rights(old):
    source = old.parent / "images/train/0.jpg"
    os.utime(source, (1_000_000_000, 1_000_000_000))
    source.chmod(0o640)
    definition = new(old)
    data_subset(old, definition, copy=True, progress=False)
    copy = definition.parent / "images/train/0.jpg"
    assert copy.read_bytes() == source.read_bytes() and not copy.is_symlink()
    assert copy.stat().st_mtime == 1_000_000_000
    assert copy.stat().st_mode & 0o777 == 0o640


def test_a_dry_run_writes_nothing(old):
    definition = new(old)
    before = tree(old.parent.parent)
    dry = data_subset(old, definition, 0.25, dry_run=True, progress=False)
    assert tree(old.parent.parent) == before
    assert dry == data_subset(old, definition, 0.25, progress=False)


def test_paths_with_spaces_and_beyond_ascii(old):
    add(old.parent / "images/train/größe ⚙ 1.jpg", rows(1))
    definition = write_yaml(
        old.parent.parent / "für später/neu.yaml", train="images/a b", names=["car"]
    )
    data_subset(old, definition, progress=False)
    assert (definition.parent / "labels/a b/größe ⚙ 1.txt").read_text() == rows(0)
    assert (definition.parent / "images/a b/größe ⚙ 1.jpg").is_file()


# --- forms of the old set -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "nested", "folders", "list", "absolute", "map", "path"])
def test_every_form_that_yolo_accepts(tmp_path, form):
    root = tmp_path / "data"
    deep = ["a.jpg"] if form in ("folder", "absolute", "map") else ["x/a.jpg", "y/deep/a.jpg"]
    for name in deep:
        add(root / "images/all" / name, rows(2, 0))
    (root / "all.txt").write_bytes("\r\n".join(f"./images/all/{name}" for name in deep).encode())
    content = {"train": "images/all", "names": NAMES}
    content |= {
        "folders": {"train": ["images/all/x", "images/all/y"]},
        "list": {"train": "all.txt"},
        "absolute": {"path": str(root)},
        "map": {"names": dict(enumerate(NAMES))},
        "path": {"path": "../data"},
    }.get(form, {})
    home = tmp_path / "yamls" if form == "absolute" else root
    old = write_yaml(home / "old.yaml", **content)
    definition = write_yaml(tmp_path / "new/new.yaml", train="images", names=["bus"])
    data_subset(old, definition, progress=False)
    expected = {f"{Path(name).with_suffix('.txt')}": f"0 {BOX}\n".encode() for name in deep}
    assert files(definition.parent / "labels") == expected
    for name in deep:
        link = definition.parent / "images" / name
        assert os.readlink(link) == str(root / "images/all" / name)


def test_no_file_is_lost_where_names_are_equal(tmp_path):
    """Of one name in several folders, with several suffixes, and in folders named images."""
    root = tmp_path / "data"
    names = ["images/a/1.jpg", "images/a/1.png", "images/b/images/1.jpg", "images/b/1.jpg"]
    names += ["images/a/1-2.jpg", "images/c/X.jpg", "images/c/x.jpg"]
    for name in names:
        add(root / name, rows(1))
    (root / "labels/a/1.txt").write_text(rows(1, 1))
    old = write_yaml(root / "old.yaml", train="images", names=NAMES)
    definition = write_yaml(tmp_path / "new/new.yaml", train="images/train", names=["car"])
    subset = data_subset(old, definition, progress=False)
    images = load_dataset(definition).images("train")
    assert sorted(os.readlink(image) for image in images) == sorted(str(root / n) for n in names)
    assert len({label_path(image) for image in images}) == len(names)
    for image in images:
        theirs = label_path(os.readlink(image)).read_text()
        assert label_path(image).read_text() == theirs.replace("1 0.5", "0 0.5")
    assert subset.after["train"].boxes[0] == 9
    below = {path.relative_to(definition.parent / "images/train").as_posix() for path in images}
    assert below == {
        *("a/1-2.jpg", "a/1.jpg", "a/1-3.png"),
        *("b/1.jpg", "b/1-2.jpg", "c/X.jpg", "c/x-2.jpg"),
    }


TAIL = "0.50 .5e0  5E-1\t0.125"
ROWS = {
    "box": [f"2 {TAIL}", f"0 {TAIL}", f"  2.0 {TAIL}  "],
    "polygon": [
        "2 0.1 0.2 0.5 0.2 0.3 0.6",
        "2 0.1 0.1 0.9 0.1 0.9 0.90 0.5 0.5 0.1 0.9",
        "1 " * 7,
    ],
    "rotated box": ["2 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", "4 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9"],
    "keypoints": [f"2 {TAIL} 0.1 0.2 0 0 0.3 0.4", f"1 {TAIL} 0 0 0 0 0 0"],
    "seen keypoints": [f"2 {TAIL} 0.1 0.2 2 0 0 0 1 1 1", f"1 {TAIL} 0 0 0 0 0 0 1 1 2"],
}
SHAPES = {"keypoints": [3, 2], "seen keypoints": [3, 3]}


@pytest.mark.parametrize("said", [True, False], ids=["kpt_shape", "no kpt_shape"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("kind", ROWS)
def test_all_columns_but_the_class_stay_as_they_are(tmp_path, kind, end, said):
    text = "\ufeff" + end + (end + end).join(ROWS[kind])  # blank lines, no end of the last line
    add(tmp_path / "images/a.jpg", text)
    shape = {"kpt_shape": SHAPES[kind]} if said and kind in SHAPES else {}
    old = write_yaml(tmp_path / "old.yaml", train="images", names=NAMES, **shape)
    definition = write_yaml(
        tmp_path / "new/new.yaml", train="images", names=["car", "bus"], **shape
    )
    data_subset(old, definition, progress=False)
    kept = [line.strip() for line in ROWS[kind] if line.split()[0][0] in "12"]
    ids = {"1": b"0", "2": b"1"}
    expected = [ids[line[0]] + b" " + line.split(None, 1)[1].encode() + b"\n" for line in kept]
    assert (definition.parent / "labels/a.txt").read_bytes() == b"".join(expected)


def test_random_labels_come_out_as_an_independent_loop_makes_them(tmp_path):
    numbers = random.Random(0)
    for index in range(300):  # more than a chunk
        lines = []
        for _ in range(numbers.randrange(6)):
            places = " ".join(str(numbers.random()) for _ in range(numbers.choice((4, 6, 8, 20))))
            lines.append(f"{numbers.randrange(len(NAMES))} {places}")
        label = "\n".join(lines) if index % 7 else None
        add(tmp_path / f"images/{index % 3}/{index}.jpg", label)
    old = write_yaml(tmp_path / "old.yaml", train="images", names=NAMES)
    definition = write_yaml(tmp_path / "new/new.yaml", train="images", names=["dog", "car", "bus"])
    data_subset(old, definition, progress=False)
    ids = {4: 0, 1: 1, 2: 2}
    for image in (tmp_path / "images").rglob("*.jpg"):
        path = label_path(image)
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split(" ", 1) for line in lines]
        kept = [f"{ids[int(each[0])]} {each[1]}\n" for each in words if int(each[0]) in ids]
        there = definition.parent / "labels" / path.relative_to(tmp_path / "labels")
        assert there.read_text() == "".join(kept)


# --- background -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "left"),
    [(0, 0), (0.1, 0), (0.14, 0), (0.15, 1), (0.25, 2), (0.39, 3), (0.4, 4), (1, 4)],
)
def test_at_most_that_part_is_background(old, ratio, left):
    count = data_subset(old, new(old), ratio, progress=False).after["train"]
    assert (count.images, count.background) == (6 + left, left)


def test_a_tenth_of_ten_is_one(tmp_path):
    """Which it is not in binary fractions."""
    for index in range(12):
        add(tmp_path / f"images/{index}.jpg", rows(1) if index < 9 else "")
    old = write_yaml(tmp_path / "old.yaml", train="images", names=NAMES)
    definition = write_yaml(tmp_path / "new/new.yaml", train="images", names=["car"])
    assert data_subset(old, definition, 0.1, progress=False).after["train"].background == 1


def test_the_seed_chooses_and_the_order_of_the_file_system_does_not(tmp_path):
    def chosen(home: str, order: list[int], seed: int) -> set[str]:
        for index in order:
            add(tmp_path / home / f"images/{index}.jpg", rows(1) if index < 20 else None)
        old = write_yaml(tmp_path / home / "old.yaml", train="images", names=NAMES)
        definition = write_yaml(tmp_path / f"{home}-new/new.yaml", train="images", names=["car"])
        data_subset(old, definition, 0.5, seed, progress=False)
        return {path.name for path in (definition.parent / "images").iterdir()}

    there = list(range(60))
    first = chosen("a", there, 0)
    assert len(first) == 40
    assert chosen("b", there[::-1], 0) == first
    assert chosen("c", there, 1) != first


# --- broken labels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x 0.5 0.5 0.1 0.1", "'x 0.5 0.5 0.1 0.1' is not made of numbers"),
        ("1 0.5 0.5 0.1", "4 numbers"),
        ("1", "1 numbers"),
        ("1 0.5 0.5 0.1 0.1 0.9", "6 numbers"),
        ("5 0.5 0.5 0.1 0.1", "class 5 is not one of 0 to 4"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is not"),
        ("1.5 0.5 0.5 0.1 0.1", "class 1.5 is not"),
        ("0 320 240 100 50", "320 is outside 0-1"),
        ("0 0.5 0.5 nan 0.1", "nan is outside 0-1"),
        (b"1 0.5 0.5 \xff 0.1", "is not made of numbers"),
        ("1 0.5 0.5 0.1 0.1\n".encode("utf-16"), "is not made of numbers"),
    ],
)
def test_a_broken_label_is_told_and_nothing_is_written(old, line, told):
    broken = old.parent / "labels/train/3.txt"
    line = line if isinstance(line, bytes) else line.encode()
    broken.write_bytes(f"1 {BOX}\n\n".encode() + line)
    before = tree(old.parent.parent)
    definition = new(old)
    with pytest.raises(DataError) as caught:
        data_subset(old, definition, progress=False)
    message = str(caught.value)
    assert message.startswith(f"{broken}:3: ") and told in message and "--skip-bad" in message
    assert "\n" not in message
    assert tree(old.parent.parent) - before == {"new", "new/new.yaml"}
    subset = data_subset(old, definition, skip_bad=True, progress=False)
    assert len(subset.skipped) == 1 and subset.skipped[0] in message
    assert (subset.before["train"].images, subset.after["train"].images) == (10, 9)
    assert subset.before["train"].background == 2
    assert not (definition.parent / "images/train/3.jpg").exists()


def test_a_split_that_is_broken_throughout(old):
    (old.parent / "labels/test/c.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match="test: nothing left, all of the 1 images are broken"):
        data_subset(old, new(old, test="images/test"), skip_bad=True, progress=False)


def test_keypoints_of_another_number(tmp_path):
    add(tmp_path / "images/a.jpg", f"1 {BOX} 0.1 0.2 2\n")
    old = write_yaml(tmp_path / "old.yaml", train="images", names=NAMES, kpt_shape=[2, 3])
    definition = new(tmp_path / "x/old.yaml", names=["car"], kpt_shape=[2, 3])
    with pytest.raises(DataError, match=r"a.txt:1: 8 numbers; .* 2 keypoints of 3 numbers"):
        data_subset(old, definition, progress=False)


def test_images_that_are_not_there(old):
    lines = ["images/train/0.jpg", "images/train/gone.jpg", "images/train/dir.jpg"]
    (old.parent / "list.txt").write_text("\n".join(lines))
    (old.parent / "images/train/dir.jpg").mkdir()
    listed = write_yaml(old.parent / "listed.yaml", train="list.txt", names=NAMES)
    definition = new(old)
    with pytest.raises(DataError, match=r"dir.jpg: not an image .* \(and 1 more\); .*--skip-bad"):
        data_subset(listed, definition, progress=False)
    subset = data_subset(listed, definition, skip_bad=True, progress=False)
    assert "gone.jpg: cannot read the image: No such file" in subset.skipped[1]
    assert made(definition.parent / "images") == ["train/0.jpg"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"names": ["buss"]}, "has no class 'buss'; did you mean bus?"),
        ({"names": ["Car"]}, "has no class 'Car'; did you mean car?"),
        ({"names": ["zebra crossing"]}, "has no class 'zebra crossing'"),
        ({"names": ["car", "car"]}, "names: car stands there 2 times"),
        ({"names": ["v"], "merge": {"v": ["car", "car"]}}, "class 'car' of .* is twice in v"),
        ({"names": ["v", "car"], "merge": {"v": ["car"]}}, "is in v and in car; once only"),
        ({"names": ["v"], "merge": {"v": ["cart"]}}, "no class 'cart'; did you mean car?"),
        ({"names": ["bus"], "merge": {"buss": ["car"]}}, "buss is not one of its names; did you"),
        ({"names": ["bus"], "merge": ["car"]}, "merge: expected 'new class: "),
        ({"names": ["v"], "merge": {"v": []}}, "merge: v: name the classes"),
        ({"train": None}, "no split; name the folders to make"),
        ({"minival": "x", "val": "v", "test": "v/t"}, "test: .*v/t lies in .*v of val"),
        ({"val": "images/train"}, "lies in .* of "),
        ({"train": "images/train.txt"}, "train: name one folder to make, not images/train.txt"),
        ({"train": ["images/a", "images/b"]}, "name one folder to make, not images/a, images/b"),
        ({"train": "../old/images/train"}, "lies in .*old/images/train of .*old.yaml, which stays"),
        ({"train": "../old/images/train/x"}, "lies in .*old/images/train of .*old.yaml"),
        ({"train": "../old/labels/val"}, "lies in .*old/labels/val of .*old.yaml"),
        ({"path": "../old", "train": "images/train"}, "lies in .*old/images/train of .*old.yaml"),
        ({"names": ["dog", "truck"], "val": "images/val"}, "val: no image shows truck, dog"),
        ({"nc": 3}, "nc is 3, but names has 2 entries"),
        ({"kpt_shape": [17]}, "kpt_shape: expected"),
    ],
)
def test_refusals(old, content, told):
    definition = new(old, **content)
    before = tree(old.parent.parent)
    with pytest.raises(DataError, match=told) as caught:
        data_subset(old, definition, max_bg_ratio=0.5, progress=False)
    assert "\n" not in str(caught.value)
    assert tree(old.parent.parent) == before


def test_a_split_that_the_old_set_lacks(old):
    lacking = write_yaml(old.parent / "lacking.yaml", train="images/train", names=NAMES)
    with pytest.raises(DataError, match="lacking.yaml has no split 'val'; it has train"):
        data_subset(lacking, new(old, val="images/val"), progress=False)


def test_the_same_file_twice(old):
    os.link(old, old.parent / "other.yaml")
    for other in (old, old.parent / "other.yaml"):
        with pytest.raises(DataError, match="OLD and NEW are the same file"):
            data_subset(old, other, progress=False)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_is_a_fraction(old, ratio):
    with pytest.raises(SynetError, match="is not a fraction from 0 to 1"):
        data_subset(old, new(old), ratio, progress=False)


def test_no_labels_at_all_and_no_wanted_box_at_all(old):
    shutil.rmtree(old.parent / "labels/test")
    definition = new(old, train=None, test="images/test")
    with pytest.raises(DataError, match="test: none of the 1 images has labels; .*labels/test/c"):
        data_subset(old, definition, progress=False)
    definition = new(old, train=None, val="images/val", names=["dog"])
    with pytest.raises(DataError, match="no image of val shows dog"):
        data_subset(old, definition, progress=False)


def test_a_split_of_background_alone_where_that_was_asked_for(old):
    definition = new(old, val="images/val", names=["truck"])
    after = data_subset(old, definition, progress=False).after
    assert (after["val"].images, after["val"].background) == (2, 2)


@pytest.mark.parametrize(
    "taken", ["images/train", "labels/train", "new-classes.yaml", "images/val", "labels/val"]
)
@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_nothing_is_written_where_something_is(old, taken, kind):
    definition = new(old, val="images/val")
    path = definition.parent / taken
    path.parent.mkdir(exist_ok=True, parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    before = tree(old.parent.parent)
    with pytest.raises(SynetError, match=f"{re.escape(str(path))} exists already; move it away"):
        data_subset(old, definition, progress=False)
    assert tree(old.parent.parent) == before


def test_a_place_behind_a_link_that_hides_its_name(old):
    store = old.parent.parent / "store"
    store.mkdir()
    definition = new(old)
    (definition.parent / "images").symlink_to(store)
    with pytest.raises(DataError, match="images/train leads over a link, behind which YOLOs look"):
        data_subset(old, definition, progress=False)
    assert not any(store.iterdir())


def test_a_folder_that_is_a_file(old):
    definition = new(old)
    (definition.parent / "images").write_text("mine")
    with pytest.raises(SynetError, match="cannot write .*images.*: "):
        data_subset(old, definition, progress=False)
    assert tree(definition.parent) == {"new.yaml", "images"}


# --- what fails on the way ------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_undoes_all(old):
    """The second of two names that are as long as may be gets a number on top."""
    for suffix in ("jpg", "png"):
        add(old.parent / f"images/train/{'x' * 251}.{suffix}", None)
    definition = new(old)
    with pytest.raises(SynetError, match="cannot (write|link) .*: File name too long"):
        data_subset(old, definition, progress=False)
    assert tree(definition.parent) == {"new.yaml"}


def test_a_place_that_is_taken_meanwhile_undoes_all(old, monkeypatch):
    """Between the first look and the last: here, as soon as labels are written."""
    definition = new(old, val="images/val")
    import synet.data.subset as module

    write = module._write_label

    def write_and_intrude(label):
        write(label)
        (definition.parent / "images/val").mkdir(exist_ok=True)
        (definition.parent / "images/val/mine.txt").write_text("mine")

    monkeypatch.setattr(module, "_write_label", write_and_intrude)
    with pytest.raises(SynetError, match="images/val exists already"):
        data_subset(old, definition, progress=False)
    assert tree(definition.parent) == {"new.yaml", "images", "images/val", "images/val/mine.txt"}


@pytest.mark.parametrize("last", range(1, 6))
def test_what_was_renamed_is_undone(old, monkeypatch, last):
    """Ctrl-C right after each of the renames."""
    definition = new(old, val="images/val")
    rename, done = Path.rename, []

    def rename_and_stop(self, target):
        rename(self, target)
        done.append(target)
        if len(done) == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", rename_and_stop)
        data_subset(old, definition, progress=False)
    assert len(done) > last  # and back again
    assert tree(definition.parent) == {"new.yaml"}
    data_subset(old, definition, progress=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Enough images that a run can be interrupted while it writes."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(5000):
        add(folder / f"old/images/{index}.jpg", rows(index % 5))
    return write_yaml(folder / "old/old.yaml", train="images", names=NAMES)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_interrupted_can_be_run_again(many, tmp_path, end):
    definition = write_yaml(tmp_path / "new/new.yaml", train="images/train", names=["car"])
    command = [sys.executable, "-m", "synet", "data_subset", str(many), str(definition)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    images, deadline = definition.parent / "images", time.monotonic() + 60
    while not any(any(each.iterdir()) for each in images.glob(".train-*")):  # until some are there
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.0005)
    process.send_signal(end)
    told = process.communicate(timeout=60)[1]
    left = {name for name in tree(definition.parent) if "/" not in name.partition("/")[2]}
    if end == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        private = left - {"new.yaml", "images", "labels"}
        assert len(private) == 3 and all(name.endswith(".synet-part") for name in private)
    else:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[end]
        assert left == {"new.yaml"}
        assert "Traceback" not in told
    result = CliRunner().invoke(main, ["data_subset", str(many), str(definition)])
    assert result.exit_code == 0, result.output
    assert len(list(images.glob("train/*"))) == 5000
    assert {path.name for path in images.iterdir()} == {"train"}
    assert {path.name for path in definition.parent.iterdir()} == {
        *("new.yaml", "images", "labels", "new-classes.yaml")
    }


def test_the_folder_of_a_run_that_is_alive_is_left_alone(old):
    fcntl = pytest.importorskip("fcntl")
    definition = new(old)
    alive = definition.parent / "images/.train-0123abcd.synet-part"
    dead, foreign = alive.with_name(".train-0123abce.synet-part"), alive.with_name(".train-mine")
    for folder in (alive, dead, foreign):
        folder.mkdir(parents=True)
    handle = os.open(alive, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        data_subset(old, definition, progress=False)
    finally:
        os.close(handle)
    assert {path.name for path in alive.parent.iterdir()} == {alive.name, foreign.name, "train"}


# --- the command ----------------------------------------------------------------------------------


def run(*arguments) -> str:
    result = CliRunner().invoke(main, ["data_subset", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_and_the_last_line(old):
    definition = new(old, names=["vehicle"], merge={"vehicle": ["car", "bus"]}, val="images/val")
    dry = run("--dry-run", "--max-bg-ratio", 0.25, old, definition)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in dry.splitlines()]
    assert [row for row in cells if row] == [
        ["images", "10", "8", "2", "1"],
        ["background", "2", "2", "0", "0"],
        ["0 vehicle (car, bus)", "8", "8", "2", "2"],
        ["other classes", "5", "", "1", ""],
    ]
    folder = definition.parent
    places = f"{folder / 'images/train'}, {folder / 'images/val'}"
    assert dry.splitlines()[-1] == f"dry run, nothing written: 9 images would go to {places}"
    last = run("--max-bg-ratio", 0.25, old, definition).splitlines()[-1]
    assert last == f"wrote 9 images to {places}, class ids to {folder / 'new-classes.yaml'}"


def test_progress_is_told_beside_the_result(old):
    result = CliRunner().invoke(main, ["data_subset", str(old), str(new(old))])
    for title in ("check labels", "write labels", "link images"):
        assert title in result.stderr and title not in result.stdout


def test_skipped_images_are_told(old):
    (old.parent / "labels/train/3.txt").write_text("1 2 3\n")
    said = run("--skip-bad", old, new(old)).splitlines()[-2]
    assert said.startswith("left out 1 broken images, the first: ") and "3.txt:1: 3 numbers" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["old/old.yaml", "--max-bg-ratio", "2"], "max_bg_ratio: 2 is not a fraction"),
        (["nowhere.yaml"], "nowhere.yaml: cannot read the data yaml"),
    ],
)
def test_mistakes_are_one_line_and_status_2(old, monkeypatch, arguments, told):
    monkeypatch.chdir(old.parent.parent)
    result = CliRunner().invoke(main, ["data_subset", *arguments, str(new(old))])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("synet: ") and told in line


def test_a_key_that_the_model_depends_on_and_that_is_missing(old, caplog):
    content = yaml.safe_load(old.read_text()) | {"kpt_shape": [1, 3], "flip_idx": [0]}
    write_yaml(old, **content)
    data_subset(old, new(old, flip_idx=[0]), dry_run=True, progress=False)
    (warning,) = caplog.messages
    assert re.search(r"old.yaml says kpt_shape: \[1, 3\], but .*new.yaml has none", warning)


# --- real data ------------------------------------------------------------------------------------


def test_vehicles_of_coco(shared, tmp_path):
    old = shared / "data/coco128/coco128.yaml"
    definition = write_yaml(
        tmp_path / "vehicles.yaml",
        path=str(tmp_path / "vehicles"),
        train="images/train",
        val="images/val",
        names={0: "person", 1: "vehicle"},
        merge={"vehicle": ["car", "bus", "truck"]},
    )
    subset = data_subset(old, definition, max_bg_ratio=0.2, progress=False)
    source, result = load_dataset(old), load_dataset(definition)
    for split, count in subset.after.items():
        counted, background = Counter(), 0
        for image in result.images(split):
            original = Path(os.readlink(image))
            assert original == Path(os.path.realpath(original)) and original.is_file()
            theirs = read_labels(original, len(source.names))
            wanted = {0: 0, 2: 1, 5: 1, 7: 1}
            kept = [[wanted[int(row[0])], *row[1:]] for row in theirs.tolist() if row[0] in wanted]
            ours = read_labels(image, 2).tolist()
            assert ours == kept
            counted.update(int(row[0]) for row in ours)
            background += not ours
        assert counted == count.boxes
        assert background == count.background <= 0.2 * count.images
    assert subset.class_map == tmp_path / "vehicles/vehicles-classes.yaml"


def test_polygons_of_coco(shared, tmp_path):
    """Whose ids are those of COCO's own categories: 1 for a person, 3 for a car."""
    home = tmp_path / "seg"
    home.mkdir()
    (home / "images").symlink_to(shared / "data/coco128/images")
    (home / "labels").symlink_to(shared / "data/coco128/labels-seg")
    old = write_yaml(
        home / "seg.yaml", train="images/train2017", names=[f"category {i}" for i in range(91)]
    )
    definition = write_yaml(
        tmp_path / "new/new.yaml", train="images/train", names=["category 3", "category 1"]
    )
    count = data_subset(old, definition, max_bg_ratio=0, progress=False).after["train"]
    ids, lines = {"3": "0", "1": "1"}, 0
    for label in (definition.parent / "labels/train").iterdir():
        original = (home / "labels/train2017" / label.name).read_text().splitlines()
        kept = [line.split(" ", 1) for line in original if line.split()[0] in ids]
        assert label.read_text().splitlines() == [f"{ids[row[0]]} {row[1]}" for row in kept]
        lines += len(kept)
    assert lines == sum(count.boxes.values()) > 100


def test_blood_cells_with_their_test_split(shared, tmp_path):
    splits = {split: f"images/{split}" for split in ("train", "val", "test")}
    definition = write_yaml(tmp_path / "white.yaml", **splits, names=["WBC"])
    after = data_subset(shared / "data/bccd/bccd.yaml", definition, 0, progress=False).after
    loaded = load_dataset(definition)
    for split in splits:
        images = loaded.images(split)
        assert len(images) == after[split].images > 50
        assert all(len(read_labels(image, 1)) for image in images)


def test_ultralytics_trains_on_it(shared, tmp_path):
    pytest.importorskip("ultralytics")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    images = sorted((shared / "data/coco128/images/train2017").iterdir())[:10]
    (tmp_path / "ten.txt").write_text("\n".join(map(str, images)))
    names = list(load_dataset(shared / "data/coco128/coco128.yaml").names)
    old = write_yaml(tmp_path / "old.yaml", train="ten.txt", names=names)
    definition = write_yaml(
        tmp_path / "new.yaml",
        path=str(tmp_path / "new"),
        train="images/train",
        val="images/train",
        names=["person"],
    )
    content = yaml.safe_load(definition.read_text())
    write_yaml(definition, **{key: value for key, value in content.items() if key != "val"})
    count = data_subset(old, definition, progress=False).after["train"]
    write_yaml(definition, **content)
    data = check_det_dataset(str(definition), autodownload=False)
    found = YOLODataset(img_path=data["train"], data=data, task="detect", imgsz=64).labels
    assert len(found) == 10
    assert sum(len(each["cls"]) for each in found) == count.boxes[0] > 5


def test_a_folder_stands_for_the_old_yaml_and_for_no_new_one(old):
    other = old.parent.rename(old.parent.with_name("elsewhere"))
    assert data_subset(other, new(other / old.name), progress=False).before["train"].images == 10
    with pytest.raises(DataError, match="coco8.yaml: cannot read the data yaml: No such file"):
        data_subset(other, "coco8.yaml", progress=False)
