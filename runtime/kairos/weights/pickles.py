"""Pickles read as data. A small machine for what checkpoints are made of; nothing that a pickle names is ever run.

Python's own unpickler calls what the file tells it to. Here a name stays a name: tensors and plain containers are put
together, and a file that refers to anything else is refused.
"""

from __future__ import annotations

import pickletools
import struct
from dataclasses import dataclass, field
from typing import IO, Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple, Union

import torch

MOST_OPERATIONS = 4_000_000
"""A checkpoint of ten thousand tensors with its optimizer's state takes about a quarter of this."""


class Refused(Exception):
    """The file is not what it should be; the text says why, in a few words."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Instance:
    """An object of a class that is not made here; ``state`` is what the file says about it."""

    of: Global
    state: Any = None


@dataclass(frozen=True)
class StorageRef:
    """Where numbers lie: the storage's key in its file, their type and how many there are."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor not read yet: a view of a storage."""

    storage: StorageRef
    offset: int
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        count = self.storage.dtype.itemsize
        for side in self.shape:
            count *= side
        return count


_STORAGES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

_DTYPES: Mapping[str, torch.dtype] = {str(dtype).removeprefix("torch."): dtype for dtype in _STORAGES.values()}

_PLAIN: FrozenSet[str] = frozenset(
    {
        "collections.defaultdict",
        "collections.Counter",
        "argparse.Namespace",
        "builtins.set",
        "builtins.frozenset",
        "builtins.list",
        "builtins.dict",
        "builtins.int",
        "builtins.float",
        "builtins.slice",
        "builtins.complex",
        "__builtin__.set",
        "_codecs.encode",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "torch.device",
        "torch.serialization._get_layout",
    }
)
"""Settings, counters and random states that trainings keep beside their weights: read over, never made."""

_SCRIPT_LISTS: FrozenSet[str] = frozenset(
    {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"}
)


def _rebuilt(args: Tuple[Any, ...]) -> TensorRef:
    if len(args) < 4 or not isinstance(args[0], StorageRef):
        raise Refused("it describes a tensor in an unknown way")
    storage, offset, shape, stride = args[:4]
    sides = (offset, *shape, *stride) if isinstance(shape, tuple) and isinstance(stride, tuple) else (None,)
    if not all(type(side) is int and 0 <= side < 1 << 48 for side in sides) or len(shape) != len(stride):
        raise Refused("it holds a tensor of an impossible shape")
    count = 1
    for side in shape:
        count *= side
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride)) if count else 0
    if len(shape) > 16 or count > storage.count or (count and last >= storage.count):
        raise Refused(f"it holds a tensor of an impossible shape {shape}")
    return TensorRef(storage, offset, tuple(shape), tuple(stride))


def _first(args: Tuple[Any, ...]) -> Any:
    return args[0] if args else None


def _retyped(args: Tuple[Any, ...]) -> Any:
    """A tensor subclass: the plain tensor below it."""
    if len(args) < 3 or not isinstance(args[0], Global) or not isinstance(args[2], tuple):
        raise Refused("it describes a tensor in an unknown way")
    maker = _MAKERS.get(str(args[0]))
    if maker is None or maker is _retyped:
        raise Refused("it describes a tensor in an unknown way")
    return maker(args[2])


def _ordered(args: Tuple[Any, ...]) -> Dict[Any, Any]:
    made: Dict[Any, Any] = {}
    for pair in args[0] if args and isinstance(args[0], (list, tuple)) else ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise Refused("it holds a damaged dictionary")
        _put(made, pair[0], pair[1])
    return made


_MAKERS: Mapping[str, Callable[[Tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _rebuilt,
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _retyped,
    "torch.nn.parameter.Parameter": _first,
    "torch.Size": _first,
    "collections.OrderedDict": _ordered,
    **{f"torch.jit._pickle.{name}": _first for name in _SCRIPT_LISTS},
}


def _put(made: Dict[Any, Any], key: Any, value: Any) -> None:
    # Hashing nested tuples takes time exponential in their depth.
    if not isinstance(key, (str, int, float, bytes, type(None))):
        key = f"{type(key).__name__} {len(made)}"
    made[key] = value


@dataclass
class _Machine:
    """One pickle at work."""

    script: bool
    storages: Dict[str, StorageRef]
    stack: List[Any] = field(default_factory=list)
    marks: List[int] = field(default_factory=list)
    memo: Dict[int, Any] = field(default_factory=dict)

    def name(self, module: str, name: str) -> Union[Global, torch.dtype]:
        found = Global(module, name)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = str(found) in _MAKERS or str(found) in _PLAIN or (module == "torch" and name in _STORAGES)
        if known or (self.script and module.split(".")[0] == "__torch__"):
            return found
        raise Refused(f"it asks to run {found}, which weights have no need of, and nothing of it was run")

    def since_mark(self) -> List[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def call(self, function: Any, args: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise Refused("it is damaged")
        maker = _MAKERS.get(str(function))
        if maker is not None:
            return maker(args)
        if str(function) == "collections.defaultdict":
            return {}
        return Instance(function)

    def storage(self, told: Any) -> StorageRef:
        """What a persistent id stands for: ('storage', type, key, place, count[, view])."""
        if not isinstance(told, tuple) or len(told) < 5 or told[0] != "storage" or not isinstance(told[1], Global):
            raise Refused("it keeps its numbers in an unknown way")
        dtype = _STORAGES.get(told[1].name)
        if dtype is None or not isinstance(told[2], str) or type(told[4]) is not int or not 0 <= told[4] < 1 << 48:
            raise Refused("it keeps its numbers in an unknown way")
        if len(told) > 5 and told[5] is not None:
            raise Refused("it was written by a torch older than 0.4")
        return self.storages.setdefault(told[2], StorageRef(told[2], dtype, told[4]))


def _set_items(machine: _Machine, items: List[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2]):
            _put(target, key, value)
    elif not isinstance(target, Instance):
        raise Refused("it is damaged")


def _append(machine: _Machine, items: List[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Instance):
        raise Refused("it is damaged")


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], Instance):
        machine.stack[-1].state = state


def _reduce(machine: _Machine) -> None:
    args = machine.stack.pop()
    machine.stack.append(machine.call(machine.stack.pop(), args))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("it is damaged")
    machine.stack.append(machine.name(module, name))


def _one(machine: _Machine, take: int) -> None:
    items = machine.stack[len(machine.stack) - take :]
    if len(items) != take:
        raise Refused("it is damaged")
    del machine.stack[len(machine.stack) - take :]
    machine.stack.append(tuple(items))


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine, [key, value])


_Step = Callable[[_Machine, Any], None]

_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}

_VALUES: FrozenSet[str] = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)

