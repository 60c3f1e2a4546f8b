"""Where a fork lies, and what its source calls its modules.

Of a fork nothing is imported for that but the patch that its author wrote for it.
"""

from __future__ import annotations

import ast
import glob
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from synet.patches.declaration import Family
from synet.patches.write_patch import PATCH_FILE
from synet.system.errors import SynetError
from synet.system.files import lies_within
from synet.system.optional_packages import install_command

_SCALE = re.compile(r"(\d+)[nslmx](-.+)?$")
# YOLOs that may be installed, and the packages that their checkpoints, or those of clones, name.
MAKERS = {"yolov5": {"yolov5", "models"}, "ultralytics": {"ultralytics"}}


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


class Builder:
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
) -> dict[str, Builder]:
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
                builders[name] = Builder(node, families)
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


def is_installed(package: str) -> bool:
    """Is that YOLO installed?"""
    return importlib.util.find_spec(package) is not None


def installed_maker(named: Iterable[str]) -> Path | None:
    """The installed YOLO whose classes a checkpoint names, if there is one."""
    packages = {name.partition(".")[0] for name in named}
    makers = [package for package, names in MAKERS.items() if packages & names]
    return next((installed(package) for package in makers if is_installed(package)), None)
