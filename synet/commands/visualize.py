"""``synet visualize``: a model's graph in the browser."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from synet.commands import options
from synet.commands.printing import say


@click.command()
@options.model
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 8080, or another free one.")
@click.option("--browser/--no-browser", default=True, help="Open it.  [default: browser]")
@options.shape
@options.repo
def visualize(
    model: str,
    port: int | None,
    browser: bool,
    image_shape: tuple[int, int] | None,
    repo: str | None,
) -> None:
    """Show the graph of MODEL in Netron, until Ctrl-C.

    A .tflite, .onnx or .keras file is shown as it is; of a .pt checkpoint, a model yaml or a name
    from the zoo the int8 file that `synet quantize` would make. It is served to this machine alone.

    \b
    Example:
      synet visualize best.tflite
      synet visualize katana-kvga.yaml --no-browser --port 8080
    """
    import threading
    import webbrowser

    from synet.inspection.visualize import SHOWN
    from synet.inspection.visualize import visualize as serve

    if Path(model).suffix not in SHOWN:
        say(f"exporting {model}", err=True)
    with serve(model, port, image_shape, repo) as address:
        say(f"{model} is shown at {address} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            if browser:
                webbrowser.open(address)
            threading.Event().wait()
    say("ended")
