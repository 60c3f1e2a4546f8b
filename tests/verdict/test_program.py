from __future__ import annotations

import dataclasses
import sys

import pytest

from synet.chips import get_chip
from synet.system.errors import ChipError, SynetError
from synet.verdict import program


def test_a_version_that_is_installed_is_asked_where_it_is():
    found = program.program("5.2", "5.2")
    assert found.version == "5.2.0" and found.command[0] == sys.executable


def test_a_chip_asks_what_its_file_lists():
    sabre = get_chip("sabre")
    assert sabre.compiler.versions == ("5.2", "4.3") and sabre.compiler.version == "5.2"
    other = sabre.asking("4.3")
    assert other.compiler.version == "4.3"
    assert dataclasses.replace(other, compiler=sabre.compiler) == sabre
    with pytest.raises(
        ChipError, match="no vela '4.4' is known for sabre; its file lists 5.2, 4.3"
    ):
        sabre.asking("4.4")
    with pytest.raises(ChipError, match="katana has no public compiler"):
        get_chip("katana").asking("4.3")


def test_a_program_of_the_users_own(tmp_path):
    own = tmp_path / "vela"
    own.write_text(f"#!{sys.executable}\nprint('4.9.1')\n")
    own.chmod(0o755)
    assert program.program(str(own), "5.2").version == "4.9.1"
    other = tmp_path / "other"
    other.write_text(f"#!{sys.executable}\nprint('hello')\n")
    other.chmod(0o755)
    for path in (other, tmp_path / "none", tmp_path / "data"):
        (tmp_path / "data").write_text("no program")
        with pytest.raises(SynetError, match=f"{path} is no Vela: it does not tell its version"):
            program.program(str(path), "5.2")


def test_without_a_network_the_environment_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache"))
    for name, value in (
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_INDEX_URL", "http://localhost:9/simple"),
        ("PIP_RETRIES", "0"),
        *((name, "") for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(SynetError) as error:
        program.program("4.3", "5.2")
    told = str(error.value)
    assert "\n" not in told and "--compiler .../bin/vela" in told
    assert "no environment could be made for ethos-u-vela==4.3.* (No matching distribution" in told
    assert [*(tmp_path / "cache" / "compilers").iterdir()] == []
