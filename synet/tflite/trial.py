"""A TFLite file runs once in a process of its own before it runs in ours.

The runtime trusts the options, shapes and indices of a file: a damaged one may end the process,
never end, or fill the machine's memory. Nothing is tried out twice, nor what SyNet has just made.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from typing import Any

import numpy as np

from synet.system import confined
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph

# How the runtime computes: as fast as this processor can, with its own plain kernels, or with those
# that define what an operation does, in plain loops. The last two show every tensor.
FAST, PLAIN, REFERENCE = "fast", "plain", "reference"

THREADS = 4  # at most: more only take more memory
SECONDS = 10  # of the processor, and those that the arithmetic takes on a slow one
RATES = {FAST: 1e9, PLAIN: 1e9, REFERENCE: 1e8}  # multiply-accumulates a second

_CODE = "from synet.tflite.trial import main; main()"
_REFUSED = (ValueError, RuntimeError, MemoryError, TypeError, IndexError, KeyError, OverflowError)


class Refused(SynetError):
    """The runtime says by itself that it cannot run a file.

    Parameters
    ----------
    name
        Of the file.
    why
        What the runtime says.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} does not run in LiteRT: {why}")
        self.name, self.why = name, why


_ours: set[bytes] = set()
_tried: set[tuple[bytes, str]] = set()


def vouch(content: bytes) -> bytes:
    """Have a file that SyNet made, and no stranger, run without a trial; gives it back."""
    _ours.add(_digest(content))
    return content


def vouch_as(content: bytes, source: bytes) -> bytes:
    """`vouch` for a file that was made from another, if that may run without a trial."""
    return vouch(content) if _digest(source) in _ours else content


def open_interpreter(content: bytes, kernels: str, threads: int | None) -> Any:
    """LiteRT's interpreter, ready to run; in this process, on a file that is trusted."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    options: dict[str, Any] = {}
    if kernels != FAST:
        kinds = {
            PLAIN: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            REFERENCE: OpResolverType.BUILTIN_REF,
        }
        options["experimental_op_resolver_type"] = kinds[kernels]
        options["experimental_preserve_all_tensors"] = True
    interpreter = Interpreter(model_content=content, num_threads=threads, **options)
    interpreter.allocate_tensors()
    return interpreter


def try_out(name: str, content: bytes, kernels: str, threads: int | None) -> None:
    """See that a file can be opened and run, in a process that may come to grief.

    Parameters
    ----------
    name
        What to call it in messages.
    content
        The file.
    kernels, threads
        As for `open_interpreter`.

    Raises
    ------
    SynetError
        It cannot; why is told in a line. `Refused` where the runtime survives it.
    """
    key = _digest(content), kernels
    if key[0] in _ours or key in _tried:
        return
    seconds = SECONDS
    with suppress(SynetError):  # the runtime says better what is wrong
        seconds += int(read_graph(content).macs / RATES[kernels])
    try:
        told = confined.run(_CODE, seconds, content, kernels, str(min(threads or 1, THREADS)))
    except confined.Ended as error:
        raise SynetError(f"{name} is damaged: LiteRT does not survive it ({error})") from None
    refused = json.loads(told.splitlines()[-1])
    if refused:
        raise Refused(name, refused)
    _tried.add(key)


def main() -> None:
    """In the process of its own: open the file on standard input, and run it on noise."""
    kernels, threads = sys.argv[1], int(sys.argv[2])
    content = sys.stdin.buffer.read()
    refused = ""
    try:
        _run(open_interpreter(content, kernels, threads))
    except _REFUSED as error:
        refused = reason(error)
    sys.stdout.write(f"\n{json.dumps(refused)}\n")
    sys.stdout.flush()
    os._exit(0)  # what a damaged file leaves behind may not come apart in peace


def reason(error: BaseException) -> str:
    """What the runtime says, in one line."""
    if isinstance(error, MemoryError):
        return f"it takes more than {confined.MEMORY >> 20} MiB of memory"
    return " ".join(str(error).split()) or type(error).__name__


def _run(interpreter: Any) -> None:
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        else:
            values = rng.random(shape).astype(dtype)
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        interpreter.get_tensor(detail["index"])
    for signature in interpreter.get_signature_list():
        interpreter.get_signature_runner(signature).get_output_details()
    interpreter.get_tensor_details()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
