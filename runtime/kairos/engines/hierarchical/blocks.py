"""Hierarchical motion as modules that any network between two frames can be given: first regions, then cells.

"Aligning Anything: Hierarchical Motion Estimation for Video Frame Interpolation": HCE-S and HCE-T tell every cell what
its whole region looks like, here and in the other frame; HIR-L matches cells within regions of the same label, HIR-S
what lies between the frames with both, near where it is expected; Inter makes of that an addition to what the network
has at its coarsest size. Written from the paper's equations.

Planes are (B, C, h, w); label maps (B, h, w) integers, 0 the rest, the same number in both frames for the same object;
flows (B, 2, h, w) float32 in cells, x right, y down. What belongs to both frames is stacked along the batch, frame 0
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import (
    SideBlock,
    channels_last,
    conv_prelu,
    dtype_of,
    scaled_flow,
    time_plane,
)
from kairos.engines.convolutions import Conv, Enlarging
from kairos.engines.fetching import pixels, warp
from kairos.engines.hierarchical.attention import Near, attend_both, attend_near
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Time
from kairos.errors import BadRequest

PARTS = ("hce_s", "hce_t", "hir_l", "hir_s")
"""What a hierarchy is made of, each of which may be left out."""

_SIDE = 32
"""Channels of the side branch of Inter's residual block."""

_LARGE = 1024
"""Cells of a region over which four neighbours are asked as one, but for training: regions are compared at the cost of
their squares.
"""

FAR = 8.0
"""Cells of motion that Inter is told as 1."""


@dataclass(frozen=True)
class Settings:
    """What a hierarchy is.

    Attributes:
        inputs: channels of the features that it is given.
        width: channels that it works in.
        feature: channels of the intermediate feature that it adds to; 0 where the network has none.
        logit: it adds to the logit of a blend too.
        grown: of the addition's size to the features'; 1 or 2.
        parts: of :data:`PARTS`.
    """

    inputs: int
    width: int
    feature: int = 0
    logit: bool = False
    grown: int = 1
    parts: Tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        wrong = [part for part in self.parts if part not in PARTS]
        if wrong:
            raise BadRequest(f"Hierarchical motion has no part {wrong[0]!r}.", f"Choose of {', '.join(PARTS)}.")
        if self.grown not in (1, 2):
            raise BadRequest(f"Hierarchical motion cannot grow by {self.grown}.", "Use 1 or 2.")
        # In one order, whatever order and kind of list they came in.
        object.__setattr__(self, "parts", tuple(part for part in PARTS if part in self.parts))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """From JSON values, as ``dataclasses.asdict`` makes them."""
        return cls(**{**values, "parts": tuple(values["parts"])})


@dataclass(frozen=True)
class Met:
    """What is known of a pair, whatever the time.

    Attributes:
        features: (2B, C, h, w) of both frames, after HCE and HIR-L.
        motion: (2B, 2, h, w), of frame 0's cells to frame 1, then back; None without HIR-L.
        keys, values: (2B, C, h, w) that HIR-S compares with; None without it.
    """

    features: Tensor
    motion: Optional[Tensor]
    keys: Optional[Tensor]
    values: Optional[Tensor]


class Told(NamedTuple):
    """What a hierarchy says about one time.

    Attributes:
        added: to the network's own answer, in cells of that answer's grid; all 0 until it is trained.
        coarse: (B, 4, h, w) float32 cells, what HIR alone says of both flows: to learn from.
    """

    added: Addition
    coarse: Tensor


def region_means(planes: Tensor, labels: Tensor, count: int) -> Tensor:
    """(B, count, C) float32: the mean over the cells of every label below ``count``; 0 where it has none."""
    batch, channels = planes.shape[:2]
    place = _numbered(labels, count)
    rows = planes.float().permute(0, 2, 3, 1).reshape(-1, channels)
    sums = rows.new_zeros(batch * count, channels).index_add(0, place, rows)
    cells = torch.bincount(place, minlength=batch * count).clamp(min=1)
    return (sums / cells[:, None]).view(batch, count, channels)


