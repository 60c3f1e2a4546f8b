"""Which Vela is asked: the one beside SyNet, one of the user, or one that is made on demand.

Each is a command that takes Vela's own arguments, and runs with little time and memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from synet.system import confined
from synet.system.cache import private_folder
from synet.system.errors import SynetError
from synet.system.files import atomic_folder
from synet.system.optional_packages import install_command

PACKAGE, MODULE = "ethos-u-vela", "ethosu.vela"
SECONDS = 600  # of the processor; networks that fit a chip take some
OWN = f"import runpy; runpy.run_module('{MODULE}', run_name='__main__', alter_sys=True)"
OTHER = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"  # with our limits
MINUTES = 10  # that making an environment may take


@dataclass(frozen=True)
class Program:
    """A Vela that can be run.

    `version` is what it calls itself, such as 5.2.0. `command` takes its arguments, in the
    environment variables `environment`.
    """

    version: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def program(wanted: str, default: str) -> Program:
    """The Vela of a version.

    Parameters
    ----------
    wanted
        A version, as far as it matters: 4.3; or the path of a Vela.
    default
        The version that comes with SyNet: of this one no environment is made.

    Raises
    ------
    SynetError
        It is not installed, is none, or its environment cannot be made.
    """
    if os.sep in wanted or Path(wanted).is_file():
        return _other(os.path.abspath(wanted))
    there = _installed()
    if there == wanted or there.startswith(f"{wanted}."):
        command = confined.command(OWN, SECONDS)
        return Program(there, tuple(command), confined.environment())
    if wanted == default:
        raise SynetError(
            f"judging a file needs the compiler Vela {wanted}"
            f"{f' ({there} is installed)' if there else ''}: {install_command('sabre')}"
        )
    return _other(str(_python_of(wanted)), "-I", "-m", MODULE)


def _installed() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


@cache
def _other(*command: str) -> Program:
    """A Vela that does not run in this Python."""
    ours = confined.environment()
    variables = {name: value for name, value in ours.items() if not name.startswith("PYTHON")}
    whole = (*confined.command(OTHER, SECONDS), *command)
    try:
        ran = subprocess.run(
            [*whole, "--version"], env=variables, capture_output=True, text=True, timeout=SECONDS
        )
        told = ran.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        told = str(error)
    if not re.fullmatch(r"\d+(\.\w+)+", told):
        raise SynetError(f"{command[0]} is no Vela: it does not tell its version")
    return Program(told, whole, variables)


def _python_of(version: str) -> Path:
    """The Python of an environment with that Vela, made where it is not there yet."""
    tag = f"{PACKAGE}-{version}-py{sys.version_info[0]}.{sys.version_info[1]}"
    place = private_folder("compilers") / tag
    within = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (place / within).exists():
        try:
            with atomic_folder(place) as private:
                _install(private, private / within, f"{PACKAGE}=={version}.*")
        except SynetError:
            if not (place / within).exists():  # else somebody was faster
                raise
    return place / within


def _install(place: Path, python: Path, requirement: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    for command in (
        (sys.executable, "-m", "venv", str(place)),
        (str(python), "-I", "-m", "pip", "install", *quiet, requirement),
    ):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=60 * MINUTES
            )
        except (OSError, subprocess.SubprocessError) as error:
            lines = f"{getattr(error, 'stdout', '')}\n{getattr(error, 'stderr', '')}".splitlines()
            told = [line for line in lines if line.startswith("ERROR: ")] or [str(error)]
            raise SynetError(
                f"no environment could be made for {requirement} "
                f"({told[-1].removeprefix('ERROR: ')}); install it in one of your own, and name "
                f"its program: --compiler .../bin/vela"
            ) from None
