"""``swift`` at work on one view of one shot."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.course import Course, Curve, Mover
from kairos.engines.classic.flow import Finder
from kairos.engines.classic.midway import between, kept_apart, paths
from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.classic.session import ClassicSession, whole
from kairos.engines.swift.ensemble import TURNS, Turn, mean_decision
from kairos.engines.swift.estimator import Hierarchy, SwiftEstimator, classical
from kairos.engines.swift.meeting import Told, arrival, decided, evidence, halved, told_hidden
from kairos.engines.swift.network import Decision, Swift
from kairos.engines.swift.quick import Way, met
from kairos.motion.inbetween import Inbetween


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

    def _between(self, pair: Pair, motion: PairMotion, curve: Optional[Curve], time: float) -> Inbetween:
        if time in (0.0, 1.0) or bool(motion.still.all()):
            return between(motion, curve, time)
        if self._shot.regions(pair.first) is not None and len(motion.layers) > 1 and not isinstance(curve, Course):
            # Objects have outlines to the pixel: half the grid, on which the network decides, would blur them.
            return between(motion, curve, time)
        with torch.inference_mode():
            way = self._way(pair, motion, curve, time)
            return kept_apart(self._met(pair, motion, way), motion, way.here)

    def told(self, pair: Pair, time: float) -> Told:
        """What the meeting network is told about a time between 0 and 1: for those who train it."""
        motion = self._motion(pair.first, pair.second)
        return self._tell(pair, motion, self._way(pair, motion, self._curve(pair, motion), time))

    def _way(self, pair: Pair, motion: PairMotion, curve: Optional[Curve], time: float) -> Way:
        first = self._shot.proxy(pair.first)
        here = arrival(self._at_half(motion), time, first.shape[-2], first.shape[-1], curve)
        return Way(here, *paths(here, curve))

    def _tell(self, pair: Pair, motion: PairMotion, way: Way) -> Told:
        first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
        layer = merged(motion)
        hidden = told_hidden(layer, way.to_0, way.to_1)
        return Told(*way, hidden, *evidence(way.here, layer, way.to_0, way.to_1, first, second))

    def _met(self, pair: Pair, motion: PairMotion, way: Way) -> Inbetween:
        """The in-between as the network decides it."""
        if self._dtype is torch.float32 and self._tile is None and len(self._turns) == 1:
            first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
            answer = met(self._network.meeting, way, merged(motion), first, second)
            if answer is not None:
                return answer
        told = self._tell(pair, motion, way)
        return decided(told, self._decision(told.moved, told.known))

    def _decision(self, moved: Tensor, known: Tensor) -> Decision:
        """What the network decides on the evidence: the mean over all ways of turning it over."""
        decisions = []
        for turn in self._turns:
            # Of what is known, the velocity alone has a direction; it comes first.
            told = turn.planes(moved).to(self._dtype), turn.vectors(known, 1).to(self._dtype)
            decisions.append(turn.decision(self._network.meeting(*told, self._tile)))
        return mean_decision(decisions)

    def _on_grid(self, motion: PairMotion) -> PairMotion:
        return halved(motion)

    def _at_half(self, motion: PairMotion) -> PairMotion:
        """Made once for all times of a pair."""
        if self._halved is None or self._halved[0] is not motion:
            self._halved = motion, halved(motion)
        return self._halved[1]


def merged(motion: PairMotion) -> Layer:
    """All layers as one."""
    if len(motion.layers) == 1:
        return motion.layers[0]
    there, trust0 = whole(motion)
    back, trust1 = whole(motion.reversed())
    every = torch.ones_like(trust0)
    layers = motion.layers
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
