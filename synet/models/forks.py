"""Any fork of a YOLO that builds its layers with a ``parse_model``: its models, trained or not."""

from __future__ import annotations

import ast
import contextlib
import glob
import importlib
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.patches.command_line import DEFAULT_CHIP
from synet.patches.declaration import Family
from synet.patches.engine import settle
from synet.patches.process import borrowed
from synet.patches.recognise_forks import models_of
from synet.patches.write_patch import FILE as PATCH_FILE
from synet.system.errors import PatchError, SynetError
from synet.system.files import lies_within
from synet.system.optional_packages import install_command
from synet.system.text import first_line

if TYPE_CHECKING:
    from torch import nn

    from synet.patches.declaration import Fork
    from synet.patches.engine import Patching

LOGGER = logging.getLogger("synet")
# Options of a training, in a checkpoint and in a file beside its folder, and whose they are.
OPTIONS = {"opt": "yolov5", "train_args": "ultralytics"}
OPTION_FILES = {"opt.yaml": "yolov5", "args.yaml": "ultralytics"}
# What a YOLO calls a model's class, by the head that the model ends in (Segment, Pose26, ...).
MODELS = {
    "segment": "SegmentationModel",
    "pose": "PoseModel",
    "obb": "OBBModel",
    "classify": "ClassificationModel",
    "": "DetectionModel",
}
_SCALE = re.compile(r"(\d+)[nslmx](-.+)?$")
# YOLOs that may be installed, and the packages that their checkpoints, or those of clones, name.
MAKERS = {"yolov5": {"yolov5", "models"}, "ultralytics": {"ultralytics"}}


def load_model(weights: str | Path, repo: str | Path | None = None) -> nn.Module:
    """Load a checkpoint that was trained under the patch, running no code from it.

    Parameters
    ----------
    weights
        A ``.pt`` file of a YOLO or of a fork of one.
    repo
        Folder of the fork that made it. Default: the installed package whose modules it names;
        none is needed where it holds only layers of torch and SyNet.

    Returns
    -------
    The EMA model where there is one, in eval mode and float32, with ``names`` (by class
    number) and ``image_shape`` (height, width); ``trained_by``, the line of YOLOs, and
    ``single_class``, whether it was trained with all classes as one.

    Raises
    ------
    CheckpointError
        Not a checkpoint, not a whole model, one that is broken or was trained without the patch.
    """
    from synet.checkpoints.read import read
    from synet.checkpoints.sound import trained_model

    root = folder_of(repo) if repo is not None else _installed_maker(weights)
    with _borrowed(root, DEFAULT_CHIP):
        content = read(weights, roots=[root] if root else [], forkless=True)
        model = trained_model(content, weights)
        settle(model)
    _name_classes(model)
    options = _trained_with(weights, content)
    claimed = zoo.claims(model.yaml).image_shape
    model.image_shape = _trained_shape(weights, [noted for _, noted in options], claimed)
    model.trained_by, noted = next((each for each in options if each[1]), ("", None))
    model.single_class = _is_single(noted)
    return model


