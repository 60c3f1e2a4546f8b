"""The graph of a model in Netron, a viewer that runs in the browser."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synet.system import optional_packages
from synet.system.errors import SynetError
from synet.system.files import write_atomic
from synet.tflite.flatbuffer import read_file, read_unchecked

SHOWN = (".tflite", ".onnx", ".keras")  # as they are; anything else is exported first
HOST = "127.0.0.1"  # nobody else's machine sees it


@contextmanager
def visualize(
    model: str | Path,
    port: int | None = None,
    image_shape: tuple[int, int] | None = None,
    repo: str | Path | None = None,
) -> Iterator[str]:
    """Serve a model's graph to a browser on this machine, for as long as the block runs.

    Nothing but the model is served: Netron is given a private copy of it, alone in its folder.

    Parameters
    ----------
    model
        A ``.tflite``, ``.onnx`` or ``.keras`` file; or a ``.pt`` checkpoint, a model yaml or a name
        from the zoo, of which the int8 file is shown that `synet quantize` would make.
    port
        Default: 8080, or another one that is free.
    image_shape, repo
        As for `synet.models.get_model.to_tflite_bytes`, where the model has to be exported.

    Yields
    ------
    The address to open.

    Raises
    ------
    SynetError
        Netron is not installed, the model cannot be read or exported, or the port is taken.

    >>> with visualize("best.tflite") as address:  # doctest: +SKIP
    ...     webbrowser.open(address)
    ...     input("Enter to end")
    """
    netron = optional_packages.load("netron", "report", "showing a graph")
    name, content = _graph_file(Path(model), image_shape, repo)
    with tempfile.TemporaryDirectory(prefix="synet-") as folder, _without_logging():
        # the name becomes a part of Netron's page, and of an address
        file = write_atomic(Path(folder, re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)), content)
        try:
            host, found = netron.serve(str(file), address=(HOST, port), browse=False)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SynetError(f"port {port}: {reason}; name another one with --port") from None
        try:
            yield f"http://{host}:{found}"
        finally:
            netron.stop((host, found))
            while netron.status((host, found)):
                time.sleep(0.02)


def _graph_file(
    model: Path, image_shape: tuple[int, int] | None, repo: str | Path | None
) -> tuple[str, bytes]:
    """A file that Netron reads: its name and content."""
    if model.suffix == ".tflite":
        return model.name, read_unchecked(model)[1]
    if model.suffix in SHOWN:
        return model.name, read_file(model)
    from synet.models.get_model import to_tflite_bytes

    return f"{model.stem}.tflite", to_tflite_bytes(model, image_shape, repo)


@contextmanager
def _without_logging() -> Iterator[None]:
    """Keep Netron from setting up the logging of the whole process, as it does where nobody has."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
