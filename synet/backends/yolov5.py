"""The YOLOv5 line: the installed ``yolov5`` package, or a fork of it in a folder."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from synet.backends.failing import told_plainly
from synet.models.locate import folder_of, import_name, installed
from synet.patches.command_line import chip_of
from synet.patches.process import patch
from synet.patches.target import only_or_own
from synet.system.errors import SynetError


def run(
    module: str,
    arguments: list[str],
    repo: str | Path | None = None,
    chip: str | None = None,
    activation: str | None = None,
    teacher: str | Path | None = None,
) -> None:
    """Run a module of YOLOv5 in this process, patched, as ``python MODULE.py ARGUMENTS`` would.

    Parameters
    ----------
    module
        ``train``, ``val``, ``segment/train``, ...
    arguments
        Its command line. ``--cfg`` may name a zoo model; see `synet.patches.command_line`.
    repo
        Folder of a fork. Default: the installed package.
    chip
        Default: the chip that the model yaml names, or the checkpoint that a training starts from
        or goes on with; else Katana.
    activation, teacher
        As for `synet.patch_custom`.

    Raises
    ------
    SynetError
        No such fork or module.
    """
    root = folder_of(repo) if repo is not None else installed("yolov5")
    script = root / f"{module}.py"
    if not script.is_file():
        there = sorted(p.relative_to(root).with_suffix("").as_posix() for p in _scripts(root))
        raise SynetError(f"{root} has no module {module!r}; it has {', '.join(there)}")
    sys.argv = [str(script), *arguments]
    target = only_or_own(chip, chip_of(arguments), activation)
    patch(target, roots=[root], teacher=teacher)
    base, name = import_name(root, script)
    sys.path.insert(0, str(base))
    with told_plainly(root.name):
        if base == script.parent:
            runpy.run_path(str(script), run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)


def _scripts(root: Path) -> Iterator[Path]:
    for file in [*root.glob("*.py"), *root.glob("*/*.py")]:
        if b'__name__ == "__main__"' in file.read_bytes().replace(b"'", b'"'):
            yield file
