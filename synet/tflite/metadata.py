"""What travels inside a TFLite file: a zip archive with one `metadata.json`, behind the flatbuffer.

Readers of the flatbuffer stop before it, and every zip tool opens the file. It may come from
anybody: nothing but that one entry is unpacked, no further than any metadata goes, and what SyNet
reads of it is of the right type, or the file is refused.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synet.system.errors import SynetError
from synet.tflite.flatbuffer import read_content
from synet.tflite.trial import vouch_as

LOGGER = logging.getLogger("synet")
METADATA_FILE = "metadata.json"
LARGEST = 4 * 2**20  # bytes of it; the names of 20,000 classes take half a megabyte
LARGEST_TABLE = 2**20  # of the list of what is in the archive
DEEPEST = 20  # lists within lists
LARGEST_OTHERS = 16 * 2**20  # of what else is in the archive, all together
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others cannot be unpacked bit by bit
_ENCRYPTED = 1

# What a damaged archive, or one that was made to hurt, ends in.
_BROKEN = (
    *(ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RecursionError, OverflowError, MemoryError, KeyError),
)


def read_metadata(source: str | Path | bytes) -> dict[str, Any]:
    """What :func:`embed_metadata` put into a TFLite model; empty where nothing is embedded.

    Raises
    ------
    SynetError
        Not a TFLite file; or its `metadata.json` is damaged, or says something that cannot be.
    """
    return metadata_of(*read_content(source))


def metadata_of(name: str, content: bytes) -> dict[str, Any]:
    """As `read_metadata`, of a file that was read: what to call it, and its bytes."""
    try:
        text = _Archive(content).metadata()
        metadata = json.loads(text)
        # neither text that has no letters, nor numbers that are none
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
        if _is_deep(metadata):
            raise RecursionError(f"it is deeper than {DEEPEST} lists")
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise SynetError(f"{name}: the embedded {METADATA_FILE} is damaged ({reason})") from None
    if not isinstance(metadata, dict):
        raise SynetError(f"{name}: the embedded {METADATA_FILE} is not a JSON object")
    for key, (fits, expected) in RULES.items():
        if metadata.get(key) is not None and not fits(metadata[key]):
            told = json.dumps(metadata[key])
            told = told if len(told) < 50 else f"{told[:50]}..."
            raise SynetError(
                f"{name}: the embedded {METADATA_FILE} says {key}: {told}; expected {expected}"
            )
    return metadata


def is_random(metadata: Mapping[str, Any]) -> bool:
    """Was the file that tells this calibrated on random images?"""
    return (metadata.get("calibration") or {}).get("source") == RANDOM


def doubt_of(metadata: Mapping[str, Any]) -> str:
    """What a file tells of itself that makes all its figures doubtful; mostly nothing."""
    if is_random(metadata):
        return "calibrated on random images: good to look at, and not to be used"
    proof = metadata.get("proof") or {"proven": True}
    if proof["proven"]:
        return ""
    return f"not proven to do what the float model does: {proof.get('missed', 'nobody says why')}"


def notes_of(metadata: Mapping[str, Any]) -> list[str]:
    """What a file tells of itself that its user has to know; mostly nothing."""
    notes = []
    if metadata.get("as_trained"):
        notes.append("as trained: no layer was replaced")
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in metadata.get("approximates") or []:
        if each["was"] == each["by"]:
            continue  # which is exact
        pairs.setdefault((each["by"], each["was"]), []).append(each)
    for (by, was), sites in pairs.items():
        layers = f"{len(sites)} layer{'s' if len(sites) > 1 else ''}"
        mean, most = (max(each[key] for each in sites) for key in ("error", "largest"))
        notes.append(
            f"{by} stands for {was} in {layers}, {mean:.3f} off on average in the worst of them, "
            f"{most:.3f} at most"
        )
    if metadata.get("needs"):
        notes.append(f"needs {metadata['needs']}")
    return notes


def warn_of(name: str, metadata: Mapping[str, Any]) -> None:
    """Warn, before a file's figures are told, of what makes them doubtful."""
    doubt = doubt_of(metadata)
    if doubt:
        LOGGER.warning("%s: %s", name, doubt)


def embed_metadata(content: bytes, metadata: Mapping[str, Any]) -> bytes:
    """A TFLite model with `metadata` inside, in place of any that it had.

    The same arguments give the same bytes: no time of day is stored. Other
    files in the model's archive, such as label lists, are kept.

    Parameters
    ----------
    content
        The TFLite model.
    metadata
        What JSON can hold; its keys are read back as strings.

    Raises
    ------
    SynetError
        The archive that it has is damaged, or holds more than belongs into a model.
    """
    try:
        archive = _Archive(content)
        files = archive.others()
    except _BROKEN as error:
        raise SynetError(f"the archive behind the model is damaged ({error})") from None
    files = {METADATA_FILE: json.dumps(metadata, indent=1).encode(), **files}
    stream = io.BytesIO(content[: archive.start])
    with zipfile.ZipFile(stream, "a") as made:
        for name, data in files.items():  # some readers take whatever file comes first
            made.writestr(zipfile.ZipInfo(name), data)
    return vouch_as(stream.getvalue(), content)


