"""What a published network is, apart from its weights: how a checkpoint of it is recognised, spelled and built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from torch import Tensor, nn

Value = Any
"""A JSON value: number, text, truth, or a list of them."""

Shapes = Mapping[str, Tuple[int, ...]]
"""Names of a state dict and the shapes under them."""


@dataclass(frozen=True)
class Architecture:
    """A published network. One folder of ``engines`` holds it, and ``architectures`` lists them all.

    Attributes:
        id: name of the engine that runs it, and of the folder (there with an underscore for a hyphen).
        title: one line for people.
        paper: where the method is published.
        code_licence, weights_licence: of the official releases, SPDX names or a sentence.
        non_commercial: the official code or weights may not be used commercially.
        recognise: from the names and shapes of a state dict in Kairos' spelling to the network's hyper-parameters
            (JSON values: variant, widths ...); None where the state dict is another network's.
        spelled: any official spelling to Kairos' own: prefixes removed, keys that the network has no use for dropped.
            Identity where nothing is to be done; never raises on another network's state dict.
        build: hyper-parameters to the network, untrained.
        variants: by name, what ``recognise`` says of each published size or version, the smallest first.
        terms: from hyper-parameters to the weights' licence and whether it forbids commercial use, where these hang on
            them; None where ``weights_licence`` and ``non_commercial`` hold for all.
    """

    id: str
    title: str
    paper: str
    code_licence: str
    weights_licence: str
    non_commercial: bool
    recognise: Callable[[Shapes], Optional[Dict[str, Value]]]
    spelled: Callable[[Mapping[str, Tensor]], Dict[str, Tensor]]
    build: Callable[[Mapping[str, Value]], nn.Module]
    variants: Mapping[str, Mapping[str, Value]] = field(default_factory=dict, compare=False)
    terms: Optional[Callable[[Mapping[str, Value]], Tuple[str, bool]]] = None

    def licensed(self, values: Mapping[str, Value]) -> Architecture:
        """The same with the licence of weights with these hyper-parameters."""
        if self.terms is None:
            return self
        weights_licence, non_commercial = self.terms(values)
        return replace(self, weights_licence=weights_licence, non_commercial=non_commercial)


def shapes_of(tensors: Mapping[str, Tensor]) -> Dict[str, Tuple[int, ...]]:
    """Names and shapes of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