def build_model(
    cfg: str | Path, repo: str | Path | None = None, nc: int | None = None, chip: str = ""
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
    name = Path(cfg).name.removesuffix(".yaml")
    source = path if path.stem == name else f"{name}.yaml"  # whose scale is in its name alone
    with find_fork(root, claims.chip or chip or DEFAULT_CHIP) as fork:
        with quiet(), fork.made_for(claims.chip or chip or fork.family.chip), _told(path):
            model = _model_class(fork, definition)(str(source), nc=nc).eval()
        settle(model)
    for note in model.synet.get("substituted", ()):
        LOGGER.warning("%s", note)
    _name_classes(model)
    model.image_shape = claims.image_shape
    return model


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
    roots = [root] if root else [installed(name) for name in MAKERS if _is_installed(name)]
    for folder in roots:
        found = stock_yaml(str(cfg), folder)
        if found is not None:
            return found, folder
    return zoo.model_path(cfg), roots[0]  # which says that there is none


def stock_yaml(name: str, root: Path) -> Path | None:
    """A YOLO's own yaml of that name, or of that name without the scale in it, if there is one.

    Parameters
    ----------
    name
        ``yolov5n.yaml``, ``yolov8n-pose`` (whose file is ``yolov8-pose.yaml``).
    root
        Folder of the YOLO.
    """
    stem = Path(name).name.removesuffix(".yaml")
    for wanted in dict.fromkeys((stem, _SCALE.sub(r"\1\2", stem))):
        found = sorted(root.rglob(f"{glob.escape(wanted)}.yaml"))
        if found:
            return found[0]
    return None


@contextmanager
def find_fork(repo: str | Path | None, chip: str) -> Iterator[Fork]:
    """Import the module that builds models, patched while the block runs.

    Parameters
    ----------
    repo
        Folder of the fork. Default: the installed yolov5 package.
    chip
        Name of a chip file, for a process that is not patched yet.

    Raises
    ------
    PatchError
        No module below `repo` defines a ``parse_model`` that SyNet knows how to patch.
    """
    root = folder_of(repo) if repo is not None else installed("yolov5")
    with _borrowed(root, chip) as (patching, builders):
        for name in [name for name, builder in builders.items() if builder.fits]:
            with quiet():
                importlib.import_module(name)
        found = [fork for fork in patching.forks if root in Path(fork.builder.__file__).parents]
        if not found:
            seen = "; ".join(f"{name} has {builder}" for name, builder in builders.items())
            raise PatchError(
                f"{root}: no module defines a parse_model(definition, channels), as YOLOs do"
                f"{f' ({seen})' if seen else ''}; name the fork's folder with --repo, or write a "
                f"patch for it: synet patches new {root}"
            )
        yield found[0]


@contextmanager
def _borrowed(root: Path | None, chip: str) -> Iterator[tuple[Patching, dict[str, _Builder]]]:
    """Patch a fork while the block runs, with its builders importable by the names it has."""
    with borrowed(root, chip, lambda: families_of(root)) as (patching, guests):
        builders = {}
        if root is not None:
            builders = importable_builders(root, patching.families, guests.import_from)
        yield patching, builders


def families_of(root: Path | None) -> list[Family]:
    """What the ``synet_patch.py`` of a fork declares; see `synet.patches.custom_template`."""
    files = sorted(root.rglob(PATCH_FILE)) if root is not None else []
    families = []
    for file in files:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        families.append(module.FAMILY)
    return families


class _Builder:
    """A builder in a source file, known by its parameters."""

    def __init__(self, node: ast.FunctionDef, families: Iterable[Family]) -> None:
        arguments = node.args
        self.name = node.name
        self.parameters = [argument.arg for argument in arguments.args]
        required = self.parameters[: len(self.parameters) - len(arguments.defaults)]
        pairs = [f.parameters or tuple(required) for f in families if f.builder == node.name]
        self.fits = any(len(pair) == 2 and {*pair} <= {*self.parameters} for pair in pairs)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


def import_from(base: Path) -> None:
    """Look for imports in a folder first, from now on."""
    if str(base) not in sys.path:
        sys.path.insert(0, str(base))


def importable_builders(
    root: Path, families: Iterable[Family], admit: Callable[[Path], None] = import_from
) -> dict[str, _Builder]:
    """Make each module below `root` that defines a builder of one of `families` importable.

    `admit` is told of each folder to import from.

    Returns
    -------
    Their names, with the function as its source has it: importing one to see is no option,
    as YOLOv5 has another in ``models/tf.py``, which loads tensorflow.
    """
    builders, families = {}, list(families)
    names = {family.builder for family in families}
    for file in sorted(root.rglob("*.py")):
        source = file.read_bytes() if lies_within(file, root) else b""
        if not any(f"\ndef {name}(".encode() in source for name in names):
            continue
        base, name = import_name(root, file)
        admit(base)
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name in names:
                builders[name] = _Builder(node, families)
    return builders


def import_name(root: Path, file: Path) -> tuple[Path, str]:
    """The folder to import from, and the dotted name by which the fork itself calls `file`.

    Whether ``models/yolo.py`` is ``models.yolo`` or ``ours.models.yolo`` is told by what it
    imports: some clones have an ``__init__.py`` at their top, and some packages lack one.
    """
    source = file.read_text(encoding="utf-8", errors="replace")

    def imports(pattern: str) -> bool:
        return bool(re.search(rf"^\s*(from|import) {pattern}", source, re.MULTILINE))

    folders = [folder for folder in file.parents if folder.is_relative_to(root)]
    named = next((folder for folder in folders if imports(rf"{re.escape(folder.name)}\b")), None)
    if named is not None:
        base = named.parent
    elif imports(r"\."):
        base = next(folder for folder in file.parents if not (folder / "__init__.py").is_file())
    else:
        base = file.parent
    return base, ".".join(file.relative_to(base).with_suffix("").parts)


def folder_of(repo: str | Path) -> Path:
    """The folder of a fork that the user names.

    Raises
    ------
    SynetError
        There is none.
    """
    root = Path(repo).resolve()
    if not root.is_dir():
        raise SynetError(f"--repo {repo}: no such folder")
    return root


def installed(package: str) -> Path:
    """The folder of an installed YOLO.

    Raises
    ------
    SynetError
        It is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SynetError(f"the {package} package is not installed: {install_command(package)}")
    return Path(spec.submodule_search_locations[0]).resolve()


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _installed_maker(weights: str | Path) -> Path | None:
    """The installed YOLO whose classes a checkpoint names, if there is one."""
    from synet.checkpoints.read import classes_named

    packages = {name.partition(".")[0] for name in classes_named(weights)}
    makers = [package for package, names in MAKERS.items() if packages & names]
    return next((installed(package) for package in makers if _is_installed(package)), None)


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


def _trained_with(weights: str | Path, content: dict[str, Any]) -> list[tuple[str, Any]]:
    """The options of a training, in a checkpoint and beside it, each with its line of YOLOs."""
    noted = [(line, content.get(key)) for key, line in OPTIONS.items()]
    for name, line in OPTION_FILES.items():
        file = Path(weights).resolve().parent.parent / name
        if file.is_file():
            with contextlib.suppress(SynetError):
                noted.append((line, zoo.read_definition(file)))
    return noted


def _is_single(options: Any) -> bool:
    options = getattr(options, "__dict__", options)  # a namespace's
    return isinstance(options, dict) and options.get("single_cls") in (True, 1)


def _trained_shape(
    weights: str | Path, noted: Iterable[Any], claimed: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The image shape that a checkpoint, or the options beside it, say it was trained at.

    A rectangle is that; a number may have been the longer side of what its yaml claims.
    """
    from synet.checkpoints.sound import noted_size

    for options in noted:
        size = noted_size(options, str(weights))
        if isinstance(size, tuple):
            return size
        if size is not None:
            return claimed or (size, size)
    return claimed


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what a fork logs while it builds from a user who asked for something else."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
