"""What a data yaml, or a checkpoint, says of data never runs code, nor is an address opened."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from synet.custom_patches import patch_custom, unpatch
from synet.patches.data_downloads import TRUST, call_without_code, with_local_data
from synet.system.errors import DataError

ARCHIVES = [
    "https://host.example/coco8.zip",
    "http://host.example:80/a%20b/x_y-1.tar",
    "https://github.com/o/r/releases/download/v1.0/coco128.tgz",
]


def codes(canary: Path) -> dict[str, str]:
    """What a data yaml may have under ``download:``; each would make `canary`."""
    touch = f"touch {canary}"
    return {
        "python": f"open({str(canary)!r}, 'w').close()",
        "a shell line": f"bash -c '{touch}'",
        "an address and a shell line": f"https://host.example/a.zip;{touch};.zip",
        "an address and a line": f"https://host.example/a.zip\n{touch}",
        "an address with a command in it": f"https://host.example/$({touch}).zip",
        "an address and python": f"http = open({str(canary)!r}, 'w')  # .zip",
        "an address of a script": "https://host.example/run.sh",
    }


def modern(data, autodownload=True):
    """As YOLOv5 v6.0 and later, and ultralytics."""
    content = data if isinstance(data, dict) else yaml.safe_load(Path(data).read_text())
    if not Path(content["val"]).exists():
        if not (autodownload and content.get("download")):
            raise Exception("Dataset not found")
        script = content["download"]
        if not (script.startswith("http") and script.endswith(".zip")):
            exec(script, {"yaml": content})
    return content


def old(dict):
    """As YOLOv5 v5.0 and YOLOv7."""
    if not Path(dict["val"]).exists():
        if not dict.get("download"):
            raise Exception("Dataset not found.")
        if not dict["download"].startswith("http"):
            exec(dict["download"])
    return dict


def call(function, data, root=None):
    return call_without_code(function, inspect.signature(function).bind(data), data, root)


@pytest.mark.parametrize("name", codes(Path()))
def test_no_code_is_run_for_images_that_are_missing(tmp_path, name):
    canary = tmp_path / "canary"
    content = {"val": str(tmp_path / "none"), "names": ["a"], "download": codes(canary)[name]}
    file = tmp_path / "evil.yaml"
    file.write_text(yaml.safe_dump(content))
    for function, data in [(modern, str(file)), (modern, file), (modern, content), (old, content)]:
        with pytest.raises(DataError, match=f"Dataset not found.*{TRUST}=1") as error:
            call(function, data)
        assert str(error.value).isprintable()
        assert not canary.exists()
    with pytest.raises(DataError, match="evil.yaml"):
        call(modern, file)
    assert content["download"] == codes(canary)[name]  # what was given stays as it is


def test_a_fork_that_downloads_unasked_is_not_given_the_file(tmp_path):
    (tmp_path / "evil.yaml").write_text("val: none\ndownload: bash run.sh\n")
    with pytest.raises(DataError, match=r"evil.yaml: .*'bash run.sh'"):
        call(lambda data: pytest.fail("it was called"), tmp_path / "evil.yaml")


@pytest.mark.parametrize("address", ARCHIVES)
def test_an_archive_is_fetched_as_always(tmp_path, address):
    content = {"val": str(tmp_path / "none"), "download": address}
    seen = []

    def noted(data, autodownload=True):
        seen.append((data, autodownload))

    call(noted, content)
    assert seen == [(content, True)]


def test_images_that_are_here_need_no_download(tmp_path):
    content = {"val": str(tmp_path), "download": "exit()", "names": ["a"]}
    assert call(modern, content)["names"] == ["a"]
    assert call(old, content) == {"val": str(tmp_path), "names": ["a"]}


def test_who_trusts_the_file_says_so(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    content = {"val": str(tmp_path / "none"), "download": codes(canary)["python"]}
    monkeypatch.setenv(TRUST, "1")
    call(modern, content)
    assert canary.exists()


def test_a_script_of_the_forks_own_is_the_users_own(tmp_path):
    """Wherever a copy of its yaml lies; a yaml anywhere else in the fork's folder is nobody's."""
    canary, root = tmp_path / "canary", tmp_path / "fork"
    content = {"val": str(tmp_path / "none"), "download": codes(canary)["python"]}
    (root / "data").mkdir(parents=True)
    (root / "unpacked").mkdir()
    (root / "unpacked" / "data.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError):
        call(modern, root / "unpacked" / "data.yaml", root)
    assert not canary.exists()
    (root / "data" / "stock.yaml").write_text(yaml.safe_dump(content))
    call(modern, root / "unpacked" / "data.yaml", root)
    assert canary.exists()


# ------------------------------------------------------------------------------- real YOLOs

REAL = """
import json, sys
from pathlib import Path
from synet.custom_patches import patch_custom

