"""The model zoo: yaml files that any patched YOLO can train, found by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from synet.system.errors import SynetError

FOLDER = Path(__file__).parent
PARTS = ("backbone", "neck", "head")  # of a model yaml, whose rows are counted through
SYNONYMS = {"pose": "keypoint"}  # words of a model's name that mean the same


def names() -> list[str]:
    """Names of all zoo models, without ``.yaml``."""
    return sorted(path.stem for path in FOLDER.rglob("*.yaml"))


def find_model_path(name: str | Path | None) -> Any:
    """The file behind a model's name; always safe to call on what a user typed.

    Parameters
    ----------
    name
        A path, or the name of a zoo model with or without ``.yaml``; ``pose`` in it stands
        for ``keypoint``.

    Returns
    -------
    An existing file's name as it was given; the packaged file of a zoo model (str);
    anything else unchanged, for the caller to complain about.
    """
    if not name or not isinstance(name, (str, Path)) or Path(name).is_file():
        return name
    wanted = _plain(str(name).removesuffix(".yaml"))
    return next((str(path) for path in FOLDER.rglob("*.yaml") if path.stem == wanted), name)


def model_path(name: str | Path) -> Path:
    """The file behind a model's name.

    Raises
    ------
    SynetError
        There is neither such a file nor such a zoo model; near names are suggested.
    """
    path = Path(find_model_path(name))
    if path.is_file():
        return path
    near = near_names(str(name))
    hint = f"did you mean {' or '.join(near)}" if near else f"the zoo has {', '.join(names())}"
    raise SynetError(f"{name}: no such file, and no such zoo model; {hint}?")


def near_names(name: str) -> list[str]:
    """Names of zoo models that `name` may be a slip of."""
    return get_close_matches(_plain(Path(name).stem), names(), cutoff=0.5)


def _plain(name: str) -> str:
    """A name in the words of the files."""
    return "-".join(SYNONYMS.get(word, word) for word in name.split("-"))


@dataclass(frozen=True)
class Claims:
    """What a model yaml says of itself, under ``synet:``.

    Parameters
    ----------
    chip
        Name of a chip file.
    image_shape
        Height and width in pixels.
    activation
        That it is built with, where that is not what the chip's file calls best.
    parameters, macs, peak_activation_bytes
        Of the torch model, and of its int8 file at that shape, with the yaml's own ``nc``.
        0: not claimed.
    sram_bytes, weight_bytes, cycles, placement
        What the chip's compiler says of that file, weights at random, which it can compress
        least: the least arena that costs no cycles, its constants, the time of one image, and the
        memory of the weights.
    compilers
        The same four, by another version of the compiler, for each that the chip's file lists.
    """

    chip: str | None = None
    image_shape: tuple[int, int] | None = None
    activation: str | None = None
    parameters: int = 0
    macs: int = 0
    peak_activation_bytes: int = 0
    sram_bytes: int = 0
    weight_bytes: int = 0
    cycles: int = 0
    placement: str = ""
    compilers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def by(self, compiler: str) -> Claims:
        """These claims as another version of the compiler has them, its costs unclaimed if not."""
        costs = dict.fromkeys(_COSTS, 0) | {"placement": ""}
        return replace(self, **costs | dict(self.compilers.get(compiler, {})))


def read_definition(path: str | Path) -> dict[str, Any]:
    """Read a model yaml.

    Raises
    ------
    SynetError
        The file is missing, is not yaml, or is not a mapping.
    """
    from synet.system.yaml_files import read_yaml

    definition = read_yaml(path)
    if not isinstance(definition, dict):
        raise SynetError(f"{path}: a model yaml is a mapping with backbone and head")
    return definition


def rows_of(definition: Mapping[str, Any]) -> list[list]:
    """The rows of a model definition as they are numbered, each a layer."""
    return [row for part in PARTS for row in definition.get(part, ())]


def task(definition: dict[str, Any]) -> str:
    """What a model finds, by the layer it ends in: detect, pose, segment, classify."""
    return str(rows_of(definition)[-1][2]).lower()


def claims(definition: dict[str, Any], path: str | Path = "model yaml") -> Claims:
    """The claims of a model definition; empty where it makes none.

    Raises
    ------
    SynetError
        A key that is no claim; a claim, or a number in a definition that makes claims, that
        cannot be so.
    """
    given = definition.get("synet") or {}
    if not isinstance(given, dict) or (unknown := set(given) - set(Claims.__dataclass_fields__)):
        keys = ", ".join(Claims.__dataclass_fields__)
        bad = sorted(map(str, unknown))[0] if isinstance(given, dict) else given
        raise SynetError(f"{path}: synet: {bad!r} is not a claim; there are {keys}")
    given = {key: value for key, value in given.items() if value is not None}
    for key, value in given.items():
        _check(value, _CLAIM_RULES.get(key, _COUNT), f"{path}: synet: {key}")
    if given:
        for key in _RULES.keys() & definition.keys():
            _check(definition[key], _RULES[key], f"{path}: {key}")
    shape = given.get("image_shape")
    return Claims(**given | ({"image_shape": tuple(shape)} if shape else {}))


def _is_whole(value: Any) -> bool:
    return type(value) is int and value > 0


LARGEST_IMAGE_PX = 1 << 22  # that a yaml may claim a network to be made for


def _is_shape(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))
    return is_pair and value[0] * value[1] <= LARGEST_IMAGE_PX


def _are_costs(item: tuple[Any, Any]) -> bool:
    version, costs = item
    whole = isinstance(version, str) and isinstance(costs, dict) and costs.keys() == _COSTS
    return whole and all(_is_whole(n) for key, n in costs.items() if key != "placement")


def _is_multiple(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


# Whether a value may be so, and what it should have been.
_Rule = tuple[Callable[[Any], bool], str]
_WHOLE: _Rule = (_is_whole, "a whole number above 0")
_MULTIPLE: _Rule = (_is_multiple, "a number above 0")
_COUNT: _Rule = (lambda value: type(value) is int and value >= 0, "a whole number")
_TEXT: _Rule = (lambda value: isinstance(value, str), "a name")
_COSTS = {"sram_bytes", "weight_bytes", "cycles", "placement"}
_CLAIM_RULES = {
    "compilers": (
        lambda value: isinstance(value, dict) and all(map(_are_costs, value.items())),
        "the costs of each version of the compiler",
    ),
    "chip": _TEXT,
    "activation": _TEXT,
    "placement": _TEXT,
    "image_shape": (_is_shape, f"[height, width] of at most {LARGEST_IMAGE_PX:,} pixels"),
}
_RULES = {
    "nc": _WHOLE,
    "ch": _WHOLE,
    "width_multiple": _MULTIPLE,
    "depth_multiple": _MULTIPLE,
}


def _check(value: Any, rule: _Rule, place: str) -> None:
    fits, wanted = rule
    if not fits(value):
        raise SynetError(f"{place}: {value!r} is not {wanted}")
