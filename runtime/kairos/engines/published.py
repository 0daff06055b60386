"""How the published networks are called: what depends on a frame, on a pair and on a time are three steps.

Frames are (B, 3, H, W) float32, about 0..1, not clamped, with sides that the network's ``padding`` allows. Flows are in
pixels of the frame, x right, y down, from the in-between's pixel to the source frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Protocol, Tuple, Union

import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import recorded

Time = Union[float, Tensor]
"""Between 0 and 1; a tensor that broadcasts with (B, 1, 1, 1) where a graph is recorded."""


@dataclass(frozen=True)
class Found:
    """What a network says about one time. All of the frame's size, float32, nothing clamped.

    Attributes:
        flow_to_0, flow_to_1: (B, 2, H, W) pixels; the mean where a network has several fields.
        image: (B, 3, H, W), the network's own picture.
        mask: (B, 1, H, W) in 0..1, weight of the first frame fetched by its flow; None where the network has none.
        residual: (B, 3, H, W), what the picture has beyond the blend of both; None where the network has none.
    """

    flow_to_0: Tensor
    flow_to_1: Tensor
    image: Tensor
    mask: Optional[Tensor] = None
    residual: Optional[Tensor] = None


class Addition(NamedTuple):
    """What is added to a network's first and coarsest answer at one time, at that answer's size.

    Attributes:
        flows: (B, 4, H, W) float32, to frame 0 and to frame 1, in pixels of its own grid.
        feature: (B, C, H, W), to the intermediate feature; None where the network has none.
        logit: (B, 1, H, W) float32, to the logit of the blend; None where the first answer has none.
    """

    flows: Tensor
    feature: Optional[Tensor] = None
    logit: Optional[Tensor] = None


@dataclass(frozen=True)
class Padding:
    """How the official tools bring a frame to a size that the network takes.

    Attributes:
        multiple: both sides become multiples of this (of more where motion is sought at a smaller ``scale``).
        centred: on all sides, the smaller half left and above; else right and below alone.
        repeat: with the border's pixels; else with zeros.
        least: no side may be smaller than this (at full scale).
    """

    multiple: int
    centred: bool = False
    repeat: bool = False
    least: int = 1

    def margins(self, height: int, width: int, scale: float = 1.0) -> Tuple[int, int, int, int]:
        """Pixels to add left, right, above and below."""
        multiple = max(self.multiple, round(self.multiple / scale))
        least = max(self.least, round(self.least / scale))
        # Of positive numbers alone: a recorded graph may round negative ones towards 0.
        wanted = ((max(side, least) + multiple - 1) // multiple * multiple for side in (width, height))
        beyond_x, beyond_y = (whole - side for whole, side in zip(wanted, (width, height)))
        left, above = (beyond_x // 2, beyond_y // 2) if self.centred else (0, 0)
        return left, beyond_x - left, above, beyond_y - above

    def pad(self, frame: Tensor, scale: float = 1.0) -> Tensor:
        """A frame (B, C, H, W) with its margins."""
        margins = self.margins(frame.shape[-2], frame.shape[-1], scale)
        if not recorded() and not any(margins):
            return frame
        return F.pad(frame, margins, "replicate" if self.repeat else "constant")

    def crop(self, planes: Tensor, height: int, width: int, scale: float = 1.0) -> Tensor:
        """Planes of the padded size without the margins of a frame of that height and width."""
        left, _, above, _ = self.margins(height, width, scale)
        return planes[..., above : above + height, left : left + width]


class PublishedNetwork(Protocol):
    """A network that goes between two frames; ``nn.Module`` with an untrained state until weights are loaded.

    What ``look`` and ``prepare`` answer is the network's own business: it goes back into the next step as it is.
    """

    padding: Padding
    any_time: bool
    """Answers at any time by its making; else it knows the middle alone."""
    scales: bool
    """Can seek motion at a part of the frame's size."""
    tile: Optional[int]
    """Side of the tiles, pixels, in which it works wherever an answer depends on its surroundings alone, with as much
    of these around as it depends on: tiles leave no trace. None for the whole frame at once."""

    def look(self, frame: Tensor) -> Any:
        """What depends on one frame alone: kept for both pairs that the frame belongs to."""

    def prepare(self, first: Any, second: Any, scale: float = 1.0) -> Any:
        """What depends on the pair, from what ``look`` said of both frames; shared by all times.

        ``scale``: motion is sought at this part of the frame's size; 1 where the network does not scale.
        """

    def at(self, state: Any, time: Time) -> Found:
        """The answer at a time strictly between 0 and 1."""


class FlowNetwork(Protocol):
    """A network that finds the motion of one frame's pixels to another's."""

    padding: Padding

    def look(self, frame: Tensor) -> Any:
        """What depends on one frame alone."""

    def flow(self, first: Any, second: Any, rounds: int = 12, start: Optional[Tensor] = None) -> Tensor:
        """(B, 2, H, W) pixels: where the first frame's pixels lie in the second.

        ``rounds`` of refinement begin from ``start``, (B, 2, H / 8, W / 8) in pixels of that grid, or from 0.
        """
