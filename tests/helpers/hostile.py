"""Checkpoints that would run something, or take a machine's memory, if they were let.

`pickles` makes the instructions, for a small fork that lies in a folder (`HostedFork`) and
offers what a careless one might; `files` makes whole files that are no checkpoints at all.
Each that got its way would leave a file behind: the fork's `canary`.
"""

from __future__ import annotations

import importlib
import io
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from greedy import greedy, numpys
from instructions import (
    archive,
    bare,
    call,
    filled,
    glob,
    layer,
    legacy,
    mapping,
    new,
    numbers,
    octets,
    ordered_dict,
    persistent,
    pickled,
    pickled_tensor,
    rebuilt,
    stack_glob,
    text,
    tuple_of,
)

# The forms of a file that a pickle may come in.
WRITERS = {"zip": archive, "torch<1.6": legacy, "pickle": bare}

YOLO = """
import os
from torch import nn
from elsewhere_{tag} import Stranger

run = os.system
Conv = os.system


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.built = eval(cfg)


class Runner(nn.Module):
    def forward(self, code):
        eval(code)

    def forward_fuse(self, code):
        return "fused"

    def other(self, code):
        eval(code)


class Filled(nn.Module):
    def __setstate__(self, state):
        eval(state["code"])


class NotAModule:
    def __setstate__(self, state):
        eval(state)


class Plain:
    pass
"""

ELSEWHERE = """
from torch import nn


class Stranger(nn.Module):
    pass


class Liar(nn.Module):
    pass


Liar.__module__ = "torch.nn.modules.linear"
"""


