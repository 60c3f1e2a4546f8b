"""A changed copy of a model yaml, for other channels, images or classes, with claims of its own."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.chips import get_chip
from synet.inspection.zoo_edit import commented, edited
from synet.system.errors import SynetError, UnfitError
from synet.system.files import refuse_unwritable, write_atomic
from synet.system.yaml_files import read_text
from synet.verdict.fit import STEP, row_of
from synet.zoo import PARTS, Claims, rows_of

if TYPE_CHECKING:
    from torch import nn

    from synet.inspection.profile import Profile
    from synet.tflite.graph import Graph
    from synet.verdict.judge import Judgement

GRAY, COLOUR = 1, 3  # channels of an image
# Which argument of a layer is a number of repetitions, or of channels, that YOLO does not scale.
UNREACHED = {"depth_multiple": {"CSP": 1}, "width_multiple": {"CSP": 2}}
GRAYSCALE = [-1, 1, "Grayscale", []]
# The scale in a file's name, as ultralytics looks for it: yolov8n, yoloe-11s.
_SCALE = re.compile(r"yolo(?:e-)?v?\d+([nslmx])")


@dataclass(frozen=True)
class Changes:
    """What of a model yaml shall be another; None stays as it is.

    Parameters
    ----------
    width, depth
        ``width_multiple`` and ``depth_multiple`` as YOLO calls them: shares of the channels and
        repetitions that the rows of the yaml say.
    nc
        Number of classes.
    image_shape
        Height and width in pixels.
    channels
        Of the image: 1 is gray, 3 is colour.
    """

    width: float | None = None
    depth: float | None = None
    nc: int | None = None
    image_shape: tuple[int, int] | None = None
    channels: int | None = None

    def __str__(self) -> str:
        """As a file's name tells them: ``w0.5-nc3-256x320``."""
        told = {
            "w": None if self.width is None else f"{self.width:g}",
            "d": None if self.depth is None else f"{self.depth:g}",
            "nc": self.nc,
            "": "x".join(map(str, self.image_shape)) if self.image_shape else None,
            "c": self.channels,
        }
        return "-".join(f"{key}{value}" for key, value in told.items() if value is not None)


@dataclass(frozen=True)
class Created:
    """A model yaml that was written: what the old and the new one claim, and what it costs."""

    path: Path
    before: Claims
    after: Claims
    profile: Profile


def create(
    model: str | Path,
    changes: Changes,
    out_path: str | Path | None = None,
    *,
    repo: str | Path | None = None,
    force: bool = False,
) -> Created:
    """Write a changed copy of a model yaml, with the claims that are true of it.

    Parameters
    ----------
    model
        A name from the zoo, or a model yaml that names its chip and image shape.
    out_path
        Default: the model's name and the changes, in the working directory.
    repo
        Folder of the fork that shall build it. Default: an installed YOLO.
    force
        Write it even where its chip cannot run it.

    Raises
    ------
    SynetError
        No such model, nothing to change, a value that cannot be, a file that is there already.
    UnfitError
        The chip cannot run it, or has no room for it; how it would fit is told.
    """
    source = zoo.model_path(model)
    if not str(changes):
        raise SynetError(
            f"nothing to change in {source.stem}: give --width, --depth, --nc, --image-shape or "
            f"--channels"
        )
    out = Path(out_path or f"{source.stem}-{changes}.yaml")
    _refuse(out)
    definition = zoo.read_definition(source)
    before = _claims_of(definition, source)
    _check_values(changes, source)
    _check_rows(definition, source)
    wanted = changed(definition, changes, source, out)
    text = edited(read_text(source, errors="strict"), definition, wanted, source)
    network, profile = _built(text, out, changes.image_shape, repo)
    if profile.violations and not force:
        raise UnfitError(f"{profile.verdict()}; no file was written, --force writes it")
    after = computed_claims(network, profile.judged)
    final = {**wanted, "synet": _mapping_of(after)}
    text = edited(text, wanted, final, source)
    shift = len(rows_of(final)) - len(rows_of(definition))
    text = commented(text, shift, row_figures(profile.judged.graph, len(rows_of(final))))
    _refuse(out)  # it took a while
    write_atomic(
        out,
        f"# {source.stem} with {changes}, written by: synet zoo create\n"
        f"# What the comments say in words is of {source.stem}. What each layer costs here:\n"
        f"# synet profile {out.name}\n#\n{text}",
    )
    return Created(out, before, after, profile)


