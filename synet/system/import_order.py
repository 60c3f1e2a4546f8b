"""triton before tensorflow: the one order of imports in which both can be used.

Both bring LLVM. With tensorflow first, importing triton (which torch does behind many
doors) ends the process: ``LLVM ERROR: inconsistency in registered CommandLine options``.
The other way round is fine. torch's default Linux wheels depend on triton; CPU builds do not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys


def triton_before_tensorflow() -> None:
    """Import triton now, where it is installed; where tensorflow was first, keep it out.

    Kept out, it is to torch as if it were not installed: compiling for a GPU is refused, and
    everything else goes on.
    """
    if "triton" in sys.modules:
        return
    if "tensorflow" in sys.modules:
        sys.modules["triton"] = None
    elif importlib.util.find_spec("triton"):
        importlib.import_module("triton")