def spread(means: Tensor, labels: Tensor) -> Tensor:
    """(B, C, h, w): to every cell the vector of its label, of (B, count, C)."""
    count, channels = means.shape[1:]
    rows = means.reshape(-1, channels).index_select(0, _numbered(labels, count))
    return rows.view(*labels.shape, channels).permute(0, 3, 1, 2)


def _numbered(labels: Tensor, count: int) -> Tensor:
    """(B * h * w,) labels that differ between the pictures of a batch."""
    apart = torch.arange(len(labels), device=labels.device)[:, None, None] * count
    return (labels.long() + apart).flatten()


class Context(nn.Module):
    """HCE: to planes (B, C, h, w) what is told of regions, as far as a gate lets it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(conv_prelu(width, width), Conv(width, width, 3, 1, 1))
        self.merge = conv_prelu(2 * width, width)

    def forward(self, planes: Tensor, told: Tensor) -> Tensor:
        """``told``: (B, C, h, w), spread over the regions."""
        seen = torch.sigmoid(self.gate(planes)) * told.to(planes.dtype)
        out: Tensor = self.merge(beside([planes, seen]))
        return out


class Compared(nn.Module):
    """What cells are compared by and what they tell: keys and values, one projection each for all frames.

    Keys have the same length everywhere: how sharply cells are told apart is learned, and does not hang on how loud
    the features of a network are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key, self.value = Conv(width, width, 1), Conv(width, width, 1)
        self.sharpness = nn.Parameter(torch.zeros(1))

    def forward(self, planes: Tensor) -> Tuple[Tensor, Tensor]:
        """(B, C, h, w) each."""
        keys = self.key(planes).float()
        length = keys.square().mean(1, keepdim=True).add(1e-6).sqrt()
        # Queries and keys meet: each has half of the sharpness.
        return (keys * ((self.sharpness.float() / 2).exp() / length)).to(planes.dtype), self.value(planes)


