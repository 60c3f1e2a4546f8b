"""What models see under a rectangular image size, and where labels land: on the marks drawn."""

from __future__ import annotations

import importlib
import random

import cv2
import marks
import numpy as np
import pytest
import torch
from patched import patched_fork

from synet.custom_patches import patch_custom, unpatch
from synet.models.locate import installed
from synet.patches.rectangular_images import Rectangles, Shape, Size

HEIGHT, WIDTH = 64, 160  # a shape that is seen where it is turned
SIZE = Size(HEIGHT, WIDTH)


@pytest.fixture(scope="module", autouse=True)
def seeded():
    state = random.getstate(), np.random.get_state()
    yield
    random.setstate(state[0])
    np.random.set_state(state[1])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, str]:
    """The folder of images of each task."""
    folder = tmp_path_factory.mktemp("marks")
    return {task: str(marks.draw(folder / task, task).parent / "images") for task in marks.TASKS}


def check_marks(image: np.ndarray, boxes: np.ndarray, slack: int = 4) -> int:
    """Every mark in an image (H, W) has a box (x1, y1, x2, y2) around it, and every box a mark."""
    white = image > 200
    covered = np.zeros_like(white)
    for x1, y1, x2, y2 in boxes:
        inner = white[int(y1) + 2 : int(y2) - 1, int(x1) + 2 : int(x2) - 1]
        if inner.size > 30:
            assert inner.mean() > 0.6, (boxes, inner.mean())
        covered[
            max(int(y1) - slack, 0) : int(y2) + slack + 1,
            max(int(x1) - slack, 0) : int(x2) + slack + 1,
        ] = True
    count, _, stats, _ = cv2.connectedComponentsWithStats((white & ~covered).astype(np.uint8))
    # slivers of marks that augmentation has cut away lose their boxes, in every YOLO
    assert all(stats[i, cv2.CC_STAT_AREA] < 250 for i in range(1, count)), stats
    return len(boxes)


def check_mixed(image: np.ndarray, boxes: np.ndarray) -> int:
    """The same of two images that shine through each other: a mark is at least as light as that."""
    assert all(
        (image[int(y1) : int(y2), int(x1) : int(x2)] > 75).mean() > 0.6 for x1, y1, x2, y2 in boxes
    )
    return len(boxes)


# -------------------------------------------------------------------------------- ultralytics


@pytest.fixture(scope="module")
def ultralytics():
    unpatch()
    root = installed("ultralytics")
    patched_fork(root, "sabre")
    importlib.import_module("ultralytics.models.yolo")
    yield importlib.import_module("ultralytics")
    unpatch()


def dataset_of(task: str, drawn: dict[str, str], augment: bool = True, **more):
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.utils.checks import check_imgsz

    quiet = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "mask_ratio": 1}
    args = get_cfg(overrides={"task": task, "imgsz": [HEIGHT, WIDTH], **quiet, **more})
    args.imgsz = check_imgsz(args.imgsz, stride=32, max_dim=1)
    data = {"names": {0: "mark"}, "nc": 1, "channels": 3, "kpt_shape": [1, 3], "flip_idx": [0]}
    mode = "train" if augment else "val"
    return build_yolo_dataset(args, drawn[task], 2, data, mode=mode, rect=args.rect, stride=32)


def seen(item: dict) -> tuple[np.ndarray, np.ndarray]:
    image = item["img"].numpy()
    assert image.shape == (3, HEIGHT, WIDTH)
    x, y, w, h = item["bboxes"][:, :4].numpy().T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    return image[0], boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]


AUGMENTED = {
    "mosaic": {"mosaic": 1.0},
    "mixup": {"mosaic": 1.0, "mixup": 1.0, "cutmix": 0.0},
    "cutmix": {"mosaic": 1.0, "cutmix": 1.0},
    "plain": {"mosaic": 0.0, "fliplr": 1.0, "flipud": 1.0},
    "far": {"mosaic": 1.0, "scale": 0.9, "translate": 0.4, "degrees": 0.0, "shear": 0.0},
}


