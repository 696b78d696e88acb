"""Reads the tensors of a torch file of the format before 1.6, without running what it says.

Such a file is four pickles (magic number, protocol, system information, a state dict whose
tensors name their storages, the list of storage names) and then each storage: its length as int64
and its raw numbers. A pickle is a program, so none is loaded: the opcodes are read as data by
`pickletools` and followed by a stack machine that knows what a state dict needs and nothing else.
"""

import math
import os
import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from streammem.errors import WeightsError

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_DTYPES: Final = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_DICT: Final = "collections OrderedDict"
_TENSOR: Final = "torch._utils _rebuild_tensor_v2"
_MARK: Final = object()
# What following a damaged file, or one made to harm, can end in.
_UNREADABLE: Final = (
    *(ValueError, TypeError, IndexError, KeyError, AttributeError),
    *(OverflowError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class _Global:
    """A name the file refers to; one of those above, never looked up."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of `length` numbers that follows the pickles."""

    name: str
    dtype: str
    length: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage: offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of the state dict at `path`, contiguous, by name."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read: {error.strerror}") from error
    except _UNREADABLE as error:
        raise WeightsError(
            f"weights {path} are not a torch state dict that can be read safely: {error}; "
            "nothing of the file was run"
        ) from error


def _read(file: BinaryIO) -> dict[str, NDArray[Any]]:
    if _follow(file) != _MAGIC or _follow(file) != _PROTOCOL:
        raise ValueError("it does not start like a torch file of the format before 1.6")
    if _follow(file).get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    tensors: dict[str, _Tensor] = _follow(file)
    wanted = {tensor.storage.name: tensor.storage for tensor in tensors.values()}
    storages: dict[str, NDArray[Any]] = {}
    for name in _follow(file):
        storage = wanted[name]
        length = int.from_bytes(file.read(8), "little")
        if length != storage.length:
            raise ValueError(f"storage {name} says {length} numbers and {storage.length}")
        size = length * np.dtype(storage.dtype).itemsize
        left = os.fstat(file.fileno()).st_size - file.tell()
        if size > left:
            raise ValueError(f"storage {name} needs {size} bytes and {left} are left")
        numbers = np.frombuffer(file.read(size), dtype=storage.dtype)
        storages[name] = numbers
    return {name: _view(tensor, storages) for name, tensor in tensors.items()}


def _view(tensor: _Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the part of its storage that a tensor names, after checking that it lies inside."""
    numbers = storages[tensor.storage.name]
    steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    if min((tensor.offset, *tensor.shape, *tensor.strides), default=0) < 0:
        raise ValueError("a tensor has a negative offset, size or stride")
    if math.prod(tensor.shape) > len(numbers):
        raise ValueError("a tensor has more numbers than its storage")
    if 0 not in tensor.shape and tensor.offset + sum(steps) >= len(numbers):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], shape=tensor.shape, strides=strides, writeable=False
    )
    return np.ascontiguousarray(view).reshape(tensor.shape)


def _follow(file: BinaryIO) -> Any:
    """Return what the next pickle of `file` describes, refusing all that a state dict lacks."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "GLOBAL":
                stack.append(_known(argument))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(_pop(stack, int(opcode.name[-1]))))
            case "TUPLE":
                stack.append(tuple(_pop_to_mark(stack)))
            case "APPEND":
                _append(stack, _pop(stack, 1))
            case "APPENDS":
                _append(stack, _pop_to_mark(stack))
            case "SETITEM":
                _update(stack, _pop(stack, 2))
            case "SETITEMS":
                _update(stack, _pop_to_mark(stack))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                function, arguments = _pop(stack, 2)
                stack.append(_call(function, arguments))
            case "BUILD":
                # Attributes of the dict, such as the versions of its modules: not needed.
                stack.pop()
            case _:
                raise ValueError(f"it uses the pickle opcode {opcode.name}")
    raise ValueError("it ends within a pickle")


def _known(name: str) -> _Global:
    if name not in (*_DTYPES, _DICT, _TENSOR):
        raise ValueError(f"it refers to {name.replace(' ', '.')}")
    return _Global(name)


def _storage(identity: Any) -> _Storage:
    kind, dtype, name, _, length, view = identity
    if kind != "storage" or view is not None:
        raise ValueError("it names something that is not a storage")
    return _Storage(str(name), _DTYPES[dtype.name], int(length))


def _call(function: Any, arguments: Any) -> Any:
    """Return what the two functions a state dict calls would make; there is no third."""
    if function == _Global(_DICT) and arguments == ():
        return {}
    if function == _Global(_TENSOR):
        storage, offset, shape, strides, _, _ = arguments
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor has no storage")
        return _Tensor(storage, int(offset), tuple(shape), tuple(strides))
    raise ValueError(f"it calls {getattr(function, 'name', function)}")


def _pop(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise ValueError("it takes from an empty stack")
    items = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return items


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _append(stack: list[Any], items: Iterable[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise ValueError("it appends to something that is not a list")
    stack[-1].extend(items)


def _update(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], dict):
        raise ValueError("it sets an item of something that is not a dict")
    stack[-1].update(zip(items[::2], items[1::2], strict=True))