family, files = sys.argv[1], sys.argv[2:]
patch_custom("katana")
if family == "yolov5":
    import yolov5.models.yolo
    from yolov5.utils.general import check_dataset
else:
    import ultralytics.nn.tasks
    from ultralytics.data.utils import check_det_dataset as check_dataset
for file in files:
    try:
        content = check_dataset(file)
        print(json.dumps([file, "", sorted(map(str, content))]))
    except Exception as error:
        print(json.dumps([file, str(error), type(error).__name__]))
"""


@pytest.mark.parametrize("family", ["yolov5", "ultralytics"])
def test_a_real_yolo_runs_no_download(tmp_path, family):
    if importlib.util.find_spec(family) is None:
        pytest.skip(f"{family} is not installed")
    canary, files = tmp_path / "canary", {}
    for at, (name, code) in enumerate(codes(canary).items()):
        files[tmp_path / f"{at}.yaml"] = name
        content = {"train": "none", "val": "none", "names": ["a"], "download": code}
        (tmp_path / f"{at}.yaml").write_text(yaml.safe_dump(content))
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels" / "1.txt").write_text("0 0.5 0.5 0.5 0.5")
    content |= {"train": "images", "val": "images", "path": str(tmp_path)}
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [sys.executable, "-c", REAL, family, *map(str, files), str(tmp_path / "here.yaml")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "YOLO_CONFIG_DIR": str(tmp_path)},
    )
    assert not canary.exists(), done.stdout
    assert done.returncode == 0, done.stderr
    *refused, here = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]
    assert [Path(file) for file, *_ in refused] == [*files]
    for file, error, kind in refused:
        assert kind == "DataError", (file, error)
        assert TRUST in error
        assert "\n" not in error
    assert not here[1], here
    assert {"train", "val", "names"} <= {*here[2]}


# ------------------------------------------------------------------------ images to classify

CLASSIFY = """
import json, subprocess, sys
from synet.custom_patches import patch_custom

patch_custom("sabre")
from ultralytics.data import utils

