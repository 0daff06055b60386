"""Temporal self-attention that records its maps and takes others' in their place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Optional

from torch import Tensor

from kairos.engines.inbetween.changes import Changes


def rotated(maps: Tensor) -> Tensor:
    """Maps turned by 180 degrees: A'[N-1-j, N-1-k] = A[j, k], of (..., N, N)."""
    return maps.flip(-2, -1)


def temporal_layers(unet: Any) -> Mapping[str, Any]:
    """The layers of temporal self-attention by name (``down_blocks.0....attn1``), in the U-Net's order."""
    raise NotImplementedError


class Maps:
    """Maps of one pass, waiting for another.

    Args:
        storage: ``full``, ``half``, ``host`` or ``recompute`` (see :class:`Recipe`).
    """

    def __init__(self, storage: str = "full") -> None:
        self.storage = storage


class Exchange:
    """Takes the temporal self-attention of a U-Net over while it is entered, and gives it back.

    Args:
        unet: whose layers are taken over.
        changes: differences for the backward pass; None for the plain network.
        layers: ``all`` or ``up``: which layers are injected.
    """

    def __init__(self, unet: Any, changes: Optional[Changes] = None, layers: str = "all") -> None:
        raise NotImplementedError

    @contextmanager
    def recording(self, maps: Maps) -> Iterator[None]:
        """The plain network; every injected layer's map is kept."""
        raise NotImplementedError

    @contextmanager
    def backward(self, maps: Optional[Maps]) -> Iterator[None]:
        """The tuned network; injected layers use the maps, rotated, and let go of them. None: its own maps."""
        raise NotImplementedError
