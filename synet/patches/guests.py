"""Modules of a fork in a folder, which are in the process only while they are needed.

A fork calls its packages ``models`` and ``utils``, and so does its user. For the length of a block
these names mean the fork's; then they mean what they meant before. The fork's modules are kept, and
are the same objects in the next block.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synet.patches.places import file_of, installed_folders, within
from synet.system.process import names_of

_kept: dict[Path, dict[str, Any]] = {}


class Guests:
    """What is imported from below a fork's folder in a block of `visiting`.

    Parameters
    ----------
    root
        That folder; None where none is needed.

    Attributes
    ----------
    came
        Modules that an earlier block had imported.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = None if root is None or root.parent in installed_folders() else root
        self.came: list[Any] = []
        self._before = dict(sys.modules)

    def come(self) -> None:
        """Put back what the last block of this folder has imported, unless it is here already."""
        kept = _kept.pop(self.root, {})
        if not any(self._is_guest(module) for module in self._before.values()):
            for name in kept:
                self._set_aside(name.partition(".")[0])
            sys.modules.update(kept)
            self.came += kept.values()

    def import_from(self, base: Path) -> None:
        """Look for imports in `base` first, whatever of others has the name of what lies there."""
        sys.path.insert(0, str(base))
        if self.root is None:
            return
        for entry in base.iterdir():
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                self._set_aside(entry.stem)
            elif entry.is_dir() and not _is_installed(sys.modules.get(entry.name)):
                self._set_aside(entry.name)  # a folder gives way to any package

    def leave(self) -> None:
        """Take along what has come, and put back what was set aside for it."""
        if self.root is not None:
            _kept[self.root] = {
                name: module
                for name, module in list(sys.modules.items())
                if self._before.get(name) is not module and self._is_guest(module)
            }
            for name in _kept[self.root]:
                del sys.modules[name]
        sys.modules.update(self._before)

    def _set_aside(self, top: str) -> None:
        if top in sys.stdlib_module_names or self._is_guest(sys.modules.get(top)):
            return
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]

    def _is_guest(self, module: Any) -> bool:
        return self.root is not None and within(home_of(module), self.root)


@contextmanager
def visiting(root: Path | None) -> Iterator[Guests]:
    """Let the modules of a fork be imported in the block, and be gone after it.

    Those of an installed package stay, as those of any package do.
    """
    guests = Guests(root)
    try:
        guests.come()
        yield guests
    finally:
        guests.leave()


def home_of(module: Any) -> Path | None:
    """Where a module lies, also one of the packages that have no file."""
    file = file_of(module)
    if file is not None:
        return file
    folders = list(names_of(module).get("__path__") or ())
    return Path(folders[0]).resolve() if folders else None


def _is_installed(module: Any) -> bool:
    home = home_of(module)
    return home is not None and any(home.is_relative_to(f) for f in installed_folders())