asked = []
utils.safe_download = lambda url, *_, **__: asked.append(str(url)) or "fetched"
utils.download = lambda url, *_, **__: asked.append(str(url))
utils.subprocess.run = lambda words, **_: asked.append(words[0])
for data in json.loads(sys.argv[1]):
    asked.clear()
    try:
        error = str(utils.check_cls_dataset(data)["nc"])
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps([data, error, asked]))
"""


def test_images_to_classify_are_fetched_from_plain_places_alone(tmp_path):
    """Through the real package, whose ways to the network are noted and not gone."""
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    for split in ("train", "val"):
        for name in "ab":
            (tmp_path / "mine" / split / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "mine" / split / name / "1.png"), np.zeros((8, 8, 3)))
    here = {str(tmp_path / "mine"): "2", "mine": "2"}
    fetched = {"mnist160": "mnist160.zip", "imagenet": "bash", ARCHIVES[0]: ARCHIVES[0]}
    refused = [
        *("https://host.example/$(touch x).zip", "https://host.example/run.sh", "a b;ls"),
        *("../../other/repository", "/not/here", "data-not-used-x", "\x1b[2Jred"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", CLASSIFY, json.dumps([*here, *fetched, *refused])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "YOLO_CONFIG_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]
    assert len(told) == len(here) + len(fetched) + len(refused)
    for data, error, asked in told:
        if data in here:
            assert (error, asked) == (here[data], [])
        elif data in fetched:
            assert asked[0].endswith(fetched[data])
        else:
            assert error.startswith("DataError: ") and error.isprintable() and not asked


# ------------------------------------------------------------------------------- checkpoints

ELSEWHERE = [
    "https://host.example/data.yaml",
    "http:/host.example/data.zip",
    "ul://someone/datasets/some",
    "gs://bucket/data.yaml",
    "/not/here/data.yaml",
    "imagenet",
    "a\0b.yaml",
    "\x1b[31mred.yaml",
    {"train": {"yolo_data": ["https://host.example/data.yaml"]}},
    ["https://host.example/data.yaml"],
]


@pytest.mark.parametrize("data", ELSEWHERE, ids=str)
def test_a_checkpoints_data_is_used_where_it_is_here_alone(tmp_path, data):
    model = torch.nn.Linear(1, 1)
    model.args = {"data": data, "imgsz": 64}
    content = {
        "train_args": {"data": data, "imgsz": 64},
        "opt": Namespace(data=data),
        "model": model,
        "ema": None,
    }
    found = with_local_data(content, [tmp_path])
    named = found["train_args"]["data"]
    assert named == found["opt"].data == model.args["data"]
    assert named.isprintable()
    assert named.startswith("data-not-used-")
    assert named.endswith(".yaml")
    assert not {"/", ":", "\\"} & {*named}
    assert found["train_args"]["imgsz"] == 64


def test_a_checkpoints_own_data_stays(tmp_path):
    (tmp_path / "cfg" / "datasets").mkdir(parents=True)
    (tmp_path / "cfg" / "datasets" / "coco8.yaml").touch()
    (tmp_path / "mine.yaml").touch()
    for data, wanted in [
        (str(tmp_path / "mine.yaml"), str(tmp_path / "mine.yaml")),
        (str(tmp_path), str(tmp_path)),  # images to classify
        ("coco8.yaml", "coco8.yaml"),
        ("/elsewhere/ultralytics/cfg/datasets/coco8.yaml", "coco8.yaml"),
        (None, None),
    ]:
        content = with_local_data({"train_args": {"data": data}}, [tmp_path])
        assert content["train_args"]["data"] == wanted


@pytest.mark.parametrize("content", [None, [], {"opt": 3, "train_args": "data"}, {"model": 5}])
def test_what_has_no_options_is_left_alone(content):
    assert with_local_data(content, []) is content


def test_a_patched_process_reads_checkpoints_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"train_args": {"data": ELSEWHERE[0]}, "opt": {"data": str(tmp_path)}}, "a.pt")
    unpatch()
    patch_custom("katana")
    try:
        found = torch.load("a.pt", weights_only=False)
    finally:
        unpatch()
    assert found == {
        "train_args": {"data": "data-not-used-https-host.example-data.yaml.yaml"},
        "opt": {"data": str(tmp_path)},
    }


@pytest.mark.parametrize("name", ["my.yaml", "my.yml"])
def test_ultralytics_gets_the_folder_of_a_relative_path(tmp_path, monkeypatch, name):
    from synet.patches.ultralytics import wrap_check_dataset

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / name).write_text("path: set\ntrain: images\nval: images\nnames: [a]\n")
    content = wrap_check_dataset(None)(modern, None, (str(tmp_path / name),), {})
    assert content["val"] == str(tmp_path / "set" / "images")


def test_the_code_of_a_bare_name_is_found_whatever_its_suffix(tmp_path, monkeypatch):
    from synet.patches.ultralytics import wrap_check_dataset

    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary"
    (tmp_path / "mine.yml").write_text(
        f"train: no\nval: no\nnames: [a]\ndownload: open({str(canary)!r}, 'w').close()\n"
    )

    def check(dataset, autodownload=True):  # as ultralytics finds it
        return modern(f"{dataset}.yml", autodownload)

    with pytest.raises(DataError, match="which was not run"):
        wrap_check_dataset(None)(check, None, ("mine",), {})
    assert not canary.exists()
