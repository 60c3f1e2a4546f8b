from __future__ import annotations

import errno
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tiny_yolo
from click.testing import CliRunner
from compilers import asking

import synet
from synet import zoo
from synet.chips import get_chip
from synet.cli import main
from synet.custom_patches import unpatch
from synet.system.errors import SynetError, VerificationError
from synet.tflite.model import TfliteModel


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands write into the working directory, and may patch the process."""
    monkeypatch.chdir(tmp_path)
    yield
    unpatch()


def synet_cli(*arguments, env=None):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="synet", env=env)


def commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield pytest.param((*path, name), command, id=" ".join((*path, name)))


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "command"), commands())
def test_help_shows_an_example_that_can_be_typed(path, command):
    result = synet_cli(*path, "--help")
    assert result.exit_code == 0
    example = result.output.partition("Example:")[2].partition("\n\n")[0]
    lines = [line.strip() for line in example.splitlines() if line.strip()]
    assert lines
    for line in lines:
        words = shlex.split(line)
        assert words[: len(path) + 1] == ["synet", *path]
        arguments = [word for word in words[len(path) + 1 :]]
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        context = command.make_context("synet", arguments, resilient_parsing=False)
        assert context.command is command


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_all(option):
    result = synet_cli(option)
    assert result.exit_code == 0
    assert "Example" in result.output
    for name in main.commands:
        assert f"\n  {name} " in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 100


def test_version():
    assert synet_cli("--version").output == f"synet, version {synet.__version__}\n"


# --- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script(shell):
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("no bash, whose version click asks for")
    result = synet_cli(env={"_SYNET_COMPLETE": f"{shell}_source"})
    assert result.exit_code == 0
    assert "_SYNET_COMPLETE" in result.output and "synet" in result.output
    assert f"_SYNET_COMPLETE={shell}_complete" in result.output


def test_completions():
    words = {"COMP_WORDS": "synet qu", "COMP_CWORD": "1", "_SYNET_COMPLETE": "bash_complete"}
    assert synet_cli(env=words).output.split() == ["plain,quantize"]
    words |= {"COMP_WORDS": "synet quantize --wei", "COMP_CWORD": "2"}
    assert synet_cli(env=words).output.split() == ["plain,--weights"]


# --- mistakes: one line, and the status that says whose they are ---------------------------------


def mistake(*arguments, status=2):
    result = synet_cli(*arguments)
    assert result.exit_code == status
    (line,) = result.stderr.splitlines()
    assert line.startswith("synet: ")
    assert "Traceback" not in result.output
    return line.removeprefix("synet: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("quantize", "give one of --weights PT and --cfg YAML"),
        ("quantize --weights a.pt --cfg b.yaml", "give one of --weights PT and --cfg YAML"),
        ("quantize --cfg katana-kvg", "katana-kvg: no such file, and no such zoo model; did you"),
        ("quantize --weights none.pt", "none.pt"),
        ("quantize --weights none.pt --repo nowhere", "--repo nowhere: no such folder"),
        ("profile katana-kvg", "katana-kvg: no such file, and no such zoo model"),
        ("profile none.tflite", "cannot read none.tflite"),
        ("profile katana-kvga --chip katan", "did you mean katana"),
        ("evaluate best.pt", "give the data set: --data YAML"),
        ("predict none.tflite image.jpg", "image.jpg: no such image"),
        ("zoo show katana-kvg", "did you mean katana-kvga"),
        ("patches nowhere", "--repo nowhere: no such folder"),
        ("patches --chip katan", "did you mean katana"),
        ("yolov5 trian", "has no module 'trian'; it has"),
        ("yolov5 --repo nowhere train", "--repo nowhere: no such folder"),
    ],
)
def test_the_users_mistakes(arguments, said):
    assert said in mistake(*arguments.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("quantise", "no such command 'quantise'. Did you mean 'quantize'?"),
        ("--quite zoo list", "no such option '--quite'. Did you mean '--quiet'?"),
        ("evaluate", "missing argument 'MODEL'; see synet evaluate --help"),
        ("zoo show", "missing argument 'NAME'; see synet zoo show --help"),
        ("predict best.pt", "missing argument 'SOURCE...'; see synet predict --help"),
        ("yolov5", "missing argument 'MODULE'; see synet yolov5 --help"),
        ("evaluate a.pt b.pt", "got unexpected extra argument (b.pt); see synet evaluate --help"),
        ("evaluate a.pt --splits val", "no such option '--splits'. Did you mean '--split'?"),
        (
            "quantize --backend yolov3",
            "invalid value for '--backend': 'yolov3' is not one of 'yolov5', 'ultralytics'; "
            "see synet quantize --help",
        ),
        ("profile a.tflite --imgsz 480", "option '--imgsz' requires 2 arguments; see synet pro"),
        ("profile a.tflite --imgsz 0 640", "0 is not in the range x>=1; see synet profile --help"),
        ("metrics d.yaml --models", "option '--models' requires an argument; see synet metrics"),
    ],
)
def test_what_cannot_be_parsed_is_told_in_a_line(arguments, said):
    assert said in mistake(*arguments.split())


def test_a_strange_word_does_not_break_the_line():
    assert "\x1b" not in mistake("evaluate", "a.pt", "b\n\x1b[31m.pt")


def test_the_same_of_python_m_synet():
    command = [sys.executable, "-m", "synet", "evaluate"]
    done = subprocess.run(command, capture_output=True, text=True)
    told = "synet: missing argument 'MODEL'; see python -m synet evaluate --help\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_a_group_without_a_command_shows_what_there_is():
    result = synet_cli("zoo")
    assert result.exit_code == 2
    assert "\n  show " in result.output and "\\n" not in result.output


def test_data_is_checked_before_anything_is_converted(tmp_path):
    tiny_yolo.write(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images\nval: images\n")
    for data, said in (("data.yaml", "data.yaml"), ("none.yaml", "none.yaml")):
        assert said in mistake("quantize", "--cfg", "tiny.yaml", "--data", data)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml", "data.yaml"}


def test_a_checkpoint_that_is_none(tmp_path):
    (tmp_path / "best.pt").write_text("not a checkpoint")
    assert "best.pt" in mistake("quantize", "--weights", "best.pt")
    assert "best.pt" in mistake("quantize", "--weights", "best.pt", "--random")


def test_a_yaml_is_no_checkpoint_nor_the_other_way_round(tmp_path):
    said = "--weights katana-kqvga.yaml: no checkpoint, which ends in .pt; of an untrained model"
    assert said in mistake("quantize", "--weights", "katana-kqvga.yaml")
    assert "say --weights best.pt" in mistake("quantize", "--cfg", "best.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "version"),
    [([], "5.2"), pytest.param(["--compiler", "4.3"], "4.3", marks=pytest.mark.slow)],
)
def test_quantize_ends_with_what_the_chip_says(options, version, tmp_path):
    asking(get_chip("sabre"), version)
    tiny_yolo.write(tmp_path)
    result = synet_cli("quantize", "--cfg", "tiny.yaml", "--chip", "sabre", *options)
    last = result.stdout.splitlines()[-1]
    assert re.search(
        r", which fits sabre: \d+\.\d of 1500\.0 KiB SRAM, \d\.\d\d ms an image, "
        rf"says Vela {re.escape(version)}\.0$",
        last,
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [(SynetError("yours"), 2), (VerificationError("ours"), 1), (KeyboardInterrupt(), 130)],
)
def test_the_status_says_whose_mistake_it_was(error, status, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(zoo, "names", fail)
    text = mistake("zoo", "list", status=status)
    assert text == (str(error) or "interrupted")


def test_a_mistake_of_ours_shows_where(monkeypatch):
    monkeypatch.setattr(zoo, "names", lambda: 1 / 0)
    result = synet_cli("zoo", "list")
    assert isinstance(result.exception, ZeroDivisionError) and result.exit_code == 1


# --- what works ---------------------------------------------------------------------------------


def test_a_yaml_of_a_stranger_is_shown_as_text(tmp_path):
    yaml, other, page = tmp_path / "a.yaml", tmp_path / "b.pt", tmp_path / "c.pt"
    page.write_text("<html>\n")
    assert synet_cli("zoo", "show", str(page)).exit_code == 2
    yaml.write_text("nc: 2 # \u202egnp\n", encoding="utf-8")
    other.write_bytes(b"\x80\x02}")
    assert synet_cli("zoo", "show", str(yaml)).output == "nc: 2 # \\u202egnp\n"
    told = synet_cli("zoo", "show", str(other))
    assert told.exit_code == 2
    assert told.output == f"synet: {other}: cannot be read: not UTF-8 text\n"


def test_the_zoo():
    result = synet_cli("zoo", "list")
    assert result.exit_code == 0
    head, *rows = result.output.splitlines()
    assert [row.split()[0] for row in rows] == zoo.names()
    for row in rows:
        claims = zoo.claims(zoo.read_definition(zoo.model_path(row.split()[0])))
        assert f"{claims.parameters:,}" in row and "x".join(map(str, claims.image_shape)) in row
        assert len(row) == len(head)
    shown = synet_cli("zoo", "show", "katana-kqvga").output
    assert shown == zoo.model_path("katana-kqvga").read_text()


def test_patches_shows_and_leaves_nothing():
    import torch

    load = torch.load
    result = synet_cli("patches")
    assert result.exit_code == 0, result.output
    assert torch.load is load
    for old, new in (("Conv", "conv.Conv"), ("Detect", "yolov5.Detect"), ("Concat", "basic.Cat")):
        assert old in result.output and f"synet.layers.{new}" in result.output
    assert "names for katana" in result.output.splitlines()[-1]


def test_quantize_and_profile(tmp_path):
    """At an image shape that the strides do not divide, which is no mistake."""
    tiny_yolo.write(tmp_path)
    result = synet_cli("quantize", "--cfg", "tiny.yaml", "--image-shape", 61, 99)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "calibrated on random images, seed 0"
    assert lines[1].startswith("Keras against torch: at most ")
    assert lines[2] == "int8 against float: not proven: calibrated on random images"
    assert lines[-1].startswith("wrote model.tflite (")
    assert re.search(r"which fits katana: \d+\.\d of 640\.0 KiB activations; its speed", lines[-1])
    assert len(lines) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml", "model.tflite"}
    assert TfliteModel("model.tflite").image_shape == (61, 99)
    shown = synet_cli("profile", "model.tflite")
    assert shown.exit_code == 0
    assert "model.1.first.conv" in shown.output
    assert shown.output.splitlines()[-1].startswith("fits katana: ")


# --- a full disk --------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_standard_output_on_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "synet", "zoo", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    said = "synet: a temporary file, or standard output: No space left on device\n"
    assert done.stderr == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left", "/tmp/x\x1b"),
            "synet: /tmp/x\\x1b: No space left\n",
        ),
        (SynetError("a\nb\x07"), "synet: a\\nb\\x07\n"),
        (SynetError("x" * 100_000), f"synet: {'x' * 2000} [...] {'x' * 2000}\n"),
    ],
)
def test_what_is_told_is_one_line_with_an_end(error, said, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("synet.zoo.names", fail)
    result = synet_cli("zoo", "list")
    assert (result.exit_code, result.stderr) == (2, said)


def test_an_error_of_our_own_is_not_told_as_the_users(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("synet.zoo.names", fail)
    assert isinstance(synet_cli("zoo", "list").exception, OSError)
