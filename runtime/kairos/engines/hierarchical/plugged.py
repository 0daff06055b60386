"""Published networks with hierarchical motion plugged in, used as the networks themselves are.

Each is told more at its first and coarsest answer. What is added begins at 0, so until it is trained the network
answers, to the bit, what it answers alone.

========  ================================  ==========================================================
base      features that are compared        what is added to
========  ================================  ==========================================================
ifrnet    the pyramid at 1/16 (or 1/8)      flows and feature at 1/8, after decoder 4
amt       the pyramid at 1/16               flows and feature at 1/8, after decoder 4, before its correction
rife      the paper models' context at      flow and logit after the first stage (later versions replace the
          1/16; later versions have none    logit whole at each stage: there the flow alone)
          and get an encoder
ema       motion and appearance at 1/16     flow and logit after the first head
========  ================================  ==========================================================
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import Pyramid, dtype_of, scaled, scaled_flow
from kairos.engines.hierarchical.blocks import PARTS, Hierarchy, Met, Settings, Told
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.errors import BadRequest

Labels = Tuple[Tensor, Tensor]
"""Label maps (B, h, w) of both frames, at the cells that :meth:`Plugged.grid` tells."""

_STRIDE = 16
"""Pixels of a cell of the coarsest features."""

_ENCODER = (12, 16, 32)
_CONTEXT = 128
"""Channels of the encoder that RIFE's later versions get, finest first, and of the paper models' context at 1/16."""

_NARROW = {"rife": 32, "ema": 64}
"""Channels that a hierarchy works in where the base is quick, or its features are very wide."""


class Plugin(nn.Module, ABC):
    """A hierarchy and what it needs of a base: one per kind of base.

    Args:
        settings: of the hierarchy.
        level: of the base's features, strides 2 ** level.
    """

    def __init__(self, settings: Settings, level: int = 4) -> None:
        super().__init__()
        self.level = level
        self.hierarchy = Hierarchy(settings)

    def stride(self, scale: float) -> float:
        """Pixels of the frame that a cell is wide, where motion is sought at that part of the frame's size."""
        return float(1 << self.level) / scale

    @abstractmethod
    def features(self, state: Any, scale: float) -> Tuple[Tensor, Tensor]:
        """(B, inputs, h, w) of both frames, from what the base has prepared."""

    def fitted(self, added: Addition, scale: float) -> Addition:
        """The addition at the size of the base's answer."""
        return added


class Decoded(Plugin):
    """For IFRNet and AMT, whose first decoder answers at 1/8: grown from 1/16, or as it is from 1/8."""

    def features(self, state: Any, scale: float) -> Tuple[Tensor, Tensor]:
        """See :class:`Plugin`."""
        return state.features_0[self.level - 1], state.features_1[self.level - 1]


class Staged(Plugin):
    """For networks whose first stage answers at the size of the frame that motion is sought in."""

    def fitted(self, added: Addition, scale: float) -> Addition:
        """See :class:`Plugin`."""
        factor = self._factor(scale)
        logit = None if added.logit is None else scaled(added.logit, factor)
        return Addition(scaled_flow(added.flows, factor), None, logit)

    def _factor(self, scale: float) -> float:
        return self.stride(scale)


class Contextual(Staged):
    """For RIFE's paper models: by the context of whole frames, whatever size motion is sought at."""

    def stride(self, scale: float) -> float:
        """See :class:`Plugin`."""
        return float(_STRIDE)

    def features(self, state: Any, scale: float) -> Tuple[Tensor, Tensor]:
        """See :class:`Plugin`."""
        return state.first.features[3], state.second.features[3]


class Encoded(Staged):
    """For RIFE's later versions, which have no features at 1/16: by an encoder of its own.

    It looks at frames of half the size: the networks are so quick that at full size it would cost a tenth of them.
    """

    def __init__(self, settings: Settings, level: int = 4) -> None:
        super().__init__(settings, level)
        self.encoder = Pyramid(_ENCODER, 3)

    def features(self, state: Any, scale: float) -> Tuple[Tensor, Tensor]:
        """See :class:`Plugin`."""
        frames = torch.cat([scaled(seen[:, :3], scale / 2) for seen in (state.first, state.second)])
        first, second = self.encoder(frames.to(dtype_of(self)))[-1].chunk(2)
        return first, second


class Attentive(Staged):
    """For EMA-VFI: by what its attention between the frames tells, motion and appearance."""

    def features(self, state: Any, scale: float) -> Tuple[Tensor, Tensor]:
        """See :class:`Plugin`."""
        first, second = torch.cat(state.told[0], 1).chunk(2)
        return first, second

    def _factor(self, scale: float) -> float:
        return float(_STRIDE)


_PLUGINS: Mapping[str, Any] = {
    "ifrnet": Decoded,
    "amt": Decoded,
    "rife": Contextual,
    "rife-later": Encoded,
    "ema": Attentive,
}

BASES = ("ifrnet", "rife", "amt", "ema")
"""Architectures that hierarchical motion can be plugged into."""


