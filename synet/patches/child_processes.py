"""Starting Python processes that patch themselves, and a command in which all of them do.

Two environment variables carry the patch: ``PYTHONPATH`` begins with `STARTUP`, a folder of
one file that Python runs when it starts, and ``SYNET_RUN`` tells that file what to do. Worker
processes and the ranks of a distributed run inherit both. A Python that is told to ignore its
environment (``-E``, ``-I``) or to import no ``site`` (``-S``), a container or another user
(``sudo``) is not reached.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from synet.patches.target import Target
from synet.system.environment import SETTINGS
from synet.system.errors import SynetError
from synet.system.optional_packages import origin

STARTUP = Path(__file__).with_name("startup")
NEEDED = ("synet", "torch", "wrapt")


def patching_variables(
    target: Target,
    roots: Iterable[str | Path] = (),
    repairs: bool = True,
    teacher: Path | None = None,
) -> dict[str, str]:
    """The environment variables under which a Python process patches itself.

    Parameters
    ----------
    target, roots, repairs, teacher
        As `synet.patches.process.patch` takes them.
    """
    inherited = os.environ.get("PYTHONPATH")
    entries = inherited.split(os.pathsep) if inherited else []
    told = {**asdict(target), "roots": [*map(str, roots)], "repairs": repairs}
    told |= {"teacher": str(teacher)} if teacher else {}
    return {
        "PYTHONPATH": os.pathsep.join([str(STARTUP), *(e for e in entries if e != str(STARTUP))]),
        SETTINGS: json.dumps({**told, "python": sys.executable, "origin": origin()}),
    }


def become(command: Sequence[str], target: Target, teacher: Path | None = None) -> NoReturn:
    """Become `command`, with the patch in place in each Python process that it starts.

    This process is replaced, so that signals, the terminal and the exit status are the command's.

    Parameters
    ----------
    command
        A program and its arguments. ``python`` is the one that runs SyNet, if the one on
        PATH has no SyNet; a program that is not on PATH may lie beside that one.
    target
        What its models are built for.
    teacher
        Checkpoint of what teaches its models.

    Raises
    ------
    SynetError
        There is no such program, or it cannot be run.
    """
    words = [_program(command[0]), *command[1:]]
    environment = {**os.environ, **patching_variables(target, teacher=teacher)}
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if os.name == "nt":  # where exec gives the prompt back before the program has ended
            raise SystemExit(subprocess.run(words, env=environment).returncode)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; programs must not
        os.execve(words[0], words, environment)
    except OSError as error:
        raise SynetError(f"cannot run {words[0]}: {error.strerror}") from None


def _program(name: str) -> str:
    """The file that is run for the first word of a command."""
    found = shutil.which(name)
    if name in ("python", "python3") and not (found and _has_synet(found)):
        if found:
            print(
                f"synet: {found}, the {name} on PATH, has no SyNet; running {sys.executable}",
                file=sys.stderr,
            )
        return sys.executable
    found = found or shutil.which(name, path=os.path.dirname(sys.executable))
    if found:
        return found
    if os.path.isfile(name) and name.endswith(".py"):
        raise SynetError(f"{name} is no program; did you mean: synet run -- python {name}")
    raise SynetError(f"{name!r} is no program on PATH; what follows -- is a command to run")


def _has_synet(python: str) -> bool:
    if os.path.dirname(python) == os.path.dirname(sys.executable):
        return True
    look = f"import importlib.util as u; exit(not all(map(u.find_spec, {NEEDED})))"
    return subprocess.run([python, "-c", look], capture_output=True).returncode == 0
