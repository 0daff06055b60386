"""What a computation takes, counted while it runs: bytes alive at once, and multiply-adds.

On meta tensors, which have shapes and no values, the largest network runs in a second, so that its needs are counted
before any of it is loaded. On real tensors the same counts are found. Counted is every tensor's storage from the moment
it is made until nothing refers to it, and, where a :data:`Workspace` is given, what convolutions take while they run.
Not counted is what other products take for themselves, the allocator's rounding and its gaps, and the program itself.
"""

from __future__ import annotations

import math
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_ATEN = torch.ops.aten

HOST = torch.device("cpu")

Workspace = Callable[[Tensor, Tensor, Tensor], int]
"""Bytes that a convolution takes while it runs, by its input, weight and answer."""


@dataclass(frozen=True)
class Count:
    """What a computation took.

    Attributes:
        peak: most bytes alive at once on the device, with what was there before it.
        before: bytes that were there before it.
        after: bytes on the device when it ended, its answer included.
        host: most bytes alive at once of what it moved to the host.
        multiply_adds: of matrix products, convolutions and attention.
    """

    peak: int
    before: int
    after: int
    host: int
    multiply_adds: int


class Counter:
    """Counts while its context is entered; may be entered again, and goes on then.

    Args:
        device: that computes; tensors anywhere else count as the host's.
        resident: tensors that are there from the start: a network's weights, say.
        workspace: of convolutions; None counts none.
    """

    def __init__(
        self, device: torch.device, resident: Iterable[Tensor] = (), workspace: Optional[Workspace] = None
    ) -> None:
        self._ledger = _Ledger(device)
        self._workspace = workspace
        for tensor in resident:
            self._ledger.enter(tensor)
        self._before = self._ledger.alive["device"]

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What is computed here is counted, whatever mode is on outside: in inference mode whole layers are one call,
        whose products and workspace nobody would see.
        """
        with torch.inference_mode(False), _Fused(self._ledger), _Watch(self._ledger, self._workspace):
            yield

    def borrow(self, size: int) -> None:
        """Counts bytes on the device that are given back at once: what is known to be taken, and is not done again."""
        self._ledger.borrow(size)

    def count(self) -> Count:
        """Until now."""
        ledger = self._ledger
        return Count(
            ledger.peak["device"], self._before, ledger.alive["device"], ledger.peak["host"], ledger.multiply_adds
        )


def on_processor(threads: int) -> Workspace:
    """What oneDNN takes for a convolution on the processor: its input or its answer in an order of its own, and later
    the other. On one thread torch itself spreads out the taps of kernels without extent in space: three frames' worth
    of input for the networks' kernels in time.
    """

    def workspace(source: Tensor, weight: Tensor, answer: Tensor) -> int:
        pointwise = weight.shape[-2:] == (1, 1)
        if pointwise and threads == 1 and source.shape[0] < 16:
            taps = math.prod(weight.shape[2:])
            return source.nbytes * taps if taps > 1 else 0
        return max(source.nbytes, answer.nbytes)

    return workspace


def on_card(source: Tensor, weight: Tensor, answer: Tensor) -> int:
    """What cuDNN takes for a convolution at most: input and answer once more with their channels last, as the card's
    matrix units want them.
    """
    return source.nbytes + answer.nbytes


def tensors_of(*modules: torch.nn.Module) -> List[Tensor]:
    """Weights and buffers."""
    return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]


def size_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; what shares a storage counts once."""
    return sum({each._cdata: each.nbytes() for each in (one.untyped_storage() for one in tensors)}.values())


