"""Tensors are what they were: views of their storage, shared where they were shared."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from torch import nn

from synet.checkpoints import read as checkpoint
from synet.system.errors import CheckpointError

BASE = torch.arange(24.0)
TENSORS = {
    "flat": BASE,
    "shaped": BASE.reshape(2, 3, 4),
    "turned": BASE.reshape(4, 6).T,
    "part": BASE[5:9],
    "every other": BASE[::2],
    "spread": BASE[:3].reshape(3, 1).expand(3, 50),
    "single": torch.tensor(3),
    "empty": torch.zeros(0, 3),
    "half": torch.ones(3).half(),
    "bfloat16": torch.ones(3).bfloat16(),
    "truth": torch.tensor([True, False]),
    "whole": torch.tensor([1, -2], dtype=torch.int16),
    "complex": torch.tensor([1 + 2j]),
    "trained": torch.ones(2, requires_grad=True),
    "parameter": nn.Parameter(torch.ones(2)),
    "fixed parameter": nn.Parameter(torch.ones(2), requires_grad=False),
    "channels last": torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last),
    "generator": torch.get_rng_state(),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch<1.6"])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors(tmp_path, name, zipped):
    wanted, file = TENSORS[name], tmp_path / "a.pt"
    torch.save({"value": wanted}, file, _use_new_zipfile_serialization=zipped)
    found = checkpoint.read(file)["value"]
    assert type(found) is type(wanted) and found.dtype == wanted.dtype
    assert found.stride() == wanted.stride()
    assert found.requires_grad == wanted.requires_grad
    assert torch.equal(found, wanted)


def test_types_that_have_no_storage_of_their_own(tmp_path):
    wanted = torch.tensor([1, 65535], dtype=torch.uint16)
    torch.save({"value": wanted}, tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt")["value"].tolist() == [1, 65535]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch<1.6"])
def test_what_is_shared_stays_shared(tmp_path, zipped):
    torch.save(
        {"all": BASE, "part": BASE[2:4]}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped
    )
    found = checkpoint.read(tmp_path / "a.pt")
    found["all"][2] = -1
    assert found["part"].tolist() == [-1, 3]


def test_notes_on_a_parameter(tmp_path):
    wanted = nn.Parameter(torch.ones(1))
    wanted.no_weight_decay = True
    torch.save({"value": wanted}, tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt")["value"].no_weight_decay is True


@pytest.mark.parametrize("place", ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, None])
def test_where_they_go(tmp_path, place):
    torch.save({"value": BASE}, tmp_path / "a.pt")
    with open(tmp_path / "a.pt", "rb") as file:
        load = checkpoint.safe_load(lambda: ())
        assert torch.equal(load(torch.load, None, (file, place), {})["value"], BASE)


def test_streams_of_every_kind(tmp_path):
    """A position in a longer file; a file that can only be read."""

    class Plain:
        def __init__(self, data):
            self._file = io.BytesIO(data)
            self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    stream = io.BytesIO()
    torch.save({"value": BASE}, stream)
    load = checkpoint.safe_load(lambda: ())
    later = io.BytesIO(b"before" + stream.getvalue())
    later.seek(6)
    for file in (later, Plain(stream.getvalue())):
        assert torch.equal(load(torch.load, None, (file,), {})["value"], BASE)


def test_of_a_machine_that_orders_bytes_otherwise(tmp_path):
    torch.save({"value": BASE}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            if name.endswith("/data/0"):
                data = BASE.numpy().byteswap().tobytes()
            new.writestr(name, data)
    assert torch.equal(checkpoint.read(tmp_path / "b.pt")["value"], BASE)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch<1.6"])
def test_contents_that_are_cut_short(tmp_path, zipped):
    torch.save({"value": BASE}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "a.pt").read_bytes()
    for cut in range(1, len(data), 37):
        (tmp_path / "a.pt").write_bytes(data[:-cut])
        with pytest.raises(CheckpointError, match=r"a\.pt"):
            checkpoint.read(tmp_path / "a.pt")


def test_an_archive_that_names_a_record_twice(tmp_path):
    torch.save({"value": BASE}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt", "a") as out, pytest.warns(UserWarning):
        out.writestr("a/data.pkl", b"\x80\x02}.")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(tmp_path / "a.pt")


OTHERS = {
    "sparse": lambda: torch.ones(2, 2).to_sparse(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "meta": lambda: torch.empty(2, device="meta"),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_refused(tmp_path, kind):
    torch.save({"value": OTHERS[kind]()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt names torch\."):
        checkpoint.read(tmp_path / "a.pt")
