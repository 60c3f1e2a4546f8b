"""Checkpoints that would run something, or take a machine's memory, if they were let.

`pickles` makes the instructions, for a small fork that lies in a folder (`HostedFork`) and
offers what a careless one might; `files` makes whole files that are no checkpoints at all.
Each that got its way would leave a file behind: the fork's `canary`.
"""

from __future__ import annotations

import importlib
import io
import pickle
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

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


# ---------------------------------------------------------------------------- instructions


def text(string: str) -> bytes:
    data = string.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def glob(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stack_glob(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def new(cls: bytes, *arguments: bytes) -> bytes:
    return cls + tuple_of(*arguments) + b"\x81"


def filled(instance: bytes, state: bytes) -> bytes:
    return instance + state + b"b"


def mapping(**items: bytes) -> bytes:
    return b"}" + b"".join(text(key) + value + b"s" for key, value in items.items())


PARTS = {name: b"}" for name in ("_parameters", "_buffers", "_modules")}


def layer(cls: bytes, **attributes: bytes) -> bytes:
    """A module as torch pickles it, of that class."""
    return filled(new(cls), mapping(**PARTS | attributes))


def persistent(saved: bytes) -> bytes:
    return saved + b"Q"


def pickled(value: object) -> bytes:
    """The instructions that make `value`, without head and end."""
    return pickle.dumps(value, protocol=2)[2:-1]


def archive(file: Path, body: bytes, **options: int) -> Path:
    """A zip such as torch.save writes, around any pickle."""
    with zipfile.ZipFile(file, "w", **options) as out:
        out.writestr("a/data.pkl", b"\x80\x02" + body + b".")
        out.writestr("a/data/0", bytes(4))
        out.writestr("a/version", "3\n")
    return file


def legacy(file: Path, body: bytes) -> Path:
    """A file such as torch < 1.6 wrote, around any pickle."""
    stream = io.BytesIO()
    torch.save(None, stream, _use_new_zipfile_serialization=False)
    head, none, tail = stream.getvalue().rpartition(b"\x80\x02N.")
    assert none
    file.write_bytes(head + b"\x80\x02" + body + b"." + tail)
    return file


def bare(file: Path, body: bytes) -> Path:
    file.write_bytes(b"\x80\x02" + body + b".")
    return file


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
synet.run.run synet.custom_patches.patch_custom synet.checkpoint._torch_load
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


def numpys(code: bytes) -> dict[str, bytes]:
    """Types and arrays of numpy's that are more than numbers."""
    kind, core = glob("numpy", "dtype"), "numpy._core.multiarray"
    double = typed("f8", "<")
    reconstruct = call(
        *(glob(core, "_reconstruct"), glob("numpy", "ndarray"), b"K\x00\x85", octets(b"b"))
    )

    def array(shape: bytes, dtype: bytes, content: bytes) -> bytes:
        return filled(reconstruct, tuple_of(b"K\x01", shape, dtype, b"\x89", content))

    def changed(*state: object) -> bytes:
        return filled(call(kind, text("f8"), b"\x89", b"\x88"), pickled(state))

    texts = ("O8", "O", "V2000000000", "V8", "S8", "U4", "M8[s]", "f8,f8", "(2,3)f8", "f16", "")
    sizes = {"few": 7, "many": 9}
    return {
        **{f"numpy type {x!r}": call(kind, text(x), b"\x89", b"\x88") for x in texts},
        "numpy type by a call": call(kind, code),
        "numpy type of fields": call(kind, pickled([("a", "O")])),
        "numpy type turned to objects": changed(3, "|", None, None, None, -1, -1, 63),
        "numpy type of objects unmarked": filled(
            call(kind, text("O8"), b"\x89", b"\x88"),
            pickled((3, "|", None, None, None, -1, -1, 0)),
        ),
        "numpy type with fields": changed(3, "|", None, ("a",), {"a": ("f8", 0)}, 8, 1, 0),
        "numpy type with parts": changed(3, "<", ("f8", (9,)), None, None, -1, -1, 0),
        "numpy type of a size": changed(3, "<", None, None, None, 10**9, -1, 0),
        "numpy type with more": changed(4, "<", None, None, None, -1, -1, 0, {"a": 1}),
        "numpy type in a strange order": changed(3, "?", None, None, None, -1, -1, 0),
        "numpy type by a list": filled(call(kind, text("f8")), b"]"),
        "numpy type filled twice": filled(
            filled(call(kind, text("f8")), pickled((3, "<", None, None, None, -1, -1, 0))),
            pickled((3, "<", None, None, None, -1, -1, 63)),
        ),
        **{
            f"number of too {name} bytes": call(glob(core, "scalar"), double, octets(bytes(size)))
            for name, size in sizes.items()
        },
        "number of no type": call(glob(core, "scalar"), code, octets(bytes(8))),
        "number without bytes": call(glob(core, "scalar"), double),
        "array larger than its bytes": array(b"M\xff\xff\x85", double, octets(bytes(8))),
        "array of a huge shape": array(pickled((2**62, 2**62)), double, octets(b"")),
        "array of a negative shape": array(pickled((-1, -8)), double, octets(bytes(64))),
        "array of a list": array(b"K\x01\x85", double, b"](" + code + b"e"),
        "array of no type": array(b"K\x01\x85", code, octets(bytes(8))),
        "array filled twice": filled(array(b"K\x00\x85", double, octets(b"")), b"N"),
        "array, never filled": mapping(maps=reconstruct),
        "buffer larger than its bytes": call(
            glob("numpy._core.numeric", "_frombuffer"),
            *(octets(bytes(8)), double, b"M\xff\xff\x85", text("C")),
        ),
        "buffer in an order of its own": call(
            glob("numpy._core.numeric", "_frombuffer"),
            *(octets(bytes(8)), double, b"K\x01\x85", text("X")),
        ),
    }


def typed(kind: str, order: str) -> bytes:
    """A type of numpy's as numpy pickles it."""
    made = call(glob("numpy", "dtype"), text(kind), b"\x89", b"\x88")
    return filled(made, pickled((3, order, None, None, None, -1, -1, 0)))


def octets(data: bytes) -> bytes:
    return b"B" + len(data).to_bytes(4, "little") + data


@cache
def greedy() -> dict[str, bytes]:
    """A few bytes each, which ask for gigabytes, or for hours."""
    many, long = b"\x8a\x05\0\0\0\0\x10", b"X\x10\x27\0\0" + b"a" * 10_000
    endless = call(glob("__builtin__", "range"), many)  # most of these would go through it
    nested = b"N" + b"\x85" * 500_000
    doubled = b"Nq\x00" + b"0h\x00h\x00\x86q\x00" * 64
    thousand = b"](" + b"N" * 10_000 + b"eq\x01"
    into = b"K\x00K\x00N\x87"
    first = glob("__builtin__", "slice") + into + b"Rq\x02"
    return {
        **{
            f"{name} of a range": call(glob(module, name), endless)
            for module, name in (
                *(("__builtin__", name) for name in ("set", "list", "frozenset", "bytearray")),
                *(("__builtin__", "bytes"), ("collections", "Counter"), ("torch", "Size")),
                ("collections", "OrderedDict"),
            )
        },
        "set that takes in a range": b"\x8f(" + endless + b"\x90",
        "memo of 1.5e9": b"Nr\x00\x2f\x68\x59",
        "memo of 1.5e9, as text": b"Np1500000000\n",
        "memo that is not there": b"j\x00\x2f\x68\x59",
        "bytes of 2**40": b"\x8e" + (1 << 40).to_bytes(8, "little"),
        "bytearray of 2**40": b"\x96" + (1 << 40).to_bytes(8, "little"),
        "text of 2**40": b"\x8d" + (1 << 40).to_bytes(8, "little"),
        "frame of 2**62": b"\x95" + (1 << 62).to_bytes(8, "little"),
        "number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n",
        "number of a million bytes": b"\x8b\x40\x42\x0f\0" + b"\x7f" * 1_000_000,
        "key 500,000 deep": b"}" + nested + b"Ns",
        "key of 2**64 parts": b"}" + doubled + b"Ns",
        "member of 2**64 parts": b"\x8f(" + doubled + b"\x90",
        "frozen member of 2**64 parts": b"(" + doubled + b"\x91",
        "keys that Python hashes alike": b"}("
        + b"".join(
            b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(1, 40_000)
        )
        + b"u",
        "list put into itself": first + thousand + b"h\x02h\x01s" * 40,
        "bytearray put into itself": first
        + b"\x96\x10"
        + bytes(7 + 16)
        + b"q\x01"
        + b"h\x02h\x01s" * 60,
        "list, copied": thousand
        + b"]("
        + (glob("__builtin__", "list") + b"q\x04h\x01\x85R")
        + b"h\x04h\x01\x85R" * 40_000
        + b"e",
        "text, copied": long
        + b"q\x01"
        + glob("_codecs", "encode")
        + b"q\x04"
        + text("latin1")
        + b"q\x05"
        + b"("
        + b"h\x04h\x01h\x05\x86R" * 200_000
        + b"l",
        "layers filled with one state": layer_copies(),
        "millions of sets": b"(" + b"\x8f" * 8_000_000 + b"l",
        "millions of dictionaries": glob("collections", "OrderedDict")
        + b"q\x00"
        + b"("
        + b"h\x00)R" * 3_000_000
        + b"l",
        "tensor of one number, 10**10 times": rebuilt(numbers(0, [10**10], [0])),
        "tensor of one number, in too many axes": rebuilt(numbers(0, [2] * 70, [0] * 70)),
        "a tensor, again and again": b"](" + rebuilt(numbers(0, [4000, 4000], [0, 0])) * 60 + b"e",
        "storage larger than its record": rebuilt(numbers(0, [1], [1]), count=10**9),
    }


def layer_copies() -> bytes:
    """Many things with the attributes of one."""
    state = b"}(" + b"".join(text(f"a{n}") + b"N" for n in range(10_000)) + b"uq\x01"
    space = glob("argparse", "Namespace") + b"q\x02"
    return state + space + b"(" + b"h\x02)\x81h\x01b" * 20_000 + b"l"


def pickled_tensor() -> bytes:
    """A tensor of one number, which `archive` holds."""
    return rebuilt((b"K\x00", b"K\x01\x85", b"K\x01\x85"))


def numbers(offset: int, shape: list[int], stride: list[int]) -> tuple[bytes, bytes, bytes]:
    """Where a tensor lies in its storage."""
    return pickled(offset), pickled(tuple(shape)), pickled(tuple(stride))


def rebuilt(
    place: tuple[bytes, bytes, bytes], hooks: bytes = b"", *more: bytes, count: int = 1
) -> bytes:
    """A tensor at that place of the storage of `archive`, as torch pickles it."""
    storage = (text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"))
    content = persistent(tuple_of(*storage, pickled(count)))
    function = glob("torch._utils", "_rebuild_tensor_v2")
    return call(function, content, *place, b"\x89", hooks or ordered_dict(), *more)


def ordered_dict() -> bytes:
    return glob("collections", "OrderedDict") + b")R"


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