class _Ledger:
    """Which storages are alive, and where."""

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self.alive: Dict[str, int] = {"device": 0, "host": 0}
        self.peak: Dict[str, int] = {"device": 0, "host": 0}
        self.multiply_adds = 0
        self._known: Dict[int, Tuple[Any, str]] = {}

    def enter(self, tensor: Tensor, hosted: bool = False) -> None:
        """Takes a tensor's storage in, unless it is known; ``hosted``: it stands for one on the host."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        place = "host" if hosted or tensor.device.type != self._device else "device"
        self.alive[place] += size
        self.peak[place] = max(self.peak[place], self.alive[place])
        # The storage's object lives as long as the storage, whichever tensors look at it.
        self._known[key] = (weakref.ref(storage, lambda _: self._leave(key, size)), place)

    def borrow(self, size: int) -> None:
        """Bytes on the device that are given back at once."""
        self.peak["device"] = max(self.peak["device"], self.alive["device"] + size)

    def is_hosted(self, tensor: Tensor) -> bool:
        """True where the tensor lies on the host, or stands for one that does."""
        known = self._known.get(tensor.untyped_storage()._cdata)
        return tensor.device.type != self._device if known is None else known[1] == "host"

    def _leave(self, key: int, size: int) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self.alive[known[1]] -= size


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # its __init_subclass__
    """Sees every tensor that is made, and every product."""

    def __init__(self, ledger: _Ledger, workspace: Optional[Workspace]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger, self._workspace = ledger, workspace

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Tuple[Any, ...] = (), kwargs: Optional[Mapping[str, Any]] = None
    ) -> Any:
        given = dict(kwargs or {})
        answer = func(*args, **given)
        of = [each for each in tree_leaves((args, given)) if isinstance(each, Tensor)]
        # What is made of the host's tensors alone is made there.
        hosted = bool(of) and all(self._ledger.is_hosted(each) for each in of)
        for each in tree_leaves(answer):
            if isinstance(each, Tensor):
                self._ledger.enter(each, hosted)
        if self._workspace is not None and func._overloadpacket is _ATEN.convolution and not hosted:
            self._ledger.borrow(self._workspace(args[0], args[1], answer))
        self._ledger.multiply_adds += _multiply_adds(func, args, given, answer)
        return answer


class _Fused(TorchFunctionMode):
    """Keeps meta tensors to what happens on a real device.

    Attention is fused: meta tensors alone would spell it out, with a map of all positions against all. What goes to the
    host leaves the device: meta tensors know one place only, so that their copies on the host are marked as such. A
    question about values, which there are none of, is answered with yes: all numbers are finite.
    """

    def __init__(self, ledger: _Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Tuple[Any, ...] = (), kwargs: Optional[Mapping[str, Any]] = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return _attention(args, given)
        if func is Tensor.__bool__ and args[0].is_meta:
            return True
        if func in _MOVES and args and isinstance(args[0], Tensor) and args[0].is_meta:
            target = HOST if func is Tensor.cpu else _target(args, given)
            if target is not None:
                return self._moved(args[0], target, given.get("dtype", _dtype(args)))
        return func(*args, **given)

    def _moved(self, tensor: Tensor, target: torch.device, dtype: Optional[torch.dtype]) -> Tensor:
        to_host = target.type == HOST.type
        kind = dtype or tensor.dtype
        if to_host == self._ledger.is_hosted(tensor):
            return tensor if kind == tensor.dtype else self._made(tensor, kind, to_host)
        return self._made(tensor, kind, to_host)

    def _made(self, tensor: Tensor, dtype: torch.dtype, hosted: bool) -> Tensor:
        # Made beside the counting of results, which would go by where the original lies.
        with torch.utils._python_dispatch._disable_current_modes():
            made = torch.empty_like(tensor, dtype=dtype)
        self._ledger.enter(made, hosted)
        return made


_MOVES: Set[Any] = {Tensor.to, Tensor.cpu}


def _target(args: Tuple[Any, ...], given: Mapping[str, Any]) -> Optional[torch.device]:
    """The device that ``Tensor.to`` is asked for."""
    if given.get("device") is not None:
        return torch.device(given["device"])
    for each in args[1:]:
        if isinstance(each, (str, torch.device)):
            return torch.device(each)
    return None


def _dtype(args: Tuple[Any, ...]) -> Optional[torch.dtype]:
    return next((each for each in args[1:] if isinstance(each, torch.dtype)), None)


def _attention(args: Tuple[Any, ...], given: Mapping[str, Any]) -> Tensor:
    """Fused attention, of which the logarithms of the sums are kept beside the answer."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    told: Dict[str, Any] = {**dict(zip(names, args)), **given}
    query, key, value = told["query"], told["key"], told["value"]
    if not query.is_meta:
        return F.scaled_dot_product_attention(*args, **given)
    if query.dim() != 4 or told.get("attn_mask") is not None:
        raise ValueError("attention over meta tensors is counted for (B, heads, positions, width) without a mask")
    answer: Tensor = _ATEN._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]
    return answer


def _multiply_adds(func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any], answer: Any) -> int:
    packet = func._overloadpacket
    if packet is _ATEN._scaled_dot_product_flash_attention_for_cpu:
        return _attention_products(*(each.shape for each in args[:3]))
    if packet is _ATEN._scaled_dot_product_flash_attention_for_cpu_backward:
        # The map is made anew; with it queries, keys and values have two and a half times as many products.
        return _attention_products(*(each.shape for each in args[1:4])) * 5 // 2
    operations = flop_registry.get(packet)
    return 0 if operations is None else int(operations(*args, **kwargs, out_val=answer)) // 2


def _attention_products(query: torch.Size, key: torch.Size, value: torch.Size) -> int:
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
