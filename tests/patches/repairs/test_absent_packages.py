"""Packages that are not installed fail where they are used, unless the fork expects it."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest
from small_fork import forget

from synet.patches.repairs import absent_packages as absent
from synet.patches.repairs.absent_packages import tolerate_absent_packages
from synet.patches.undo import Applied
from synet.system.errors import PatchError


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """Write modules of a fork and import them, with the repair in place for its folder."""
    folder, applied = tmp_path / "absent_fork", Applied()
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    tolerate_absent_packages(applied, lambda: [folder])

    def load(text: str, **others: str):
        for name, source in {"__init__": "", "main": text, **others}.items():
            (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module("absent_fork.main")

    yield load
    applied.undo()
    forget(tmp_path)


def test_what_is_never_used_does_no_harm(fork, caplog):
    text = "import nowhere_a\nimport nowhere_b.sub as b\nfrom nowhere_c.x import Layer\ndone = 1\n"
    assert fork(text).done == 1
    assert "nowhere_a is not installed, and " in caplog.text and "main.py:1 imports" in caplog.text


def test_a_guard_around_something_else_guards_no_import(fork):
    text = "try:\n    done = __import__('absent_fork.other').other.done\n"
    assert (
        fork(f"{text}except Exception:\n    raise\n", other="import nowhere_h\ndone = 1\n").done
        == 1
    )


def test_an_import_within_a_function_fails_as_ever(fork):
    text = (
        "def load():\n    import nowhere_i\ntry:\n    load()\nexcept ImportError:\n    done = 0\n"
    )
    assert fork(text).done == 0


def test_what_is_used_says_where_it_is_imported(fork):
    main = fork("from nowhere_c.x import Layer\nclass Mine(Layer):\n    pass\n")
    for use in (main.Layer, main.Mine, lambda: main.Layer.make[0], lambda: main.Layer | None):
        with pytest.raises(PatchError, match=r"Layer.* is used, .* \(.*main\.py:1 imports it\)$"):
            use()


@pytest.mark.parametrize(
    ("package", "hint"),
    [("skimage", ": pip install scikit-image"), ("DCNv2", ""), ("models", ""), ("utils", "")],
)
def test_a_hint_names_what_pip_has_or_nothing(package, hint):
    with pytest.raises(PatchError) as caught:
        absent._Absent(f"{package}.make", "here.py:1")()
    assert str(caught.value).endswith(f"{package} is not installed (here.py:1 imports it){hint}")


# ---------------------------------------------------------------------------- while it is imported

DECORATED = """
import functools
import nowhere_j, nowhere_k
from nowhere_l.cnn import LAYERS

def register(name):  # the fork's own, of somebody else's registry
    return LAYERS.register_module(name)

@LAYERS.register_module()
class Attention:
    def width(self):
        return 8

@register("focus")
class Focus:
    pass

@nowhere_j.jit
def once(x: nowhere_k.Float[int, "b c"] | None, y: nowhere_k.A | nowhere_k.B = None):
    return x + 1

@nowhere_j.jit(nopython=True)
@functools.lru_cache
def twice(x):
    return 2 * x

class Both:
    @nowhere_j.njit(cache=True)
    def method(self):
        return 3

    @staticmethod
    @nowhere_j.jit
    def static():
        return 4

    @nowhere_k.cached
    @property
    def kept(self):
        return 5

class Base(nowhere_k.Base[int], metaclass=nowhere_k.Meta):
    pass

class Derived(Base):
    pass

config = nowhere_k.Config()
table = {"a": nowhere_k.make(1).build["x"](Attention(), 2)}

def use():
    return config.lr, nowhere_k.make(1)

def decorate():
    @LAYERS.register_module()
    class Late:
        pass
"""


def test_what_it_decorates_is_what_it_was(fork):
    main = fork(DECORATED)
    assert main.Attention().width() == 8 and main.Focus.__name__ == "Focus"
    assert (main.once(1), main.twice(2)) == (2, 4)
    both = main.Both()
    assert (both.method(), both.static(), both.kept) == (3, 4, 5)


@pytest.mark.parametrize("name", ["use", "decorate", "Derived", "config", "Base"])
def test_what_is_called_after_the_import_fails(fork, name):
    main = fork(DECORATED)
    with pytest.raises(PatchError, match=r"nowhere_[kl]\S* is used, and nowhere_[kl] is not inst"):
        getattr(main, name)()


def test_nothing_is_of_a_class_that_is_not_here(fork):
    main = fork("from nowhere_m import Layer\n")
    assert not isinstance(1, main.Layer) and not issubclass(int, main.Layer)
    assert not isinstance(1, (main.Layer, str))


def test_a_module_that_a_running_function_imports_is_imported(fork):
    """The call stack is that of the function; the calls are those of the import."""
    main = fork(
        "def late():\n    from absent_fork import other\n    return other\n",
        other="import nowhere_n\n@nowhere_n.register('x')\ndef f():\n    return nowhere_n.g()\n",
    )
    other = main.late()
    with pytest.raises(PatchError, match=r"nowhere_n\.g is used"):
        other.f()


SCRIPT = """
import sys
from pathlib import Path
from synet.patches.repairs.absent_packages import tolerate_absent_packages
from synet.patches.undo import Applied
tolerate_absent_packages(Applied(), lambda: [Path(__file__).resolve().parent])
import nowhere_o

@nowhere_o.jit(nopython=True)
def kept():
    return 1

def main():
    print(kept())
    nowhere_o.run()

main()
"""


def test_the_body_of_the_script_counts_and_what_it_calls_does_not(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "1\n" and done.returncode == 1
    assert "PatchError: nowhere_o.run is used, and nowhere_o is not installed" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import nowhere_d\nexcept ImportError:\n    nowhere_d = None\n",
        "try:\n    import nowhere_d\nexcept:\n    nowhere_d = None\n",
        "import contextlib\nnowhere_d = None\n"
        "with contextlib.suppress(ImportError):\n    import nowhere_d\n",
        "import importlib.util\nnowhere_d = importlib.util.find_spec('nowhere_d')\n",
        "try:\n    from absent_fork import other\nexcept Exception:\n    nowhere_d = None\n",
    ],
)
def test_a_fork_that_expects_it_is_told_the_truth(fork, text):
    assert fork(text, other="import nowhere_d\n").nowhere_d is None


def test_a_module_of_the_fork_that_is_missing_is_missing(fork):
    with pytest.raises(ImportError):
        fork("from absent_fork.lost import x\n")


def test_others_are_told_the_truth(fork):
    fork("import nowhere_e\n")
    with pytest.raises(ImportError):
        importlib.import_module("nowhere_f")
    assert importlib.util.find_spec("nowhere_f") is None


def test_undoing_forgets_them(tmp_path, monkeypatch):
    (tmp_path / "undone_fork.py").write_text("import nowhere_g\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    applied, finders = Applied(), list(sys.meta_path)
    tolerate_absent_packages(applied, lambda: [tmp_path])
    importlib.import_module("undone_fork")
    applied.undo()
    assert sys.meta_path == finders and "nowhere_g" not in sys.modules
    forget(tmp_path)
