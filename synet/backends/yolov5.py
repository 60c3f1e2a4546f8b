"""The YOLOv5 line: the installed ``yolov5`` package, or a fork of it in a folder."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.custom_patches import patch_custom
from synet.errors import CheckpointError, PatchError, SynetError

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
    if repo is None:
        runpy.run_module(f"yolov5.{module.replace('/', '.')}", run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(script.parent))
        runpy.run_path(str(script), run_name="__main__")


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
    if str(root) not in sys.path and repo is not None:
        sys.path.insert(0, str(root))
    patch_custom(DEFAULT_CHIP, roots=[root])
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
    for folder, name in [(None, "yolov5.models.yolo")] if repo is None else _builders(root):
        if folder and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        with _quiet():
            importlib.import_module(name)
    found = [fork for fork in patching.forks if fork.root == root or root in fork.root.parents]
    if not found:
        seen = "; ".join(f"{module} has {call}" for module, call in patching.unrecognised)
        raise PatchError(
            f"{root}: no module defines parse_model(d, ch), as YOLOv5 does"
            f"{f' ({seen})' if seen else ''}; name the fork's folder with --repo"
        )
    return found[0]


def _builders(root: Path) -> Iterator[tuple[Path, str]]:
    """Import folder and name of each module below `root` that defines ``parse_model``."""
    for file in sorted(root.rglob("*.py")):
        hidden = {"site-packages", "dist-packages"} & set(file.parts)
        if hidden or b"\ndef parse_model(" not in file.read_bytes():
            continue
        folder = file.parent
        while folder != root and folder.parent != root and (folder.parent / "__init__.py").exists():
            folder = folder.parent
        base = folder.parent if folder != root else root
        yield base, ".".join(file.relative_to(base).with_suffix("").parts)


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
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        cfg = value if option == "--cfg" else option.removeprefix("--cfg=")
        path = zoo.find_model_path(cfg)
        if option.startswith("--cfg") and path and Path(path).is_file():
            return zoo.claims(zoo.read_definition(path), path).chip or DEFAULT_CHIP
    return DEFAULT_CHIP


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
