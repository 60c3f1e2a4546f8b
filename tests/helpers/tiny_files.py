"""A checkpoint of each task and the TFLite file of the same network, built once in a process.

Both patch the process, as loading a checkpoint does: call `unpatch` afterwards.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import int8_models
import tiny_ultralytics as tiny
import torch
from patched import patched_fork

from synet.export.convert import to_keras
from synet.models.locate import installed
from synet.tflite.model import embed_metadata


@cache
def network(task: str) -> torch.nn.Module:
    """`tiny_ultralytics.network`, built for Sabre."""
    patched_fork(installed("ultralytics"), "sabre")
    made = tiny.network(task)
    made.args["imgsz"] = list(tiny.SHAPE)
    return made


@cache
def checkpoint(task: str) -> Path:
    """Its ``tiny.pt``."""
    folder = Path(tempfile.mkdtemp(prefix="synet-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return tiny.save(network(task), folder / "tiny.pt")


@cache
def file(task: str) -> Path:
    """Its ``tiny.tflite`` beside that, in float; the converter takes some seconds."""
    content = int8_models._convert(to_keras(network(task), tiny.SHAPE, 3), quantize=False)
    path = checkpoint(task).with_suffix(".tflite")
    path.write_bytes(embed_metadata(content, tiny.metadata(network(task), task)))
    return path
