"""Graphs served to a browser, in this process and by the command as a user starts it."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import tiny_yolo

from synet.custom_patches import unpatch
from synet.inspection.visualize import visualize
from synet.system.errors import SynetError
from synet.tflite.graph import read_graph

ANY = 0  # port


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


def served(address: str) -> tuple[str, bytes]:
    """What Netron's page is told to open: its name and content."""
    (path,) = re.findall(r'<meta name="file" content="([^"]*)">', get(address).decode())
    return path, get(address + path)


@pytest.fixture
def model(tmp_path) -> Path:
    (tmp_path / "secret.txt").write_text("nobody's business")
    path = tmp_path / 'mein "Modell" <größer>.tflite'
    path.write_bytes(b"\0\0\0\0TFL3 and whatever Netron makes of it")
    return path


def test_the_model_is_served_and_nothing_beside_it(model):
    handlers = list(logging.root.handlers)
    with visualize(model, ANY) as address:
        assert address.startswith("http://127.0.0.1:")
        path, content = served(address)
        assert re.fullmatch(r"/data/[\w.-]+\.tflite", path, re.ASCII)
        assert content == model.read_bytes()
        for other in ("secret.txt", "../secret.txt", f"..{model.parent}/secret.txt"):
            with pytest.raises(urllib.error.HTTPError):
                get(f"{address}/data/{other}")
    with pytest.raises(OSError, match="refused|reset"):
        get(address)
    assert logging.root.handlers == handlers


@pytest.mark.parametrize("suffix", [".onnx", ".keras"])
def test_other_files_are_served_as_they_are(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"whatever Netron makes of it")
    with visualize(path, ANY) as address:
        assert served(address) == (f"/data/model{suffix}", path.read_bytes())


def test_a_yaml_is_exported_first(tmp_path):
    try:
        with visualize(tiny_yolo.write(tmp_path), ANY) as address:
            path, content = served(address)
    finally:
        unpatch()
    assert path == "/data/tiny.tflite"
    assert read_graph(content).operators
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_mistakes(tmp_path):
    (tmp_path / "broken.tflite").write_text("no model")
    for name, said in (
        ("none.tflite", "cannot read .*none.tflite: No such file"),
        ("none.onnx", "cannot read .*none.onnx: No such file"),
        ("broken.tflite", "broken.tflite is not a TFLite file"),
    ):
        with pytest.raises(SynetError, match=said), visualize(tmp_path / name, ANY):
            pass


def test_a_port_that_is_taken(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SynetError, match=f"port {port}: .* name another one with --port"),
            visualize(model, port),
        ):
            pass


def test_the_command_serves_until_ctrl_c(model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "synet", "visualize", model, "--no-browser", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
    )
    try:
        line = process.stdout.readline()
        assert line == f"{model} is shown at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        assert served(f"http://127.0.0.1:{port}")[1] == model.read_bytes()
        assert list(tmp_path.glob("synet-*"))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("ended\n", "")
        assert process.returncode == 0
        assert not list(tmp_path.glob("synet-*"))
    finally:
        process.kill()
        process.wait()