class HostedFork:
    """A fork in a folder of its own, whose modules nothing has imported."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.tag, self.package = tag, f"fork_{tag}"
        self.root, self.canary = folder / "fork", folder / "canary"
        (self.root / self.package).mkdir(parents=True)
        (self.root / self.package / "__init__.py").touch()
        (self.root / self.package / "yolo.py").write_text(YOLO.format(tag=tag))
        touch = f"open({str(self.canary)!r}, 'w').close()\n"
        (self.root / f"setup_{tag}.py").write_text(touch + "from torch.nn import Module as Thing\n")
        (folder / f"elsewhere_{tag}.py").write_text(ELSEWHERE)
        (folder / f"trap_{tag}.py").write_text(touch + ELSEWHERE)

    @property
    def yolo(self):
        return importlib.import_module(f"{self.package}.yolo")

    def forget(self) -> None:
        for name in [name for name in sys.modules if self.tag in name]:
            del sys.modules[name]


# Each runs what it is given, imports it, opens it or reaches what does.
FUNCTIONS = """
builtins.eval builtins.exec builtins.compile builtins.open builtins.__import__ builtins.setattr
builtins.getattr builtins.input builtins.map builtins.type builtins.vars builtins.globals
__builtin__.eval __builtin__.execfile __builtin__.apply
os.system os.popen os.execv os.spawnlp os.remove posix.system nt.system pty.spawn
subprocess.Popen subprocess.check_output shutil.rmtree runpy.run_path importlib.import_module
imp.load_source code.interact timeit.timeit cProfile.run pdb.run bdb.Bdb trace.Trace
ctypes.CDLL webbrowser.open socket.create_connection urllib.request.urlopen
pickle.loads _pickle.loads pickle._loads marshal.loads shelve.open copyreg._reconstructor
functools.partial functools.reduce operator.attrgetter operator.methodcaller operator.itemgetter
types.FunctionType types.CodeType types.MethodType weakref.proxy collections.defaultdict
numpy.load numpy.memmap numpy.core.records.fromfile numpy.testing._private.utils.runstring
numpy.f2py.crackfortran.getlincoef pandas.read_pickle joblib.load dill.loads cloudpickle.loads
torch.load torch.serialization.load torch.storage._load_from_bytes torch.jit.load
torch.jit.CompilationUnit torch.hub.load torch.hub.download_url_to_file
torch.utils.cpp_extension.load_inline torch.utils.model_zoo.load_url
torch.utils.data.DataLoader torch.fx.graph_module.reduce_graph_module torch.compile
torch.package.PackageImporter torch._dynamo.guards.GuardBuilder torch.ops.load_library
torch.distributed.rpc.rpc_sync torch.nn.Module.apply torch.nn.modules.module.warnings
torch.nn.functional.handle_torch_function torch._tensor._rebuild_from_type_v2
torch.utils.checkpoint.checkpoint torch.multiprocessing.spawn
synet.patches.child_processes.become synet.patches.process.patch_custom
synet.checkpoints.read._torch_load
synet.backends.yolov5.run __main__.main
""".split()


def pickles(fork: HostedFork) -> dict[str, bytes]:
    """Each would leave the canary behind, or reach what could; by what it tries."""
    command, code = text(f"touch {fork.canary}"), text(f"open({str(fork.canary)!r}, 'w')")
    yolo = f"{fork.package}.yolo"
    model, runner, block = glob(yolo, "Model"), glob(yolo, "Runner"), glob(yolo, "Block")
    getattr_, ordered = glob("__builtin__", "getattr"), glob("collections", "OrderedDict")
    path = call(glob("pathlib", "PosixPath"), text(str(fork.canary)))
    forward = call(getattr_, runner, text("forward"))
    rebuild_as = glob("torch._tensor", "_rebuild_from_type_v2")
    tensor = pickled_tensor()
    made = layer(runner)
    found = {f"calls {name}": call(glob(*name.rsplit(".", 1)), command) for name in FUNCTIONS}
    found |= numpys(code) | greedy()
    found |= {
        f"names {name}": mapping(model=glob(*name.rsplit(".", 1)))
        for name in ("os.system", "builtins.eval", "torch.load", "functools.partial")
    }
    return found | {
        # names
        "newer name": call(stack_glob("posix", "system"), command),
        "newer name, dotted": call(stack_glob(yolo, "os.system"), command),
        "newer name of a method": call(stack_glob(yolo, "Runner.other"), made, code),
        "newer name of forward": call(stack_glob(yolo, "Runner.forward"), made, code),
        "newer name, dunder": call(stack_glob("builtins", "object.__subclasses__")),
        "name with a line end": call(stack_glob("posix", "system\nall is well"), command),
        "name of a stranger with a line end": call(stack_glob("private", "a\nb"), command),
        "module with a line end": call(stack_glob("posix\n", "system"), command),
        "name of ten thousand letters": call(stack_glob("posix", "s" * 10_000), command),
        "name that is no text": b"I1\nI2\n\x93",
        "extension, 1 byte": call(b"\x82\x01", command),
        "extension, 2 bytes": call(b"\x83\x01\x02", command),
        "extension, 4 bytes": call(b"\x84\x01\x02\x03\x04", command),
        "old style instance": b"(" + command + b"iposix\nsystem\n",
        "old style object": b"(" + glob("posix", "system") + command + b"o",
        # what lies in the fork
        "attribute of a listed class": call(glob("pathlib.PosixPath", "touch"), path),
        "function of the fork": call(glob(yolo, "run"), command),
        "function named as a layer": call(glob(yolo, "Conv"), command),
        "module's module": call(glob(f"{yolo}.os", "system"), command),
        "torch.nn's own imports": call(glob("torch.nn.modules.module.warnings.sys", "exit")),
        "script of the fork": layer(glob(f"setup_{fork.tag}", "Thing")),
        "module that is not the fork's": layer(glob(f"trap_{fork.tag}", "Stranger")),
        "class that is not the fork's": layer(glob(yolo, "Stranger")),
        "class that says it is torch's": layer(glob(f"elsewhere_{fork.tag}", "Liar")),
        "no module of the fork": filled(new(glob(yolo, "NotAModule")), code),
        "a module that fills itself": layer(glob(yolo, "Filled"), code=code),
        "plain class, called": call(glob(yolo, "Plain"), code),
        "plain class, in a list": b"]" + new(glob(yolo, "Plain")) + b"a",
        # calls
        "constructor": call(model, code),
        "constructor, new": new(model, code),
        "constructor, new with names": model + b")" + mapping(cfg=code) + b"\x92",
        "constructor, old style": b"(" + code + f"i{yolo}\nModel\n".encode(),
        "constructor, by torch's own": call(rebuild_as, model, model, tuple_of(code), b"}"),
        "layer, called": call(made, code),
        "layer, called before it is filled": call(new(runner), code),
        "layer, called by torch's own": call(
            rebuild_as, made, glob("torch", "Tensor"), tuple_of(code), b"}"
        ),
        "layer, called by a dictionary": call(glob("collections", "Counter"), made),
        "forward of a layer, called": call(forward, made, code),
        "forward of a made layer, called": call(call(getattr_, made, text("forward")), code),
        # getattr
        "getattr chain": call(call(getattr_, path, text("touch"))),
        "getattr of a getattr": call(getattr_, call(getattr_, runner, text("forward")), code),
        "method of a layer": call(getattr_, model, text("load_state_dict")),
        "method of a made layer": call(getattr_, made, text("other")),
        "subclasses": call(getattr_, model, text("__subclasses__")),
        "globals of a forward": call(getattr_, forward, text("__globals__")),
        "forward of a path": call(getattr_, path, text("forward")),
        "forward with a line end": call(getattr_, model, text("forward\n")),
        "name that is no text, of a layer": call(getattr_, model, b"]"),
        # changes
        "class, changed": filled(model, tuple_of(b"N", mapping(forward=forward))),
        "class, changed inside": filled(model, mapping(forward=forward)),
        "torch's class, changed": filled(
            glob("torch.nn.parameter", "Parameter"), tuple_of(b"N", mapping(__add__=forward))
        ),
        "Python's class, changed": filled(ordered, tuple_of(b"N", mapping(get=forward))),
        "torch's function, changed": filled(
            glob("torch._utils", "_rebuild_tensor_v2"), tuple_of(b"N", mapping(__defaults__=b")"))
        ),
        "getattr, changed": filled(getattr_, tuple_of(b"N", mapping(call=forward))),
        "forward, changed": filled(forward, tuple_of(b"N", mapping(name=text("other")))),
        "forward, changed inside": filled(forward, mapping(name=text("other"))),
        "layer, filled again": filled(made, mapping(code=code)),
        "layer, filled with a tuple": filled(new(block), tuple_of(b"N", mapping(forward=forward))),
        "layer, filled with code": filled(new(block), code),
        "layer, never filled": mapping(model=new(block)),
        "layer of no layers": layer(block, _modules=b"]"),
        "layer of data": layer(block, _modules=mapping(model=b"]")),
        # what would run later
        "hook of a layer": layer(block, _forward_hooks=b"}K\x00" + forward + b"s"),
        "constructor in place of forward": layer(block, forward=model),
        "stranger's class, kept": layer(block, kept=glob("private", "Class")),
        "method in place of forward": layer(block, forward=call(getattr_, runner, text("other"))),
        "method of the layer in place of its forward": layer(
            block, forward=call(getattr_, made, text("__setattr__"))
        ),
        "hook of a tensor": call(
            glob("torch._utils", "_rebuild_parameter"), tensor, b"\x88", mapping(hook=forward)
        ),
        # persistent ids
        "asks for a file": call(
            persistent(tuple_of(text("module"), model, text("/etc/passwd"), text("other"))), code
        ),
        "asks for a function": persistent(tuple_of(text("module"), path)),
        "asks for something else": persistent(tuple_of(text("exec"), code)),
        "asks by text": b"Pposix.system\n",
        "asks by number": persistent(b"K\x07"),
        "storage of no storage": persistent(
            tuple_of(text("storage"), model, text("0"), text("cpu"), b"K\x01")
        ),
        "storage beyond the archive": persistent(
            tuple_of(
                *(text("storage"), glob("torch", "FloatStorage")),
                *(text("../../version"), text("cpu"), b"K\x01"),
            )
        ),
        # data
        "device that a terminal would obey": call(glob("torch", "device"), text("a\x1b[31mb\x07")),
        "place that a terminal would obey": persistent(
            tuple_of(
                *(text("storage"), glob("torch", "FloatStorage")),
                *(text("0"), text("\x1b]0;a\x07"), b"K\x01"),
            )
        ),
        "another codec": call(glob("_codecs", "encode"), code, text("rot13")),
        "a terabyte of zeros": call(glob("__builtin__", "bytearray"), b"\x8a\x06\0\0\0\0\0\x01"),
        "bytes by number": call(glob("__builtin__", "bytes"), b"\x8a\x06\0\0\0\0\0\x01"),
        "tensor beyond its storage": tensor.replace(b"K\x01\x85", b"M\xe8\x03\x85", 1),
        "tensor before its storage": rebuilt(numbers(0, [1], [-1])),
        "tensor, changed": filled(
            tensor, tuple_of(b"K\x00", b"K\x00", b"K\x00", b"K\x00", b"K\x00")
        ),
        "tensor with hooks": rebuilt(numbers(0, [1], [1]), hooks=b"}K\x01" + forward + b"s"),
        "tensor with bits": rebuilt(numbers(0, [1], [1]), ordered_dict(), mapping(neg=b"\x88")),
        "parameter of no tensor": call(
            glob("torch._utils", "_rebuild_parameter"), code, b"\x88", ordered_dict()
        ),
        "parameter with a method": call(
            glob("torch._utils", "_rebuild_parameter_with_state"),
            *(tensor, b"\x88", ordered_dict(), mapping(backward=text("no"))),
        ),
        "dictionary with methods": filled(ordered_dict(), mapping(items=text("no"))),
        "path, changed": filled(path, tuple_of(b"N", mapping(_str=b"K\x01"))),
        "path of a path": call(glob("pathlib", "PosixPath"), path),
        "day that is none": call(glob("datetime", "date"), octets(b"\x07\xe8\xff\xff")),
        "time in a zone of its own": call(
            glob("datetime", "datetime"), octets(b"\x07\xe8\x01\x01" + bytes(6)), path
        ),
        "hook of a layer that is a layer": layer(block, _forward_hooks=b"}K\x00" + made + b"s"),
        "method that is a layer": layer(block, train=made),
        "layers without end": layer(
            glob("torch.nn.modules.rnn", "LSTM"),
            num_layers=b"J\xff\xff\xff\x7f",
            all_weights=pickled([[None]]),
        ),
        "layer among processes": layer(
            glob("torch.nn.parallel.distributed", "DistributedDataParallel")
        ),
    }


# ------------------------------------------------------------------------------------ files


def files(folder: Path, canary: Path) -> Iterator[Path]:
    """What is called a checkpoint and is none: damaged, lying, or of another kind."""
    whole = folder / "whole.pt"
    torch.save({"weight": torch.zeros(1000)}, whole)
    data = whole.read_bytes()
    whole.unlink()

    def plain(name: str, content: bytes) -> Path:
        (folder / f"{name}.pt").write_bytes(content)
        return folder / f"{name}.pt"

    yield plain("html", b"<!DOCTYPE html>\n<html><body>404</body></html>")
    yield plain("text", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    yield plain("empty", b"")
    yield plain("command", f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    yield plain("noise", b"\x80\x02" + bytes(range(1, 128)))
    yield plain("long string", b"\x80\x02X\xff\xff\xff\xffabc")
    for cut in range(20, len(data), 480):
        yield plain(f"cut at {cut}", data[:cut])
    yield plain("end overwritten", data[:-30] + bytes(30))
    with zipfile.ZipFile(folder / "zip of something.pt", "w") as out:
        out.writestr("readme.txt", "hello")
    yield folder / "zip of something.pt"
    with zipfile.ZipFile(folder / "script.pt", "w") as out:
        out.writestr("a/data.pkl", b"\x80\x02}.")
        out.writestr("a/constants.pkl", b"\x80\x02).")
        out.writestr("a/version", "3\n")
    yield folder / "script.pt"
    yield archive(folder / "bomb.pt", text("0" * 10**6), compression=zipfile.ZIP_DEFLATED)
    lying = archive(folder / "lying.pt", b"}").read_bytes()
    at = lying.rindex(b"PK\x01\x02") + 20  # sizes in the last entry of the directory
    yield plain("lying", lying[:at] + (b"\xff\xff\xff\x7f" * 2) + lying[at + 8 :])
    torch.save([1, 2], folder / "list.pt")
    yield folder / "list.pt"
    (folder / "folder.pt").mkdir()
    yield folder / "folder.pt"
    yield folder / "missing.pt"
    yield _tar(folder / "tar.pt", "storages")
    # begins as a file of torch < 1.6 does, and is a tar all the same
    yield _tar(folder / "tar in disguise.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")


def _tar(file: Path, first: str | bytes) -> Path:
    """What torch < 0.4 wrote; torch still unpacks such a file, with what it holds."""
    name = first if isinstance(first, str) else "x" * len(first)
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as out:
        out.addfile(tarfile.TarInfo(name))
        for other in ("storages", "tensors", "pickle"):
            body = b"\x80\x02K\x00."
            member = tarfile.TarInfo(other)
            member.size = len(body)
            out.addfile(member, io.BytesIO(body))
    if isinstance(first, bytes):
        data = bytearray(file.read_bytes())
        data[: len(first)] = first
        checksum = sum(data[:148]) + sum(b" " * 8) + sum(data[156:512])
        data[148:156] = struct.pack("8s", f"{checksum:06o}\0 ".encode())
        file.write_bytes(data)
    return file
