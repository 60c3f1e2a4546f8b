"""triton and tensorflow in one process, in every order that a user may type."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("triton") and importlib.util.find_spec("tensorflow")),
    reason="triton and tensorflow are not both installed",
)


@pytest.mark.parametrize(
    "lines",
    [
        "import keras; import synet.base; from torch.utils import _triton; import torch._inductor",
        "import synet.base; import keras; import triton; assert triton.__version__",
    ],
    ids=["keras first", "synet first"],
)
def test_the_process_lives(lines):
    finished = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-2000:]


def test_without_care_it_does_not():
    finished = subprocess.run(
        [sys.executable, "-c", "import tensorflow; import triton"], capture_output=True, text=True
    )
    assert finished.returncode != 0
    assert "LLVM ERROR" in finished.stderr
