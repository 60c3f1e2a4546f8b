"""Commands under ``synet run``: real processes, with the user's own things in their way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch_fork
from torch_fork import run, told

from synet.custom_patches import patch_custom, unpatch
from synet.patches import process as custom_patches
from synet.patches.child_processes import STARTUP, patching_variables
from synet.patches.target import only

PATCHED = "import synet.patches.process as c; print(c._active and c._active.chip)"
GUARDED = """\
if __name__ == "__main__":
    from synet.custom_patches import patch_custom

    patch_custom("katana")
"""


@pytest.fixture
def fork(tmp_path) -> Path:
    return torch_fork.write(tmp_path / "fork")


def python(code: str, *options: str, cwd: Path, status: int = 0, **environment: str) -> list[str]:
    """Lines that ``python -c`` prints under ``synet run``."""
    out, err = run(
        *("synet", "run", "--", "python", *options, "-c", code),
        cwd=cwd,
        status=status,
        **environment,
    )
    return (out + err).splitlines()


# --------------------------------------------------------------------------------- what is patched


@pytest.mark.parametrize(
    ("lines", "command"),
    [
        pytest.param("", ["synet", "run", "--chip", "katana", "--", "python"], id="no change"),
        pytest.param(torch_fork.TWO_LINES, ["python"], id="two lines"),
        pytest.param(GUARDED, ["python"], id="two lines that a worker does not run"),
    ],
)
def test_a_training_and_its_spawned_workers_are_patched(tmp_path, lines, command):
    fork = torch_fork.write(tmp_path, lines)
    out, _ = run(*command, "train.py", "--workers", "1", cwd=fork)
    (one,) = told(out)
    assert one["conv"] == ["synet.layers.conv"] and one["trapz"]
    assert one["in worker"] == ["synet.layers.conv"] * 2


def test_repairs_alone_leave_layers_alone(fork):
    command = ["synet", "run", "--repairs-only", "--", "python", "train.py", "--workers", "1"]
    (one,) = told(run(*command, cwd=fork)[0])
    assert one["conv"] == ["models.common"] and one["in worker"] == ["models.common"] * 2
    assert one["trapz"]
    (plain,) = told(run("python", "train.py", cwd=fork)[0])
    assert plain["conv"] == ["models.common"] and not plain["trapz"]


SEE = f"import sys, torch, json; {PATCHED}; print(json.dumps(sys.argv))"


@pytest.mark.parametrize(
    ("how", "first"),
    [
        (["see.py"], "see.py"),
        (["-m", "package.see"], "PACKAGE/see.py"),
        (["-c", SEE], "-c"),
    ],
    ids=["script", "module", "code"],
)
def test_arguments_are_completed_before_the_script_sees_them(tmp_path, how, first):
    package = tmp_path / "package"
    package.mkdir()
    for file in (package / "see.py", tmp_path / "see.py"):
        file.write_text(SEE)
    command = ["synet", "run", "--", "python", *how, "--cfg", "katana-kqvga", "--epochs", "1"]
    chip, argv = run(*command, cwd=tmp_path)[0].splitlines()
    name, option, cfg, *more = json.loads(argv)
    assert chip == "katana" and option == "--cfg"
    assert name == first.replace("PACKAGE", str(package))
    assert Path(cfg).is_file() and Path(cfg).name == "katana-kqvga.yaml"
    assert more == ["--epochs", "1", "--img", "240,320", "--weights", ""]


def test_a_process_below_a_process_below_a_shell(tmp_path):
    (tmp_path / "inner.py").write_text(f"import torch; {PATCHED}")
    outer = "import subprocess, sys; subprocess.run([sys.executable, 'inner.py'], check=True)"
    (tmp_path / "outer.py").write_text(outer)
    command = ["synet", "run", "--", "sh", "-c", "python outer.py"]
    assert run(*command, cwd=tmp_path)[0].split() == ["katana"]


def test_the_two_lines_below_the_command_are_harmless(tmp_path):
    code = f"{torch_fork.TWO_LINES}import torch; {PATCHED}; print(type(torch.load.__wrapped__))"
    assert python(code, cwd=tmp_path) == ["katana", "<class 'function'>"]


def test_a_script_that_wants_something_else_is_told(tmp_path):
    command = ["synet", "run", "--repairs-only", "--", "python", "-c", torch_fork.TWO_LINES]
    _, err = run(*command, cwd=tmp_path, status=2)
    assert err.startswith("synet: already patched for repairs alone; call unpatch()")


def test_a_process_may_withdraw_before_torch(tmp_path):
    code = f"import os; del os.environ['SYNET_RUN']; import torch; {PATCHED}"
    assert python(code, cwd=tmp_path) == ["None"]


def test_commands_of_synet_choose_their_chip_themselves(tmp_path):
    code = "from synet.cli import main; main(['zoo', 'list'], None, None, False); "
    assert python(f"{code}import torch; {PATCHED}", cwd=tmp_path)[-1] == "None"


# -------------------------------------------------------------------- what is the user's stays so


def test_a_process_without_torch_gets_neither_torch_nor_synet(tmp_path):
    code = "import sys, json; print(json.dumps([sorted(sys.modules), sys.path]))"
    (line,) = python(code, cwd=tmp_path)
    modules, path = json.loads(line)
    assert "sitecustomize" not in modules and str(STARTUP) not in path
    assert {name.partition(".")[0] for name in modules}.isdisjoint({"synet", "torch", "numpy"})
    plain = json.loads(run("python", "-c", code, cwd=tmp_path)[0])
    assert path == plain[1] and set(modules) <= {*plain[0], "importlib.machinery", "importlib"}


def test_python_s_path_is_kept_in_order(tmp_path):
    entries = [str(tmp_path / name) for name in ("one", "two")]
    code = "import os, sys; print(os.environ['PYTHONPATH'], *sys.path[1:3], sep='\\n')"
    told = python(code, cwd=tmp_path, PYTHONPATH=os.pathsep.join(entries))
    assert told == [os.pathsep.join([str(STARTUP), *entries]), *entries]


def below(text: str, folder: Path, code: str) -> tuple[str, str]:
    """What Python says below a patch, where the user's own ``sitecustomize`` holds `text`."""
    (folder / "sitecustomize.py").write_text(text)
    path = os.pathsep.join([str(STARTUP), str(folder)])
    settings = patching_variables(only("katana")) | {"PYTHONPATH": path}
    return run("python", "-c", code, cwd=folder, **settings)


