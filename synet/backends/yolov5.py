"""The YOLOv5 line: the installed ``yolov5`` package, or a fork of it in a folder."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import logging
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.custom_patches import patch_custom
from synet.errors import CheckpointError, PatchError, SynetError
from synet.files import lies_within
from synet.patches.arguments import value_at

if TYPE_CHECKING:
    from torch import nn

    from synet.patches.engine import Fork

DEFAULT_CHIP = "katana"


def run(module: str, arguments: list[str], repo: str | Path | None = None, chip: str = "") -> None:
    """Run a module of YOLOv5 in this process, patched, as ``python MODULE.py ARGUMENTS`` would.

    Parameters
    ----------
    module
        ``train``, ``val``, ``segment/train``, ...
    arguments
        Its command line. ``--cfg`` may name a zoo model; see `synet.patches.arguments`.
    repo
        Folder of a fork. Default: the installed package.
    chip
        Default: the chip that the model yaml names, else Katana.

    Raises
    ------
    SynetError
        No such fork or module.
    """
    root = _root(repo)
    script = root / f"{module}.py"
    if not script.is_file():
        there = sorted(p.relative_to(root).with_suffix("").as_posix() for p in _scripts(root))
        raise SynetError(f"{root} has no module {module!r}; it has {', '.join(there)}")
    sys.argv = [str(script), *arguments]
    patch_custom(chip or _chip_of(arguments), roots=[root])
    base, name = _import_name(root, script)
    sys.path.insert(0, str(base))
    if base == script.parent:
        runpy.run_path(str(script), run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


def load_model(weights: str | Path, repo: str | Path | None = None) -> nn.Module:
    """Load a checkpoint that was trained under the patch, running no code from it.

    Parameters
    ----------
    weights
        A ``.pt`` file of YOLOv5 or a fork.
    repo
        Folder of the fork that made it. Default: the installed package.

    Returns
    -------
    The EMA model where there is one, in eval mode and float32, with ``names`` (by class
    number) and ``image_shape`` (height, width).

    Raises
    ------
    CheckpointError
        Not a checkpoint, not a whole model, or a model that was trained without the patch.
    """
    from synet import checkpoint

    root = _root(repo)
    patch_custom(DEFAULT_CHIP, roots=[root])
    _importable_builders(root)  # the checkpoint names classes of the fork's modules
    content = checkpoint.read(weights, roots=[root])
    model = content.get("ema") or content.get("model")
    if not hasattr(model, "yaml"):
        raise CheckpointError(f"{weights}: holds no YOLO model under 'model' or 'ema'")
    if not hasattr(model, "synet"):
        raise CheckpointError(
            f"{weights}: was trained without SyNet's patch, so its layers pad and activate as no "
            f"chip does; train it again with patch_custom(...) in train.py"
        )
    model = model.float().eval()
    names = getattr(model, "names", None) or [str(i) for i in range(model.yaml["nc"])]
    model.names = dict(names) if isinstance(names, dict) else dict(enumerate(names))
    size = (content.get("opt") or {}).get("imgsz")
    model.image_shape = zoo.claims(model.yaml).image_shape or _square(size)
    return model


def build_model(
    cfg: str | Path, repo: str | Path | None = None, nc: int | None = None, chip: str = ""
) -> nn.Module:
    """Build the untrained model of a yaml, or of a zoo name, in eval mode.

    Raises
    ------
    SynetError
        There is no such yaml.
    ChipError, PatchError
        The chip cannot run a layer of it; no layer has the name it uses.
    """
    path = zoo.model_path(cfg)
    claims = zoo.claims(zoo.read_definition(path), path)
    fork = find_fork(repo, chip or claims.chip or DEFAULT_CHIP)
    model_class = fork.names.get("DetectionModel") or fork.names["Model"]
    with _quiet():
        model = model_class(str(path), nc=nc).eval()
    model.names = dict(enumerate(model.names))
    model.image_shape = claims.image_shape
    return model


def find_fork(repo: str | Path | None, chip: str) -> Fork:
    """Import the module that builds models, under the patch, and return what was patched.

    Raises
    ------
    PatchError
        No module below `repo` defines a ``parse_model`` that SyNet knows how to patch.
    """
    root = _root(repo)
    patching = patch_custom(chip, roots=[root])
    signatures = {family.signature for family in patching.families}
    builders = _importable_builders(root)
    for name in [name for name, parameters in builders.items() if parameters in signatures]:
        with _quiet():
            importlib.import_module(name)
    found = [fork for fork in patching.forks if root in Path(fork.builder.__file__).parents]
    if not found:
        seen = "; ".join(f"{name} has parse_model({', '.join(p)})" for name, p in builders.items())
        raise PatchError(
            f"{root}: no module defines parse_model(d, ch), as YOLOv5 does"
            f"{f' ({seen})' if seen else ''}; name the fork's folder with --repo"
        )
    return found[0]


def _importable_builders(root: Path) -> dict[str, tuple[str, ...]]:
    """Make each module below `root` that defines ``parse_model`` importable.

    Returns
    -------
    Its name, and the parameters of its ``parse_model``: importing one to see is no option,
    as YOLOv5 has another in ``models/tf.py``, which loads tensorflow.
    """
    builders = {}
    for file in sorted(root.rglob("*.py")):
        source = file.read_bytes() if lies_within(file, root) else b""
        if b"\ndef parse_model(" not in source:
            continue
        base, name = _import_name(root, file)
        if str(base) not in sys.path:
            sys.path.insert(0, str(base))
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == "parse_model":
                builders[name] = tuple(argument.arg for argument in node.args.args)
    return builders


def _import_name(root: Path, file: Path) -> tuple[Path, str]:
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


def _root(repo: str | Path | None) -> Path:
    if repo is not None:
        root = Path(repo).resolve()
        if not root.is_dir():
            raise SynetError(f"--repo {repo}: no such folder")
        return root
    spec = importlib.util.find_spec("yolov5")
    if spec is None or not spec.submodule_search_locations:
        raise SynetError("the yolov5 package is not installed: pip install 'synet[yolov5]'")
    return Path(spec.submodule_search_locations[0]).resolve()


def _scripts(root: Path) -> Iterator[Path]:
    for file in [*root.glob("*.py"), *root.glob("*/*.py")]:
        if b'__name__ == "__main__"' in file.read_bytes().replace(b"'", b'"'):
            yield file


def _chip_of(arguments: list[str]) -> str:
    """The chip that the yaml behind ``--cfg`` is made for."""
    at = value_at(arguments, "--cfg")
    path = None if at is None else zoo.find_model_path(arguments[at].removeprefix("--cfg="))
    if not path or not Path(path).is_file():
        return DEFAULT_CHIP
    return zoo.claims(zoo.read_definition(path), path).chip or DEFAULT_CHIP


def _square(size: Any) -> tuple[int, int] | None:
    if isinstance(size, (list, tuple)) and len(size) == 1:
        size = size[0]
    return (size, size) if isinstance(size, int) else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the fork's table of layers from a user who asked for something else."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
