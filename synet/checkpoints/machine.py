"""The machine that a pickle is a program for, rebuilt without its dangerous parts.

Python's own calls whatever a file names, fills whatever it holds, hashes tuples of any depth and
makes room for any index. This one knows plain data, and asks a `World` for the rest: what a name
stands for, what a state makes of a thing, what else lies in the file.
"""

from __future__ import annotations

import io
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np

_ATOMS = frozenset({str, float, bool, bytes, type(None)})
_LARGEST = 1 << 60  # of a key: beyond it, Python hashes many numbers alike
_NEAR = 32  # steps of the memo between the making of a thing and its filling
# Objects that a pickle may make: so many, and one more for each so many bytes of the file.
# Counted are the bytes that may be instructions to make one, before any is followed.
_OBJECTS, _BYTES_EACH = 1_000_000, 8
_MAKING = b"(}]\x8f\x85\x86\x87R\x81\x93"
# So many items, or bytes, of an argument count as an object, as they may be copied.
_COPIED = {str: 64, bytes: 64, bytearray: 64}
_COPIED |= dict.fromkeys((list, tuple, dict, set, frozenset, OrderedDict, Counter), 1)


class ForbiddenError(Exception):
    """The file does what no checkpoint of a model does."""


class World(Protocol):
    """What a machine asks for when it meets more than plain data."""

    def named(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""

    def filled(self, thing: Any, state: Any) -> Any:
        """What becomes of a made thing when it is given its state."""

    def content(self, saved: Any) -> Any:
        """What lies in the file beside the pickle, by the description that a tensor gives."""

    def described(self, thing: Any) -> str:
        """What to call a thing that the file may not call."""


@dataclass(eq=False, slots=True)
class Name:
    """What the file named: what comes of calling it, and of making an instance, if that may be."""

    full: str
    target: Any = None
    call: Callable | None = None
    new: Callable | None = None


class Inert:
    """What comes of a refused name: whatever is done with it does nothing."""

    __slots__ = ()


class Machine:
    """One run of one pickle.

    Parameters
    ----------
    file
        The pickle starts where it stands; it is left behind the pickle's end.
    world
        Answers for everything that is not plain data.
    encoding
        Of the text that Python 2 wrote.
    """

    def __init__(self, file: io.BytesIO, world: World, encoding: str = "utf-8") -> None:
        self._file, self._world, self._encoding = file, world, encoding
        self._data = file.getvalue()
        self._at = file.tell()
        self._memo: list[Any] = []
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._room = _OBJECTS + len(self._data) // _BYTES_EACH

    def run(self) -> Any:
        """Run it.

        Raises
        ------
        ForbiddenError
            It does what `torch.save` never asks for.
        Exception
            Of any kind: it is damaged.
        """
        data, memo, at, stack = self._data, self._memo, self._at, self._stack
        constants, steps = _CONSTANTS, _STEPS
        self._spend(len(data) - len(data.translate(None, _MAKING)))
        while True:
            code = data[at]
            at += 1
            # the first five are three quarters of a checkpoint
            if code == 0x68:  # get what is noted
                stack.append(memo[data[at]])
                at += 1
            elif code == 0x72:  # note what is on top
                (index,) = _COUNT(data, at)
                at += 4
                if index == len(memo):
                    memo.append(stack[-1])
                else:
                    self._note(index, at)
            elif code in constants:
                stack.append(constants[code])
            elif code == 0x52:  # call
                arguments, function = stack.pop(), stack[-1]
                if arguments or type(function) is not Name or function.call is None:
                    stack[-1] = self._called(function, arguments)
                else:
                    stack[-1] = function.call()
            elif code == 0x4B:  # a small number
                stack.append(data[at])
                at += 1
            elif code == 0x2E:  # end
                self._file.seek(at)
                return stack.pop()
            else:
                self._at = at
                steps[code](self)
                at, stack = self._at, self._stack

    # ----------------------------------------------------------------------- bytes of the file

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError(f"{size} bytes are promised and {len(taken)} are there")
        self._at += size
        return taken

    def _number(self, form: struct.Struct) -> Any:
        (number,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return number

    def _line(self) -> str:
        end = self._data.index(b"\n", self._at)
        line = self._data[self._at : end].decode()
        self._at = end + 1
        return line

    # ------------------------------------------------------------------------------ the memo

    def _note(self, index: int, at: int) -> None:
        """Put what is on top where the file wants it."""
        if index > at:  # no file has noted more than it has bytes
            raise ForbiddenError(f"notes a value as its number {index}")
        memo = self._memo
        memo += [None] * (index + 1 - len(memo))
        memo[index] = self._stack[-1]

    # ----------------------------------------------------------------------------- the stack

    def _marked(self) -> list[Any]:
        """What was put on the stack since the last mark, taken off."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _tuple(self, size: int) -> None:
        stack = self._stack
        items = tuple(stack[-size:])
        if len(items) < size:
            raise EOFError("a tuple of what is not there")
        del stack[-size:]
        self._stack.append(items)

    def _name(self) -> None:
        module = self._line()
        self._stack.append(self._world.named(module, self._line()))

    def _stacked_name(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ForbiddenError("names what is no text")
        self._stack.append(self._world.named(module, name))

    def _called(self, function: Any, arguments: Any) -> Any:
        if arguments:
            self._weigh(arguments)
        if type(function) is Name and function.call is not None:
            return function.call(*arguments)
        if type(function) is Inert:
            return function
        raise ForbiddenError(f"calls {self._world.described(function)}")

    def _new(self) -> None:
        arguments, cls = self._stack.pop(), self._stack.pop()
        if type(cls) is Name and cls.new is not None:
            self._weigh(arguments)
            self._stack.append(cls.new(*arguments))
        else:
            self._stack.append(self._called(cls, arguments))

    def _weigh(self, arguments: Any) -> None:
        """Count what may be copied of arguments, of which the file may keep just one."""
        if type(arguments) is not tuple:
            raise ForbiddenError("calls something with arguments that are none")
        for part in arguments:
            if (kind := type(part)) in _COPIED:
                self._spend(len(part) // _COPIED[kind])

    def _spend(self, objects: int) -> None:
        self._room -= objects
        if self._room < 0:
            raise ForbiddenError("asks for far more than it holds")

    def _new_with_names(self) -> None:
        if self._stack.pop() != {}:
            raise ForbiddenError("makes an instance with arguments by name")
        self._new()

    def _build(self) -> None:
        state, thing = self._stack.pop(), self._stack[-1]
        self._weigh(state if type(state) is tuple else (state,))
        became = self._world.filled(thing, state)
        if became is thing:
            return
        # an array is another thing once it is filled, and was noted a few steps ago
        self._stack[-1] = became
        memo = self._memo
        for index in range(len(memo) - 1, max(len(memo) - _NEAR, 0) - 1, -1):
            if memo[index] is thing:
                memo[index] = became
                break

    # ------------------------------------------------------------------------ filling containers

    def _set(self, items: list[Any]) -> None:
        thing = self._stack[-1]
        if type(thing) in _MAPPINGS:
            for key, value in zip(items[::2], items[1::2], strict=True):
                if type(key) is not str:
                    check_key(key)
                thing[key] = value
        elif type(thing) is not Inert:
            raise ForbiddenError(f"sets items of a {type(thing).__name__}")

    def _extend(self, items: list[Any]) -> None:
        thing = self._stack[-1]
        if type(thing) is list:
            thing.extend(items)
        elif type(thing) is not Inert:
            raise ForbiddenError(f"appends to a {type(thing).__name__}")

    def _add(self, items: list[Any]) -> None:
        thing = self._stack[-1]
        if type(thing) is not set:
            raise ForbiddenError(f"adds to a {type(thing).__name__}")
        thing |= checked_set(items)

    def _new_dict(self) -> None:
        items = self._marked()
        self._push({})
        self._set(items)


def check_key(value: Any) -> None:
    """See that a key, or a member of a set, is quickly hashed: deep tuples may take forever.

    Raises
    ------
    ForbiddenError
        It is not.
    """
    for part in value if type(value) is tuple else (value,):
        if type(part) is int and abs(part) < _LARGEST or type(part) in _ATOMS:
            continue
        if not isinstance(part, (np.number, PurePath)):
            raise ForbiddenError("has a key that is neither text nor a number")


def checked_set(items: Any) -> set[Any]:
    """A set of what a file may have in one."""
    for item in items:
        check_key(item)
    return set(items)


def _sized(head: struct.Struct, make: Callable[[Machine, bytes], Any]) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine._stack.append(make(machine, machine._take(machine._number(head))))

    return step


def _number(form: struct.Struct) -> Callable[[Machine], None]:
    return lambda machine: machine._stack.append(machine._number(form))


def _get(form: struct.Struct) -> Callable[[Machine], None]:
    return lambda machine: machine._stack.append(machine._memo[machine._number(form)])


def _put(form: struct.Struct) -> Callable[[Machine], None]:
    return lambda machine: machine._note(machine._number(form), machine._at)


def _last(machine: Machine) -> list[Any]:
    return [machine._stack.pop()]


def _last_two(machine: Machine) -> list[Any]:
    value = machine._stack.pop()
    return [machine._stack.pop(), value]


def _text(_: Machine, data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _old_text(machine: Machine, data: bytes) -> str | bytes:
    return data if machine._encoding == "bytes" else data.decode(machine._encoding)


def _refuse(machine: Machine) -> None:
    code = machine._data[machine._at - 1]
    raise ForbiddenError(f"has the instruction {code:#x}, as no file of torch.save's does")


_BYTE, _SHORT, _LONG = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<Q")
_UNSIGNED, _SIGNED, _FLOAT = struct.Struct("<I"), struct.Struct("<i"), struct.Struct(">d")
_COUNT = _UNSIGNED.unpack_from
_MAPPINGS = (dict, OrderedDict, Counter)
_CONSTANTS = {ord(")"): (), ord("N"): None, 0x88: True, 0x89: False}

# The instructions of protocol 2 to 5 that come of plain data and of torch's objects. Not among
# them: those of older protocols, extensions, long numbers, buffers beside the file.
_STEPS: list[Callable[[Machine], None]] = [_refuse] * 256
for _code, _step in {
    b"\x80": lambda m: m._take(1),
    b"\x95": lambda m: m._take(8),
    # numbers and text
    b"J": _number(_SIGNED),
    b"M": _number(_SHORT),
    b"G": _number(_FLOAT),
    b"\x8a": _sized(_BYTE, lambda _, data: int.from_bytes(data, "little", signed=True)),
    b"X": _sized(_UNSIGNED, _text),
    b"\x8c": _sized(_BYTE, _text),
    b"\x8d": _sized(_LONG, _text),
    b"U": _sized(_BYTE, _old_text),
    b"T": _sized(_UNSIGNED, _old_text),
    b"C": _sized(_BYTE, lambda _, data: data),
    b"B": _sized(_UNSIGNED, lambda _, data: data),
    b"\x8e": _sized(_LONG, lambda _, data: data),
    b"\x96": _sized(_LONG, lambda _, data: bytearray(data)),
    # the memo
    b"j": _get(_UNSIGNED),
    b"q": _put(_BYTE),
    b"\x94": lambda m: m._memo.append(m._stack[-1]),
    # containers
    b"(": Machine._mark,
    b"0": lambda m: m._stack.pop(),
    b"1": Machine._marked,
    b"}": lambda m: m._stack.append({}),
    b"]": lambda m: m._stack.append([]),
    b"\x8f": lambda m: m._stack.append(set()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"t": lambda m: m._push(tuple(m._marked())),
    b"l": lambda m: m._push(m._marked()),
    b"d": Machine._new_dict,
    b"\x91": lambda m: m._push(frozenset(checked_set(m._marked()))),
    b"a": lambda m: m._extend(_last(m)),
    b"e": lambda m: m._extend(m._marked()),
    b"s": lambda m: m._set(_last_two(m)),
    b"u": lambda m: m._set(m._marked()),
    b"\x90": lambda m: m._add(m._marked()),
    # what the world answers
    b"c": Machine._name,
    b"\x93": Machine._stacked_name,
    b"\x81": Machine._new,
    b"\x92": Machine._new_with_names,
    b"b": Machine._build,
    b"Q": lambda m: m._stack.append(m._world.content(m._stack.pop())),
}.items():
    _STEPS[_code[0]] = _step
