"""``swift`` at work on one view of one shot."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.course import Curve, Mover
from kairos.engines.classic.flow import Finder
from kairos.engines.classic.midway import Moment, between, kept_apart, paths
from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.classic.path import Bend
from kairos.engines.classic.session import ClassicSession, whole
from kairos.engines.swift.ensemble import TURNS, Turn, mean_decision
from kairos.engines.swift.estimator import Hierarchy, SwiftEstimator, classical
from kairos.engines.swift.meeting import (
    Told,
    decided,
    enlarged,
    evidence,
    halved,
    small_arrival,
    told_hidden,
)
from kairos.engines.swift.network import Decision, Swift
from kairos.engines.swift.quick import Laid, laid, met
from kairos.motion.inbetween import Inbetween
from kairos.motion.tiling import half_of


class SwiftSession(ClassicSession):
    """See :class:`kairos.engines.base.Session`.

    The network finds the motion and decides at the time asked for. What holds for any motion is shared with
    ``classic``: mattes, given vectors, still ground, highlights, and paths bent by four frames or told by a mover, on
    half the grid. Where the artist told objects apart, the network finds the motion alone: their layers are put
    together on the frame's own grid, as ``classic`` does it.
    """

    def __init__(
        self,
        shot: ShotView,
        network: Swift,
        dtype: torch.dtype,
        use_prior: bool,
        scale: float,
        turns: Tuple[Turn, ...] = TURNS[:1],
        tile: Optional[int] = None,
        prior: Finder = classical,
        mover: Optional[Mover] = None,
        hierarchy: Optional[Hierarchy] = None,
    ) -> None:
        estimate = SwiftEstimator(network, dtype, use_prior, scale, turns, tile, prior, hierarchy)
        super().__init__(shot, estimate, mover)
        self._network, self._dtype, self._turns, self._tile = network, dtype, turns, tile
        self._halved: Optional[Tuple[PairMotion, PairMotion]] = None
        self._laid: Optional[Tuple[PairMotion, Optional[Laid]]] = None

    def _between(self, pair: Pair, motion: PairMotion, curve: Optional[Curve], time: float) -> Inbetween:
        if time in (0.0, 1.0) or self._as_classic(pair, motion):
            return between(motion, curve, time)
        with torch.inference_mode():
            here = small_arrival(self._at_half(motion), time, curve)
            laid = self._quickly(pair, motion)
            height, width = motion.still.shape[-2:]
            if laid is not None:
                answer = met(self._network.meeting, here, laid)
                return answer if len(motion.layers) == 1 else kept_apart(answer, motion, enlarged(here, height, width))
            told = self._tell(pair, motion, enlarged(here, height, width))
            return kept_apart(decided(told, self._decision(told.moved, told.known)), motion, told.here)

    def _as_classic(self, pair: Pair, motion: PairMotion) -> bool:
        """Whether there is nothing for the network to decide, or, where objects are told apart, no finer grid for it:
        they have outlines to the pixel, which half the grid would blur.
        """
        return self._cut_apart(pair.first, motion) or bool(motion.still.all())

    def _cut_apart(self, position: int, motion: PairMotion) -> bool:
        """Whether objects that were told apart are layers of their own."""
        return self._shot.regions(position) is not None and len(motion.layers) > 1 and self._mover is None

    def told(self, pair: Pair, time: float) -> Told:
        """What the meeting network is told about a time between 0 and 1: for those who train it."""
        motion = self._motion(pair.first, pair.second)
        curve = self._bent(pair, motion, _small) if self._mover is None else self._curve(pair, motion)
        here = small_arrival(self._at_half(motion), time, curve)
        return self._tell(pair, motion, enlarged(here, *motion.still.shape[-2:]))

    def _tell(self, pair: Pair, motion: PairMotion, here: Moment) -> Told:
        first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
        layer, ways = merged(motion), paths(here, None)
        return Told(here, *ways, told_hidden(layer, *ways), *evidence(here, layer, *ways, first, second))

    def _quickly(self, pair: Pair, motion: PairMotion) -> Optional[Laid]:
        """What compiled kernels share between all times of a pair; None where they cannot be used."""
        if self._dtype is not torch.float32 or self._tile is not None or len(self._turns) > 1:
            return None
        if self._laid is None or self._laid[0] is not motion:
            first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
            self._laid = motion, laid(self._network.meeting, merged(motion), first, second)
        return self._laid[1]

    def _decision(self, moved: Tensor, known: Tensor) -> Decision:
        """What the network decides on the evidence: the mean over all ways of turning it over."""
        decisions = []
        for turn in self._turns:
            # Of what is known, the velocity alone has a direction; it comes first.
            told = turn.planes(moved).to(self._dtype), turn.vectors(known, 1).to(self._dtype)
            decisions.append(turn.decision(self._network.meeting(*told, self._tile)))
        return mean_decision(decisions)

    def _measured(self, first: int, second: int) -> PairMotion:
        found = super()._measured(first, second)
        # What no object's outline cuts out moves as it does where nothing is told apart: on half the grid.
        soft = self._cut_apart(first, found) and not found.layers[0].given
        return replace(found, rest_at_half=True) if soft else found

    def _bend(self, pair: Pair, motion: PairMotion) -> Optional[Bend]:
        return self._bent(pair, motion, whole if self._as_classic(pair, motion) else _small)

    def _on_grid(self, motion: PairMotion) -> PairMotion:
        return halved(motion)

    def _at_half(self, motion: PairMotion) -> PairMotion:
        """Made once for all times of a pair."""
        if self._halved is None or self._halved[0] is not motion:
            self._halved = motion, halved(motion)
        return self._halved[1]


def _small(motion: PairMotion) -> Tuple[Tensor, Tensor]:
    """Motion from the first frame's pixels and its trust, on half the grid and in its pixels."""
    flow, trust = whole(motion)
    return half_of(flow) / 2, half_of(trust)


def merged(motion: PairMotion) -> Layer:
    """All layers as one."""
    if len(motion.layers) == 1:
        return motion.layers[0]
    there, trust0 = whole(motion)
    back, trust1 = whole(motion.reversed())
    every = torch.ones_like(trust0)
    layers = [layer.in_frame() for layer in motion.layers]
    hidden0 = _shown([layer.hidden0 for layer in layers], [layer.share0 for layer in layers])
    hidden1 = _shown([layer.hidden1 for layer in layers], [layer.share1 for layer in layers])
    return Layer(there, back, trust0, trust1, every * 0, every * 0, every, every, False, hidden0, hidden1)


def _shown(planes: Sequence[Optional[Tensor]], shares: Sequence[Tensor]) -> Optional[Tensor]:
    """Of layers' planes what each pixel shows; None where a layer has none."""
    found = planes[0]
    for plane, share in zip(planes[1:], shares[1:]):
        if found is None or plane is None:
            return None
        found = torch.where(share > 0.5, plane, found)
    return found
