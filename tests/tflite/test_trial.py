from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import int8_models
import pytest
from small_tflite import packed, small, unpacked

from synet.system.errors import SynetError
from synet.tflite import trial
from synet.tflite.metadata import embed_metadata
from synet.tflite.model import TensorRunner, TfliteModel
from synet.tflite.trial import FAST, PLAIN, try_out, vouch


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Nothing was tried out yet, and nothing is ours."""
    monkeypatch.setattr(trial, "_ours", set())
    monkeypatch.setattr(trial, "_tried", set())


@pytest.fixture
def trials(monkeypatch):
    """Counts the processes that are started."""
    started, run = [], subprocess.run

    def noted(command, *arguments, **options):
        started.extend([command] if command[0] == sys.executable else [])
        return run(command, *arguments, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    return started


def test_a_file_is_tried_out_once_for_each_kind_of_kernels(trials):
    for _ in range(2):
        model = TfliteModel(small())
        assert model.image_shape == (2, 4) and len(trials) == 1
    TfliteModel(small(), kernels=FAST)
    TensorRunner(small())
    TensorRunner(small(), reference_kernels=True)
    assert len(trials) == 3


def test_what_synet_made_is_not_tried_out(trials):
    made = embed_metadata(vouch(small()), {"chip": "katana"})
    TfliteModel(made)
    assert made != small() and not trials
    TfliteModel(embed_metadata(int8_models.not_quantized(), {}))
    assert len(trials) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import os; os.kill(os.getpid(), 11)",
            r"is damaged: LiteRT does not survive it \(signal 11\)",
        ),
        ("import os; os.abort()", r"is damaged: LiteRT does not survive it \(signal 6\)"),
        ("raise SystemExit(3)", r"is damaged: LiteRT does not survive it \(exit status 3\)"),
        (
            "for _ in iter(int, 1): pass",
            r"is damaged: LiteRT does not survive it \(it takes longer than 1 s\)",
        ),
        ("bytearray(2**31)", "does not run in LiteRT: it takes more than 1024 MiB of memory"),
        ("raise ValueError('no\\nsuch op')", "does not run in LiteRT: no such op"),
    ],
)
def test_what_becomes_of_the_trial_is_one_line(code, message, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1)
    hurt = f"from synet.tflite import trial; trial.open_interpreter = lambda *_: exec({code!r}); "
    monkeypatch.setattr(trial, "_CODE", hurt + trial._CODE)
    with pytest.raises(SynetError, match=f"^vendor.tflite:? {message}") as caught:
        try_out("vendor.tflite", small(), FAST, 1)
    assert "\n" not in str(caught.value)


def test_memory_is_not_taken_from_the_machine():
    model = unpacked(small())
    for tensor in model.subgraphs[0].tensors:
        tensor.shape = [1, 5000, 5000, 4]  # 400 MB, which a tensor may take
    with pytest.raises(SynetError, match="does not run in LiteRT: it takes more than 1024 MiB"):
        TfliteModel(packed(model))


def test_the_trial_imports_nothing_from_where_it_is_started(tmp_path, monkeypatch):
    """Neither from the folder of the file, nor by what the environment says."""
    for name in ("numpy", "json", "synet", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    try_out("vendor.tflite", small(), PLAIN, 1)


def test_no_framework_is_loaded_for_it():
    code = (
        "import sys; from synet.tflite.model import TfliteModel\n"
        "TfliteModel(sys.stdin.buffer.read())\n"
        "sys.exit(bool({'tensorflow', 'keras', 'torch'} & set(sys.modules)))"
    )
    folder = Path(trial.__file__).parent.parent
    ran = subprocess.run([sys.executable, "-c", code], input=small(), cwd=folder)
    assert ran.returncode == 0
