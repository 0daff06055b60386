"""The way to an in-between at one time on the CPU, with compiled kernels around the meeting network.

The same as :mod:`kairos.engines.swift.meeting` does with torch, to rounding, in two passes over the frame where that
takes forty.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.classic.midway import DOUBT, Moment
from kairos.engines.classic.motion import Layer
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.meeting import SPEED, SURE, calm_of
from kairos.engines.swift.network import Meeting, grown
from kairos.motion import fast
from kairos.motion.inbetween import Inbetween


class Way(NamedTuple):
    """What is known of one time between two frames."""

    here: Moment
    to_0: Tensor
    to_1: Tensor
    """(2, H, W) pixels."""


def met(network: Meeting, way: Way, layer: Layer, first: Tensor, second: Tensor) -> Optional[Inbetween]:
    """The in-between; None where the kernels cannot be used.

    Args:
        network: in evaluation mode, in full precision.
        way: from what arrives at the time.
        layer: the motion it came from, all layers put together.
        first, second: (3, H, W) proxies.
    """
    planes = (way.here.velocity, way.to_0, way.to_1, layer.there, layer.back, first, second, network.answer.weight.data)
    kernels = _kernels() if fast.usable(*planes) else None
    if kernels is None:
        return None
    height, width = first.shape[-2:]
    rows, across = (-(-side // MULTIPLE) * MULTIPLE // Meeting.SCALE for side in (height, width))
    cells = torch.empty(1, rows, across, 6 * Meeting.SCALE**2 + Meeting.INPUTS)
    bright, told = torch.empty(1, height, width), torch.empty(2, height, width)
    here = way.here
    hidden = (torch.zeros_like(layer.trust0) if each is None else each for each in (layer.hidden0, layer.hidden1))
    given = (first, second, *hidden, layer.there, layer.back, way.to_0, way.to_1)
    given = (*given, here.velocity, here.seen0, here.seen1, here.trust)
    numbers = np.float32(here.time), np.float32(SPEED)
    gather = partial(kernels.gather_rows, *map(_flat, (*given, cells, bright, told)), *numbers, height, width, across)
    fast.in_bands(gather, rows, Meeting.SCALE**2 * across)
    answers = network.answers(cells.permute(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    return _settled(kernels, network, way, answers, bright, told)


def _settled(
    kernels: ModuleType, network: Meeting, way: Way, answers: Tensor, bright: Tensor, told: Tensor
) -> Inbetween:
    """The in-between, from the network's answers (1, C, H / 4, W / 4), all channels of a cell in a row."""
    here, (height, width) = way.here, way.to_0.shape[-2:]
    calm = calm_of(bright)
    decided = torch.empty(4, height, width)
    planes = (here.seen0, here.seen1, here.trust)
    others = (told, torch.ones(1) if calm is None else calm, answers.permute(0, 2, 3, 1), decided)
    numbers = np.float32(here.time), np.float32(DOUBT), np.float32(SURE)
    quiet = here.quiet.contiguous().view(torch.uint8).view(-1).numpy()
    settle = partial(kernels.decide_rows, *map(_flat, planes), quiet, *map(_flat, others), *numbers)
    fast.in_bands(partial(settle, height, width, answers.shape[-1]), height, width)
    flows, residual = _corrections(network, answers, (height, width))
    to_0, to_1 = way.to_0, way.to_1
    if flows is not None:
        flows = flows * (~here.quiet if calm is None else calm * ~here.quiet)
        to_0, to_1 = to_0 + flows[:2], to_1 + flows[2:]
    return Inbetween(
        time=here.time,
        flow_to_0=to_0,
        flow_to_1=to_1,
        blend=decided[:1],
        occlusion_0=decided[1:2],
        occlusion_1=decided[2:3],
        confidence=decided[3:],
        residual=residual,
    )


def _corrections(network: Meeting, answers: Tensor, size: Tuple[int, int]) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """What is added to both flows (4, H, W) and to the picture (3, H, W); None of what the weights leave as it is."""
    side = size[0] + -size[0] % MULTIPLE, size[1] + -size[1] % MULTIPLE
    found: List[Optional[Tensor]] = []
    for part in (slice(0, 4), slice(-3, None)):
        weight, bias = network.answer.weight[part], network.answer.bias
        assert bias is not None
        if bool(weight.any()) or bool(bias[part].any()):
            found.append(grown(answers[:, part], side)[0, :, : size[0], : size[1]])
        else:
            found.append(None)
    return found[0], found[1]


def _flat(planes: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(planes.detach().contiguous().view(-1).numpy(), np.float32)


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.swift.meeting_kernels")
