"""A model yaml is data: neither SyNet nor a patched fork runs what is written in one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest
from model_yaml import TWO_ROWS

PLAIN = "scales: {{n: [1.0, 1.0, 1024]}}\n" + TWO_ROWS
ROW = "[-1, 1, Conv, [16, 3, 2]]"
HEADS = {"yolov5": "[nc, anchors]", "ultralytics": "[nc]"}


def definitions(canary):
    """Model yamls by what they try; each would make `canary`."""
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    quoted = json.dumps(code)
    rows = {
        "name": f"[-1, 1, {quoted}, [16, 3, 2]]",
        "name after a blank": f"[-1, 1, {json.dumps(' ' + code)}, [16, 3, 2]]",
        "argument": f"[-1, 1, Conv, [16, {quoted}, 2]]",
        "argument after a blank": f"[-1, 1, Conv, [16, {json.dumps(' ' + code)}, 2]]",
        "argument after a tab": f"[-1, 1, Conv, [16, {json.dumps(chr(9) + code)}, 2]]",
        "argument in a list": f"[-1, 1, Conv, [16, [{quoted}], 2]]",
        "channels": f"[-1, 1, Conv, [{quoted}, 3, 2]]",
        "lambda": f"[-1, 1, Conv, [16, {json.dumps(f'(lambda: {code})()')}, 2]]",
        "comprehension": f"[-1, 1, Conv, [16, {json.dumps(f'[{code} for _ in (1,)]')}, 2]]",
        "call in a call": f"[-1, 1, Conv, [16, {json.dumps(f'nn.SiLU({code})')}, 2]]",
        "f-string": f"[-1, 1, Conv, [16, {json.dumps('f' + repr('{' + code + '}'))}, 2]]",
        "repeats": f"[-1, {quoted}, Conv, [16, 3, 2]]",
        "source": f"[{quoted}, 1, Conv, [16, 3, 2]]",
        "layer of ours": f"[-1, 1, InvertedResidual, [16, {quoted}]]",
        "python tag": f"[-1, 1, Conv, [16, !!python/object/apply:eval [{quoted}], 2]]",
        "python name": "[-1, 1, Conv, [16, !!python/name:os.system , 2]]",
        "python object": f"[-1, 1, Conv, [16, !!python/object/new:os.system [{quoted}], 2]]",
    }
    for name, row in rows.items():
        yield name, {"more": "", "row": row}
    for key in ("activation", "act", "nc", "depth_multiple", "loss", "scale", "anchors"):
        yield key, {"more": f"{key}: {quoted}", "row": ROW}
    yield "activation after a blank", {"more": f"activation: {json.dumps(' ' + code)}", "row": ROW}
    yield "tag at the top", {"more": f"x: !!python/object/apply:eval [{quoted}]", "row": ROW}


HARMLESS = {"activation", "activation after a blank", "act", "loss", "scale"}  # dropped, or unread
UNREAD = {"ultralytics": {"anchors"}}

# What SyNet refuses before the fork sees it; other nonsense the fork may complain about itself.
CODE_IN_ROWS = {"name", "argument", "argument in a list", "channels", "lambda", "layer of ours"}

BUILD = """
import json, sys, synet
from synet.custom_patches import patch_custom
from synet.system.errors import SynetError

family, files = sys.argv[1], sys.argv[2:]
patch_custom("katana")
if family == "yolov5":
    from yolov5.models.yolo import Model
else:
    from ultralytics.nn.tasks import DetectionModel as Model
ways = {"model": Model}
if family == "yolov5":
    ways["get_model"] = synet.get_model
for file in files:
    for way, build in ways.items():
        try:
            build(file)
            print(json.dumps([file, way, "", True]))
        except Exception as error:
            print(json.dumps([file, way, str(error), isinstance(error, SynetError)]))
"""


@pytest.mark.parametrize("family", HEADS)
def test_nothing_in_a_model_yaml_is_run(tmp_path, family):
    if importlib.util.find_spec(family) is None:
        pytest.skip(f"{family} is not installed")
    canary, files = tmp_path / "canary", {}
    for at, (name, parts) in enumerate(definitions(canary)):
        file = tmp_path / f"{at}n.yaml"
        file.write_text(PLAIN.format(head=HEADS[family], **parts))
        files[str(file)] = name
    (tmp_path / "plain.yaml").write_text(PLAIN.format(head=HEADS[family], more="", row=ROW))
    files[str(tmp_path / "plain.yaml")] = "nothing"
    done = subprocess.run(
        [sys.executable, "-c", BUILD, family, *files], capture_output=True, text=True, cwd=tmp_path
    )
    assert not canary.exists(), done.stdout
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert {files[file] for file, *_ in answers} == set(files.values())
    for file, way, error, ours in answers:
        if files[file] == "nothing":
            assert not error, (way, error)
        elif files[file] not in HARMLESS | UNREAD.get(family, set()):
            assert error, (files[file], way)
        if error and (way == "get_model" or files[file] in CODE_IN_ROWS):
            assert ours, (files[file], way, error)
            assert "\n" not in error, (files[file], way)


def test_the_command_line_runs_nothing_of_a_yaml(tmp_path):
    canary = tmp_path / "canary"
    parts = dict(definitions(canary))
    for name in ("python tag", "argument after a blank"):
        (tmp_path / "our.yaml").write_text(PLAIN.format(head=HEADS["yolov5"], **parts[name]))
        done = subprocess.run(
            [sys.executable, "-m", "synet", "quantize", "--cfg", "our.yaml"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert not canary.exists()
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "our.yaml" in done.stderr