class LongRange(nn.Module):
    """HIR-L: every cell of a frame finds itself in the other, within its region; of a large one, but for training, four
    neighbours at once.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.compared = Compared(width)

    def forward(self, planes: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor]:
        """Features (2B, C, h, w) and motion (2B, 2, h, w) of both frames, from their planes and label maps (2B, h, w).

        Where a region is missing in the other frame, nothing is added and the motion is 0.
        """
        keys, values = self.compared(planes)
        x, y = pixels(planes)
        places = torch.stack([x.expand(y.shape[0], -1), y.expand(-1, x.shape[0])]).expand(len(planes), -1, -1, -1)
        told, maps = torch.cat([values.float(), places], 1), labels.chunk(2)
        marked = _numbered(torch.cat(maps, 2), int(labels.max()) + 1).view(len(maps[0]), labels.shape[1], -1)
        first, second = (_side(*each) for each in zip(keys.chunk(2), told.chunk(2), marked.chunk(2, 2), maps))
        answers = []
        found = attend_both((first.keys, second.keys), (first.told, second.told), (first.marks, second.marks))
        for side, attended in zip((first, second), found):
            motion = torch.where(attended.answered[:, None], attended.values[:, -2:] - side.told[:, -2:], 0.0)
            answer = torch.cat([attended.values[:, :-2], motion], 1)
            answers.append(answer if side.speakers is None else answer.index_select(0, side.speakers))
        answered = _planes(torch.cat(answers), planes)
        return values + answered[:, :-2].to(values.dtype), answered[:, -2:]


class _Side(NamedTuple):
    """What a frame's cells are compared by.

    Attributes:
        keys, told, marks: (N, C), (N, E) and (N,) of those that speak.
        speakers: (B * h * w,) which of these speaks for every cell; None where each does for itself.
    """

    keys: Tensor
    told: Tensor
    marks: Tensor
    speakers: Optional[Tensor]


def _side(keys: Tensor, told: Tensor, marks: Tensor, labels: Tensor) -> _Side:
    """Of planes (B, C, h, w) and (B, E, h, w), what cells are told apart by, and label maps (B, h, w)."""
    side = _Side(_rows(keys), _rows(told), marks.flatten(), None)
    own = None if torch.is_grad_enabled() else _speakers(labels)
    if own is None:
        return side
    speaks = own == torch.arange(len(own), device=own.device)
    cells = speaks.nonzero()[:, 0]
    known, spoken, marked = (each.index_select(0, cells) for each in (side.keys, side.told, side.marks))
    return _Side(known, spoken, marked, (speaks.cumsum(0) - 1).index_select(0, own))


def _speakers(labels: Tensor) -> Optional[Tensor]:
    """(B * h * w,) numbers of the cells that speak for each: in every two by two cells the first for those of the same
    label, where that has more than :data:`_LARGE` cells, else each for itself; None where no label has.

    Args:
        labels: (B, h, w).
    """
    numbered = _numbered(labels, int(labels.max()) + 1)
    large = torch.bincount(numbered) > _LARGE
    if not bool(large.any()):
        return None
    numbers = torch.arange(labels.numel(), device=labels.device).view(labels.shape)
    down, across = (torch.arange(side, device=labels.device) // 2 * 2 for side in labels.shape[1:])
    first, flat = numbers[:, down][:, :, across].flatten(), labels.flatten()
    return torch.where(large[numbered] & (flat[first] == flat), first, numbers.flatten())


def _rows(planes: Tensor) -> Tensor:
    """(B * h * w, C)."""
    return planes.permute(0, 2, 3, 1).reshape(-1, planes.shape[1])


def _planes(rows: Tensor, like: Tensor) -> Tensor:
    """Back to (B, C, h, w)."""
    return rows.view(len(like), *like.shape[-2:], -1).permute(0, 3, 1, 2)


class ShortRange(nn.Module):
    """HIR-S: every cell between the frames finds itself in each of them, near where it is expected."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fuse = conv_prelu(2 * width + 1, width)
        self.compared = Compared(width)

    def forward(self, moved: Tensor, time: Time, met: Met, flows: Tensor) -> Tuple[Tensor, Tensor]:
        """Enhanced features (2B, C, h, w) and flows (2B, 2, h, w), to frame 0 first.

        Args:
            moved: (2B, C, h, w), both frames' features fetched by the flows so far.
            time: between 0 and 1.
            met: of the pair.
            flows: (2B, 2, h, w).
        """
        assert met.keys is not None and met.values is not None
        between = self.fuse(beside([*moved.chunk(2), time_plane(time, moved[: len(moved) // 2])]))
        asked, own = self.compared(between)
        both = asked.repeat(2, 1, 1, 1)
        near: Near = attend_near(both, met.keys, met.values, flows)
        return own.repeat(2, 1, 1, 1) + near.values.to(own.dtype), flows + near.offset


class Inter(nn.Module):
    """From both enhanced features, both flows and the time to the addition; its last layer begins at 0."""

    def __init__(self, width: int, outputs: int, grown: int) -> None:
        super().__init__()
        inner = 2 * width
        last = Enlarging(inner, outputs) if grown == 2 else Conv(inner, outputs, 3, 1, 1)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(conv_prelu(inner + 5, inner), SideBlock(inner, min(_SIDE, width)))
        self.last = last

    def forward(self, features: Tensor, flows: Tensor, time: Time) -> Tensor:
        """(B, outputs, h, w), from features (2B, C, h, w) and flows (2B, 2, h, w)."""
        told = [each / FAR for each in flows.to(features.dtype).chunk(2)]
        seen = [*features.chunk(2), *told, time_plane(time, told[0])]
        out: Tensor = self.last(self.body(beside(seen)))
        return out


class Regional(nn.Module):
    """What regions tell of a pair, whatever the time: HCE-S, HCE-T and HIR-L."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        parts, width = settings.parts, settings.width
        self.enter = Conv(settings.inputs, width, 1) if settings.inputs != width else None
        self.hce_s = Context(width) if "hce_s" in parts else None
        self.hce_t = Context(width) if "hce_t" in parts else None
        self.hir_l = LongRange(width) if "hir_l" in parts else None

    def paired(
        self, first: Tensor, second: Tensor, labels0: Optional[Tensor], labels1: Optional[Tensor]
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Features (2B, C, h, w) and motion (2B, 2, h, w) of both frames; None for the motion without HIR-L.

        Args:
            first, second: (B, inputs, h, w), features of the frames.
            labels0, labels1: (B, h, w), label maps of the same cells; None where there is one region alone.

        Raises:
            BadRequest: a label map has another size than the features.
        """
        planes = torch.cat([first, second]).to(dtype_of(self))
        labels = _both(first, labels0, labels1)
        count = int(labels.max()) + 1
        if self.enter is not None:
            planes = self.enter(planes)
        if self.hce_s is not None:
            planes = self.hce_s(planes, spread(region_means(planes, labels, count), labels))
        if self.hce_t is not None:
            other = region_means(planes, labels, count).roll(len(first), 0)
            planes = self.hce_t(planes, spread(other, labels))
        return (planes, None) if self.hir_l is None else self.hir_l(planes, labels)


class Hierarchy(Regional):
    """All of it. What depends on the pair alone is worked out once for all times: :meth:`meet`, then :meth:`at`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        parts, width = settings.parts, settings.width
        self.hir_s = ShortRange(width) if "hir_s" in parts else None
        self._gates = 2 if self.hir_l is not None or self.hir_s is not None else 0
        self.inter = Inter(width, 4 + self._gates + int(settings.logit) + settings.feature, settings.grown)
        channels_last(self)

    def meet(self, first: Tensor, second: Tensor, labels0: Optional[Tensor], labels1: Optional[Tensor]) -> Met:
        """What is known of a pair. Arguments and errors are those of :meth:`paired`."""
        planes, motion = self.paired(first, second, labels0, labels1)
        keys = values = None
        if self.hir_s is not None:
            keys, values = self.hir_s.compared(planes)
        return Met(planes, motion, keys, values)

    def at(self, met: Met, time: Time) -> Told:
        """The addition at a time between 0 and 1, a number or a tensor that broadcasts with (B, 1, 1, 1)."""
        features, (height, width) = met.features, met.features.shape[-2:]
        if met.motion is None:
            flows = features.new_zeros(len(features), 2, height, width, dtype=torch.float32)
        else:
            there, back = met.motion.chunk(2)
            flows = torch.cat([time * back, (1 - time) * there])
            features = warp(features, flows)
        if self.hir_s is not None:
            features, flows = self.hir_s(features, time, met, flows)
        coarse = torch.cat(flows.chunk(2), 1)
        told = self.inter(features, flows, time)
        change, start = told[:, :4].float(), 4 + self._gates
        if self._gates:
            # What was matched is a good guess of the flow: a gate lets as much of it in as has been learned.
            gates = told[:, 4:start].float().repeat_interleave(2, 1)
            change = change + gates * scaled_flow(coarse, float(self.settings.grown))
        feature, logit = None, None
        if self.settings.logit:
            logit, start = told[:, start : start + 1].float(), start + 1
        if self.settings.feature:
            feature = told[:, start:]
        return Told(Addition(change, feature, logit), coarse)


def _both(features: Tensor, labels0: Optional[Tensor], labels1: Optional[Tensor]) -> Tensor:
    """(2B, h, w) of both label maps."""
    if labels0 is None or labels1 is None:
        return torch.zeros(2 * len(features), *features.shape[-2:], dtype=torch.long, device=features.device)
    wanted = (len(features), *features.shape[-2:])
    for labels in (labels0, labels1):
        if labels.shape != wanted:
            raise BadRequest(
                f"A label map of {tuple(labels.shape)} does not fit features of {wanted} cells.",
                "Bring label maps to the cells of the network first.",
            )
    return torch.cat([labels0, labels1]).to(features.device).long()
