"""``classic`` at work on one view of one shot."""

from __future__ import annotations

from collections import OrderedDict
from typing import Iterator, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.motion.fill import fill_background
from kairos.motion.inbetween import Inbetween
from kairos.motion.occlusion import confidence, consistency, occlusion
from kairos.motion.splat import splat
from kairos.motion.warp import backward_warp

_KEPT = 4


def estimate(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """DIS flow (H, W, 2), pixels, from ``first`` to ``second``."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    start = np.zeros((*first.shape, 2), np.float32)
    return np.asarray(dis.calc(first, second, start), np.float32)


class ClassicSession:
    """See :class:`kairos.engines.base.Session`."""

    def __init__(self, shot: ShotView) -> None:
        self._shot = shot
        self._flows: OrderedDict[Tuple[int, int], Tensor] = OrderedDict()

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        there, back = self._flow(pair.first, pair.second), self._flow(pair.second, pair.first)
        seen0, seen1 = consistency(there, back), consistency(back, there)
        trust0, trust1 = confidence(seen0, there) + 1e-3, confidence(seen1, back) + 1e-3
        hidden0, hidden1 = occlusion(seen0, there), occlusion(seen1, back)
        for t in times:
            yield self._between(t, there, back, trust0, trust1, hidden0, hidden1)

    def _between(
        self, t: float, there: Tensor, back: Tensor, trust0: Tensor, trust1: Tensor, hidden0: Tensor, hidden1: Tensor
    ) -> Inbetween:
        if t == 0.0:
            velocity = there
        elif t == 1.0:
            velocity = -back
        else:
            from0, area0 = splat(torch.cat([there, trust0]), there * t, trust0, "linear")
            from1, area1 = splat(torch.cat([back, trust1]), back * (1 - t), trust1, "linear")
            weight0, weight1 = from0[2:] * (area0 > 0.25), from1[2:] * (area1 > 0.25)
            total = weight0 + weight1
            velocity = (from0[:2] * weight0 - from1[:2] * weight1) / total.clamp(min=1e-9)
            velocity = fill_background(velocity, total > 1e-3)
        to_0, to_1 = velocity * -t, velocity * (1 - t)
        seen0, seen1 = backward_warp(trust0, to_0), backward_warp(trust1, to_1)
        blend = (1 - t) * seen0 / ((1 - t) * seen0 + t * seen1)
        # Ground that source 0 alone shows is hidden in source 1, and the reverse.
        return Inbetween(
            time=t,
            flow_to_0=to_0,
            flow_to_1=to_1,
            blend=blend,
            occlusion_0=backward_warp(hidden1, to_1),
            occlusion_1=backward_warp(hidden0, to_0),
            confidence=torch.maximum(seen0, seen1).clamp(0, 1),
        )

    def _flow(self, source: int, target: int) -> Tensor:
        key = (source, target)
        if key not in self._flows:
            given = self._shot.given_motion(source, target)
            self._flows[key] = given if given is not None else self._estimate(source, target)
            while len(self._flows) > _KEPT:
                self._flows.popitem(last=False)
        return self._flows[key]

    def _estimate(self, source: int, target: int) -> Tensor:
        flow = estimate(self._gray(source), self._gray(target))
        return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1))).to(self._shot.device)

    def _gray(self, position: int) -> npt.NDArray[np.uint8]:
        proxy = self._shot.proxy(position)
        weights = torch.tensor([0.299, 0.587, 0.114], device=proxy.device)[:, None, None]
        gray = (proxy * weights).sum(0) * 255.0
        return gray.round().clamp(0, 255).to(torch.uint8).cpu().numpy()
