"""The path that is taken to an answer, and that both ends tell the same."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from synet import zoo
from synet.chips import get_chip
from synet.cli import main
from synet.inspection.claimed import EXACT, claimed
from synet.inspection.profile import profile
from synet.inspection.summary import summarize

HEAVY = ("torch", "tensorflow", "keras", "cv2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNET_CACHE", str(tmp_path / "cache"))


def synet(*arguments):
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.fixture
def nothing_is_built(monkeypatch):
    """Whoever imports what builds a network fails."""
    for name in (
        *HEAVY,
        "synet.quantization.quantize_model",
        "synet.models.get_model",
        "synet.inspection.readers.network",
    ):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", zoo.names())
def test_a_model_of_the_zoo_is_told_from_what_it_claims(name, nothing_is_built):
    told = claimed(name)
    profiled, summed = synet("profile", name), synet("summary", name)
    last = profiled.splitlines()[-1]
    assert last.startswith(f"fits {told.chip.name}: ") and last.endswith(EXACT)
    for figure in (f"{told.claims.parameters:,}", f"{told.claims.macs / 1e6:.1f} M"):
        assert figure in profiled
    assert f"{told.claims.parameters:,} parameters" in summed.splitlines()[-1]
    if told.chip.compiler:
        for version in told.chip.compiler.versions[1:]:
            other = told.claims.by(version)
            assert f"Vela {version}" in profiled and f"{other.cycles / 1e6:.2f} M" in profiled
    for text in (profiled, summed):
        assert max(map(len, text.splitlines()[:-1])) <= 80


def test_what_was_built_once_is_told_without_building(monkeypatch):
    name = "katana-kqvga"
    monkeypatch.setattr("synet.data.calibration.INSPECTION", 2)  # nothing here depends on numbers
    exact = synet("profile", name, "--exact"), synet("summary", name, "--exact")
    assert "model.2.conv" in exact[0] and "model.1.conv" in exact[1]
    built = profile(name), summarize(name)
    for module in ("synet.quantization.quantize_model", "synet.inspection.readers.network"):
        monkeypatch.setitem(sys.modules, module, None)
    again = synet("profile", name), synet("summary", name)
    assert again == exact
    claims = claimed(name).claims
    assert built[0].judged.peak_bytes == claims.peak_activation_bytes
    assert (built[1].parameters, built[1].macs) == (claims.parameters, claims.macs)


def test_what_is_asked_otherwise_is_no_claim(tmp_path):
    assert claimed("katana-kqvga", (64, 64)) is None
    assert claimed("katana-kqvga", None, tmp_path) is None
    copy = tmp_path / "katana-kqvga.yaml"
    copy.write_text(zoo.model_path("katana-kqvga").read_text())
    assert claimed(copy) is None and claimed("none.pt") is None


def test_costs_by_a_version_that_claims_none():
    costs = claimed("sabre-detect-qvga").claims
    assert costs.by("4.3").cycles > costs.cycles == zoo.Claims(cycles=costs.cycles).cycles
    assert costs.by("9").cycles == 0 and costs.by("9").parameters == costs.parameters
    assert set(costs.compilers) == {*get_chip("sabre").compiler.versions[1:]}