def _claims_of(definition: dict[str, Any], source: Path) -> Claims:
    claims = zoo.claims(definition, source)
    if claims.chip is None or claims.image_shape is None:
        raise SynetError(
            f"{source}: names no chip and image size to count its costs for; add to it: "
            f"synet: {{chip: NAME, image_shape: [HEIGHT, WIDTH]}}"
        )
    return claims


def changed(
    definition: dict[str, Any], changes: Changes, source: Path, out: Path
) -> dict[str, Any]:
    """A model definition with changes, its claims but for the image shape still the old ones.

    Raises
    ------
    SynetError
        The chip has no such camera; a definition that has no such number.
    """
    new = copy.deepcopy(definition)
    if changes.nc is not None:
        new["nc"] = changes.nc
    if changes.image_shape is not None:
        new["synet"]["image_shape"] = list(changes.image_shape)
    if changes.channels is not None:
        _set_channels(new, changes.channels, source)
    scale = _only_scale(new, source, out)
    for key, at, value in (
        ("depth_multiple", 0, changes.depth),
        ("width_multiple", 1, changes.width),
    ):
        if value is None:
            continue
        ratio = value / (scale[at] if scale else new.get(key, 1.0))
        if scale:
            scale[at] = value
        else:
            new[key] = value
        _scale_arguments(rows_of(new), key, ratio)
    return new


def computed_claims(network: nn.Module, judged: Judgement) -> Claims:
    """What a model yaml may claim of itself.

    Parameters
    ----------
    network
        What it builds.
    judged
        What its chip says of the int8 file of that network.
    """
    graph, compiled = judged.graph, judged.compiled
    height, width = graph.tensors[graph.inputs[0]].shape[1:3]
    costs = (
        {"peak_activation_bytes": judged.peak_bytes}
        if compiled is None
        else {
            "sram_bytes": compiled.sram_bytes,
            "weight_bytes": compiled.weight_bytes,
            "cycles": compiled.cycles,
            "placement": compiled.placement,
        }
    )
    return Claims(
        chip=judged.chip.name,
        image_shape=(height, width),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=graph.macs,
        **costs,
    )


def row_figures(graph: Graph, rows: int) -> dict[int, tuple[float, ...]]:
    """What the rows of a model yaml cost, by their numbers.

    Returns
    -------
    KiB of its output, millions of multiply-accumulates, KiB of weights, and KiB of activations in
    memory at its worst moment, for every row that has operations, and for the image.
    """
    image = sum(graph.tensors[number].bytes for number in graph.inputs) / 1024
    found = {0: (image, 0.0, 0.0, image)}
    alive = graph.alive_bytes()
    for row in range(rows):
        own = [step for step, op in enumerate(graph.operators) if row_of(op.layer) == row]
        if own:
            operators = [graph.operators[step] for step in own]
            found[row] = (
                graph.tensors[operators[-1].outputs[0]].bytes / 1024,
                sum(operator.macs for operator in operators) / 1e6,
                sum(operator.weight_bytes for operator in operators) / 1024,
                max(alive[step] for step in own) / 1024,
            )
    return found


def _built(
    text: str, out: Path, asked: tuple[int, int] | None, repo: str | Path | None
) -> tuple[nn.Module, Profile]:
    """The network of a yaml's text, and what it costs, the same every time."""
    import torch

    from synet.inspection.profile import profile_network, rebuilt
    from synet.models.forks import quiet
    from synet.models.get_model import load_network

    with tempfile.TemporaryDirectory(prefix="synet-") as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        file = Path(folder, out.name)  # its scale may stand in its name
        file.write_text(text, encoding="utf-8")
        try:
            with quiet():
                network, shape = load_network(file, None, repo)
            stride = int(max(network.stride))
            if asked and any(side % stride for side in shape):
                near = (max(1, round(side / stride)) * stride for side in shape)
                raise SynetError(
                    f"image size {shape[0]}x{shape[1]} is no multiple of the largest stride, "
                    f"{stride}; {'x'.join(map(str, near))} is"
                )
            chip = get_chip(network.synet["chip"])
            return network, profile_network(
                network,
                shape,
                out.name,
                chip,
                lambda other: rebuilt(file, other, repo, chip.name),
            )
        except SynetError as error:
            raise type(error)(str(error).replace(str(file), str(out))) from None