@pytest.mark.parametrize("augmented", AUGMENTED)
def test_labels_cover_their_marks_after_augmentation(ultralytics, drawn, augmented):
    random.seed(1)
    np.random.seed(1)
    dataset = dataset_of("detect", drawn, **AUGMENTED[augmented])
    found = 0
    for _ in range(6):
        for index in range(len(dataset)):
            image, boxes = seen(dataset[index])
            if augmented == "mixup":
                check_mixed(image, boxes)
            elif augmented != "cutmix":  # which pastes over marks
                check_marks(image, boxes)
            found += len(boxes)
    assert found >= 6 * len(dataset)


def test_mosaics_show_their_seams_anywhere_in_the_image(ultralytics, drawn):
    random.seed(0)
    dataset = dataset_of("detect", drawn, mosaic=1.0)
    mosaic = dataset.transforms.transforms[0].transforms[0]
    assert mosaic.border == (-(2 * WIDTH - HEIGHT) // 2, -WIDTH // 2)  # rows, columns
    low, high = -mosaic.border[0], 2 * WIDTH + mosaic.border[0]
    assert high - low == HEIGHT and (low + high) // 2 == WIDTH


@pytest.mark.parametrize("task", ["segment", "obb"])
def test_masks_and_corners_cover_their_marks(ultralytics, drawn, task):
    random.seed(2)
    dataset = dataset_of(task, drawn, copy_paste=0.5 if task == "segment" else 0.0)
    masked = 0
    for _ in range(4):
        for index in range(len(dataset)):
            item = dataset[index]
            image, boxes = seen(item)
            if task == "segment":
                masks = item["masks"].numpy() > 0
                assert masks.shape[1:] == (HEIGHT, WIDTH)
                covered = masks.any(axis=0)
                masked += int(covered.sum())
                inner = cv2.erode(covered.astype(np.uint8), np.ones((5, 5))) > 0
                assert (image[inner] > 200).mean() > 0.95 if inner.any() else True
            else:
                assert item["bboxes"].shape[1] == 5
                masked += len(boxes)
    assert masked > 20


def test_keypoints_lie_on_their_marks(ultralytics, drawn):
    random.seed(3)
    dataset, hits = dataset_of("pose", drawn), []
    for _ in range(4):
        for index in range(len(dataset)):
            item = dataset[index]
            image, _ = seen(item)
            for x, y, visible in item["keypoints"].reshape(-1, 3).numpy():
                if visible:
                    hits.append(image[int(y * HEIGHT), int(x * WIDTH)] > 200)
    assert len(hits) > 20 and np.mean(hits) > 0.95


@pytest.mark.parametrize("rect", [False, True])
def test_validation_sees_the_whole_image_letterboxed(ultralytics, drawn, rect):
    dataset = dataset_of("detect", drawn, augment=False, rect=rect)
    for index in range(len(dataset)):
        item = dataset[index]
        image, boxes = seen(item)
        assert check_marks(image, boxes, slack=2) == 1
        height, width = item["ori_shape"]
        ratio = min(HEIGHT / height, WIDTH / width)
        assert item["ratio_pad"][0] == pytest.approx((ratio, ratio), abs=0.02)
        rows, columns = np.nonzero(image != 114)  # the image without its borders
        extent = (np.ptp(rows) + 1, np.ptp(columns) + 1)
        assert extent == pytest.approx((height * ratio, width * ratio), abs=1)


def test_an_image_that_is_kept_is_kept_as_it_fits(ultralytics, drawn):
    for cache in ("ram", False):
        dataset = dataset_of("detect", drawn, cache=cache)
        for _ in range(2):
            for index in range(len(dataset)):
                image, _, shape = dataset.load_image(index)
                assert image.shape[:2] == shape and shape[0] <= HEIGHT and shape[1] <= WIDTH


def test_classifiers_see_the_shape_with_whole_aspects(ultralytics):
    from PIL import Image
    from ultralytics.data.augment import classify_augmentations, classify_transforms

    image = Image.new("RGB", (300, 120), (255, 255, 255))
    for steps in (classify_transforms(SIZE), classify_augmentations(SIZE, erasing=0.0)):
        assert tuple(steps(image).shape) == (3, HEIGHT, WIDTH)
    crop = classify_augmentations(SIZE).transforms[0]
    low, high = crop.ratio
    assert low < WIDTH / HEIGHT < high
    assert tuple(classify_augmentations(96)(image).shape) == (3, 96, 96)


def test_image_sizes_are_checked_as_pairs(ultralytics, caplog):
    from ultralytics.utils.checks import check_imgsz

    number = check_imgsz([63, 150], stride=32, max_dim=1)  # whatever the model is
    assert type(number) is Size and number.shape == (63, 150)
    assert check_imgsz("64,160", max_dim=1).shape == (64, 160)
    both = check_imgsz(number, min_dim=2)
    assert both == [63, 150] and isinstance(both, Shape)
    assert check_imgsz(160, max_dim=1) == 160 and check_imgsz(160, min_dim=2) == [160, 160]
    assert "updating to" not in caplog.text


def test_a_model_that_is_not_patched_gets_multiples_of_its_stride(ultralytics):
    import inspect

    from ultralytics.utils.checks import check_imgsz

    def check(*args, **kwargs):
        stock = inspect.unwrap(check_imgsz)
        return Rectangles(exact=False)._check_size(stock, None, args, kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rectangles, "possible", lambda _, size: size)
        assert check([60, 150], stride=32, max_dim=1).shape == (64, 160)
        assert check([60, 150], stride=32, min_dim=2) == [64, 160]


def test_a_predictor_letterboxes_exactly(ultralytics):
    from ultralytics.data.augment import LetterBox

    image = np.zeros((100, 100, 3), np.uint8)
    shape = Shape([HEIGHT, WIDTH])
    assert LetterBox(shape, auto=True)(image=image).shape[:2] == (HEIGHT, WIDTH)
    assert LetterBox([HEIGHT, WIDTH], auto=True)(image=image).shape[:2] == (64, 64)  # as ever


# ------------------------------------------------------------------------------------- yolov5


@pytest.fixture(scope="module")
def loaders():
    """The installed yolov5's module of data sets, patched."""
    unpatch()
    patch_custom("katana", roots=[installed("yolov5")])
    patched_fork(installed("yolov5"), "katana")
    yield importlib.import_module("yolov5.utils.dataloaders")
    unpatch()


HYPERPARAMETERS = {
    **{key: 0.0 for key in ("hsv_h", "hsv_s", "hsv_v", "degrees", "shear", "perspective")},
    **{"translate": 0.1, "scale": 0.5, "flipud": 0.5, "fliplr": 0.5, "copy_paste": 0.0},
    **{"mosaic": 1.0, "mixup": 0.0},
}


@pytest.mark.parametrize(
    ("augment", "hyp"),
    [
        (True, {}),
        (True, {"mosaic": 0.0}),
        (True, {"mixup": 1.0}),
        (False, {}),
    ],
)
def test_yolov5_sees_the_shape_and_labels_cover_their_marks(loaders, drawn, augment, hyp):
    random.seed(4)
    _, dataset = loaders.create_dataloader(
        drawn["detect"],
        SIZE,
        2,
        32,
        hyp={**HYPERPARAMETERS, **hyp},
        augment=augment,
        rect=not augment,
    )
    found = 0
    for _ in range(5 if augment else 1):
        for index in range(len(dataset)):
            image, labels, _, shapes = dataset[index]
            assert tuple(image.shape) == (3, HEIGHT, WIDTH)
            x, y, w, h = labels[:, 2:].numpy().T
            boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
            boxes *= [WIDTH, HEIGHT, WIDTH, HEIGHT]
            plane = image[0].numpy()
            found += (check_mixed if hyp.get("mixup") else check_marks)(plane, boxes)
            if not augment:  # what validation maps boxes back with
                (h0, w0), ((rh, rw), (px, py)) = shapes
                ratio = min(HEIGHT / h0, WIDTH / w0)
                assert (rh, rw) == pytest.approx((ratio, ratio), abs=0.03)
                assert (px, py) == pytest.approx(
                    ((WIDTH - w0 * ratio) / 2, (HEIGHT - h0 * ratio) / 2), abs=1
                )
    assert found >= (20 if augment else len(dataset))


def test_yolov5_makes_squares_as_ever(loaders, drawn):
    _, dataset = loaders.create_dataloader(
        drawn["detect"], 96, 2, 32, hyp=HYPERPARAMETERS, augment=True
    )
    assert tuple(dataset[0][0].shape) == (3, 96, 96) and dataset.mosaic_border == [-48, -48]
    general = importlib.import_module("yolov5.utils.general")
    assert general.check_img_size([96, 96], 32) == [96, 96]
    assert torch.zeros(1, *general.check_img_size([60, 150], 32)).shape == (1, 60, 150)
