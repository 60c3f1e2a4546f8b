"""The wrappers of every YOLO that builds its layers with a ``parse_model``.

``parse_model`` looks its layers up in its module's globals when it is called. So
swapping ``Conv`` there, and in every module of the fork, makes the fork's own blocks
(C3, SPPF, ...) come out chip-safe, with the fork's own bookkeeping of channels.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.patches.declaration import Building, Fork
from synet.patches.made_for import made_for, noted_in, pads_alike
from synet.patches.own_keys import MissingKey, ModelDefinition, missing_in
from synet.patches.rows import definition_path, read_rows, rewritten, row_place
from synet.system.errors import SynetError, UnfitError
from synet.system.text import first_line

if TYPE_CHECKING:
    from synet.layers.choices import Choices

LOGGER = logging.getLogger("synet")


def wrap_parse_model(fork: Fork) -> Callable:
    """Hand the fork rows that it can build, and make what it built safe for the chip."""

    from synet.layers.choices import building_with
    from synet.layers.named import written_as
    from synet.patches.budget import Budget
    from synet.patches.zoo_heads import without_stems

    def parse_model(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        definition_name, channels_name = fork.family.inputs_of(wrapped)
        definition, given = bound.arguments[definition_name], bound.arguments[channels_name]
        rows = read_rows(fork, definition)
        channels = definition.get("ch", given[-1] if isinstance(given, list) else given)
        gray = fork.built_for.image_channels == 1 and rows[0][2] != "Grayscale"
        channels = 1 if gray else channels
        choices = _choices(fork, definition)
        bound.arguments[channels_name] = [channels] if isinstance(given, list) else channels
        taken: list[int] = []
        path = definition_path(fork)
        content, riders = rewritten(fork, definition, channels, taken)
        bound.arguments[definition_name] = ModelDefinition(content, fork, path)
        try:
            row_name = written_as(lambda: str(rows[taken[-1]][2]) if taken else "")
            with Budget(), row_name, building_with(choices):
                made = wrapped(*bound.args, **bound.kwargs)
        except Exception as error:
            if isinstance(error, MissingKey):
                raise
            if not taken:
                raise SynetError(f"{path}: {reason(error)}") from error
            kind = type(error) if isinstance(error, SynetError) else SynetError
            place = f"{row_place(fork, taken[-1])}: {rows[taken[-1]][2]}"
            raise kind(f"{place}: {reason(error)}") from error
        # YOLO's builders return what to keep for later rows, too; those of others may not.
        layers, save, *more = made if isinstance(made, tuple) else (made, [])
        for index, row in enumerate(rows):
            if riders[index] and isinstance(row[0], list):  # rode in on its first input alone
                layers[index].f = row[0]
                save = sorted({*save, *(i % index for i in row[0] if i != -1)})
        if "synet" in definition:
            without_stems(layers[-1])
        _make_safe(fork, layers, rows, channels, choices.pads_alike)
        if gray:
            _see_gray(layers)
        return (layers, save, *more) if isinstance(made, tuple) else layers

    return parse_model


def wrap_model_init(fork: Fork) -> Callable:
    """Find the model's yaml in the zoo, and note in the model what it was built for."""

    def __init__(wrapped: Callable, model: Any, args: tuple, kwargs: dict) -> None:  # noqa: N807
        signature = inspect.signature(wrapped)
        bound = signature.bind(*args, **kwargs)
        parameter = next(iter(signature.parameters))
        cfg = zoo.find_model_path(bound.arguments.get(parameter))
        path = str(cfg) if isinstance(cfg, (str, Path)) and Path(cfg).is_file() else ""
        definition = zoo.read_definition(path) if path else cfg  # resuming hands a mapping over
        if path:
            bound.arguments[parameter] = cfg
        target, pads = fork.target, None
        if isinstance(definition, dict):
            path = path or _source(definition)
            target, pads = made_for(definition, path, fork)
            if "ch" in definition and "ch" in signature.parameters:
                bound.arguments["ch"] = definition["ch"]  # some lines read only the argument
        building = Building(path, type(model), pads)
        fork.building.append(building)
        try:
            with fork.aimed_at(target.chip, target.activation):
                chip = fork.built_for
                wrapped(*bound.args, **bound.kwargs)
        except KeyError as error:
            definition = definition if isinstance(definition, dict) else {}
            missing = missing_in(error, definition, fork, definition_path(fork))
            if isinstance(error, SynetError) or missing is None:
                raise
            raise missing from error
        finally:
            fork.building.pop()
        built = getattr(model, "yaml", None) or {}
        gray = chip.image_channels == 1
        channels = 1 if gray else built.get("ch", built.get("channels", 3))
        model.synet = {
            "chip": chip.name,
            "channels": channels,
            "activation": chip.activation,
            "pads_alike": building.pads_alike,
        }
        if building.notes:
            model.synet["substituted"] = building.notes

    return __init__