def plugin_values(
    base: str, values: Mapping[str, Any], parts: Tuple[str, ...] = PARTS, level: int = 4
) -> Dict[str, Any]:
    """Settings (JSON) of the plug-in for a base with these hyper-parameters.

    Args:
        base: of :data:`BASES`.
        values: as the base's architecture recognises them.
        parts: of the hierarchy, see :data:`kairos.engines.hierarchical.blocks.PARTS`.
        level: 4: cells of 16 pixels; 3: of 8, for IFRNet alone: sharper regions for about 16 times the comparisons.

    Raises:
        BadRequest: another base, level or part.
    """
    if base not in BASES:
        raise BadRequest(f"Hierarchical motion cannot be plugged into {base!r}.", f"Choose of {', '.join(BASES)}.")
    if level != 4 and (base, level) != ("ifrnet", 3):
        raise BadRequest(f"{base} has no level {level} for regions.", "Use level 4; ifrnet has level 3 too.")
    if base in ("ifrnet", "amt"):
        inputs = values["widths"][level - 1]
        settings = Settings(inputs, inputs, values["widths"][2], False, 2 if level == 4 else 1, parts)
        return _as_values(base, settings, level)
    if base == "ema":
        return _as_values(base, Settings(32 * values["width"], _NARROW[base], logit=True, parts=parts), level)
    if "timed" in values:
        return _as_values(base, Settings(_CONTEXT, _NARROW[base], logit=True, parts=parts), level)
    settings = Settings(_ENCODER[-1], _NARROW[base], logit=not values["code"], parts=parts)
    return _as_values("rife-later", settings, level)


def _as_values(kind: str, settings: Settings, level: int) -> Dict[str, Any]:
    # Field by field in place of asdict: JSON knows no tuples.
    fields = {name: getattr(settings, name) for name in ("inputs", "width", "feature", "logit", "grown")}
    return {"kind": kind, "level": level, **fields, "parts": list(settings.parts)}


def build_plugin(values: Mapping[str, Any]) -> Plugin:
    """The plug-in, untrained, from what :func:`plugin_values` answers."""
    fields = {name: value for name, value in values.items() if name not in ("kind", "level")}
    plugin: Plugin = _PLUGINS[values["kind"]](Settings.of(fields), values["level"])
    return plugin


@dataclass(frozen=True)
class State:
    """Of a pair: what the base has prepared, what was met, and the part of the frame's size motion is sought at."""

    base: Any
    met: Met
    scale: float


class Plugged(nn.Module):
    """A base with its plug-in, a :class:`kairos.engines.published.PublishedNetwork` that can be told regions.

    ``tile``: side of the tiles, pixels, that the base works in; cells are so few that they are met all at once.

    Args:
        base: id of its architecture.
        network: the base.
        plugin: made for it.
    """

    tile: Optional[int] = None

    def __init__(self, base: str, network: Any, plugin: Plugin) -> None:
        super().__init__()
        self.base: Any
        self.base, self.plugin = network, nn.ModuleDict({base: plugin})
        self.padding: Padding = network.padding
        self.any_time, self.scales = bool(network.any_time), bool(network.scales)

    @property
    def _plugin(self) -> Plugin:
        (plugin,) = self.plugin.values()
        assert isinstance(plugin, Plugin)
        return plugin

    def grid(self, height: int, width: int, scale: float = 1.0) -> Tuple[int, int]:
        """Rows and columns of the cells that label maps have to have, for a padded frame of that height and width."""
        stride = self._plugin.stride(scale)
        return round(height / stride), round(width / stride)

    def look(self, frame: Tensor) -> Any:
        """What depends on one frame (B, 3, H, W) alone."""
        return self._base().look(frame)

    def prepare(self, first: Any, second: Any, scale: float = 1.0, labels: Optional[Labels] = None) -> State:
        """What depends on the pair, from what ``look`` said of both frames; shared by all times.

        Args:
            first, second: of the frames.
            scale: part of the frame's size at which motion is sought.
            labels: of both frames; None: all is one region.

        Raises:
            BadRequest: label maps of another size than :meth:`grid`.
        """
        state = self._base().prepare(first, second, scale)
        features = self._plugin.features(state, scale)
        met = self._plugin.hierarchy.meet(*features, *(labels or (None, None)))
        return State(state, met, scale)

    def told(self, state: State, time: Time) -> Told:
        """What the hierarchy says of a time: the addition as the base takes it, and the coarse flows, in cells."""
        told = self._plugin.hierarchy.at(state.met, time)
        return Told(self._plugin.fitted(told.added, state.scale), told.coarse)

    def at(self, state: State, time: Time) -> Found:
        """The answer at a time strictly between 0 and 1."""
        return self.at_told(state, time, self.told(state, time))

    def at_told(self, state: State, time: Time, told: Told) -> Found:
        """The same, where what the hierarchy says is known already (training asks for it too)."""
        found: Found = self._base().at(state.base, time, told.added)
        return found

    def _base(self) -> Any:
        """The base, working in the tiles that are asked for."""
        if self.tile == self.base.tile:
            return self.base
        # Another view of the same weights.
        network = copy.copy(self.base)
        network.tile = self.tile
        return network
