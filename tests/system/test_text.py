from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from click.testing import CliRunner
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from small_tflite import packed, small, unpacked

from synet.cli import main
from synet.patches.process import _one_line
from synet.system.errors import SynetError
from synet.system.terminal import Terminal
from synet.system.text import first_few, printable, printable_lines
from synet.tflite.metadata import embed_metadata

# Each does something to a terminal, or to those who read it.
ORDERS = [
    "\x1b[31m",
    "\x07",
    "\r",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\x00",
    "\x7f",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_spelled_out(order):
    told = printable(f"a{order}b")
    assert told.isprintable() and told.startswith("a\\") and told.endswith("b")
    assert printable(told) == told


def test_what_is_text_stays(order="жук, 车, café, \u3000 wide, C:\\new"):
    assert printable(order) == order
    assert printable("two\nlines") == "two\\nlines"
    assert printable_lines("two\nli\x1bnes") == "two\nli\\x1bnes"
    assert printable(ValueError("a\tb")) == "a\\tb"


@pytest.fixture
def screen():
    stream = io.StringIO()
    return stream, Terminal(file=stream, width=60, force_terminal=False)


@pytest.mark.parametrize("order", ORDERS)
def test_a_table_shows_names_and_obeys_none(screen, order):
    stream, terminal = screen
    table = Table(title=f"title{order}", caption=f"[bold]{order}")
    table.add_column(f"head{order}")
    table.add_row(f"[red]cell[/red] :car: {order}")
    terminal.print(table)
    shown = stream.getvalue()
    assert order not in shown and all(c.isprintable() or c == "\n" for c in shown)
    assert f"[red]cell[/red] :car: {printable(order)}" in shown
    assert f"head{printable(order)}" in shown and f"[bold]{printable(order)}" in shown


def test_a_progress_bar_does_not_either(screen):
    stream, terminal = screen
    with Progress(console=terminal) as bar:
        bar.add_task(escape("[red]\x1b[2Jcar"), total=1)
    assert "[red]\\x1b[2" in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_colours_of_our_own_still_work():
    stream = io.StringIO()
    terminal = Terminal(file=stream, force_terminal=True, color_system="standard", width=40)
    terminal.print("\x1b[32mcar", style="red", highlight=False)
    assert stream.getvalue() == "\x1b[31m\\x1b[32mcar\x1b[0m\n"


def test_a_log_record_is_one_line(caplog):
    logging.getLogger("synet").warning("class %s: %d", "\x1b[31mred\nsynet: all is well", 3)
    assert caplog.messages == ["class \\x1b[31mred\\nsynet: all is well: 3"]


# --- where it matters ---------------------------------------------------------------------------

NAME = "\x1b[31mred\r\n\u202e[bold]"
TOLD = r"\x1b[31mred\r\n\u202e[bold]"


@pytest.mark.parametrize("order", ORDERS[:-1])
@pytest.mark.parametrize("command", ["summary", "sparsity", "profile", "predict", "no-command"])
def test_a_file_name_in_an_error_line(command, order):
    result = CliRunner().invoke(
        main, [command, f"none{order}.tflite", *["x"] * (command == "predict")]
    )
    assert result.exit_code == 2
    assert all(c.isprintable() or c == "\n" for c in result.output), repr(result.output)


def test_a_layers_name_in_a_table(tmp_path):
    model = unpacked(small())
    model.subgraphs[0].tensors[1].name = NAME
    path = tmp_path / "model.tflite"
    path.write_bytes(packed(model))
    for command in ("summary", "profile"):
        result = CliRunner().invoke(main, [command, str(path)])
        assert "\x1b" not in result.output and "\u202e" not in result.output
        assert r"\x1b[31mred\r" in result.output and r"\u202e[bold]" in result.output


def test_metadata_in_an_error_line(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(embed_metadata(small(), {"chip": NAME}))
    result = CliRunner().invoke(main, ["profile", str(path)])
    assert result.exit_code == 2 and TOLD in result.output
    assert len(result.output.splitlines()) == 1 and "\x1b" not in result.output
    path.write_bytes(embed_metadata(small(), {"names": {NAME: "a"}}))
    result = CliRunner().invoke(main, ["profile", str(path)])
    assert json.dumps(NAME) in result.output and len(result.output.splitlines()) == 1


def test_an_error_in_a_patched_process(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    with pytest.raises(SystemExit):
        _one_line(None)(SynetError, SynetError(f"class {NAME}"), None)
    assert stream.getvalue() == f"synet: class {TOLD}\n"


def test_the_first_few_of_many():
    assert first_few(["a", "b", "c"], 3) == "a, b, c"
    assert first_few(["a", "b", "c", "d", "e"], 3) == "a, b, c and 2 more"
