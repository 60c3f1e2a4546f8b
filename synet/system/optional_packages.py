"""Packages that only some commands need, and that a small installation does without."""

from __future__ import annotations

import json
import shlex
from importlib import import_module
from pathlib import Path
from types import ModuleType

from synet.system.errors import SynetError
from synet.system.version import PACKAGE, VERSION

PROJECT = "synet"


def load(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of a package that an extra of SyNet brings.

    Parameters
    ----------
    module
        Its dotted name.
    extra
        The extra, as in ``pip install -e '.[report]'``.
    purpose
        What it is needed for: the subject of the message.

    Raises
    ------
    SynetError
        The package is not installed; `install_command` says how it would be.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise  # it is there, and lacks something itself
        raise SynetError(f"{purpose} needs {package}: {install_command(extra)}") from None


def install_command(extra: str) -> str:
    """What to type for this SyNet with an extra, from where it came, and from nowhere else."""
    return f"pip install {origin(extra)}"


def origin(extra: str = "") -> str:
    """This SyNet in the words of pip: a checkout, a file, a repository, or a version of an index.

    A name alone would be looked up in an index, where it may be anybody's.
    """
    wanted = f"[{extra}]" if extra else ""
    if (PACKAGE.parent / "setup.cfg").is_file():
        return f"-e {_shell(f'{_from_here(PACKAGE.parent)}{wanted}')}"
    came_from = _direct_url()
    url = came_from.get("url", "")
    if url.startswith("file:"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return _shell(f"{url2pathname(urlsplit(url).path)}{wanted}")
    if "vcs_info" in came_from:
        vcs = came_from["vcs_info"]
        return _shell(f"{PROJECT}{wanted} @ {vcs['vcs']}+{url}@{vcs['commit_id']}")
    if url:
        return _shell(f"{PROJECT}{wanted} @ {url}")
    return _shell(f"{PROJECT}{wanted}=={VERSION}")


def _direct_url() -> dict:
    """Where pip says that it had SyNet from; nothing, where that is an index."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return json.loads(distribution(PROJECT).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return {}


def _from_here(folder: Path) -> str:
    return "." if folder == Path.cwd() else str(folder)


def _shell(text: str) -> str:
    """Quoted where a shell takes signs of it for its own, and brackets always are."""
    return f"'{text}'" if "'" not in text and "[" in text else shlex.quote(text)
