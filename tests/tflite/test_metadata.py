from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile

import pytest
from small_tflite import small

from synet.system.errors import SynetError
from synet.tflite.metadata import LARGEST, embed_metadata, notes_of, read_metadata, refuse_swollen


def file(folder, *entries, way=zipfile.ZIP_DEFLATED):
    """A model with an archive of those entries behind it."""
    stream = io.BytesIO(small())
    with zipfile.ZipFile(stream, "a", way) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    path = folder / "model.tflite"
    path.write_bytes(stream.getvalue())
    return path


def said(folder, text):
    return file(folder, ("metadata.json", text))


def refused(path, *words):
    with pytest.raises(SynetError) as caught:
        read_metadata(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: the embedded metadata.json") and told.isprintable()
    assert all(word in told for word in words), told


GOOD = {
    "names": ["a"],
    "strides": [8, 16],
    "kpt_shape": [17, 3],
    "chip": "katana",
    "more": {"a": 1},
}


@pytest.mark.parametrize("names", [["a", "b"], {"0": "a", "1": "b"}, [0, 1], None])
def test_good_metadata_is_read_as_it_is(tmp_path, names):
    told = GOOD | {"names": names, "image_shape": [48, 64], "channels": 1, "task": "pose"}
    assert read_metadata(said(tmp_path, json.dumps(told))) == told
    (tmp_path / "model.tflite").write_bytes(small())
    assert read_metadata(tmp_path / "model.tflite") == {}


STANDS = {"layer": "model.0.act", "was": "SiLU", "by": "GELU"}
STANDS |= {"factor": 1.7, "error": 0.01, "largest": 0.04}


def test_what_stands_in_is_told_in_words():
    other = STANDS | {"layer": "model.1.act", "error": 0.02}
    exact = STANDS | {"layer": "model.2.act", "was": "GELU"}
    told = {"as_trained": True, "approximates": [STANDS, other, exact], "needs": "Vela 5.2"}
    assert notes_of(told) == [
        "as trained: no layer was replaced",
        "GELU stands for SiLU in 2 layers, 0.020 off on average in the worst of them, "
        "0.040 at most",
        "needs Vela 5.2",
    ]
    assert notes_of({}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({"names": names} for names in (5, "car", [["a"]], [None], {"a": "b"}, {"1": "a"}, True)),
        *({"strides": strides} for strides in (8, [0], [-8], ["8"], [1.5], [True], {"0": 8})),
        *(
            {key: [[0, 64], [64], "64", 64, [1e9, 1]][at] for key in ("image_shape",)}
            for at in range(5)
        ),
        *({"chip": 5}, {"chip": ["katana"]}, {"task": {}}, {"producer": 1}, {"channels": "1"}),
        {"kpt_shape": [10**300, 3]},
        *({"approximates": each} for each in (5, ["GELU"], [{}], [STANDS | {"factor": 0}])),
        *({"approximates": [STANDS | {key: None}]} for key in ("layer", "was", "by", "largest")),
        *({"as_trained": "yes"}, {"needs": 5}),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_is_expected(tmp_path, wrong):
    refused(said(tmp_path, json.dumps(GOOD | wrong)), f"says {next(iter(wrong))}: ", "; expected ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "recursion"),
        (b'{"a": ' * 50_000, "recursion"),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", "deeper than 20 lists"),
        (b'{"a": NaN}', "JSON"),
        (b'{"a": 1e999}', "JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "digits"),
        (b'{"names": ["\\ud800"]}', "surrogates"),
        (b'{"names": ["\xff"]}', "decode"),
        (b"\x00", "damaged"),
        (b"", "damaged"),
        (b"[1]", "not a JSON object"),
        (b"5", "not a JSON object"),
    ],
)
def test_what_is_no_json_is_one_line(tmp_path, text, words):
    refused(said(tmp_path, text), words)


def test_two_of_them(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = file(tmp_path, ("metadata.json", "{}"), ("metadata.json", '{"chip": "x"}'))
    refused(path, "there are 2 of it")


@pytest.mark.parametrize("way", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_compressions_that_cannot_be_unpacked_bit_by_bit(tmp_path, way):
    refused(file(tmp_path, ("metadata.json", "{}"), way=way), "compressed")


def patched(path, at, form, value):
    """The first entry's record in the archive's table, and its head, changed at an offset."""
    data = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x01\x02", 2), (b"PK\x03\x04", 0)):
        struct.pack_into(form, data, data.rindex(mark) + at + shift, value)
    path.write_bytes(data)
    return path


def test_encrypted_unknown_and_damaged(tmp_path):
    refused(patched(said(tmp_path, "{}"), 6, "<H", 1), "encrypted")
    refused(patched(said(tmp_path, "{}"), 8, "<H", 77), "compressed in way 77")
    path = said(tmp_path, json.dumps(GOOD))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x03\x04") + 30 + len("metadata.json")
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    refused(path, "damaged")


@pytest.mark.parametrize("honest", [True, False])
def test_a_bomb_is_not_unpacked(tmp_path, honest):
    """300 MB of blanks in 300 KB, whether the archive says so or not."""
    stream = io.BytesIO(small())
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("metadata.json", "w") as entry:
            for _ in range(300):
                entry.write(b" " * 10**6)
    path = tmp_path / "model.tflite"
    path.write_bytes(stream.getvalue())
    if not honest:
        data = bytearray(path.read_bytes())
        struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 100)
        path.write_bytes(data)
    tracemalloc.start()
    refused(path, "larger than 4 MiB" if honest else "damaged")
    assert tracemalloc.get_traced_memory()[1] < 8 * LARGEST
    tracemalloc.stop()


def test_a_table_without_end(tmp_path):
    path = said(tmp_path, "{}")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 2**30)
    path.write_bytes(data)
    refused(path, "its table is larger than 1 MiB")


def test_other_entries_are_not_opened(tmp_path):
    path = file(tmp_path, ("huge.bin", bytes(10**8)), ("metadata.json", '{"chip": "katana"}'))
    tracemalloc.start()
    assert read_metadata(path) == {"chip": "katana"}
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    with pytest.raises(SynetError, match=r"huge\.bin is larger than 16 MiB"):
        embed_metadata(path.read_bytes(), {})


def test_what_others_would_unpack_is_refused(tmp_path):
    """ultralytics reads the first member of an archive, whatever it is called."""
    swollen = file(tmp_path, ("a.txt", bytes(10**8)), ("metadata.json", "{}"))
    with pytest.raises(SynetError, match=r"the archive behind the model is damaged \(a\.txt is la"):
        refuse_swollen(swollen)
    refuse_swollen(str(said(tmp_path, "{}")))
    refuse_swollen("best.pt")
