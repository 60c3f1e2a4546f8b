"""A chip-safe copy of a network that is already built, and maybe trained.

For networks that no patch reaches because nothing builds them from a yaml: YOLOv6, YOLOX,
darknet's, one's own. What a chip does not run is found by running the network.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from synet.chips import Chip, get_chip
from synet.layers.heads import head_form
from synet.layers.paths import path_of, paths_of
from synet.layers.same import pair
from synet.safety.mend import mend, problems_of
from synet.safety.recorder import Problem
from synet.safety.replace_by_type import Substitution, left_alone, replace_layers
from synet.system.errors import ChipError, UnfitError
from synet.verdict.check import Violation

LOGGER = logging.getLogger("synet")

COLOURS = 3


class UnsafeModel(UnfitError):
    """A network that a chip does not run; `violations` holds every reason."""

    def __init__(self, chip: Chip, violations: Sequence[Violation], advice: str = "") -> None:
        self.violations = tuple(violations)
        lines = [*map(str, violations), *([advice] if advice else [])]
        super().__init__(f"{chip.name} does not run this network:", *lines)


def make_safe(model: nn.Module, chip: str, imgsz: int | tuple[int, int] = 256) -> nn.Module:
    """A copy of a network that has only what `chip` runs; the original stays as it is.

    Weights, batch norm's statistics and the mode of every module are carried over, under the
    names that they have. These take the place of what the chip lacks:

    - an activation, told by what it does: the chip's, or the logistic function for a gate;
    - attention (activations multiplied with each other): an untrained `synet.layers.Mixer`;
    - padding and transposed convolution: layers that compute the same numbers in operations
      that the chip has;
    - the colours of the image, where the chip's camera has none: the first convolution's weights
      are summed over them, so a grey image gives what it gave as three equal channels.

    All but the last two change the numbers, and are logged: train, or fine-tune, the copy.

    Parameters
    ----------
    model
        Takes one image (N, C, H, W).
    chip
        Name of the chip.
    imgsz
        Height and width in pixels, or one number for both, that it will be exported for.

    Returns
    -------
    The copy, with ``synet`` set as on a model that was built under SyNet's patch.

    Raises
    ------
    UnsafeModel
        Something is left that the chip does not run: all of it, by module path. An `UnfitError`.
    ChipError
        The network does not run on such an image, or reads its colours one by one.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU())
    >>> safe = synet.make_safe(network, "katana", (48, 64))
    >>> safe[1], network[1]
    (ReLU6(), SiLU())
    """
    target, shape = get_chip(chip), pair(imgsz)
    safe = copy.deepcopy(model)
    channels = _fit_to_camera(safe, target, shape)
    found: list[Substitution] = replace_layers(safe, left_alone(target, pads_alike=True))
    ends = not _has_head(safe)
    mended = mend(safe, lambda: safe(_image(safe, channels, shape)), target, ends=ends)
    left = _violations(safe, mended.problems, target, channels)
    if left:
        raise UnsafeModel(target, left)
    for substitution in [*found, *mended.substitutions]:
        if substitution.why:
            LOGGER.warning("%s", substitution)
    safe.synet = {"chip": target.name, "channels": channels}
    return safe


def check(model: nn.Module, chip: str, imgsz: int | tuple[int, int] = 256) -> list[Violation]:
    """What of a network `chip` does not run, found by running a copy of it.

    Parameters
    ----------
    model, chip, imgsz
        As in `make_safe`.

    Returns
    -------
    Each with the path of the module, the problem and what mends it, in the order in which they
    are met; empty where the chip runs it all. Memory is a question for `synet.profile`.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU())
    >>> for violation in synet.check(network, "katana", (48, 64)):
    ...     print(violation)
    1 (SiLU): the activation is SiLU (x times its logistic); use relu6
    """
    target = get_chip(chip)
    copied, problems, channels = _met(model, target, pair(imgsz))
    return _violations(copied, problems, target, channels)


def refuse_unsafe(network: nn.Module, chip: Chip, imgsz: tuple[int, int]) -> None:
    """Refuse a network that was trained for no chip and has what this one does not run.

    A chip with a compiler is asked about the finished file, and takes more than its table: here
    counts what cannot be exported at all.

    Raises
    ------
    UnsafeModel
        All of it, by module path, and what there is to do.
    """
    if chip.compiler:
        copied, problems, channels = _met(network, chip, imgsz)
        unknown = [problem for problem in problems if not problem.operation]
        found = _violations(copied, unknown, chip, channels)
    else:
        found = check(network, chip.name, imgsz)
    if found:
        advice = (
            f"train it for {chip.name}, or let stand in what {chip.name} has, which changes what "
            f"it finds: --make-safe"
        )
        raise UnsafeModel(chip, found, advice)


def _met(
    model: nn.Module, chip: Chip, shape: tuple[int, int]
) -> tuple[nn.Module, list[Problem], int]:
    """A copy of a network, what that meets in a run, and the channels of the image it takes."""
    model = copy.deepcopy(model)
    channels, ends = _channels(model, chip, shape), not _has_head(model)
    problems = problems_of(model, lambda: model(_image(model, channels, shape)), chip, ends)
    return model, problems, channels


def _has_head(model: nn.Module) -> bool:
    """Is there a head, which gives something else in an export?"""
    return any(head_form(module) is not None for module in model.modules())


def _violations(
    model: nn.Module, problems: Sequence[Problem], chip: Chip, channels: int
) -> list[Violation]:
    """What is wrong with a network, and first with the `channels` of its image."""
    paths = paths_of(model)
    found = [_wrong_image(chip, channels)] if channels != chip.image_channels else []
    for problem in problems:
        module = problem.stack[-1] if problem.stack else model
        if head_form(module) is not None:
            continue  # its export is another than its forward
        where = f"{path_of(problem.stack, paths)} ({type(module).__name__})".strip()
        advice = f"build it from {', '.join(chip.ops)}"
        found.append(Violation(where, problem.text, problem.fix or advice))
    return list(dict.fromkeys(found))


def _wrong_image(chip: Chip, channels: int) -> Violation:
    return Violation(
        "input",
        f"the image has {channels} channels, {chip.name} gives {chip.image_channels}",
        "synet.make_safe sums the first convolution's weights over the colours",
    )


def _image(model: nn.Module, channels: int, shape: tuple[int, int]) -> Tensor:
    weight = next(model.parameters(), torch.zeros(()))
    return torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(0)).to(weight)


def _channels(model: nn.Module, chip: Chip, shape: tuple[int, int]) -> int:
    """The chip's, if the model takes such images; else colours."""
    for channels in dict.fromkeys((chip.image_channels, COLOURS)):
        try:
            problems_of(model, lambda c=channels: model(_image(model, c, shape)), chip)
        except Exception as error:  # whatever a network says to an image that it was not made for
            last = str(error).strip().partition("\n")[0] or type(error).__name__
            continue
        return channels
    raise ChipError(
        f"the network does not run on an image of {shape[0]}x{shape[1]} pixels: {last}; give the "
        f"size that it is made for as imgsz"
    )