def test_the_user_s_sitecustomize_runs_once_and_is_the_one_that_is_imported(tmp_path):
    look = "import sitecustomize; print(sitecustomize.VALUE, sitecustomize.__file__)"
    out, err = below("print('theirs')\nVALUE = 5\n", tmp_path, look)
    assert (out, err) == (f"theirs\n5 {tmp_path / 'sitecustomize.py'}\n", "")


@pytest.mark.parametrize("text", ["1 / 0", "import no_such_module"])
def test_a_mistake_in_it_is_told_as_python_tells_it(tmp_path, text):
    told = below(text, tmp_path, "print(1)")
    plain = run("python", "-c", "print(1)", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert told == plain and "Error in sitecustomize" in told[1]


def test_in_a_shell_below_a_patch_nothing_is_added_twice(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/one", ""]))
    once = patching_variables(only("katana"))
    assert once["PYTHONPATH"].split(os.pathsep) == [str(STARTUP), "/one", ""]
    monkeypatch.setenv("PYTHONPATH", once["PYTHONPATH"])
    assert patching_variables(only("katana")) == once
    monkeypatch.setenv("PYTHONPATH", "")
    assert patching_variables(only("katana"))["PYTHONPATH"] == str(STARTUP)


def test_unpatch_restores_the_environment():
    unpatch()
    before = dict(os.environ)
    patch_custom("katana")
    assert json.loads(os.environ["SYNET_RUN"])["chip"] == "katana"
    assert os.environ["PYTHONPATH"].startswith(str(STARTUP))
    unpatch()
    assert dict(os.environ) == before and custom_patches._active is None


def test_triton_comes_before_a_tensorflow_that_is_imported_first(tmp_path):
    for name in ("triton", "tensorflow"):
        (tmp_path / f"{name}.py").write_text(f"print('{name}')")
    told = python("import tensorflow", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert told == ["triton", "tensorflow"]


# ----------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("status", [0, 3])
def test_streams_and_status_are_the_command_s(tmp_path, status):
    code = f"cat; echo wrong >&2; exit {status}"
    process = torch_fork.start("synet", "run", "--", "sh", "-c", code, cwd=tmp_path)
    assert process.communicate(timeout=60) == ("", "wrong\n")
    assert process.returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "process"])
def test_signals_reach_the_command(tmp_path, number, whole_group):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "try: print('up', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: print('told'); sys.exit(7)\n"
    )
    process = torch_fork.start("synet", "run", "--", "python", "-c", code, cwd=tmp_path)
    assert process.stdout.readline() == "up\n"
    (os.killpg if whole_group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == ((7, "told\n", "") if number == 2 else (9, "", ""))


def test_a_reader_that_leaves_ends_the_command_as_ever(tmp_path):
    out, err = run("synet", "run", "--", "sh", "-c", "yes | head -1; exit 0", cwd=tmp_path)
    assert (out, err) == ("y\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "no-such-program"], "'no-such-program' is no program on PATH"),
        (["--", ""], "'' is no program on PATH"),
        (["--", "."], "'.' is no program on PATH"),
        (["--", "./train.py"], "did you mean: synet run -- python ./train.py"),
        (["--", "./damaged"], "cannot run ./damaged: Exec format error"),
        (["--chip", "katanna", "--", "python"], "did you mean katana"),
        (["--chip", "katana", "--repairs-only", "--", "python"], "give --repairs-only alone, or"),
    ],
)
def test_the_user_s_mistakes(tmp_path, words, said):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "damaged").write_text("no magic number")
    (tmp_path / "damaged").chmod(0o755)
    out, err = run("synet", "run", *words, cwd=tmp_path, status=2)
    (line,) = err.splitlines()
    assert line.startswith("synet: ") and said in line and out == ""


