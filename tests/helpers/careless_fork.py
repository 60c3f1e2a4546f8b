"""A fork whose builder's module holds, beside its layers, what careless ones import there.

`hostile_rows` are rows that would get at it, each told by what it tries.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import torch_fork
from model_yaml import TWO_ROWS

COMMON = """
import math
import os
import subprocess

import torch
from torch import nn
from torchvision.models import get_model

CANARY = {canary!r}


def run(*_, **__):
    open(CANARY, "a").close()


def attempt_load(weights):
    run()


def build_backbone(name):
    return get_model(name)


class Conv(nn.Module):
    default_act = nn.SiLU()

    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2 if p is None else p, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act = self.default_act if act is True else act or nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


def DWConv(c1, c2, k=1, s=1, act=True):
    return Conv(c1, c2, k, s, g=math.gcd(c1, c2), act=act)


class Sized(nn.Module):
    def __init__(self, width, mode="nearest"):
        super().__init__()
        self.width, self.mode = self.checked(width), mode

    def checked(self, width):
        return max(width, 1)

    def forward(self, x):
        return x
"""
COMMON += torch_fork.CONCAT
COMMON += """

class MultiBackend(nn.Module):
    def __init__(self, weights="best.pt"):
        super().__init__()
        run()


class Shaped(nn.Module):
    def __init__(self, model):
        super().__init__()
        run()


class Loading(nn.Module):  # by a name that says nothing
    def __init__(self, c):
        super().__init__()
        self.inner = attempt_load(c)


