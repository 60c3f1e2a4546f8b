"""Does a fork get along with the patch? Its author asks that of his own, in fresh processes.

`check_fork` runs this module twice, beside modules of somebody who knows of no patch: once the fork
is imported before `patch_custom`, once after. What is seen there is compared object by object.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synet import zoo
from synet.system.errors import PatchError, SynetError
from synet.system.files import lies_within

if TYPE_CHECKING:
    from torch import nn

    from synet.patches.declaration import Fork

SECONDS = 600  # for importing a fork twice, and a few layers
ROWS = 12  # of a fork's own yamls, that differ in what stands behind the channels
CHANNELS = 16
MARK = "conformance "  # of the line that holds what was found

CHECKS = {
    "swapped": "its convolution is SyNet's",
    "defaults": "kernels and strides of its rows are as before",
    "twice": "patching twice changes nothing",
    "others": "a module beside the script, and a package, are untouched",
    "undone": "undone to the very same objects",
}
ORDERS = {"early": "imported before the patch", "late": "imported under the patch"}

BYSTANDER = Path(__file__).with_name("bystander.py")
SCRIPT = """
import sys
import {beside}, {package}.images
from synet.backends.conformance import examine

examine(sys.argv[1], sys.argv[2], sys.argv[3], [{beside}, {package}.images])
"""


@dataclass(frozen=True)
class Verdict:
    """One thing that was checked, in words, and what is wrong with it; empty where nothing is."""

    check: str
    problem: str = ""

    def __str__(self) -> str:
        return f"FAIL  {self.check}: {self.problem}" if self.problem else f"ok    {self.check}"


def check_fork(root: str | Path, chip: str) -> list[Verdict]:
    """Patch a fork, undo it, and see what changed that should not, and what did not that should.

    Parameters
    ----------
    root
        Its folder, with its ``synet_patch.py`` where it needs one.
    chip
        For which it is patched.

    Raises
    ------
    SynetError
        There is no such folder, no such chip, or nothing in the folder that can be patched.
    """
    from synet.models.locate import folder_of

    folder = folder_of(root)
    with ThreadPoolExecutor(len(ORDERS)) as pool:
        found = list(pool.map(lambda order: _examined(folder, chip, order), ORDERS))
    return [
        Verdict(f"{said}: {check}", problems[key])
        for said, problems in zip(ORDERS.values(), found, strict=True)
        for key, check in CHECKS.items()
    ]


def _examined(root: Path, chip: str, order: str) -> dict[str, str]:
    """What `examine` says, in a process of its own that writes nothing of its own to keep."""
    names = {"beside": "synet_bystander", "package": "synet_bystanders"}
    with tempfile.TemporaryDirectory(prefix="synet-") as made:
        folder = Path(made)
        (folder / names["package"]).mkdir()
        (folder / names["package"] / "__init__.py").touch()
        for place in (Path(names["package"], "images.py"), Path(f"{names['beside']}.py")):
            shutil.copyfile(BYSTANDER, folder / place)
        (folder / "script.py").write_text(SCRIPT.format(**names))
        own = {"MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": ""}
        own |= {"YOLO_CONFIG_DIR": made, "YOLOV5_CONFIG_DIR": made}
        clean = {k: v for k, v in os.environ.items() if k != "SYNET_RUN"}
        command = [sys.executable, str(folder / "script.py"), str(root), chip, order]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=clean | own,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise PatchError(f"{root}: importing it takes more than {SECONDS} s") from None
    told = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if told:
        return json.loads(told[-1].removeprefix(MARK))
    last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
    raise PatchError(last.removeprefix("synet: ") if done.returncode == 2 else f"{root}: {last}")


# ------------------------------------------------------------------------ in the fresh process


def examine(root: str, chip: str, order: str, bystanders: list[Any]) -> None:
    """Print what `CHECKS` came to. The script of the fresh process calls it."""
    from synet.patches.process import patch_custom, unpatch

    folder, told = Path(root), {}
    fork_modules, families = _importable(folder)

    def state() -> dict[tuple, Any]:
        return _objects([*_modules_below(folder), *bystanders]) | _process()

    def answers() -> list[Any]:
        return [module.answers() for module in bystanders]

    def patch() -> Any:
        return patch_custom(chip, roots=[folder], families=families)

    expected = answers()
    if order == "early":
        try:
            _import(fork_modules)
        except Exception:  # code of other years needs the repairs, to be imported at all
            _forget(folder)
            patch()
            _import(fork_modules)
            unpatch()
    before = state()
    patching = patch()
    patched = state()
    if order == "late":
        _import(fork_modules)
    fork = _found(patching.forks, folder)
    rows = _rows(fork, folder)
    told["swapped"] = _not_ours(fork)
    made = [_form(fork, row) for row in rows]
    used = state()
    again = patch()
    changed = _changed(used, state())
    told["twice"] = _listed(changed) if again is patching else "it is another patch"
    moved = [key for key in _changed(before, used) if key[0] in {m.__name__ for m in bystanders}]
    told["others"] = _listed(moved) or ("they answer otherwise" if answers() != expected else "")
    unpatch()
    told["undone"] = _listed(_left(before, patched, used, state())) or _listed(_ours(folder))
    told["defaults"] = _other_forms(rows, made, [_form(fork, row) for row in rows])
    print(f"\n{MARK}{json.dumps(told)}", flush=True)


def _importable(root: Path) -> tuple[list[str], list[Any]]:
    from synet.models.locate import families_of, importable_builders
    from synet.patches.families import FAMILIES

    families = families_of(root)
    builders = importable_builders(root, [*families, *FAMILIES])
    return [name for name, builder in builders.items() if builder.fits], families


def _import(names: Iterable[str]) -> None:
    from synet.models.forks import quiet

    with quiet():
        for name in names:
            importlib.import_module(name)


def _forget(root: Path) -> None:
    """Take what is half imported out of the process."""
    half = _modules_below(root)
    for name in [name for name, module in sys.modules.items() if any(module is m for m in half)]:
        del sys.modules[name]


def _found(forks: list[Fork], root: Path) -> Fork:
    found = [fork for fork in forks if lies_within(Path(fork.module.__file__), root)]
    if not found:
        raise PatchError(
            f"{root}: nothing is found that can be patched; see synet patches show {root}"
        )
    return found[0]


def _not_ours(fork: Fork) -> str:
    from synet.layers.conv import Conv

    name = fork.called["Conv"]
    ours = issubclass(fork.names[name], Conv)
    return "" if ours else f"{fork.module.__name__}.{name} is the fork's own"


# ---------------------------------------------------------------------------- objects, compared


def _modules_below(root: Path) -> list[Any]:
    from synet.patches.places import modules_below

    return modules_below(root)


def _objects(modules: Iterable[Any]) -> dict[tuple, Any]:
    """What modules hold, and the members and bases of the classes that they define."""
    from synet.system.process import names_of

    seen: dict[tuple, Any] = {}
    for module in modules:
        names = dict(names_of(module))
        seen |= {(module.__name__, name): value for name, value in names.items()}
        for name, value in names.items():
            if issubclass(type(value), type) and value.__module__ == module.__name__:
                seen |= _members((module.__name__, name), value)
    return seen


def _members(key: tuple, cls: type) -> dict[tuple, Any]:
    members = {(*key, name): value for name, value in vars(cls).items()}
    return members | {(*key, "__bases__"): cls.__bases__}


def _process() -> dict[tuple, Any]:
    """What a patch displaces outside of forks."""
    import numpy
    import torch

    modules = (numpy, torch, torch.hub, torch.serialization)
    seen = {(m.__name__, name): value for m in modules for name, value in vars(m).items()}
    seen |= _members(("torch", "Tensor"), torch.Tensor)
    seen |= {("os", "environ", name): value for name, value in os.environ.items()}
    seen |= {("sys", n): [*getattr(sys, n)] for n in ("argv", "path", "meta_path", "path_hooks")}
    return seen | {("sys", name): getattr(sys, name) for name in ("excepthook", "displayhook")}


_GONE = object()


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other) or kind not in (str, int, float, bool, tuple, list):
        return False
    if kind in (tuple, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _changed(before: dict[tuple, Any], after: dict[tuple, Any]) -> list[tuple]:
    keys = dict.fromkeys([*before, *after])
    return [key for key in keys if not _same(before.get(key, _GONE), after.get(key, _GONE))]


def _left(before: dict, patched: dict, used: dict, after: dict) -> list[tuple]:
    """What a patch has changed and not put back, but for what the fork changed in between."""
    from types import ModuleType

    of_fork, here = {*_changed(patched, used)}, {module for module, *_ in before}
    return [
        key
        for key in _changed(before, after)
        if key[0] in here and key not in of_fork
        if not issubclass(type(after.get(key)), ModuleType)
    ]


def _ours(root: Path) -> list[tuple]:
    """Where something of SyNet's is in the modules of a fork, whose source does not name it."""
    import wrapt

    modules = [m for m in _modules_below(root) if b"synet" not in Path(m.__file__).read_bytes()]
    return [
        key
        for key, value in _objects(modules).items()
        if type(value) is wrapt.FunctionWrapper
        or any(
            str(getattr(each, "__module__", "")).startswith(("synet.layers", "synet.patches"))
            for each in (value if key[-1] == "__bases__" else [value])
            if issubclass(type(each), type)
        )
    ]


