"""Two ranks on the processor, by torchrun, and the ways in which they can differ."""

from __future__ import annotations

import socket
import time

import pytest
import torch.distributed as dist
import torch_fork
from torch_fork import TWO_LINES, run, told

from synet.custom_patches import patch_custom, unpatch
from synet.patches import ranks

TORCHRUN = ["torchrun", "--standalone", "--nproc_per_node", "2", "train.py"]


def synet_lines(text: str) -> list[str]:
    """What SyNet said, rather than torch."""
    return [line for line in text.splitlines() if line.startswith("synet: ")]


# ---------------------------------------------------------------------------------- real processes


@pytest.mark.parametrize(
    ("lines", "launcher"),
    [
        pytest.param("", ["synet", "run", "--chip", "katana", "--"], id="no change"),
        pytest.param(TWO_LINES, [], id="two lines"),
    ],
)
def test_every_rank_is_patched_and_they_train_together(tmp_path, lines, launcher):
    fork = torch_fork.write(tmp_path, lines)
    out, err = run(*launcher, *TORCHRUN, cwd=fork)
    first, second = told(out)
    assert [first["rank"], second["rank"]] == [0, 1] and synet_lines(err) == []
    for rank in (first, second):
        assert rank["conv"] == ["synet.layers.conv"]
        assert rank["in worker"] == ["synet.layers.conv"] * 2
    assert first["weights"] == second["weights"]


def test_ranks_that_a_patched_process_starts_from_a_file_elsewhere(tmp_path):
    """As ultralytics starts its own: the file that the ranks run knows nothing of a patch."""
    fork = torch_fork.write(tmp_path / "fork")
    ranks_run = (tmp_path / "elsewhere" / "train.py").resolve()
    ranks_run.parent.mkdir()
    (fork / "train.py").rename(ranks_run)
    words = ["-m", "torch.distributed.run", *TORCHRUN[1:-1], str(ranks_run)]
    launch = f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, *{words}]))\n"
    (fork / "launch.py").write_text(TWO_LINES + launch)
    out, _ = run("python", "launch.py", cwd=fork, PYTHONPATH=str(fork))
    assert [rank["conv"] for rank in told(out)] == [["synet.layers.conv"]] * 2


@pytest.mark.parametrize(
    ("lines", "launcher"),
    [
        pytest.param(
            "import os\nif os.environ['RANK'] == '1': del os.environ['SYNET_RUN']\n",
            ["synet", "run", "--"],
            id="no change",
        ),
        pytest.param(
            "import os\nif os.environ['RANK'] == '0':\n"
            "    from synet.custom_patches import patch_custom; patch_custom('katana')\n",
            [],
            id="two lines",
        ),
    ],
)
def test_an_unpatched_rank_stops_the_run(tmp_path, lines, launcher):
    soon = "from synet.patches import ranks; ranks.PATIENCE = 1\n"
    swallowed = torch_fork.FILES["train.py"].replace(
        "    main()\n", "    try: main()\n    except Exception as error: print('swallowed')\n"
    )
    fork = torch_fork.write(tmp_path)
    (fork / "train.py").write_text(lines + soon + swallowed)
    out, err = run(*launcher, *TORCHRUN, cwd=fork, status=1)
    (line,) = synet_lines(err)
    assert "not patched alike: rank 0 for katana; rank 1 not at all (no sign within 1 s)." in line
    assert told(out) == []


def test_a_mistake_is_told_by_a_rank_too(tmp_path):
    """Torch collects what is written about an error, and loses it where the process then exits."""
    fork = torch_fork.write(tmp_path)
    wrong = torch_fork.FILES["small.yaml"].replace("Detect", "Detectt")
    (fork / "small.yaml").write_text(wrong)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    _, err = run("synet", "run", "--", "python", "train.py", cwd=fork, status=2, **alone)
    (line,) = synet_lines(err)
    assert "small.yaml:" in line and "Detectt" in line


# -------------------------------------------------------------------------------- in this process


@pytest.fixture
def group(monkeypatch):
    """This process as the first of two ranks; the other's part is played by the store."""
    unpatch()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(ranks, "PATIENCE", 0.1)
    yield dist.distributed_c10d._get_default_store()
    unpatch()
    dist.destroy_process_group()


def test_alike(group):
    group.set("synet/1", "katana")
    ranks.compare_ranks("katana")
    assert group.get("synet/0") == b"katana"


def test_another_chip_is_told_by_one_rank(group, capsys):
    group.set("synet/1", "another")
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            ranks.compare_ranks("katana")
        assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("synet: ") and "rank 0 for katana; rank 1 for another." in line


def test_a_rank_that_comes_late_is_waited_for(group, monkeypatch):
    monkeypatch.setattr(ranks, "PATIENCE", 60)
    monkeypatch.setattr(time, "sleep", lambda _: group.set("synet/1", "katana"))
    ranks.compare_ranks("katana")


def test_a_group_that_is_there_already_is_compared_and_nothing_is_left(group):
    before = dist.init_process_group
    with pytest.raises(SystemExit):
        patch_custom("katana")
    assert dist.init_process_group is before
    group.set("synet/1", "katana")
    patch_custom("katana")
    assert dist.init_process_group is not before
    assert dist.init_process_group is dist.distributed_c10d.init_process_group
    unpatch()
    assert dist.init_process_group is before is dist.distributed_c10d.init_process_group


def test_repairs_alone_compare_nothing(group):
    before = dist.init_process_group
    patch_custom(None)
    assert dist.init_process_group is before


def test_backends_without_a_store_are_left_alone(group, monkeypatch):
    monkeypatch.setattr(dist, "get_backend", lambda: "fake")
    ranks.compare_ranks("katana")
    assert not group.check(["synet/0"])
