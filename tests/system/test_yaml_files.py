"""One reader of yaml files, which no text makes slow, large or a traceback."""

from __future__ import annotations

import os
import resource
import time

import pytest
import yaml
from hostile_yaml import bombs, broken

from synet.data.yolo_yaml import load_dataset
from synet.system.errors import DataError, SynetError
from synet.system.yaml_files import LARGEST_BYTES, compose_yaml, read_yaml
from synet.zoo import FOLDER, read_definition

READERS = {
    "yaml": (read_yaml, SynetError),
    "places": (compose_yaml, SynetError),
    "model": (read_definition, SynetError),
    "data": (load_dataset, DataError),
}
# What is wrong with these shows when values are made of them.
ONLY_PLACES = {"a date that there is not", "a merge with a number", "a list as a key"}


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_a_line(tmp_path, name):
    file = tmp_path / "bomb.yaml"
    file.write_text(bombs()[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    started = time.perf_counter()
    for read, kind in READERS.values():
        with pytest.raises(SynetError, match="bomb.yaml") as error:
            read(file)
        assert type(error.value) is kind
        assert len(str(error.value).splitlines()) == 1
        assert len(str(error.value)) < 400
    assert time.perf_counter() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


@pytest.mark.parametrize("name", broken())
def test_no_data_is_a_line(tmp_path, name):
    file = tmp_path / "broken.yaml"
    file.write_bytes(broken()[name])
    for read, kind in READERS.values():
        if read is compose_yaml and name in ONLY_PLACES:
            continue
        with pytest.raises(SynetError, match="broken.yaml") as error:
            read(file)
        assert type(error.value) is kind
        assert str(error.value).isprintable()


def test_places_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to("link.yaml")
    for name in ("pipe.yaml", "folder.yaml", "link.yaml", "missing.yaml", "a\0b.yaml"):
        for read, kind in READERS.values():
            with pytest.raises(kind, match="read"):
                read(tmp_path / name)
    with pytest.raises(SynetError, match="/dev/zero: cannot be read: it is no ordinary file"):
        read_yaml("/dev/zero")


def test_a_file_of_any_size_is_not_read(tmp_path):
    with open(tmp_path / "large.yaml", "wb") as file:
        file.truncate(100 * LARGEST_BYTES)
    with pytest.raises(SynetError, match="large.yaml: cannot be read: it is larger than 16 MiB"):
        read_yaml(tmp_path / "large.yaml")


def test_what_people_write_is_read_as_before(tmp_path):
    """As PyYAML's own safe loader reads it."""
    file = tmp_path / "plain.yaml"
    file.write_text(
        "\N{BYTE ORDER MARK}x: &x {a: 1, b: [1.5, -2, 0x10, 1e3, .inf, yes, null, ~, 'no']}\n"
        "y: {<<: *x, a: 2}\nz: [*x, *x]\nday: 2024-02-29\n? 3\n: three\n"
        "download: |\n  import os\n  # a script of two lines\nnames: {0: 'k\u00e4fer', 1: b}\n",
        encoding="utf-8",
    )
    found = read_yaml(file)
    assert found == yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    assert found["y"] == {"a": 2, "b": found["x"]["b"]}
    for model in sorted(FOLDER.rglob("*.yaml")):
        assert read_yaml(model) == yaml.safe_load(model.read_text())


def test_a_hundred_thousand_classes_are_no_bomb(tmp_path):
    file = tmp_path / "names.yaml"
    file.write_text("names:\n" + "".join(f"  {i}: class {i}\n" for i in range(100_000)))
    found = read_yaml(file)["names"]
    assert len(found) == 100_000
    assert found[99_999] == "class 99999"


def test_bytes_that_are_no_text(tmp_path):
    """They are passed over where the words do not matter; class names do."""
    (tmp_path / "old.yaml").write_bytes(b"names: [a\xe4]\ntrain: x\nval: x")
    assert read_yaml(tmp_path / "old.yaml")["names"] == ["a\N{REPLACEMENT CHARACTER}"]
    with pytest.raises(DataError, match="cannot read the data yaml: not UTF-8 text"):
        load_dataset(tmp_path / "old.yaml")
