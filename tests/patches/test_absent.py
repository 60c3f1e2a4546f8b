"""Packages that are not installed fail where they are used, unless the fork expects it."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest
from small_fork import forget

from synet.errors import PatchError
from synet.patches.absent import tolerate_absent_packages
from synet.patches.engine import Applied


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


def test_what_is_used_says_what_to_install(fork):
    main = fork("from nowhere_c.x import Layer\nclass Mine(Layer):\n    pass\n")
    for use in (main.Layer, main.Mine, lambda: main.Layer.make[0]):
        with pytest.raises(PatchError, match=r"Layer.* is used, .*: pip install nowhere_c$"):
            use()


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