def refuse_swollen(path: Any) -> None:
    """Refuse a ``.tflite`` file with more packed behind it than belongs there.

    For readers that unpack whatever they find. Of any other file nothing is said.

    Raises
    ------
    SynetError
        It is one.
    """
    if not str(path).endswith(".tflite"):
        return
    name, content = read_content(path)
    try:
        _Archive(content).others()
    except _BROKEN as error:
        raise SynetError(f"{name}: the archive behind the model is damaged ({error})") from None


class _Archive:
    """The archive behind a flatbuffer, if there is one; `start` is where it begins."""

    def __init__(self, content: bytes) -> None:
        self._entries: list[zipfile.ZipInfo] = []
        self.start = len(content)
        stream = io.BytesIO(content)
        # where an archive says how long its table is, before a comment of 64 KiB at most
        at = content.rfind(b"PK\x05\x06", max(0, len(content) - 2**16 - 22))
        if at >= 0 and int.from_bytes(content[at + 12 : at + 16], "little") > LARGEST_TABLE:
            raise ValueError(f"its table is larger than {LARGEST_TABLE >> 20} MiB")
        if zipfile.is_zipfile(stream):
            self._archive = zipfile.ZipFile(stream)
            self._entries = self._archive.infolist()
            self.start = min((e.header_offset for e in self._entries), default=self.start)

    def metadata(self) -> bytes:
        found = [entry for entry in self._entries if entry.filename == METADATA_FILE]
        if len(found) > 1:
            raise ValueError(f"there are {len(found)} of it")
        return self._unpacked(found[0], LARGEST) if found else b"{}"

    def others(self) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        room = LARGEST_OTHERS
        for entry in self._entries:
            if entry.filename != METADATA_FILE:
                files[entry.filename] = self._unpacked(entry, room)
                room -= len(files[entry.filename])
        return files

    def _unpacked(self, entry: zipfile.ZipInfo, largest: int) -> bytes:
        if entry.flag_bits & _ENCRYPTED:
            raise ValueError("it is encrypted")
        if entry.compress_type not in PLAIN:
            raise ValueError(f"it is compressed in way {entry.compress_type}, which nobody reads")
        with self._archive.open(entry) as stream:
            data = stream.read(largest + 1)
        if max(len(data), entry.file_size) > largest:
            raise ValueError(f"{entry.filename} is larger than {largest >> 20} MiB")
        return data


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inside
            for each in level
            if isinstance(each, dict | list)
            for inside in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 2**16


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 100 and all(map(_is_size, value))


def _is_pair(value: Any) -> bool:
    return _are_sizes(value) and len(value) == 2


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_names(value: Any) -> bool:
    if isinstance(value, dict):
        if {*value} != {str(number) for number in range(len(value))}:
            return False
        value = [*value.values()]
    return isinstance(value, list) and all(isinstance(name, str | int | float) for name in value)


def _is_calibration(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("source", ""), str)


def _is_proof(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("proven"), bool):
        return False
    return all(isinstance(value.get(key, ""), str) for key in ("bar", "missed"))


def _are_stand_ins(value: Any) -> bool:
    kinds = {"layer": str, "was": str, "by": str, "factor": float | int}
    kinds |= {"error": float | int, "largest": float | int}
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and all(isinstance(each.get(key), kind) for key, kind in kinds.items())
        and each["factor"] > 0
        for each in value
    )


# Whether what SyNet reads of it may be, and what is expected.
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "names": (_are_names, "a list of names, or names by class id, from 0 on"),
    "image_shape": (_is_pair, "height and width in pixels"),
    "strides": (_are_sizes, "a list of pixels, as [8, 16, 32]"),
    "kpt_shape": (_is_pair, "how many keypoints, and numbers each"),
    "channels": (_is_size, "a number"),
    **dict.fromkeys(
        ("single_cls", "as_trained"), (lambda value: isinstance(value, bool), "true or false")
    ),
    "approximates": (
        _are_stand_ins,
        "a list of objects: layer, was, by, and the numbers factor, error and largest",
    ),
    "calibration": (_is_calibration, "an object, with the source of the images"),
    "proof": (_is_proof, "an object: proven, true or false, the bar, and what was missed"),
    **dict.fromkeys(("task", "chip", "producer", "trained_by", "needs"), (_is_text, "a text")),
}


RANDOM = "random images"  # what a file that was made without data was calibrated on
