"""A TFLite file runs once in a process of its own before it runs in ours.

The runtime is C++, and trusts the options, shapes and indices of a file: a damaged one may end the
process, never end, or fill the machine's memory. What it does to the process that tries it out is
told in a line. Nothing is tried out twice, nor what SyNet has just made.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np

from synet.errors import SynetError
from synet.graph import read_graph

# How the runtime computes: as it likes, with plain kernels that show every tensor, or with those
# that define what an operation does.
DELEGATED, FAST, REFERENCE = "delegated", "fast", "reference"

MEMORY = 2**30  # bytes
SECONDS = 10  # of the processor, and those that the arithmetic takes on a slow one
RATES = {DELEGATED: 1e9, FAST: 1e9, REFERENCE: 1e8}  # multiply-accumulates a second
PATIENCE = 6  # times as long may it take on a busy machine

# The parent's path, but nothing of the folder that it runs in or of its environment.
_START = "import sys; sys.path[:] = {path!r}; from synet.trial import main; main()"
_REFUSED = (ValueError, RuntimeError, MemoryError, TypeError, IndexError, KeyError, OverflowError)

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
    if kernels != DELEGATED:
        fast, plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.BUILTIN_REF
        options["experimental_op_resolver_type"] = plain if kernels == REFERENCE else fast
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
        It cannot; why is told in a line.
    """
    key = _digest(content), kernels
    if key[0] in _ours or key in _tried:
        return
    seconds = SECONDS
    with suppress(SynetError):  # the runtime says better what is wrong
        seconds += int(read_graph(content).macs / RATES[kernels])
    code = _START.format(path=[os.path.abspath(place) for place in sys.path])
    command = [sys.executable, "-I", "-c", code, kernels, str(threads or 0), str(seconds)]
    try:
        ran = subprocess.run(
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE * seconds,
        )
        status = ran.returncode
    except subprocess.TimeoutExpired:
        status = -signal.SIGXCPU
    except OSError as error:
        raise SynetError(f"{name}: cannot start Python to try it out: {error}") from None
    if status == -signal.SIGXCPU:
        raise SynetError(f"{name}: takes longer than {seconds} s for one image, or is damaged")
    if status:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise SynetError(f"{name} is damaged: it ends LiteRT ({how}); make it again")
    refused = json.loads(ran.stdout.splitlines()[-1])
    if refused:
        raise SynetError(f"{name} does not run in LiteRT: {refused}")
    _tried.add(key)


def main() -> None:
    """In the process of its own: open the file on standard input, and run it on noise."""
    kernels, threads, seconds = sys.argv[1], int(sys.argv[2]) or None, int(sys.argv[3])
    content = sys.stdin.buffer.read()
    refused = ""
    _limit(seconds)
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
        return f"it takes more than {MEMORY >> 20} MiB of memory"
    return " ".join(str(error).split()) or type(error).__name__


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # on Windows
        return
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_CPU, seconds),
    ):
        _, hard = resource.getrlimit(kind)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, hard))


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
