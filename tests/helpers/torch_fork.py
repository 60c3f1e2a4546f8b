"""A YOLO in the layout of YOLOv5, of a few lines and with torch, that trains in seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TWO_LINES = 'from synet.custom_patches import patch_custom\n\npatch_custom("katana")\n'

CONCAT = """
class Concat(nn.Module):
    def __init__(self, dimension=1):
        super().__init__()
        self.d = dimension

    def forward(self, x):
        return torch.cat(x, self.d)
"""

DETECT = """
class Detect(nn.Module):
    stride = None

    def __init__(self, nc=80, anchors=(), ch=()):
        super().__init__()
        self.nc, self.no, self.nl, self.na = nc, nc + 5, len(anchors), len(anchors[0]) // 2
        self.register_buffer("anchors", torch.tensor(anchors).float().view(self.nl, -1, 2))
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in ch)

    def forward(self, x):
        return [layer(one) for layer, one in zip(self.m, x)]
"""

FILES = {
    "models/__init__.py": "",
    "models/common.py": """
import torch
from torch import nn

class Conv(nn.Module):
    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2 if p is None else p, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act = nn.SiLU() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

class DWConv(Conv):
    def __init__(self, c1, c2, k=1, s=1):
        super().__init__(c1, c2, k, s, g=c1)
"""
    + CONCAT,
    "models/yolo.py": """
import torch
from torch import nn
import yaml
from models.common import Concat, Conv
"""
    + DETECT
    + """
class Model(nn.Module):
    def __init__(self, cfg, ch=3, nc=None, anchors=None):
        super().__init__()
        with open(cfg) as file:
            self.yaml = yaml.safe_load(file)
        self.model, self.save = parse_model(self.yaml, [self.yaml.get("ch", ch)])
        self.model[-1].stride = torch.tensor([4.0])

    def forward(self, x):
        for layer in self.model[:-1]:
            x = layer(x)
        return self.model[-1]([x])

def parse_model(d, ch):
    layers, nc, anchors = [], d["nc"], d["anchors"]
    for i, (f, n, m, args) in enumerate(d["backbone"] + d["head"]):
        m = eval(m)
        args = [{"nc": nc, "anchors": anchors}.get(str(a), a) for a in args]
        if m in [Conv]:
            args = [ch[f], *args]
        if m is Detect:
            args.append([ch[j] for j in f])
        layer = m(*args)
        layer.i, layer.f, layer.type, layer.np = i, f, str(m), 0
        layers.append(layer)
        ch = (ch if i else []) + [args[1] if m is Conv else ch[-1]]
    return nn.Sequential(*layers), []
""",
    "small.yaml": """
nc: 2
ch: 1
anchors: [[10, 13, 16, 30]]
backbone: [[-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8, 3, 2]]]
head: [[[1], 1, Detect, [nc, anchors]]]
""",
    "images.py": """
import torch
from models.common import Conv, DWConv

class Images(torch.utils.data.Dataset):
    def __init__(self):
        self.layers = [Conv(1, 4), DWConv(4, 4)]  # pickled for a worker

    def __len__(self):
        return 8

    def __getitem__(self, index):
        with torch.no_grad():
            self.layers[1](self.layers[0](torch.rand(1, 1, 8, 8)))
        return torch.rand(1, 32, 32)

def collate(images):
    return torch.stack(images), [kind.__module__ for kind in (Conv, DWConv.__base__)]
""",
    "train.py": """
import argparse, json, os, sys
from models.yolo import Model  # imports torch, in the middle of being imported itself
import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from images import Images, collate

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg", default="small.yaml")
    parser.add_argument("--workers", type=int, default=0)
    options, _ = parser.parse_known_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    model = Model(options.cfg)
    network = DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    loader = DataLoader(
        Images(),
        batch_size=4,
        collate_fn=collate,
        num_workers=options.workers,
        multiprocessing_context="spawn" if options.workers else None,
    )
    for images, of_worker in loader:
        sum(y.square().mean() for y in network(images)).backward()
        optimizer.step()
        optimizer.zero_grad()
    told = {
        "rank": dist.get_rank() if dist.is_initialized() else None,
        "conv": sorted({type(m).__module__ for m in model.modules() if hasattr(m, "bn")}),
        "in worker": of_worker,
        "cfg": options.cfg,
        "argv": sys.argv[1:],
        "weights": sum(p.double().sum().item() for p in model.parameters()),
        "trapz": hasattr(np, "trapz"),
    }
    sys.stdout.write("TOLD " + json.dumps(told) + "\\n")  # at once: other ranks write as well
    sys.stdout.flush()
    if dist.is_initialized():
        dist.destroy_process_group()
        sys.stderr.flush()
        os._exit(0)  # taking Python down, torch now and then trips over a thread of its own

if __name__ == "__main__":
    main()
""",
}


def write(folder: Path, before: str = "") -> Path:
    """Write the fork into `folder`; `before` goes to the top of its ``train.py``."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(before + text if name == "train.py" else text)
    return folder


def start(*command: str | Path, cwd: Path, **environment: str) -> subprocess.Popen:
    """Start a command, in a process group of its own, with the scripts of this Python on PATH.

    It hears Ctrl-C even where these tests were started in the background, which do not.
    """
    variables = {k: v for k, v in os.environ.items() if k not in ("SYNET_RUN", "PYTHONPATH")}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env=variables | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*command: str | Path, cwd: Path, status: int = 0, **environment: str) -> tuple[str, str]:
    """Run a command to its end; standard output and error."""
    process = start(*command, cwd=cwd, **environment)
    try:
        out, err = process.communicate(timeout=600)
    finally:
        outlived = not _ended(process.pid)
    assert process.returncode == status, out + err
    assert not outlived, "the command has ended, and processes of it have not"
    return out, err


def _ended(group: int) -> bool:
    """Does a process group end by itself? If not, it is killed."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)  # multiprocessing's helpers notice a moment later
    os.killpg(group, signal.SIGKILL)
    return False


def told(out: str) -> list[dict]:
    """What each rank of ``train.py`` printed about itself, in the order of ranks."""
    lines = [line.partition("TOLD ") for line in out.splitlines()]
    found = [json.loads(text) for _, mark, text in lines if mark]
    return sorted(found, key=lambda one: one["rank"] or 0)
