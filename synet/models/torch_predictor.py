"""A torch network as a predictor, on any device that torch has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from synet.detections.tflite_outputs import class_names
from synet.export.convert import image_channels
from synet.rotated import cell_centres, rotated_boxes
from synet.system.errors import SynetError

if TYPE_CHECKING:
    import torch

FULL = re.compile("out ?of ?memory|allocate memory|memoryerror", re.IGNORECASE)


class TorchPredictor:
    """A YOLO network in evaluation mode, decoded by its own head; see `Predictor`.

    Parameters
    ----------
    network
        Maps float NCHW images in 0-1 to what its head makes of them; has ``names``, and may have
        the ``yaml`` it was built from.
    image_shape
        Height and width to run at.
    name
        What to call it in messages.
    batch
        So many images it takes in one run.

    Raises
    ------
    SynetError
        Its head is none that SyNet knows.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        image_shape: tuple[int, int],
        name: str = "the model",
        batch: int = 1,
    ) -> None:
        from synet.layers.heads import find_head

        self.image_shape, self.batch = tuple(image_shape), batch
        self.names = class_names(network.names)
        self.channels = image_channels(network)
        self.trained_by = getattr(network, "trained_by", "")
        self.single_class = getattr(network, "single_class", False)
        self._network = network.eval().float()
        with _named(name):
            head, form = self._head, self._form = find_head(network)
            classes = head.nc if hasattr(head, "nc") else head.linear.out_features
            if classes != len(self.names):
                raise SynetError(f"scores {classes} classes, but names {len(self.names)}")
        self.task = form.task
        self._strides = [float(stride) for stride in getattr(head, "stride", ())]
        self._name = name

    at_once = 1  # it takes all threads itself
    kernels = None

    @property
    def threads(self) -> int:  # noqa: D102
        import torch

        return torch.get_num_threads()

    def outputs(self, image: np.ndarray) -> dict[str, np.ndarray]:  # noqa: D102
        return self.outputs_of([image])[0]

    def outputs_of(self, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:  # noqa: D102
        try:
            told = self._by_role(self._run(self._input(images)))
        except (RuntimeError, MemoryError) as error:  # each device has its own
            if len(images) == 1 or not FULL.search(f"{type(error).__name__}: {error}"):
                raise
            height, width = self.image_shape
            raise SynetError(
                f"{self._name}: no memory for {len(images)} images of {height}x{width} (height x "
                "width) in one run; give a smaller --batch"
            ) from None
        if len(told) != len(images):
            raise SynetError(
                f"{self._name}: answers {len(told)} of {len(images)} images that it was given "
                "together; do without --batch"
            )
        return told

    @property
    def stages(self) -> tuple[Callable[[Any], Any], ...]:  # noqa: D102
        first, last = lambda image: self._input([image]), lambda raw: self._by_role(raw)[0]
        return first, self._run, last

    def _input(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        import torch

        weight = next(self._network.parameters())
        pixels = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))
        return pixels.to(weight.device, weight.dtype) / 255

    def _run(self, pixels: torch.Tensor) -> Any:
        import torch

        with torch.no_grad(), _named(self._name):
            raw = self._network(pixels)
        if pixels.device.type != "cpu":
            torch.accelerator.synchronize(pixels.device)  # or who times it would not time it
        return raw

    def _by_role(self, raw: Any) -> list[dict[str, np.ndarray]]:
        import torch

        with torch.no_grad(), _named(self._name):
            told = self._form.as_exported(self._head, raw, self.image_shape)
        arrays = {role: values.cpu().numpy() for role, values in told.items()}
        images = zip(*arrays.values(), strict=False)  # of what is there of each, see `outputs_of`
        return [self._of_one(dict(zip(arrays, each, strict=True))) for each in images]

    def _of_one(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "keypoints" in found:
            found["keypoints"] = found["keypoints"].reshape(len(found["scores"]), -1, 2)
        if self.task == "obb":
            cells = cell_centres(self.image_shape, self._strides)
            found["rotated"] = rotated_boxes(found.pop("sides"), found.pop("angle"), cells)
        return found


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of which model an error speaks."""
    try:
        yield
    except SynetError as error:
        raise type(error)(f"{name}: {error}") from error


def find_device(name: str) -> torch.device:
    """A device, in the words of torch or of YOLO: ``cpu``, ``0``, ``cuda:1``, ``mps``.

    Raises
    ------
    SynetError
        Torch has none such.
    """
    import torch

    try:
        device = torch.device(f"cuda:{name}" if name.isdigit() else name)
        torch.zeros(1, device=device).tolist()  # "meta" is one, and holds nothing
        return device
    except (RuntimeError, AssertionError, ImportError) as error:  # each backend has its own
        why = str(error).strip().partition("\n")[0]
        raise SynetError(f"--device {name}: torch has none such here: {why}") from None