_STEPS: Mapping[str, _Step] = {
    "MARK": lambda machine, arg: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, arg: machine.stack.__delitem__(-1),
    "POP_MARK": lambda machine, arg: machine.since_mark().clear(),
    "DUP": lambda machine, arg: machine.stack.append(machine.stack[-1]),
    "PUT": lambda machine, arg: machine.memo.__setitem__(int(arg), machine.stack[-1]),
    "BINPUT": lambda machine, arg: machine.memo.__setitem__(arg, machine.stack[-1]),
    "LONG_BINPUT": lambda machine, arg: machine.memo.__setitem__(arg, machine.stack[-1]),
    "MEMOIZE": lambda machine, arg: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    "GET": lambda machine, arg: machine.stack.append(machine.memo[int(arg)]),
    "BINGET": lambda machine, arg: machine.stack.append(machine.memo[arg]),
    "LONG_BINGET": lambda machine, arg: machine.stack.append(machine.memo[arg]),
    "TUPLE": lambda machine, arg: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, arg: _one(machine, 1),
    "TUPLE2": lambda machine, arg: _one(machine, 2),
    "TUPLE3": lambda machine, arg: _one(machine, 3),
    "LIST": lambda machine, arg: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, arg: machine.stack.append(_ordered((_pairs(machine.since_mark()),))),
    "FROZENSET": lambda machine, arg: machine.stack.append(machine.since_mark()),
    "APPEND": lambda machine, arg: _append(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, arg: _append(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, arg: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, arg: _set_item(machine),
    "SETITEMS": lambda machine, arg: _set_items(machine, machine.since_mark()),
    "GLOBAL": lambda machine, arg: machine.stack.append(machine.name(*arg.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, arg: _stack_global(machine),
    "REDUCE": lambda machine, arg: _reduce(machine),
    "NEWOBJ": lambda machine, arg: _reduce(machine),
    "BUILD": lambda machine, arg: _build(machine),
    "BINPERSID": lambda machine, arg: machine.stack.append(machine.storage(machine.stack.pop())),
    "PROTO": lambda machine, arg: None,
    "FRAME": lambda machine, arg: None,
}


def _pairs(items: List[Any]) -> List[Tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2]))


_FAILURES = (ValueError, IndexError, KeyError, TypeError, OverflowError, AssertionError, struct.error)
"""How damage shows while operations are read and carried out."""


def read_pickle(file: IO[bytes], script: bool = False, storages: Optional[Dict[str, StorageRef]] = None) -> Any:
    """What one pickle holds: dictionaries, lists, numbers, text, and :class:`TensorRef` for tensors.

    Args:
        file: at the pickle's first byte; left behind its last one.
        script: classes of a TorchScript archive (``__torch__...``) are let through, as :class:`Instance`.
        storages: every storage that the pickle names is added here by its key.

    Raises:
        Refused: it is damaged, or refers to anything but tensors and plain data. Nothing was run.
    """
    machine = _Machine(script, {} if storages is None else storages)
    try:
        for number, (operation, arg, _) in enumerate(pickletools.genops(file)):
            if number > MOST_OPERATIONS:
                raise Refused("it is larger than any checkpoint")
            if operation.name == "STOP":
                return machine.stack.pop()
            if operation.name in _VALUES:
                machine.stack.append(arg)
            elif operation.name in _CONSTANTS:
                machine.stack.append(_CONSTANTS[operation.name]())
            elif operation.name in _STEPS:
                _STEPS[operation.name](machine, arg)
            else:
                raise Refused(f"it uses {operation.name}, which weights have no need of, and nothing of it was run")
    except Refused:
        raise
    except (*_FAILURES, MemoryError, RecursionError) as error:
        raise Refused("it is damaged or cut short") from error
    raise Refused("it is cut short")
