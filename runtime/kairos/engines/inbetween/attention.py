"""Temporal self-attention that keeps its maps, and takes others' in place of its own.

Frames attend to frames: a map is (B * h * w * heads, N, N), heads fastest, rows sum to 1. The backward pass of Wang et
al. (arXiv 2408.15239, section 4) uses the forward pass's maps turned by 180 degrees, so that its motion is the forward
motion in reverse; its queries and keys are not used.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kairos.engines.inbetween.changes import LAYER, TUNED, Changes, check_changes
from kairos.engines.inbetween.recipe import CHOICES


def rotated(maps: Tensor) -> Tensor:
    """Maps (..., N, N) turned by 180 degrees: A'[N-1-j, N-1-k] = A[j, k]."""
    return maps.flip(-2, -1)


def temporal_layers(unet: nn.Module) -> Dict[str, Any]:
    """The layers of temporal self-attention by name (``down_blocks.0.attentions.0....attn1``): 16 of the published."""
    return {name: layer for name, layer in unet.named_modules() if LAYER.match(name)}


class Maps:
    """What the layers of one pass attended to, kept by name for another pass.

    Args:
        storage: ``full`` keeps the maps as they are, ``half`` in half precision, ``host`` in the host's memory, and
            ``recompute`` the queries and keys, of which rotated maps are made again by a fused kernel: softmax commutes
            with a permutation of the keys, so queries and keys are flipped in time.
        keep: what was used stays, for a pass that is run again (training with checkpoints); else it is let go.
    """

    def __init__(self, storage: str = "full", keep: bool = False) -> None:
        if storage not in CHOICES["maps"]:
            raise ValueError(f"storage of maps is one of {CHOICES['maps']}, not {storage!r}")
        self.storage = storage
        self._keep = keep
        self._kept: Dict[str, Tuple[Tensor, ...]] = {}

    def names(self) -> Tuple[str, ...]:
        """Of the layers whose maps are kept."""
        return tuple(self._kept)

    def map(self, name: str, layer: Any) -> Tensor:
        """The map of a layer, (B * h * w * heads, N, N), in the precision in which it is kept."""
        kept = self._kept[name]
        return kept[0] if len(kept) == 1 else _probabilities(layer, *kept)

    def mix(self, name: str, layer: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attends, and keeps the map.

        Args:
            name, layer: of the layer.
            query, key, value: (B * h * w, N, C).

        Returns:
            (B * h * w, N, C).
        """
        if self.storage == "recompute":
            self._kept[name] = (query, key)
            return _fused(layer, query, key, value)
        probabilities = _probabilities(layer, query, key)
        if self.storage == "half":
            self._kept[name] = (probabilities.half(),)
        else:
            self._kept[name] = (probabilities.cpu() if self.storage == "host" else probabilities,)
        return _weighed(layer, probabilities, value)

    def mix_rotated(self, name: str, layer: Any, value: Tensor) -> Tensor:
        """Attends by the kept map, rotated.

        Args:
            name, layer: of the layer.
            value: (B * h * w, N, C).
        """
        kept = self._kept[name] if self._keep else self._kept.pop(name)
        if len(kept) == 2:
            query, key = (each.flip(1) for each in kept)
            return _fused(layer, query, key, value)
        return _weighed(layer, rotated(kept[0].to(value.device)).to(value.dtype), value)


class Exchange:
    """Runs a U-Net's temporal self-attention in two ways: forward with maps kept, backward with maps injected.

    One U-Net in memory serves both directions: the tuned differences are applied as products of their own beside the
    base's, and only backward.

    Args:
        unet: whose layers are used. Between passes it is as it was.
        changes: of the tuned network; None for the plain one. Gradients reach them.
        layers: ``all`` layers or those of the ``up`` blocks alone take others' maps.

    Raises:
        BadRequest: the differences are for another architecture.
    """

    def __init__(self, unet: nn.Module, changes: Optional[Changes] = None, layers: str = "all") -> None:
        self._layers = temporal_layers(unet)
        self._injected = tuple(name for name in self._layers if layers == "all" or name.startswith("up_blocks."))
        self._changes: Mapping[str, Tensor] = {}
        if changes is not None:
            check_changes(changes, unet)
            like = next(unet.parameters())
            self._changes = {key: value.to(like.device, like.dtype) for key, value in changes.tensors.items()}

    @contextmanager
    def forward(self, maps: Optional[Maps]) -> Iterator[None]:
        """The plain network. The maps of the layers that will be injected are kept, where there is a place for them."""
        names = self._injected if maps is not None else ()
        with self._processors({name: _Recording(name, maps) for name in names}):
            yield

    @contextmanager
    def backward(self, maps: Optional[Maps]) -> Iterator[None]:
        """The tuned network. Injected layers use the kept maps, rotated; with None, all use their own."""
        processors: Dict[str, Any] = {}
        for name in self._layers:
            injected = maps if name in self._injected else None
            if injected is not None or self._changes:
                processors[name] = _Changed(name, injected, *(self._changes.get(f"{name}.{end}") for end in TUNED))
        with self._processors(processors):
            yield

    @contextmanager
    def _processors(self, processors: Mapping[str, Any]) -> Iterator[None]:
        before = {name: self._layers[name].processor for name in processors}
        try:
            for name, processor in processors.items():
                self._layers[name].set_processor(processor)
            yield
        finally:
            for name, processor in before.items():
                self._layers[name].set_processor(processor)


class _Recording:
    """A layer as it is, whose map is kept."""

    def __init__(self, name: str, maps: Optional[Maps]) -> None:
        self._name, self._maps = name, maps

    def __call__(
        self, layer: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None
    ) -> Tensor:
        query, key, value = layer.to_q(hidden_states), layer.to_k(hidden_states), layer.to_v(hidden_states)
        assert self._maps is not None
        return _out(layer, self._maps.mix(self._name, layer, query, key, value), None)


class _Changed:
    """A layer with tuned matrices, by its own map or by one that is kept."""

    def __init__(self, name: str, maps: Optional[Maps], value: Optional[Tensor], out: Optional[Tensor]) -> None:
        self._name, self._maps = name, maps
        self._value, self._out = value, out

    def __call__(
        self, layer: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None
    ) -> Tensor:
        value = layer.to_v(hidden_states)
        if self._value is not None:
            value = value + functional.linear(hidden_states, self._value.to(value.device))
        if self._maps is not None:
            mixed = self._maps.mix_rotated(self._name, layer, value)
        else:
            mixed = _fused(layer, layer.to_q(hidden_states), layer.to_k(hidden_states), value)
        return _out(layer, mixed, self._out)


def _out(layer: Any, mixed: Tensor, change: Optional[Tensor]) -> Tensor:
    result: Tensor = layer.to_out[0](mixed)
    if change is not None:
        result = result + functional.linear(mixed, change.to(mixed.device))
    dropped: Tensor = layer.to_out[1](result)
    return dropped


def _probabilities(layer: Any, query: Tensor, key: Tensor) -> Tensor:
    """The map, (B * h * w * heads, N, N)."""
    scores: Tensor = layer.get_attention_scores(layer.head_to_batch_dim(query), layer.head_to_batch_dim(key))
    return scores


def _weighed(layer: Any, probabilities: Tensor, value: Tensor) -> Tensor:
    mixed: Tensor = layer.batch_to_head_dim(torch.bmm(probabilities, layer.head_to_batch_dim(value)))
    return mixed


def _fused(layer: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention in one kernel, without a map."""
    parts = [each.reshape(*each.shape[:2], layer.heads, -1).transpose(1, 2) for each in (query, key, value)]
    mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], scale=layer.scale)
    return mixed.transpose(1, 2).flatten(-2)
