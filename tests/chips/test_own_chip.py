"""A third chip is a file: the documentation's own, as a user writes it, judged by the real Vela."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synet.chips import add_chip, chip_for_images, chips, get_chip
from synet.chips.known import OWN
from synet.cli import main
from synet.system.errors import ChipError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "chips.md"


@pytest.fixture
def u65(tmp_path, monkeypatch):
    """The worked example's file, and a process that has never heard of it."""
    monkeypatch.setenv(OWN, "")
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    path = tmp_path / "ethos-u65.yaml"
    path.write_text(text)
    return path


def by_hand(model: Path, arena_bytes: int) -> tuple[float, int]:
    """Bytes of SRAM and cycles, as Vela tells them of its own configuration of an Ethos-U65."""
    command = [str(Path(sys.executable).with_name("vela")), model.name, "--output-dir", "vela"]
    command += ["--accelerator-config", "ethos-u65-256", "--config", "Arm/vela.ini"]
    command += ["--system-config", "Ethos_U65_Embedded", "--memory-mode", "Shared_Sram"]
    command += ["--arena-cache-size", str(arena_bytes)]
    subprocess.run(command, cwd=model.parent, check=True, capture_output=True)
    with (model.parent / "vela" / f"{model.stem}_summary_Ethos_U65_Embedded.csv").open() as file:
        (row,) = csv.DictReader(file)
    return float(row["sram_memory_used"]) * 1024, int(float(row["cycles_total"]))


@pytest.mark.slow
def test_a_model_of_the_zoo_on_a_chip_of_ones_own(u65):
    from synet.models.get_model import to_tflite_bytes

    model = u65.with_name("zoo.tflite")
    model.write_bytes(to_tflite_bytes("katana-kqvga"))

    ran = CliRunner().invoke(main, ["profile", str(model), "--chip", str(u65), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["chip"] == "ethos-u65" and told["fits"]
    compiled = told["compiled"]
    figures = compiled["sram_bytes"], compiled["cycles"]
    assert figures == by_hand(model, compiled["arena_bytes"])
    assert compiled["seconds"] == pytest.approx(compiled["cycles"] / 500e6)
    assert told["verdict"].startswith("fits ethos-u65: ") and "on the NPU" in told["verdict"]

    small = u65.with_name("small-u65.yaml")
    small.write_text(u65.read_text().replace("bytes: 1048576", "bytes: 131072"))
    ran = CliRunner().invoke(main, ["profile", str(model), "--chip", str(small)])
    assert ran.exit_code == 3
    assert "does not fit small-u65: " in ran.output and "KiB too much at layer" in ran.output


def test_it_goes_by_its_name_once_its_file_is_known(u65):
    with pytest.raises(ChipError, match="no chip is named 'ethos-u65'.*give the path of a chip's"):
        get_chip("ethos-u65")
    assert add_chip(u65) == add_chip(os.path.relpath(u65)) == "ethos-u65"
    assert chips() == ("ethos-u65", "katana", "sabre")
    chip = get_chip("ethos-u65")
    assert chip.file == u65.resolve() and chip.compiler.macs_per_cycle == 256
    assert chip is get_chip("ethos-u65")
    assert chip.ops == get_chip("sabre").ops  # Vela takes the same for both
    code = "from synet.chips import get_chip; print(get_chip('ethos-u65').title)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "Ethos-U65, 256 MACs\n"  # a process that this one starts knows it, too


def test_it_is_read_anew_when_it_was_edited(u65):
    add_chip(u65)
    assert get_chip("ethos-u65").activations_max_bytes == 1 << 20
    u65.write_text(u65.read_text().replace("bytes: 1048576", "bytes: 2097152"))
    os.utime(u65, ns=(1, 1))
    assert get_chip("ethos-u65").activations_max_bytes == 2 << 20


def test_a_name_is_one_chips_alone(u65):
    katana = u65.rename(u65.with_name("katana.yaml"))
    add_chip(katana)
    with pytest.raises(ChipError, match=r"katana.yaml: .*katana.yaml is the chip katana; give"):
        get_chip("katana")


def test_a_file_that_is_not_there_is_told_in_one_line(u65):
    ran = CliRunner().invoke(main, ["profile", "katana-kqvga", "--chip", f"{u65}.yaml"])
    assert ran.exit_code == 2
    assert f"{u65}.yaml: no such file" in ran.output and not os.environ[OWN]
    add_chip(u65.with_name("gone.yaml"))
    with pytest.raises(ChipError, match="gone.yaml: cannot be read"):
        get_chip("gone")


def test_where_nobody_names_a_chip_it_is_one_of_those_that_say_so(u65):
    add_chip(u65)
    assert [chip_for_images(channels).name for channels in (0, 1, 2, 3, 4)] == [
        *("katana", "katana", "sabre", "sabre", "sabre"),
    ]
    u65.write_text(
        u65.read_text().replace("image_channels: 3 ", "is_default: true\nimage_channels: 4 ")
    )
    os.utime(u65, ns=(1, 1))
    assert chip_for_images(4).name == "ethos-u65"
