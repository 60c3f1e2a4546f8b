"""The ultralytics line: the command line of the installed package, or of a fork in a folder."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from synet import zoo
from synet.backends.failing import told_plainly
from synet.models.locate import (
    families_of,
    folder_of,
    import_from,
    import_name,
    importable_builders,
    installed,
    stock_yaml,
)
from synet.patches.process import patch
from synet.patches.target import only, own
from synet.system.errors import PatchError, SynetError
from synet.system.files import lies_within

if TYPE_CHECKING:
    from synet.patches.engine import Patching

MODEL = "model="
TUNE = "tune"  # which ultralytics offers to Python alone
FILES = (".yaml", ".yml", ".pt", ".tflite")


def run(
    arguments: list[str],
    repo: str | Path | None = None,
    chip: str | None = None,
    activation: str | None = None,
    teacher: str | Path | None = None,
) -> None:
    """Run ultralytics' command line in this process, patched, as ``yolo ARGUMENTS`` would.

    Parameters
    ----------
    arguments
        ``train model=sabre-detect-qvga.yaml data=my.yaml``. ``model=`` may name a zoo model; the
        image size defaults to that of the model. ``tune``, too, is a mode.
    repo
        Folder of a fork. Default: the installed package.
    chip
        Default: the chip that the model was made for, else Sabre.
    activation, teacher
        As for `synet.patch_custom`.

    Raises
    ------
    SynetError
        No such fork or model, or what ultralytics says of a mistake on its command line.
    """
    from synet.patches.ultralytics import FAMILY

    root = folder_of(repo) if repo is not None else installed("ultralytics")
    words = [_found(word, root) for word in arguments]
    sys.argv = ["yolo", *words]  # ultralytics keeps it when it is imported
    target = own(FAMILY.chip if chip is None else chip)
    patching = patch(target, roots=[root], families=families_of(root), teacher=teacher)
    model = next((word[len(MODEL) :] for word in words if word.startswith(MODEL)), "")
    if chip is None:
        chip = _chip_of(model, root, patching) or FAMILY.chip
    patch(only(chip, activation))
    commands = _command_line(root)
    vars(commands)["ARGV"] = sys.argv
    # a word, or file, that it does not know; of a data yaml it says so in a RuntimeError
    with told_plainly(root.name, (SyntaxError, FileNotFoundError)):
        if TUNE in words:
            _tune(commands, [word for word in words if word != TUNE])
        else:
            commands.entrypoint()


def _found(word: str, root: Path) -> str:
    """An argument, in which the name of a zoo model is made into its file."""
    if not word.startswith(MODEL):
        return word
    name = word[len(MODEL) :]
    path = str(zoo.find_model_path(name))
    known = Path(path).is_file() or "://" in name or stock_yaml(name, root)
    near = zoo.near_names(name)
    if not known and (near or Path(name).suffix in FILES and not _is_published(name, root)):
        stems = {file.stem for file in root.rglob("*.yaml")} if not near else ()
        near = near or get_close_matches(Path(name).stem, sorted(stems), cutoff=0.7)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise SynetError(f"{MODEL}{name}: no such file, and no such zoo model{hint}")
    return f"{MODEL}{path}"


def _is_published(name: str, root: Path) -> bool:
    """Are there weights of that name for one of the YOLO's own yamls, which it may fetch?"""
    return Path(name).suffix == ".pt" and stock_yaml(Path(name).stem, root) is not None


def _chip_of(model: str, root: Path, patching: Patching) -> str | None:
    """The chip that a file was made for, if it says so."""
    suffix = Path(model).suffix
    if not Path(model).is_file():
        return None
    if suffix in (".yaml", ".yml"):
        return zoo.claims(zoo.read_definition(model), model).chip
    if suffix == ".tflite":
        from synet.tflite.model import read_metadata

        return read_metadata(model).get("chip")
    if suffix == ".pt":
        from synet.patches.made_for import built_for_in

        importable_builders(root, patching.families)  # whose modules the checkpoint names
        return built_for_in(model, root).get("chip")
    return None


def _command_line(root: Path) -> ModuleType:
    """The module of a fork that defines what ``yolo`` runs."""
    for file in sorted(root.rglob("*.py")):
        if lies_within(file, root) and b"\ndef entrypoint(" in file.read_bytes():
            base, name = import_name(root, file)
            import_from(base)
            return importlib.import_module(name.removesuffix(".__init__"))
    raise PatchError(
        f"{root}: no module defines an entrypoint(), as ultralytics and its forks do; run the "
        f"fork's own script: synet run -- python train.py"
    )


def _tune(commands: ModuleType, words: list[str]) -> None:
    """``yolo tune``, whose options are those of training and of ``YOLO.tune``."""
    YOLO = importlib.import_module(commands.__name__.partition(".")[0]).YOLO  # noqa: N806
    words = [f"task={word}" if word in commands.TASKS else word for word in words]
    options = dict(commands.parse_key_value_pair(word) for word in words if "=" in word)
    if "model" not in options:
        raise SynetError(f"{TUNE}: which model? give model=NAME")
    YOLO(options.pop("model"), task=options.pop("task", None)).tune(**options)