def _check_values(changes: Changes, source: Path) -> None:
    """See that a model may have these values, each told by its key in a yaml."""
    shape = changes.image_shape
    asked = {
        "nc": changes.nc,
        "ch": changes.channels,
        "width_multiple": changes.width,
        "depth_multiple": changes.depth,
        "synet": {"chip": "any", "image_shape": shape and list(shape)},
    }
    given = {key: value for key, value in asked.items() if value is not None}
    zoo.claims(given, source.stem)
    if changes.channels not in (None, GRAY, COLOUR):
        raise SynetError(f"{source.stem}: ch: {changes.channels} is not 1 (gray) or 3 (colour)")


def _check_rows(definition: dict[str, Any], source: Path) -> None:
    """See that the rows can be read before any of them is changed; layers are the builder's."""
    parts = [definition[part] for part in PARTS if part in definition]
    rows = rows_of(definition) if all(isinstance(part, list) for part in parts) else []
    if not rows:
        raise SynetError(f"{source}: no backbone and head, each a list of layers")
    for index, row in enumerate(rows):
        whole = isinstance(row, list) and len(row) == 4 and isinstance(row[3], list)
        sources = (row[0] if isinstance(row[0], list) else [row[0]]) if whole else []
        if not sources or not all(type(number) is int for number in sources):
            raise SynetError(
                f"{source}: layer {index}: a layer is [from, number, module, [arguments]], this is "
                f"{row}"
            )


def _scale_arguments(rows: list[list], multiple: str, ratio: float) -> None:
    """Scale what a multiple does not reach in rows, as YOLO scales what it does reach."""
    for _, _, layer, arguments in rows:
        at = UNREACHED[multiple].get(str(layer), len(arguments))
        if at < len(arguments):
            scaled = arguments[at] * ratio
            is_width = multiple == "width_multiple"
            arguments[at] = math.ceil(scaled / STEP) * STEP if is_width else max(round(scaled), 1)


def _set_channels(definition: dict[str, Any], channels: int, source: Path) -> None:
    """Give a definition images of that many channels; its rows take up gray ones as luma."""
    chip = get_chip(definition["synet"]["chip"])
    if channels > chip.image_channels:
        raise SynetError(
            f"{source.stem} is made for {chip.name}, whose camera gives {chip.image_channels} "
            f"channel, not {channels}"
        )
    definition["ch"] = channels
    rows = rows_of(definition)
    is_gray = rows[0][2] == GRAYSCALE[2]
    if channels == GRAY and not is_gray:
        _shift(rows, 1)
        definition["backbone"].insert(0, copy.deepcopy(GRAYSCALE))
    elif channels == COLOUR and is_gray:
        del definition["backbone"][0]
        _shift(rows[1:], -1)


def _shift(rows: list[list], by: int) -> None:
    """Renumber the rows that rows read; numbers below 0 count from the row itself."""
    for row in rows:
        if isinstance(row[0], list):
            row[0] = [number + by if number >= 0 else number for number in row[0]]
        elif row[0] >= 0:
            row[0] += by


def _only_scale(definition: dict[str, Any], source: Path, out: Path) -> list[float] | None:
    """Leave a definition only that one of its ``scales`` which its name asks for.

    Returns
    -------
    Depth, width and the most channels, to be changed in place; None where it has no scales.
    """
    scales = definition.get("scales")
    if not scales:
        return None
    named, renamed = _SCALE.search(source.stem), _SCALE.search(out.stem)
    own = named[1] if named and named[1] in scales else next(iter(scales))
    scale = scales[own]
    whole = isinstance(scale, list) and len(scale) > 1
    if not whole or not all(type(n) in (int, float) and n > 0 for n in scale):
        raise SynetError(f"{source}: scales: {own}: {scale} is not [depth, width, most channels]")
    definition["scales"] = {renamed[1] if renamed else own: scale}
    return scale


def _mapping_of(claims: Claims) -> dict[str, Any]:
    """Claims as a yaml has them."""
    made = {key: value for key, value in asdict(claims).items() if value}
    return made | {"image_shape": list(claims.image_shape)}


def _refuse(out: Path) -> None:
    if out.suffix not in (".yaml", ".yml"):
        raise SynetError(f"{out}: the name of a model yaml ends in .yaml")
    if out.exists() or out.is_symlink():
        raise SynetError(f"{out} exists; name another file with --out")
    refuse_unwritable(out)