# -------------------------------------------------------------------------------- grey images


def _fit_to_camera(model: nn.Module, chip: Chip, shape: tuple[int, int]) -> int:
    """Have a model of colours take grey images, in place, if the camera has no others.

    How many channels it takes from then on.
    """
    channels = _channels(model, chip, shape)
    if channels != chip.image_channels == 1:
        _take_gray(model, shape)
        return 1
    return channels


class _FirstConvolutions(TorchFunctionMode):
    """Notes what each convolution is given, until one is given other channels than it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[int, Tensor] = {}
        self.stopped: Tensor | None = None  # the weight of the convolution that cannot go on

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(func, "__name__", "").startswith("conv2d"):
            x, weight = args[:2]
            groups = args[-1] if isinstance(args[-1], int) else (kwargs or {}).get("groups", 1)
            self.inputs.setdefault(id(weight), x.detach().clone())
            if x.shape[1] != weight.shape[1] * groups:
                self.stopped = weight
                raise ValueError("a convolution of another number of channels")
        return func(*args, **(kwargs or {}))


def _take_gray(model: nn.Module, shape: tuple[int, int]) -> None:
    """Sum weights over colours, in place, in each convolution that colours reach."""
    gray, colour = _image(model, 1, shape), _FirstConvolutions()
    _run_eval(model, gray.expand(-1, COLOURS, -1, -1), colour)
    while True:
        single = _FirstConvolutions()
        _run_eval(model, gray, single)
        if single.stopped is None:
            return
        weight = single.stopped
        path, conv = next(
            (p, m) for p, m in model.named_modules() if getattr(m, "weight", None) is weight
        )
        before, after = (seen.inputs[id(weight)][0] for seen in (colour, single))
        same = [[torch.equal(a, b) for b in after] for a in before]
        if not all(map(any, same)) or not isinstance(conv, nn.Conv2d) or conv.groups != 1:
            raise UnfitError(
                f"{path}: it does not read the colours of the image alike, and the chip's camera "
                f"has none; build the network for images of one channel"
            )
        summed = torch.zeros_like(weight.detach()[:, : len(after)])
        for channel, row in enumerate(same):
            summed[:, row.index(True)] += weight.detach()[:, channel]
        conv.weight = nn.Parameter(summed, weight.requires_grad)
        conv.in_channels = len(after)


def _run_eval(model: nn.Module, x: Tensor, mode: _FirstConvolutions) -> None:
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), mode:
            for module in modes:
                module.training = False
            model(x)
    except Exception:
        if mode.stopped is None and x.shape[1] == COLOURS:
            raise
    finally:
        for module, training in modes.items():
            module.training = training
