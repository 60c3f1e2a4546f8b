"""Numbers and containers of a hostile pickle: types that are no numbers, and what takes memory."""

from __future__ import annotations

from functools import cache

from instructions import (
    call,
    filled,
    glob,
    mapping,
    numbers,
    octets,
    pickled,
    rebuilt,
    text,
    tuple_of,
)


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


@cache
def greedy() -> dict[str, bytes]:
    """A few bytes each, which ask for gigabytes, or for hours."""
    many, long = b"\x8a\x05\0\0\0\0\x10", b"X\x10\x27\0\0" + b"a" * 10_000
    endless = call(glob("__builtin__", "range"), many)  # most of these would go through it
    nested = b"N" + b"\x85" * 150_000
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
        "key 150,000 deep": b"}" + nested + b"Ns",
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
