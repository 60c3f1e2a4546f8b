from __future__ import annotations

import json

import pytest

from synet.errors import SynetError
from synet.extras import install_command, load


def test_a_module_that_is_there():
    assert load("json", "report", "this") is json


def test_a_package_that_is_not_installed():
    with pytest.raises(SynetError) as caught:
        load("nowhere.inside", "report", "drawing")
    assert str(caught.value) == f"drawing needs nowhere: {install_command('report')}"


def test_what_an_installed_package_lacks_itself_is_told_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        load("lacking", "report", "drawing")
