"""The artist's words about layers: which policy each of them takes in place of the automatic one."""

from __future__ import annotations

from typing import Dict

from kairos_nodes.errors import BadRequest
from kairos_nodes.layers import Policy


def parse_layer_policy(text: str) -> Dict[str, Policy]:
    """Policies by layer from ``LAYER=POLICY,LAYER=POLICY``.

    Raises:
        BadRequest: a piece that is no pair, an unknown policy, or a layer named twice.
    """
    policies: Dict[str, Policy] = {}
    known = ", ".join(policy.value for policy in Policy)
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        layer, equals, policy = (word.strip() for word in piece.partition("="))
        if not layer or not equals:
            raise BadRequest(f"--layer-policy: {piece!r} is not LAYER=POLICY.", f"POLICY is one of {known}.")
        if policy not in {one.value for one in Policy}:
            raise BadRequest(f"--layer-policy: there is no policy {policy!r}.", f"Use one of {known}.")
        if layer in policies:
            raise BadRequest(f"--layer-policy: layer {layer!r} is named twice.", "Name each layer once.")
        policies[layer] = Policy(policy)
    return policies