def _source(definition: dict[str, Any]) -> str:
    """The file that a definition was read from, if it says so and that has not changed since."""
    path = zoo.find_model_path(definition.get("yaml_file"))
    if not isinstance(path, (str, Path)) or not Path(path).is_file():
        return ""
    found = zoo.read_definition(path)
    same = all(found.get(part) == definition.get(part) for part in zoo.PARTS)
    return str(path) if same else ""


def _choices(fork: Fork, definition: Mapping[str, Any]) -> Choices:
    """How the layers of a model are built, which the model is noted to be built with."""
    from synet.layers.choices import Choices

    building = fork.building[-1] if fork.building else Building("", object)
    if building.pads_alike is None:
        building.pads_alike = pads_alike(definition, fork.built_for, noted_in(definition))
    return Choices(fork.built_for.activation, building.pads_alike)


def _make_safe(fork: Fork, layers: Any, rows: list, channels: int, pads_alike: bool) -> None:
    """Replace what is left of torch's own layers, and see that the chip runs every row."""
    from synet.layers.heads import head_form
    from synet.safety.rows import UnsafeRow, make_rows_safe

    needed = _needed(fork, layers, rows)
    try:
        found = make_rows_safe(layers, channels, fork.built_for, needed, pads_alike)
    except UnsafeRow as error:
        lines = [f"{row_place(fork, i)}: {rows[i][2]}: {said}" for i, said in error.refusals]
        if len(lines) > 1:
            lines.insert(0, f"{fork.chip} does not run this network:")
        raise UnfitError(*lines) from None
    rest = {*range(len(layers))} - needed
    _replace_by_type(fork, layers, pads_alike, {i for i in rest if head_form(layers[i]) is None})
    for substitution in found:
        _tell(fork, f"{row_place(fork, substitution.index)}: {substitution}")


def _needed(fork: Fork, layers: Any, rows: list) -> set[int]:
    """The rows that the chip has to run: not the head, whose export is ours."""
    from synet.layers.heads import head_form, needed_rows

    last = len(layers) - 1
    if head_form(layers[last]) is not None:
        return needed_rows(layers) - {last}
    if isinstance(layers[last].f, int):  # a classifier, or a backbone alone
        return {*range(len(layers))}
    _tell(
        fork,
        f"{row_place(fork, last)}: {rows[last][2]} is no head that SyNet can export yet: the model "
        f"can be trained, and not quantized",
    )
    return {*range(last)}


def _replace_by_type(fork: Fork, layers: Any, pads_alike: bool, indices: set[int]) -> None:
    """Replace torch's own layers in branches that only help training, and in unknown heads."""
    from torch import nn

    from synet.safety.replace_by_type import left_alone, replace_layers
    from synet.safety.rows import take_notes

    for index in indices:
        box = nn.ModuleList([layers[index]])
        replace_layers(box, left_alone(fork.built_for, pads_alike))
        if box[0] is not layers[index]:
            take_notes(layers[index], box[0])
            layers[index] = box[0]


def _tell(fork: Fork, note: str) -> None:
    """Log what the user should know of a model, and keep it on the model."""
    LOGGER.warning("%s", note)
    for building in fork.building[-1:]:
        building.notes.append(note)


def _see_gray(layers: Any) -> None:
    """Let the first layer take the luma of colour images: the chip's camera gives no more."""
    from torch import nn

    from synet.layers.basic import Grayscale
    from synet.safety.rows import take_notes

    first = layers[0]
    layers[0] = nn.Sequential(Grayscale(), first)
    take_notes(first, layers[0])


def reason(error: Exception) -> str:
    """The first line of an error, with its type where that says more."""
    text = first_line(error)
    plain = isinstance(error, SynetError) or type(error) in (AssertionError, Exception)
    return text if plain or text == type(error).__name__ else f"{type(error).__name__}: {text}"
