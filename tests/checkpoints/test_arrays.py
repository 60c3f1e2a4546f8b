"""Numbers and arrays of numpy's are what they were, of whichever numpy and protocol."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from synet.checkpoints import read as checkpoint
from synet.checkpoints.archive import Archive
from synet.system.errors import CheckpointError

TYPES = [
    *("?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "F", "D"),
    *(">i4", ">f8", "<f4", ">u2", "=f4", "|i1", ">c16"),
]


def read(tmp_path, value, protocol=2, old=False, monkeypatch=None):
    file = tmp_path / "a.pt"
    torch.save({"value": value}, file, pickle_protocol=protocol)
    if old:  # as numpy 1 spells its modules
        record = Archive._record

        def renamed(archive, name):
            data = record(archive, name)
            if protocol < 4:
                return data.replace(b"numpy._core", b"numpy.core")
            new, old = b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray"
            data = data.replace(b"\x8c" + new, b"\x8c" + old)
            return data.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")

        monkeypatch.setattr(Archive, "_record", renamed)
    return checkpoint.read(file)["value"]


@pytest.mark.parametrize("old", [False, True], ids=["numpy 2", "numpy 1"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", TYPES)
def test_numbers_and_arrays(tmp_path, kind, protocol, old, monkeypatch):
    dtype = np.dtype(kind)
    flat = np.arange(24).astype(dtype)
    wanted = {
        "number": flat[3],
        "flat": flat,
        "shaped": flat.reshape(2, 3, 4),
        "fortran": np.asfortranarray(flat.reshape(4, 6)),
        "turned": flat.reshape(2, 3, 4).transpose(2, 0, 1),
        "every other": flat[::2],
        "single": flat[5:6].reshape(()),
        "empty": flat[:0].reshape(0, 3),
        "type": dtype,
        "shared": [flat, flat],
    }
    found = read(tmp_path, wanted, protocol, old, monkeypatch)
    assert found["type"] == found["flat"].dtype == dtype
    assert found["shared"][0] is found["shared"][1] is found["flat"]
    assert type(found["number"]) is type(pickle.loads(pickle.dumps(wanted["number"])))
    assert found["number"] == wanted["number"]
    for name in ("flat", "shaped", "fortran", "turned", "every other", "single", "empty"):
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], wanted[name])
        assert found[name].shape == wanted[name].shape
        assert found[name].flags.writeable


def test_not_a_number_and_infinity(tmp_path):
    wanted = np.array([np.nan, np.inf, -np.inf, -0.0])
    assert np.array_equal(read(tmp_path, wanted), wanted, equal_nan=True)


def test_the_state_of_numpys_generator(tmp_path):
    """Which some trainers keep, to go on where they stopped."""
    wanted = np.random.RandomState(3).get_state()
    found = read(tmp_path, wanted)
    assert found[0] == wanted[0] and found[2:] == wanted[2:]
    assert np.array_equal(found[1], wanted[1])


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", None], dtype=object),
        np.array(["a"]),
        np.array([b"a"]),
        np.array(["2024-01-01"], dtype="M8[D]"),
        np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
        np.zeros(2, dtype="V8"),
        np.str_("a"),
        np.dtype("O"),
        np.dtype(("f4", (2,))),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_is_no_number_is_refused(tmp_path, value, protocol):
    assert pickle.loads(pickle.dumps(value, protocol)) is not None
    with pytest.raises(CheckpointError, match=r"a\.pt (has arrays of|fills a type|names numpy)"):
        read(tmp_path, value, protocol)
