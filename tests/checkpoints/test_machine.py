"""Plain data comes out of a pickle as Python's own machine makes it; greedy files get nothing."""

from __future__ import annotations

import collections
import datetime
import io
import json
import pathlib
import pickle
import subprocess
import sys

import greedy
import hostile
import pytest
import torch

from synet.checkpoints import read as checkpoint
from synet.checkpoints.machine import ForbiddenError, Machine
from synet.checkpoints.unpickle import Reading, names_in
from synet.system.errors import CheckpointError

SHARED = ["shared", {"a": 1}]
ITSELF: list = [1]
ITSELF.append((ITSELF, "in itself"))
ZONE = datetime.timezone(datetime.timedelta(hours=-3, minutes=30), "there")
PLAIN = {
    "numbers": [0, 255, 256, 65535, 65536, -1, 2**31, -(2**31), 2**63, 10**200, -(10**200)],
    "real": [0.5, -0.0, 1e300, float("inf"), 1 + 2j],
    "truth": [True, False, None],
    "text": ["", "a", "ä" * 300, "\U0001f600", "\ud800", "x" * 70_000],
    "bytes": [b"", b"a", bytes(range(256)), bytearray(b"abc"), bytearray(), b"x" * 70_000],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((), ()))],
    "sets": [set(), {1, "a", (1, 2)}, frozenset({1, None})],
    "keys": {1: "a", 2.5: "b", None: "c", (1, "a"): "d", b"e": "f", 10**15: 1},
    "shared": [SHARED, SHARED, (SHARED, SHARED)],
    "many": [list(range(3000)), {str(i): i for i in range(3000)}],
    "ordered": collections.OrderedDict([("a", 1), ("b", 2)]),
    "counter": collections.Counter("abracadabra"),
    "ranges": [range(5), range(2, 10**12, 3), slice(1, None, 2), slice(None)],
    "days": [datetime.date(2024, 2, 29), datetime.timedelta(-1, 5, 7), datetime.timezone.utc],
    "times": [
        datetime.datetime(2024, 2, 29, 23, 59, 58, 999_999),
        datetime.datetime(1, 1, 1, tzinfo=ZONE, fold=1),
        datetime.time(23, 0, 1, 2, fold=1),
        datetime.time(1, tzinfo=datetime.timezone.utc),
    ],
    "paths": [pathlib.Path("runs/exp"), pathlib.PurePosixPath("/"), pathlib.Path()],
    "torch": [torch.float16, torch.Size([1, 2]), torch.device("cuda:1"), torch.strided],
}


def run(data: bytes) -> object:
    return Machine(io.BytesIO(data), Reading(None, len(data), ())).run()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_data(name, protocol):
    data = pickle.dumps(PLAIN[name], protocol)
    found = run(data)
    assert found == PLAIN[name]
    assert repr(found) == repr(pickle.loads(data))  # types, and order


def test_what_is_shared_stays_shared():
    one, other, both = run(pickle.dumps(PLAIN["shared"], 2))
    assert one is other is both[0] is both[1]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_tuple_that_lies_in_itself(protocol):
    found = run(pickle.dumps(ITSELF[1], protocol))
    assert found[0][1] is found


def test_text_of_python_2():
    data = b"\x80\x02}(U\x01aK\x01T\x02\x00\x00\x00\xc3\xa4U\x01\xc3\x75."
    with pytest.raises(UnicodeDecodeError):
        run(data)
    found = Machine(io.BytesIO(data), Reading(None, 1, ()), "latin1").run()
    assert found == {"a": 1, "Ã¤": "Ã"}
    found = Machine(io.BytesIO(data), Reading(None, 1, ()), "bytes").run()
    assert found == {b"a": 1, b"\xc3\xa4": b"\xc3"}


def test_a_pickle_ends_where_it_ends():
    file = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps([2], 4) + b"rest")
    world = Reading(None, 1, ())
    assert [Machine(file, world).run(), Machine(file, world).run()] == [[1], [2]]
    assert file.read() == b"rest"


def test_no_cut_or_changed_pickle_ends_otherwise_than_by_an_error():
    data = pickle.dumps({key: PLAIN[key] for key in ("text", "tuples", "times", "sets")}, 4)[:3000]
    for at in range(0, len(data), 7):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]):
            try:
                run(damaged)
            except ForbiddenError as error:
                assert str(error)
            except Exception as error:
                assert not isinstance(error, (MemoryError, SystemError))


def test_names_in_a_pickle():
    data = pickle.dumps([datetime.date(1, 1, 1), pathlib.PurePosixPath("a"), subprocess.run], 2)
    names = {"datetime.date", "subprocess.run"}
    assert names < names_in(io.BytesIO(data))
    assert names_in(io.BytesIO(data[:-9])) >= {"datetime.date"}  # as far as it goes


MEASURE = """
import argparse, json, resource, sys, time
import greedy
import hostile
from synet.checkpoints import read as checkpoint
from synet.system.errors import CheckpointError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

for name, body in greedy.greedy().items():
    for write in (hostile.archive, hostile.legacy):
        file = write(__import__("pathlib").Path("greedy.pt"), body)
        before, start, told = peak(), time.process_time(), ""
        try:
            checkpoint.read(file)
        except CheckpointError as error:
            told = str(error)
        print(json.dumps([name, peak() - before, time.process_time() - start, told]))
"""


def test_greedy_files_get_neither_memory_nor_time(tmp_path):
    path = ":".join([str(pathlib.Path(hostile.__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2 * len(greedy.greedy())
    for name, megabytes, seconds, told in answers:
        assert told, f"{name} is read"
        assert megabytes < 100, f"{name} takes {megabytes} MB"
        assert seconds < 10, f"{name} takes {seconds} s"


def test_a_large_cache_of_labels_is_read(tmp_path):
    """What old YOLOs keep with torch.save has more objects than any model."""
    wanted = {
        f"{i:012d}.jpg": [[(0.25, i, 0.5)] * 3, (640, 480), [], str(i)] for i in range(30_000)
    }
    torch.save(wanted, tmp_path / "labels.cache")
    assert checkpoint.read(tmp_path / "labels.cache") == wanted


def test_the_line_is_short_whatever_the_file_says(tmp_path):
    body = hostile.call(hostile.glob("numpy", "dtype"), hostile.text("f8" * 100_000))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(hostile.archive(tmp_path / "best.pt", body))
    assert len(str(caught.value)) < 500
