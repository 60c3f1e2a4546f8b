"""Packages that a fork imports and this machine lacks: an error when used, not when imported.

Forks collect layers of many papers in one file, with an import for each, of which a training
run uses few. An import that the fork itself guards with ``try`` fails as ever, and so does one
within a function.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from synet.system.errors import PatchError
from synet.system.files import lies_within

if TYPE_CHECKING:
    from synet.patches.undo import Applied

LOGGER = logging.getLogger("synet")
GUARDS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
# What pip calls the packages that forks import. For others there is no hint: compiled extensions
# and modules that a clone lacks are on no index, or something else is, under their name.
DISTRIBUTIONS = {
    "IPython": "ipython",
    "PIL": "pillow",
    "albumentations": "albumentations",
    "clearml": "clearml",
    "comet_ml": "comet_ml",
    "cv2": "opencv-python",
    "einops": "einops",
    "git": "GitPython",
    "huggingface_hub": "huggingface-hub",
    "matplotlib": "matplotlib",
    "mmcv": "mmcv",
    "mmengine": "mmengine",
    "numba": "numba",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxsim": "onnxsim",
    "pandas": "pandas",
    "psutil": "psutil",
    "pycocotools": "pycocotools",
    "pywt": "PyWavelets",
    "requests": "requests",
    "scipy": "scipy",
    "seaborn": "seaborn",
    "shapely": "shapely",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "thop": "thop",
    "timm": "timm",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "transformers": "transformers",
    "wandb": "wandb",
    "yaml": "PyYAML",
}


class _Absent:
    """Something of a package that is not here.

    While the fork is being imported, what is called, indexed or joined is absent as well, and a
    decorator hands back what it decorates: registries and compilers of functions are used there.
    """

    def __init__(self, name: str, place: str) -> None:
        self.__dict__.update(_name=name, _place=place)

    def _made(self, how: str = "") -> _Absent:
        """What comes of using it; an error where that is for real."""
        if _is_importing(sys._getframe(2)):
            return _Absent(f"{self._name}{how}", self._place)
        return self._fail()

    def _fail(self, *args: Any, **kwargs: Any) -> NoReturn:
        package = self._name.partition(".")[0]
        pip = DISTRIBUTIONS.get(package)
        raise PatchError(
            f"{self._name} is used, and {package} is not installed ({self._place} imports it)"
            f"{f': pip install {pip}' if pip else ''}"
        )

    __iter__ = __enter__ = __bool__ = _fail

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = self._made("()")
        return args[0] if len(args) == 1 and not kwargs and _is_decorated(args[0]) else made

    def __getitem__(self, key: Any) -> _Absent:
        return self._made("[]")

    def __or__(self, other: Any) -> _Absent:  # Layer | None, of a parameter
        return self._made()

    __ror__ = __or__

    def __instancecheck__(self, instance: Any) -> bool:
        return False  # nothing is of a class that is not here

    __subclasscheck__ = __instancecheck__

    def __getattr__(self, name: str) -> _Absent:
        if name.startswith("__"):  # inspect, copy and typing ask for these and take no for answer
            raise AttributeError(name)
        return _Absent(f"{self._name}.{name}", self._place)

    def __mro_entries__(self, bases: tuple) -> tuple[type, ...]:
        fail = self._fail  # a class of the fork can be derived from it, not built
        return (type("Absent", (), {"__init__": lambda *_, **__: fail()}),)


def _is_decorated(value: Any) -> bool:
    """Is that what stands below a decorator: a function, a class, or what another made of one?"""
    return hasattr(value, "__qualname__") or isinstance(value, property)


def _is_importing(frame: FrameType) -> bool:
    """Does `frame` run because a module is imported, or in the body of the script itself?"""
    in_function = False
    while frame.f_code.co_name != "<module>":
        in_function |= bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)  # not so a class's body
        if frame.f_back is None:
            return False
        frame = frame.f_back
    importer = frame.f_back
    return not in_function or importer is not None and _is_pythons(importer)


def _is_pythons(frame: FrameType) -> bool:
    return "importlib" in frame.f_code.co_filename


class _AbsentModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}", self.__spec__.loader.place)


class _Loader(importlib.abc.Loader):
    def __init__(self, place: str) -> None:
        self.place = place

    def create_module(self, spec: Any) -> ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Finder(importlib.abc.MetaPathFinder):
    """Asked last, so only for what nobody has."""

    def __init__(self, roots: Callable[[], Iterable[Path]]) -> None:
        self.roots = roots
        self.provided: dict[str, str] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        package = name.partition(".")[0]
        place = self.provided.get(package) or (self._place(package) if name == package else None)
        if place is None:
            return None
        if package not in self.provided:
            LOGGER.warning(
                "%s is not installed, and %s imports it; going on, as a run may never use it",
                package,
                place,
            )
            self.provided[package] = place
        return importlib.machinery.ModuleSpec(name, _Loader(place), is_package=True)

    def _place(self, package: str) -> str | None:
        """File and line of a fork's unguarded import statement that asks for `package`."""
        roots = list(self.roots())
        importing = list(_frames(sys._getframe(2)))
        if not importing or importing[0].f_code.co_name != "<module>":
            return None  # in a function an import is there to be used, now
        frames = [
            (Path(frame.f_code.co_filename), frame.f_lineno)
            for frame in importing
            if any(lies_within(Path(frame.f_code.co_filename).resolve(), root) for root in roots)
        ]
        if not frames:
            return None
        file, line = frames[0]
        if package not in _statements(file)[0].get(line, ()):
            return None  # importlib.util.find_spec, or a package of its own that asks
        if any(line in _statements(file)[1] for file, line in frames):
            return None
        return f"{file}:{line}"

    def withdraw(self) -> None:
        sys.meta_path.remove(self)
        for key in [k for k in sys.modules if k.partition(".")[0] in self.provided]:
            del sys.modules[key]


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames that wait for an import, from the innermost, without Python's own."""
    while frame is not None:
        if not _is_pythons(frame):
            yield frame
        frame = frame.f_back


@lru_cache(maxsize=64)
def _statements(file: Path) -> tuple[dict[int, set[str]], frozenset[int]]:
    """What each line of a source file imports, and the imports that the file expects to fail."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError):
        return {}, frozenset()
    imports: dict[int, set[str]] = {}
    guarded: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports[node.lineno] = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = (node.module or "").partition(".")[0]
            imports[node.lineno] = set() if node.level else {package}
        elif isinstance(node, ast.Try) and any(_catches(h) for h in node.handlers):
            guarded |= {line for x in node.body for line in range(x.lineno, x.end_lineno + 1)}
        elif isinstance(node, ast.With) and "suppress" in ast.unparse(node.items[0]):
            guarded |= set(range(node.lineno, node.end_lineno + 1))
    return imports, frozenset(guarded & {*imports})


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(names & GUARDS)


def tolerate_absent_packages(applied: Applied, roots: Callable[[], Iterable[Path]]) -> None:
    """Let modules below `roots` import packages that are not installed, until undone.

    Parameters
    ----------
    applied
        What undoes it.
    roots
        Folders of forks, asked at each missing import.
    """
    finder = _Finder(roots)
    sys.meta_path.append(finder)
    applied.on_undo(finder.withdraw)
