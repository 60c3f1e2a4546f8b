"""Any fork of a YOLO that builds its layers with a ``parse_model``: its models, trained or not."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.models.locate import (
    MAKERS,
    families_of,
    folder_of,
    importable_builders,
    installed,
    installed_maker,
    is_installed,
    stock_yaml,
)
from synet.models.trained import is_as_trained, note_training
from synet.patches.declaration import DEFAULT_CHIP
from synet.patches.displaced import settle
from synet.patches.made_for import models_in
from synet.patches.process import borrowed
from synet.patches.recognise_forks import models_of
from synet.patches.target import REPAIRS_ALONE, own
from synet.system.errors import PatchError, SynetError
from synet.system.text import first_line

if TYPE_CHECKING:
    from torch import nn

    from synet.models.locate import Builder
    from synet.patches.declaration import Fork
    from synet.patches.engine import Patching
    from synet.patches.target import Target

LOGGER = logging.getLogger("synet")
# What a YOLO calls a model's class, by the head that the model ends in (Segment, Pose26, ...).
MODELS = {
    "segment": "SegmentationModel",
    "pose": "PoseModel",
    "obb": "OBBModel",
    "classify": "ClassificationModel",
    "": "DetectionModel",
}


def load_model(
    weights: str | Path, repo: str | Path | None = None, cfg: str | Path | None = None
) -> nn.Module:
    """Load a checkpoint, running no code from it.

    One that was trained without the patch is loaded as it was trained: with the fork's own layers.

    Parameters
    ----------
    weights
        A ``.pt`` file of a YOLO or of a fork of one.
    repo
        Folder of the fork that made it. Default: the installed package whose modules it names;
        none is needed where it holds only layers of torch and SyNet.
    cfg
        The yaml that a state dict was built from, by the fork's own classes; a file, or a name as
        for `build_model`. A checkpoint that holds a network needs none.

    Returns
    -------
    The EMA model where there is one, in eval mode and float32, with ``names`` (by class
    number) and ``image_shape`` (height, width); ``trained_by``, the line of YOLOs, and
    ``single_class``, whether it was trained with all classes as one.

    Raises
    ------
    CheckpointError
        Not a checkpoint, not a whole model, or one that is broken.
    """
    from synet.checkpoints.read import classes_named, read
    from synet.checkpoints.sound import trained_model
    from synet.checkpoints.state_dicts import fill_network, state_in

    root = folder_of(repo) if repo is not None else None
    named = classes_named(weights)
    root = root or installed_maker(named)
    patched = any(name.startswith("synet.") for name in named)
    with _borrowed(root, own(DEFAULT_CHIP) if patched else REPAIRS_ALONE) as (patching, _):
        displaced = patching.displaced
        roots = [root] if root else []
        content = read(weights, roots, forkless=True, own_class=displaced.own_class)
        if cfg is not None and (state := state_in(content)) is not None:
            network = _as_trained(cfg, repo)
            fill_network(network, state, f"{weights}, for {cfg}")
            content = content | {"ema": None, "model": network}
        for each in models_in(content):
            displaced.run_as_trained(each)
        model = trained_model(content, weights)
        if not is_as_trained(model):
            settle(model)
    _name_classes(model)
    note_training(model, weights, content)
    return model


def build_model(
    cfg: str | Path, repo: str | Path | None = None, nc: int | None = None, chip: str | None = None
) -> nn.Module:
    """Build the untrained model of a yaml, or of a zoo name, in eval mode.

    Parameters
    ----------
    cfg
        A file; a name of the zoo, or of a YOLO's own yamls, with a scale in it or not.
    repo
        Folder of the fork that shall build it. Default: an installed package. That is ultralytics
        for definitions without anchors, as nothing else can read them, else yolov5.
    nc
        Number of classes. Default: the yaml's own.
    chip
        For a yaml that names none. Default: the one that the fork's line of YOLOs is used with.

    Raises
    ------
    SynetError
        There is no such yaml, or the fork cannot build what it says.
    ChipError, PatchError
        The chip cannot run a layer of it; no layer has the name it uses.
    """
    path, root = _definition(cfg, None if repo is None else folder_of(repo))
    definition = zoo.read_definition(path)
    claims = zoo.claims(definition, path)
    chip = chip if claims.chip is None else claims.chip
    with find_fork(root, chip) as fork:
        with quiet(), fork.aimed_at(fork.family.chip if chip is None else chip), _told(path):
            model = _model_class(fork, definition)(_source(cfg, path), nc=nc).eval()
        settle(model)
    for note in model.synet.get("substituted", ()):
        LOGGER.warning("%s", note)
    _name_classes(model)
    model.image_shape = claims.image_shape
    return model


def _as_trained(cfg: str | Path, repo: str | Path | None) -> nn.Module:
    """The untrained network of a yaml, built by the fork's own classes."""
    path, root = _definition(cfg, None if repo is None else folder_of(repo))
    with _found_fork(root, REPAIRS_ALONE) as fork, quiet(), _told(path):
        if fork.chip is not None:
            raise PatchError(
                f"{cfg}: the network of a state dict is built by the fork's own classes, and this "
                f"process is patched for {fork.chip}; call unpatch() before this"
            )
        return _model_class(fork, zoo.read_definition(path))(_source(cfg, path)).eval()


