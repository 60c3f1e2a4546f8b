"""TFLite Micro, the runtime of microcontrollers, on this machine: what a file gives there.

It is built on the reference kernels, so its numbers are those of `synet.tflite.kernels`, bit for
bit; and it says what memory it took, without an NPU. It trusts a file, and runs in a process of its
own.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from synet.system import confined, optional_packages
from synet.system.errors import SynetError
from synet.tflite.flatbuffer import read_content
from synet.tflite.graph import read_graph
from synet.tflite.trial import RATES, REFERENCE, SECONDS

LACKS = ("GELU",)  # operations that it does not have and compilers for NPUs do
OFFERED = 1 << 26  # bytes of the arena that it may take from
_CODE = "from synet.tflite.micro import main; main()"
_TAKEN = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True, eq=False)
class MicroRun:
    """What TFLite Micro made of an image.

    Attributes
    ----------
    outputs
        As the file stores them, by the numbers of their tensors, which a `Port` has.
    arena_bytes
        What it took: `activation_bytes`, and what it keeps for itself, of which a chip with
        pointers of 32 bits needs less than this machine.
    activation_bytes
        Its plan for the activations.
    """

    outputs: dict[int, np.ndarray]
    arena_bytes: int
    activation_bytes: int

    def __str__(self) -> str:
        return (
            f"TFLite Micro takes an arena of {self.arena_bytes / 1024:.0f} KiB without the NPU, "
            f"{self.activation_bytes / 1024:.0f} KiB of it for activations"
        )


def is_installed() -> bool:
    """Whether the package ``tflite-micro`` is there, which is made for Linux alone."""
    return find_spec("tflite_micro") is not None


def run_micro(source: str | Path | bytes, image: np.ndarray | None = None) -> MicroRun:
    """Run a file in TFLite Micro.

    Parameters
    ----------
    source
        A path, or the file's content.
    image
        Its input as the file stores it. Default: zeros, where only memory is asked for.

    Raises
    ------
    SynetError
        ``tflite-micro`` is not installed, or lacks an operation of the file.
    """
    if not is_installed():
        optional_packages.load("tflite_micro", "micro", "running TFLite Micro")
    name, content = read_content(source)
    graph = read_graph(content)
    seconds = SECONDS + int(graph.macs / RATES[REFERENCE])
    given = _packed([np.frombuffer(content, np.uint8), *([] if image is None else [image])])
    try:
        told = _unpacked(confined.run(_CODE, seconds, given))
    except confined.Ended as error:
        raise SynetError(f"{name}: TFLite Micro does not survive it ({error})") from None
    said, *outputs = told
    text = said.tobytes().decode(errors="replace")
    taken = {kind: int(size) for kind, size in _TAKEN.findall(text)}
    if not outputs:
        raise SynetError(f"{name} does not run in TFLite Micro: {' '.join(text.split())}")
    return MicroRun(dict(zip(graph.outputs, outputs, strict=True)), taken["total"], taken["head"])


def main() -> None:
    """In the process of its own: the file and its input from standard input, outputs to the other.

    The first array is what it said on the way; without any behind it, why it does not run.
    """
    content, *images = _unpacked(sys.stdin.buffer.read())
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)  # C++ writes there
        outputs = _run(content.tobytes(), images)
        said.seek(0)
        text = np.frombuffer(said.read(), np.uint8)
    sys.stdout.buffer.write(_packed([text, *outputs]))
    sys.stdout.flush()
    os._exit(0)


def _run(content: bytes, images: list[np.ndarray]) -> list[np.ndarray]:
    from tflite_micro.python.tflite_micro.runtime import Interpreter

    try:
        interpreter = Interpreter.from_bytes(content, arena_size=OFFERED)
        asked = interpreter.get_input_details(0)
        image = images[0] if images else np.zeros(asked["shape"], asked["dtype"])
        interpreter.set_input(image, 0)
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return []
    interpreter.print_allocations()
    return [interpreter.get_output(n) for n in range(len(read_graph(content).outputs))]


def _packed(arrays: list[np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, *arrays)
    return stream.getvalue()


def _unpacked(content: bytes) -> list[np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return [arrays[f"arr_{n}"] for n in range(len(arrays.files))]