def _listed(keys: list[tuple]) -> str:
    shown = ", ".join(".".join(map(str, key)) for key in keys[:3])
    return f"{shown}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"


# -------------------------------------------------------------------------------- rows, compared


def _rows(fork: Fork, root: Path) -> list[list[Any]]:
    """What stands behind the channels in rows of the fork's own convolution, each once."""
    found: list[list[Any]] = [[]]
    for args in _own_rows(fork.called["Conv"], root):
        plain = all(isinstance(arg, (int, bool, type(None))) for arg in args)
        if plain and args not in found:
            found.append(args)
        if len(found) == ROWS:
            break
    return found


def _own_rows(name: str, root: Path) -> Iterator[list[Any]]:
    for file in sorted([*root.rglob("*.yaml"), *root.rglob("*.yml")]):
        if not lies_within(file, root) or b"backbone" not in file.read_bytes():
            continue
        try:
            rows = zoo.rows_of(zoo.read_definition(file))
        except (SynetError, TypeError):
            continue
        for row in rows:
            if isinstance(row, list) and len(row) == 4 and row[2] == name:
                yield list(row[3][1:])


def _form(fork: Fork, args: list[Any]) -> str:
    """The convolution that a row builds, through the builder where that does with rows alone."""
    name = fork.called["Conv"]

    def by_builder(channels: Any) -> nn.Module:
        function = fork.names[fork.family.builder]
        rows = [[-1, 1, name, [CHANNELS]], [-1, 1, name, [CHANNELS, *args]]]
        definition = {"nc": 1, "anchors": [[10, 13, 16, 30]], "backbone": rows, "head": []}
        definition |= {"depth_multiple": 1.0, "width_multiple": 1.0}
        made = function(definition, channels)
        return (made[0] if isinstance(made, tuple) else made)[1]

    attempts: list[Callable[[], nn.Module]] = [
        lambda: by_builder([3]),
        lambda: by_builder(3),
        lambda: fork.names[name](CHANNELS, CHANNELS, *args),
    ]
    error = None
    for attempt in attempts:
        try:
            return _told(attempt())
        except Exception as caught:  # a builder that wants more, of whatever kind
            error = caught
    return f"refused ({error})"


def _told(module: nn.Module) -> str:
    from torch import nn

    conv = next(m for m in module.modules() if isinstance(m, nn.Conv2d))
    kernel, stride = conv.kernel_size, conv.stride
    return f"{kernel[0]}x{kernel[1]}, stride {stride[0]}, dilation {conv.dilation[0]}"


def _other_forms(rows: list[list[Any]], made: list[str], expected: list[str]) -> str:
    """The first row that builds another convolution; what the chip refuses is no other one."""
    for row, now, own in zip(rows, made, expected, strict=True):
        if now != own and not now.startswith("refused") and not own.startswith("refused"):
            return f"[{', '.join(map(str, ['channels', *row]))}] builds {now} in place of {own}"
    return ""