class Opening(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.table = self.read(c)

    def read(self, c):
        return open(c)


class Holding(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.inner = Opening(c)


class Inheriting(Opening):
    pass


class Backbone(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.inner = build_backbone(c)


class Scripted(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.inner = torch.jit.load(c)


class Ensemble(nn.ModuleList):
    def forward(self, x):
        return x


class NoModule:
    def __init__(self, *_):
        run()
"""

YOLO = """
from copy import deepcopy
from functools import partial

from {package}.common import *
from {package}.common import run

Partial = partial(run, 1)
"""
YOLO += torch_fork.DETECT.replace("stride = None", "stride = torch.tensor([8.0, 8.0])")
YOLO += """

class Model(nn.Module):
    def __init__(self, cfg, ch=3, nc=None, anchors=None):
        super().__init__()
        import yaml

        self.yaml = cfg if isinstance(cfg, dict) else yaml.safe_load(open(cfg))
        {made}
        self.model, self.save = parse_model(deepcopy(self.yaml), ch=[ch])


def parse_model(d, ch):
    anchors, nc, gd, gw = d["anchors"], d["nc"], d["depth_multiple"], d["width_multiple"]
    {reads}
    layers, save, c2 = [], [], ch[-1]
    for i, (f, n, m, args) in enumerate(d["backbone"] + d["head"]):
        m = eval(m) if isinstance(m, str) else m
        for j, a in enumerate(args):
            try:
                args[j] = eval(a) if isinstance(a, str) else a
            except NameError:
                pass
        n = max(round(n * gd), 1) if n > 1 else n
        if m in [Conv, DWConv, nn.Conv2d]:
            c1, c2 = ch[f], args[0]
            args = [c1, c2, *args[1:]]
        elif m is Concat:
            c2 = sum(ch[x] for x in f)
        elif m is Detect:
            args.append([ch[x] for x in f])
        else:
            c2 = ch[f]
        m_ = nn.Sequential(*[m(*args) for _ in range(n)]) if n > 1 else m(*args)
        m_.i, m_.f, m_.type = i, f, str(m)
        save.extend(x % i for x in ([f] if isinstance(f, int) else f) if x != -1)
        layers.append(m_)
        if i == 0:
            ch = []
        ch.append(c2)
    return nn.Sequential(*layers), sorted(save)
"""

DEFINITION = TWO_ROWS.replace("{more}\n", "").replace(
    "[[0, 1], 1, Detect, {head}]",
    "[-1, 1, Conv, [8, 3, 1]]\n  - [[1, 2], 1, Detect, [nc, anchors]]",
)
ROW = "[-1, 1, Conv, [8, 3, 2]]"


def write(folder: Path, name: str, canary: Path, reads: str = "pass", made: str = "pass") -> Path:
    """The fork as package `name` below `folder`.

    Parameters
    ----------
    canary
        A file that is there when anything of the fork has run that no layer is.
    reads
        A statement of its builder, which has the definition as ``d``.
    made
        One of its model's constructor, which has it as ``self.yaml``.
    """
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "common.py").write_text(COMMON.replace("{canary!r}", repr(str(canary))))
    text = YOLO.replace("{package}", name).replace("{reads}", reads).replace("{made}", made)
    (package / "yolo.py").write_text(text)
    return package


def load(folder: Path, name: str) -> ModuleType:
    importlib.invalidate_caches()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(f"{name}.yolo")


# Classes of the fork that are torch modules and no layers, and what is not even that.
NO_LAYERS = [
    *("MultiBackend", "Shaped", "Loading", "Opening", "Holding", "Inheriting", "Backbone"),
    *("Scripted", "Ensemble", "Model", "NoModule", "Partial", "run", "attempt_load"),
    *("build_backbone", "get_model", "deepcopy", "parse_model", "nn.init", "nn.functional"),
    *("nn.DataParallel", "nn.ModuleList", "subprocess", "os", "torch", "nn", "CANARY"),
]


def hostile_rows(canary: Path) -> dict[str, str]:
    """Rows that would run something, open a file, or take the machine's memory."""
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    rows = {f"layer {name}": f"[-1, 1, {name}, [x.pt]]" for name in NO_LAYERS}
    texts = {
        "an attribute": "os.system",
        "a function": "run",
        "a builtin": "exec",
        "a class of Python's": "type",
        "a module": "subprocess",
        "a class that loads": "MultiBackend",
        "a call": code,
        "a call of a layer of the fork": "Sized(3)",
        "a layer's attribute": "Conv.default_act",
        "a layer with a call in it": f"nn.SiLU({code})",
        "a layer with a keyword": f"nn.SiLU(inplace={code})",
        "a layer with stars": f"nn.SiLU(*{code})",
        "a lambda": "lambda *_: run()",
        "a comprehension": "[run() for _ in (1,)]",
        "a condition": "run() if 1 else 2",
        "an f-string": "f'{run()}'",
        "an assignment": "(nc := run())",
        "a subscript": "anchors[run()]",
        "a tower": "9**9**9**9",
        "a product": "99999 * 99999",
        "a sum": "nc + 5",
        "a long text": "[" + "0," * 10_000 + "]",
        "many minuses": "-" * 150 + "1",
        "many brackets": "[" * 90 + "]" * 90,
        "a text in a text": '"run()"',
        "a text in a text in a text": "'\"run()\"'",
        "two lines": "run()\nrun()",
        "bytes": "b'a'",
        "dots": "...",
        "a set": "{1}",
        "other letters": "\uff52un",  # which Python takes for plain ones
    }
    for name, text in texts.items():
        quoted = json.dumps(text)
        rows[f"argument {name}"] = f"[-1, 1, Sized, [8, {quoted}]]"
        rows[f"in a list: {name}"] = f"[-1, 1, Sized, [8, [[{quoted}]]]]"
        rows[f"in a mapping: {name}"] = f"[-1, 1, Sized, [8, {{a: {quoted}}}]]"
    return rows | {
        "a billion repeats": "[-1, 1000000000, Conv, [8, 3, 1]]",
        "repeats without end": "[-1, .inf, Conv, [8, 3, 1]]",
        "repeats that are none": "[-1, .nan, Conv, [8, 3, 1]]",
        "repeats that are text": '[-1, "run()", Conv, [8, 3, 1]]',
        "a billion channels": "[-1, 1, Conv, [1000000000, 3, 1]]",
        "channels without end": "[-1, 1, Conv, [.inf, 3, 1]]",
        "a kernel of a billion": "[-1, 1, Conv, [8, 1000000000]]",
        "a number in a text": "[-1, 1, Conv, ['1000000000', 3, 1]]",
        "a row that is text": '["run()", 1, Conv, [8, 3, 1]]',
        "a row in a list that is text": '[[-1, "run()"], 1, Concat, [1]]',
        "no row": "[[], 1, Concat, [1]]",
        "lists forty deep": f"[-1, 1, Sized, [8, {'[' * 40}{']' * 40}]]",
        "a layer in brackets": '[-1, 1, "(Conv)", [8, 3, 1]]',
        "a layer that is called": '[-1, 1, "run()", [8]]',
        "a layer of a module": "[-1, 1, os.system, [x]]",
        "a layer that is a number": "[-1, 1, 3, [8]]",
        "a layer that is a list": "[-1, 1, [Conv], [8]]",
    }


HONEST_ROWS = [
    ROW,
    "[-1, 3, Conv, [8, 3, 1]]",
    "[-1, 1, Conv, [8, 3, 1, None, 1, nn.LeakyReLU(0.1)]]",
    '[-1, 1, Conv, ["8", "3", 1]]',
    "[-1, 1, DWConv, [8, 3, 1]]",
    "[-1, 1, Sized, [8, nearest]]",
    "[-1, 1, Sized, [-8, \"'max'\"]]",
    "[-1, 1, Sized, [8, nn.SiLU]]",
    "[-1, 1, Sized, [8, torch.nn.SiLU()]]",
    "[-1, 1, Sized, [8, Conv]]",
    "[-1, 1, Sized, [nc, [anchors, no, 'True', ['None', bilinear]]]]",
    '[-1, 1, Sized, [8, "[1, -2, (3.5, None)]"]]',
    "[-1, 1, nn.Identity, []]",
    "[-1, 1, torch.nn.MaxPool2d, [1, 1]]",
    "[-1, 1, nn.Upsample, [None, 2, nearest]]",
]