@pytest.mark.parametrize("words", [[], ["--"], ["--chp", "katana", "--", "python"]])
def test_what_cannot_be_parsed(tmp_path, words):
    (line,) = run("synet", "run", *words, cwd=tmp_path, status=2)[1].splitlines()
    assert line.startswith("synet: ")


# --------------------------------------------------------------------- Pythons that have no SyNet


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The scripts of an environment with a torch and without SyNet."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    look = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([scripts / "python", "-c", look], capture_output=True, text=True)
    Path(done.stdout.strip(), "torch.py").write_text("print('torch')\n")
    return scripts


def test_a_python_without_synet_is_refused_once_it_imports_torch(bare, tmp_path):
    command = ["synet", "run", "--", bare / "python", "-c"]
    assert run(*command, "print(1)", cwd=tmp_path) == ("1\n", "")
    out, err = run(*command, "import torch; print('trained')", cwd=tmp_path, status=2)
    assert out == "torch\n"
    (line,) = err.splitlines()
    assert line.startswith(f"synet: {bare / 'python'} cannot be patched (No module named 'synet')")
    assert line.endswith(f"or run {sys.executable}, which has it")


def test_python_is_the_one_that_runs_synet_where_that_on_path_has_none(bare, tmp_path):
    command = [Path(sys.executable).with_name("synet"), "run", "--", "python", "-c", "import sys"]
    command[-1] += "; print(sys.executable)"
    out, err = run(*command, cwd=tmp_path, PATH=os.pathsep.join([str(bare), os.defpath]))
    assert out == f"{sys.executable}\n"
    said = f"{bare / 'python'}, the python on PATH, has no SyNet; running {sys.executable}"
    assert err == f"synet: {said}\n"


def test_scripts_beside_that_python_are_found_off_path(tmp_path):
    command = [Path(sys.executable).with_name("synet"), "run", "--", "torchrun", "--help"]
    assert "--nproc-per-node" in run(*command, cwd=tmp_path, PATH=os.defpath)[0]


@pytest.mark.parametrize(
    "module", ["synet.checkpoints.read", "synet.layers", "synet.quantization.quantize_model"]
)
def test_a_module_of_ours_that_imports_torch_itself(tmp_path, module):
    code = (
        f"import {module}, torch; import synet.checkpoints.read; print(type(torch.load).__name__)"
    )
    environment = {**os.environ, **patching_variables(only("katana"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "FunctionWrapper\n"), done.stderr