def _source(cfg: str | Path, path: Path) -> str:
    """What a fork builds a model from: its file, or a name, where the scale is in that alone."""
    name = Path(cfg).name.removesuffix(".yaml")
    return str(path) if path.stem == name else f"{name}.yaml"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell in one line what a fork stumbles over in a yaml, which may say anything."""
    try:
        yield
    except SynetError:
        raise
    except Exception as error:
        raise SynetError(f"{path}: the network cannot be built: {first_line(error)}") from error


def _definition(cfg: str | Path, root: Path | None) -> tuple[Path, Path]:
    """The file behind the name of a model, and the folder of the YOLO that reads it."""
    path = Path(zoo.find_model_path(cfg))
    if path.is_file():
        anchors = "anchors" in zoo.read_definition(path)
        return path, root or installed("yolov5" if anchors else "ultralytics")
    roots = [root] if root else [installed(name) for name in MAKERS if is_installed(name)]
    for folder in roots:
        found = stock_yaml(str(cfg), folder)
        if found is not None:
            return found, folder
    return zoo.model_path(cfg), roots[0]  # which says that there is none


@contextmanager
def find_fork(repo: str | Path | None, chip: str | None = None) -> Iterator[Fork]:
    """Import the module that builds models, patched while the block runs.

    Parameters
    ----------
    repo
        Folder of the fork. Default: the installed yolov5 package.
    chip
        For models that name none, in a process that is not patched yet. Default: Katana.

    Raises
    ------
    PatchError
        No module below `repo` defines a ``parse_model`` that SyNet knows how to patch.
    """
    root = folder_of(repo) if repo is not None else installed("yolov5")
    with _found_fork(root, own(DEFAULT_CHIP if chip is None else chip)) as fork:
        yield fork


@contextmanager
def _found_fork(root: Path, target: Target) -> Iterator[Fork]:
    """`find_fork`, in a folder, for any target."""
    with _borrowed(root, target) as (patching, builders):
        for name in [name for name, builder in builders.items() if builder.fits]:
            with quiet():
                importlib.import_module(name)
        found = [fork for fork in patching.forks if root in Path(fork.module.__file__).parents]
        if not found:
            seen = "; ".join(f"{name} has {builder}" for name, builder in builders.items())
            raise PatchError(
                f"{root}: no module defines a parse_model(definition, channels), as YOLOs do"
                f"{f' ({seen})' if seen else ''}; name the fork's folder with --repo, or write a "
                f"patch for it: synet patches new {root}"
            )
        yield found[0]


@contextmanager
def _borrowed(root: Path | None, target: Target) -> Iterator[tuple[Patching, dict[str, Builder]]]:
    """Patch a fork while the block runs, with its builders importable by the names it has."""
    with borrowed(root, target, lambda: families_of(root)) as (patching, guests):
        builders = {}
        if root is not None:
            builders = importable_builders(root, patching.families, guests.import_from)
        yield patching, builders


def _model_class(fork: Fork, definition: dict[str, Any]) -> type[nn.Module]:
    """The class of the builder's module that makes the model of a definition."""
    rows = [row for part in definition.values() if isinstance(part, list) for row in part]
    last = rows[-1][2] if rows and isinstance(rows[-1], list) and len(rows[-1]) > 2 else ""
    wanted = next(name for head, name in MODELS.items() if head in str(last).lower())
    for name in (wanted, "DetectionModel", "Model"):
        if isinstance(fork.names.get(name), type):
            return fork.names[name]
    return models_of(fork)[0]


def _name_classes(model: nn.Module) -> None:
    """Give a model ``names`` by class number, which old forks only write into checkpoints."""
    names = getattr(model, "names", None) or [str(i) for i in range(model.yaml["nc"])]
    model.names = dict(names) if isinstance(names, dict) else dict(enumerate(names))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what a fork logs while it builds from a user who asked for something else."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
