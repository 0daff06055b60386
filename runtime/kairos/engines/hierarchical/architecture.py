"""Checkpoints of hierarchical motion: a base and its plug-in, or a plug-in alone that names its base.

``base.*`` are the base's tensors in Kairos' spelling, ``plugin.<base>.*`` the plug-in's. Where the base is not in the
file, ``base_sha256`` (32 bytes) is the SHA-256 of the file or the stored weights that it was made for.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from kairos.engines.amt.architecture import ARCHITECTURE as AMT
from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.ema.architecture import ARCHITECTURE as EMA
from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.plugged import Plugged, Plugin, build_plugin, plugin_values
from kairos.engines.ifrnet.architecture import ARCHITECTURE as IFRNET
from kairos.engines.rife.architecture import ARCHITECTURE as RIFE
from kairos.engines.spelling import without_prefix

BASE_ARCHITECTURES: Mapping[str, Architecture] = {each.id: each for each in (IFRNET, RIFE, AMT, EMA)}
"""What hierarchical motion can be plugged into, by id."""

BASE, PLUGIN, REFERENCE = "base.", "plugin.", "base_sha256"

DIGEST = 32
"""Bytes of a SHA-256."""


class Alone(nn.Module):
    """A plug-in without its base, which lies elsewhere.

    Args:
        base: id of the base's architecture.
        plugin: made for it.
    """

    def __init__(self, base: str, plugin: Plugin) -> None:
        super().__init__()
        self.id, self.plugin = base, nn.ModuleDict({base: plugin})
        self.base_sha256: torch.Tensor
        self.register_buffer(REFERENCE, torch.zeros(DIGEST, dtype=torch.uint8))

    @property
    def wanted(self) -> str:
        """SHA-256 of the base, hexadecimal."""
        return bytes(self.base_sha256.tolist()).hex()

    def onto(self, network: nn.Module) -> Plugged:
        """The base with this plug-in."""
        plugin = self.plugin[self.id]
        assert isinstance(plugin, Plugin)
        return Plugged(self.id, network, plugin)


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """Base and plug-in; None where the state dict is no plugged network's."""
    ids = {name.split(".")[1] for name in shapes if name.startswith(PLUGIN) and name.count(".") > 1}
    (id,) = ids if len(ids) == 1 else ("",)
    if id not in BASE_ARCHITECTURES:
        return None
    base = {name.removeprefix(BASE): shape for name, shape in shapes.items() if name.startswith(BASE)}
    values = BASE_ARCHITECTURES[id].recognise(base) if base else None
    head = f"{PLUGIN}{id}."
    plugin = _plugin(id, {name.removeprefix(head): shape for name, shape in shapes.items() if name.startswith(head)})
    if plugin is None or (values is None and REFERENCE not in shapes):
        return None
    return {"variant": f"hierarchical-{id}", "base": id, "base_values": values, "plugin": plugin}


def _plugin(id: str, shapes: Shapes) -> Optional[Dict[str, Value]]:
    """What :func:`kairos.engines.hierarchical.plugged.plugin_values` answered when it was made."""
    first = shapes.get("hierarchy.inter.body.0.0.weight", ())
    last = shapes.get("hierarchy.inter.last.weight", ())
    if len(first) != 4 or len(last) != 4:
        return None
    grown = 2 if last[-1] == 4 else 1
    parts: List[str] = [part for part in PARTS if any(name.startswith(f"hierarchy.{part}.") for name in shapes)]
    gates = 2 if {"hir_l", "hir_s"} & set(parts) else 0
    more, width = last[1 if grown == 2 else 0] - 4 - gates, first[0] // 2
    decoded = id in ("ifrnet", "amt")
    return {
        "kind": "rife-later" if any(name.startswith("encoder.") for name in shapes) else id,
        "level": 3 if decoded and grown == 1 else 4,
        "inputs": shapes.get("hierarchy.enter.weight", (0, width))[1],
        "width": width,
        "feature": more if decoded else 0,
        "logit": bool(more) and not decoded,
        "grown": grown,
        "parts": parts,
    }


def build(values: Mapping[str, Value]) -> nn.Module:
    """The plugged network, untrained; a plug-in :class:`Alone` where the base is elsewhere."""
    id, plugin = values["base"], build_plugin(values["plugin"])
    if values["base_values"] is None:
        return Alone(id, plugin)
    return Plugged(id, BASE_ARCHITECTURES[id].build(values["base_values"]), plugin)


def plugged_values(id: str, values: Mapping[str, Any], **choices: Any) -> Dict[str, Value]:
    """Hyper-parameters of a base with these of its own, plugged; ``choices``: those of
    :func:`kairos.engines.hierarchical.plugged.plugin_values`. Raises BadRequest for what cannot be plugged.
    """
    plugin = plugin_values(id, values, **choices)
    return {"variant": f"hierarchical-{id}", "base": id, "base_values": dict(values), "plugin": plugin}


def terms(values: Mapping[str, Value]) -> Tuple[str, bool]:
    """The licence of a base's weights holds for what was trained on them, too."""
    base = BASE_ARCHITECTURES[values["base"]]
    return f"those of its base {base.id}: {base.weights_licence}", base.non_commercial


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    f"hierarchical-{id}": plugged_values(id, next(iter(architecture.variants.values())))
    for id, architecture in BASE_ARCHITECTURES.items()
}

ARCHITECTURE = Architecture(
    id="hierarchical",
    title="Hierarchical motion: objects first, then pixels, on another network",
    paper="Aligning Anything: Hierarchical Motion Estimation for Video Frame Interpolation (anonymous submission)",
    code_licence="Apache-2.0",
    weights_licence="those of its base",
    non_commercial=False,
    recognise=recognise,
    spelled=without_prefix,
    build=build,
    variants=VARIANTS,
    terms=terms,
)
