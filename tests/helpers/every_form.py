"""A data set with every form of image and of label that YOLOs tell apart, and with what is none."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ORIENTATION, LYING = 0x0112, 6  # the EXIF tag, and its value for a camera held upright
SIZE = (48, 32)
# 48x32, blue with a red corner, upright by its 'irot' box: nothing that is installed writes these.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAADAAAgAAAAACHAABAAAAAAAAACQAAAA4aWlu"
    "ZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAB"
    "B2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAIAAAAAH////w"
    "AAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAa"
    "aXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAFxtZGF0AAAALCgBrxmA94R8B/8nU/zqV/dQa+1/dW67Gu/ivz16W/6c"
    "2DoVR+9argE+G9eAAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)
NAMES = ["a", "b"]
BOX, OTHER = "0.5 0.5 0.2 0.4", "0.3 0.3 0.1 0.1"
TRIANGLE = "0.1 0.2 0.5 0.2 0.3 0.6"
LABELS = {
    "box": f"0 {BOX}\n1 {OTHER}\n",
    "blank_lines": f"\n\n0 {BOX}\n\n1 {OTHER}",
    "windows": f"0 {BOX}\r\n1 {OTHER}\r\n",
    "byte_order_mark": f"\ufeff0 {BOX}\n",
    "float_class": f"1.0 {BOX}\n",
    "repeated": f"0 {BOX}\n1 {OTHER}\n0 {BOX}\n0 0.50 5e-1 .2 0.4\n",
    "repeated_as_float32": "0 0.5 0.5 0.2 0.4\n0 0.500000001 0.5 0.2 0.4\n",
    "polygons": f"0 {TRIANGLE}\n1 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n",
    "polygons_of_one_box": f"0 {TRIANGLE}\n0 0.1 0.2 0.5 0.2 0.4 0.6\n0 {TRIANGLE}\n",
    "polygon_over_the_edge": "0 0.1 0.2 1.02 0.2 0.3 0.6\n",
    "polygon_with_a_nan": "0 0.1 0.2 0.5 nan 0.3 0.6\n",
    "odd_polygon": f"0 {TRIANGLE} 0.7\n",
    "mixed": f"0 {BOX}\n1 {TRIANGLE}\n",
    "slightly_outside": "0 1.005 -0.005 0.2 1.005\n",
    "at_the_tolerance": "0 1.01 -0.01 1.01 0\n",
    "beyond_the_tolerance": "0 1.0101 0.5 0.2 0.2\n",
    "negative_size": "0 0.5 0.5 -0.005 0.2\n",
    "just_one": "0 0.5 0.5 1.0000000001 1\n",
    "pixels": "0 320 240 100 50\n",
    "not_a_number": "0 0.5 nan 0.1 0.1\n",
    "words": "0 a b c d\n",
    "six_numbers": f"0 {BOX} 0.9\n",
    "four_numbers": "0 0.5 0.5 0.1\n",
    "negative_class": f"-1 {BOX}\n",
    "no_text": b"\xff\xfe\x00",
    "empty": "",
    "keypoints": f"0 {BOX} 0.1 0.2 2 0 0 0\n1 {BOX} 0.1 0.2 1 0.3 0.4 3\n",
    "keypoints_outside": f"0 {BOX} 0.1 1.2 2 0 0 0\n",
    "keypoints_repeated": f"0 {BOX} 0.1 0.2 2 0 0 0\n0 {BOX} 0.1 0.3 2 0 0 0\n",
    "keypoints_too_few": f"0 {BOX} 0.1 0.2 2\n",
    "unlabelled": None,
}
UNKNOWN_CLASS = f"2 {BOX}\n"  # which YOLOv5 finds no earlier than when it counts classes


def picture(path: Path, kind: str | None = None, orientation: int | None = None, **options) -> Path:
    """An image that is blue with a red corner, upright if it is read as its EXIF data says."""
    image = Image.new("RGB", SIZE, (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 24, 16))
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
        options["exif"] = exif.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, kind, **options)
    return path


def write(folder: Path) -> Path:
    """Write it into `folder`, and return its data yaml."""
    images = folder / "images" / "val"
    for name, text in LABELS.items():
        picture(images / f"{name}.png")
        _label(folder, name, text)
    for suffix in ("jpg", "JPEG", "bmp", "webp", "tif", "tiff", "avif", "jp2", "mpo"):
        _labelled(folder, f"suffix_{suffix}.{suffix}")
    _labelled(folder, "raw.dng", "TIFF")
    _labelled(folder, "floats.pfm", "PNG")
    _labelled(folder, "several.mpo", "MPO", save_all=True, append_images=[Image.new("RGB", SIZE)])
    for suffix in ("jpg", "png", "webp", "avif"):
        _labelled(folder, f"lying_{suffix}.{suffix}", orientation=LYING)
    _labelled(folder, "avif_called.jpg", "AVIF", LYING)
    _labelled(folder, "gif_called.png", "GIF")
    _labelled(folder, "deep/er/below.png")
    _labelled(folder, "Ünï cödé.png")
    (images / "phone.heic").write_bytes(HEIC)
    _label(folder, "phone", f"0 {BOX}\n")
    small = Image.new("RGB", (9, 30))
    small.save(images / "small.png")
    _break(images)
    for name in ("film.gif", "odd.ppm"):
        picture(images / name)
    picture(images / "nameless", "PNG")
    picture(images / ".hidden.png")
    picture(images / ".thumbs" / "hidden.png")
    (images / "notes.txt").write_text("P6 is no picture")
    (images / "folder.jpg").mkdir()
    content = {"path": str(folder), "train": "images/val", "val": "images/val", "names": NAMES}
    file = folder / "data.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


# Text of a data yaml, without `train`, and how its file is called.
DEFINITIONS = {
    "list.yaml": "val: images\nnames: [a, 3]",
    "map.yaml": "val: images\nnames: {1: b, 0: a}",
    "text_ids.yaml": "val: images\nnames: {'0': a, '1': b}",
    "text_count.yaml": "val: images\nnames: [a, b]\nnc: '2'",
    "float_count.yaml": "val: images\nnames: [a, b]\nnc: 2.0",
    "no_names.yaml": "val: images\nnc: 3",
    "null_names.yaml": "val: images\nnc: '2'\nnames:",
    "validation.yaml": "validation: images\nnames: [a]",
    "other.yml": "val: images\nnames: [a]",
    "list_of.yaml": "val: some.list\nnames: [a]",
    "no_suffix.yaml": "val: [some, images]\nnames: [a]",
    "roboflow.yaml": "val: ../images\nnames: [a]",
    "common.yaml": "path: mine\nval: images\nnames: [a]",
}


def write_definitions(folder: Path, datasets_dir: Path) -> None:
    """Write `DEFINITIONS` into a folder, and images into that and where ultralytics keeps them."""
    yamls = folder / "yamls"
    images = ["yamls/images", "mine/images", "coco8/images/val", "coco8/images/train"]
    for place in (folder / images[0], *(datasets_dir / each for each in images[1:])):
        picture(place / "a.png")
    for name in ("some.list", "some"):
        (yamls / name).write_text("./images/a.png\n")
    for name, text in DEFINITIONS.items():
        (yamls / name).write_text(f"train: images\n{text}\n")


def _label(folder: Path, stem: str, text: str | bytes | None) -> None:
    path = folder / "labels" / "val" / f"{stem}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _labelled(folder: Path, name: str, *form, **options) -> None:
    picture(folder / "images" / "val" / name, *form, **options)
    _label(folder, name.rpartition(".")[0], f"0 {BOX}\n")


def _break(images: Path) -> None:
    """Images of which a part is missing, or that are none."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for suffix in ("png", "jpg"):
        noise.save(images / f"cut.{suffix}")
        content = (images / f"cut.{suffix}").read_bytes()
        (images / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
    noise.save(images / "tail.jpg")
    with open(images / "tail.jpg", "ab") as file:
        file.write(b"what a camera adds")
    (images / "empty.png").write_bytes(b"")
    (images / "text.jpg").write_text("not an image")
    (images / "away.png").symlink_to("nowhere.png")


COUNT = """
import json, sys

def ultralytics(folder, task="detect", shape=None, single=False):
    from ultralytics.data.dataset import YOLODataset

    data = {"names": %(names)r, "channels": 3} | ({"kpt_shape": shape} if shape else {})
    made = YOLODataset(
        img_path=f"{folder}/images/val", data=data, task=task, augment=False, single_cls=single
    )
    return {each["im_file"]: len(each["cls"]) for each in made.labels}

def yolov5(folder):
    from synet.custom_patches import patch_custom

    patch_custom(None)  # it is of another year
    from yolov5.utils.dataloaders import LoadImagesAndLabels

    made = LoadImagesAndLabels(f"{folder}/images/val", workers=0)
    return dict(zip(made.im_files, map(len, made.labels)))

def definitions(folder):
    import os
    from pathlib import Path
    from ultralytics.data import utils

    utils.check_font = lambda *_: None
    os.chdir(folder)
    files = sorted(file for file in Path("yamls").iterdir() if file.suffix in (".yaml", ".yml"))
    told = {str(file): utils.check_det_dataset(file, autodownload=False) for file in files}
    told["coco8"] = utils.check_det_dataset("coco8.yaml", autodownload=False)
    return {
        file: [[name for _, name in sorted(each["names"].items())], each["val"]]
        for file, each in told.items()
    }

def formats(folder):
    from ultralytics.data.utils import IMG_FORMATS
    from yolov5.utils.dataloaders import IMG_FORMATS as OLD

    return {**{f"ultralytics/{each}": 1 for each in IMG_FORMATS}, **{f"yolov5/{e}": 1 for e in OLD}}

found = {}
for line in sys.stdin:
    name, loader, folder, *options = json.loads(line)
    counts = globals()[loader](folder, *options)
    found[name] = {file.removeprefix(f"{folder}/"): n for file, n in counts.items()}
print("\\nFOUND", json.dumps(found))
"""


def counted_by_yolos(asked: list[list], config: Path) -> dict[str, dict]:
    """How many boxes YOLOs' own loaders find in each image that they use.

    Parameters
    ----------
    asked
        For each count a name, ``ultralytics`` or ``yolov5`` (or ``formats``, for the suffixes that
        the two list, or ``definitions``, for what ultralytics makes of data yamls), the folder of a
        set, which they change (they mend images, and leave caches), and for ultralytics the task,
        the shape of keypoints and whether all classes are one.
    config
        Where ultralytics keeps its settings.
    """
    settings = {"YOLO_CONFIG_DIR": str(config), "YOLO_OFFLINE": "true"}
    environment = os.environ | settings | {"YOLO_AUTOINSTALL": "false"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT % {"names": dict(enumerate(NAMES))}],
        input="\n".join(map(json.dumps, asked)),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "FOUND" not in done.stdout:
        raise AssertionError(done.stdout + done.stderr)
    return json.loads(done.stdout.rpartition("FOUND")[2])
