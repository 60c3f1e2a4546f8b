from __future__ import annotations

import json
import re
import shlex

import pytest

import synet
from synet.system import optional_packages as extras
from synet.system.errors import SynetError
from synet.system.optional_packages import install_command, load


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


@pytest.mark.parametrize(
    ("direct_url", "expected"),
    [
        (None, f"'synet[report]=={synet.__version__}'"),
        (
            {"url": "file:///srv/a%20place/synet-0.1.0.whl"},
            "'/srv/a place/synet-0.1.0.whl[report]'",
        ),
        ({"url": "https://host/synet.tar.gz"}, "'synet[report] @ https://host/synet.tar.gz'"),
        (
            {"url": "https://host/our", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "'synet[report] @ git+https://host/our@abc'",
        ),
    ],
)
def test_hints_install_this_project_from_where_it_came(direct_url, expected, tmp_path, monkeypatch):
    info = tmp_path / "synet-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: synet\nVersion: 0.1.0\n")
    if direct_url:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extras, "PACKAGE", tmp_path / "synet")
    assert extras.install_command("report") == f"pip install {expected}"


def test_a_checkout_is_installed_as_one(tmp_path, monkeypatch):
    (tmp_path / "it's").mkdir()
    (tmp_path / "it's" / "setup.cfg").touch()
    monkeypatch.setattr(extras, "PACKAGE", tmp_path / "it's" / "synet")
    (flag, wanted) = shlex.split(extras.origin("export"))
    assert (flag, wanted) == ("-e", f"{tmp_path}/it's[export]")
    monkeypatch.chdir(tmp_path / "it's")
    assert extras.install_command("export") == "pip install -e '.[export]'"


def test_no_hint_names_the_project_alone():
    """A name is looked up in an index, where it may be anybody's."""
    sources = [path for path in extras.PACKAGE.rglob("*.py") if path.name != "extras.py"]
    assert not [path for path in sources if re.search(r"pip install.*synet", path.read_text())]
