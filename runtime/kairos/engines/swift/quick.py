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
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.classic.midway import DOUBT, Moment
from kairos.engines.classic.motion import Layer
from kairos.engines.convolutions import Conv, kept
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.meeting import SPEED, SURE, WHITE, at_full, calm_of
from kairos.engines.swift.network import Meeting, grown
from kairos.motion import fast
from kairos.motion.inbetween import Inbetween


class Laid(NamedTuple):
    """What all times between two frames share."""

    layer: Layer
    """The motion, all layers put together."""
    first: Tensor
    second: Tensor
    """(H * W + 1, 4): a frame's pixels, from -1 to 1 what is ordinary, and what of it is hidden in the other. Two
    neighbours are read at once: behind the last pixel lies one more.
    """


def laid(network: Meeting, layer: Layer, first: Tensor, second: Tensor) -> Optional[Laid]:
    """Frames (3, H, W) as :func:`met` wants them; None where the kernels cannot be used."""
    planes = (layer.there, layer.back, first, second, network.answer.weight.data)
    kernels = _kernels() if fast.usable(*planes) else None
    if kernels is None or network.answer.in_channels != kernels.meeting.BROAD:
        return None
    size = first.shape[-2:]
    sides = []
    for frame, hidden in ((first, layer.hidden0), (second, layer.hidden1)):
        out = torch.empty(size[0] * size[1] + 1, 4)
        out[-1] = 0.0
        told = torch.zeros_like(layer.trust0) if hidden is None else hidden
        fast.in_bands(partial(kernels.meeting.lay_rows, *map(_flat, (frame, told, out)), *size), *size)
        sides.append(out)
    return Laid(layer, *sides)


def met(network: Meeting, here: Moment, pair: Laid) -> Inbetween:
    """The in-between.

    Args:
        network: in evaluation mode, in full precision.
        here: what arrives at the time, on half the grid, see :func:`kairos.engines.swift.meeting.small_arrival`.
        pair: of :func:`laid`.
    """
    kernels = _kernels()
    assert kernels is not None, "only after laid()"
    height, width = pair.layer.there.shape[-2:]
    rows, across = (-(-side // MULTIPLE) * MULTIPLE // Meeting.SCALE for side in (height, width))
    bent = [] if here.away is None else [here.away]
    small = _flat(torch.cat([here.velocity, here.trust, here.seen0, here.seen1, *bent]))
    quiet = here.quiet.contiguous().view(torch.uint8).view(-1).numpy() if bool(here.quiet.any()) else np.zeros(1, "u1")
    to_0, to_1, told = (torch.empty(2, height, width) for _ in range(3))
    bright, loud = torch.empty(1, height, width), np.empty(height, np.uint8)
    conv, slope = _parts(network.at_quarter[0])
    weights = kept(conv, "cells").of((conv.weight,), lambda: conv.weight.detach().flatten(1).t().contiguous())
    found = torch.empty(1, rows, across, kernels.meeting.BROAD)
    given = map(_flat, (pair.first, pair.second, pair.layer.there, pair.layer.back))
    wanted = map(_flat, (to_0, to_1, bright, told, weights, conv.bias, found))
    numbers = [np.float32(each) for each in (here.time, SPEED, slope, (WHITE - 0.5) * 2)]
    gather = partial(kernels.meeting.gather_rows, *given, small, quiet, *wanted, loud, *numbers, height, width, across)
    fast.in_bands(gather, rows, Meeting.SCALE**2 * across)
    answers = network.onward(found.permute(0, 3, 1, 2), partial(_joined, kernels.meeting, network.up_quarter[0]))
    answers = answers.contiguous(memory_format=torch.channels_last)
    calm = None
    if loud.any():
        bright[0, loud == 0] = 0.0
        calm = calm_of(bright)
    decided = torch.empty(4, height, width)
    others = (told, torch.ones(1) if calm is None else calm, answers.permute(0, 2, 3, 1), decided)
    numbers = [np.float32(each) for each in (here.time, DOUBT, SURE)]
    settle = partial(kernels.deciding.decide_rows, small, quiet, *map(_flat, others), *numbers, height, width, across)
    fast.in_bands(settle, height, width)
    flows, residual = _corrections(network, answers, (height, width))
    if flows is not None:
        moves = ~at_full(here.quiet, height, width)
        flows = flows * (moves if calm is None else calm * moves)
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


def _joined(kernels: ModuleType, layer: nn.Module, coarse: Tensor, fine: Tensor) -> Tensor:
    """A layer that sees single cells, of planes (1, C, h / 2, w / 2), which are enlarged, and (1, D, h, w) beside them:
    as it is the same before and after they are, it works on these while there are fewer.
    """
    conv, slope = _parts(layer)
    count, (inputs, rows, across) = coarse.shape[1], fine.shape[1:]

    def pack() -> Tuple[Tensor, Tensor]:
        weight = conv.weight.detach()
        return weight[:, :count].contiguous(), weight[:, count:].flatten(1).t().contiguous()

    first, second = kept(conv, "joined").of((conv.weight,), pack)
    small = F.conv2d(coarse, first).permute(0, 2, 3, 1)
    if fine.stride(1) != 1:
        fine = fine.contiguous(memory_format=torch.channels_last)
    row, pixel = fine.stride(2), fine.stride(3)
    line = fine.as_strided(((rows - 1) * row + (across - 1) * pixel + inputs,), (1,))
    out = torch.empty(1, rows, across, kernels.BROAD)
    planes = map(_flat, (small, line, second, conv.bias, out))
    work = partial(kernels.join_rows, *planes, np.float32(slope), row, pixel, inputs, across, rows // 2)
    fast.in_bands(work, rows, across * inputs)
    return out.permute(0, 3, 1, 2)


def _parts(layer: nn.Module) -> Tuple[Conv, float]:
    """A convolution, and what its answers below 0 are multiplied by."""
    conv, activation = layer.children()
    assert isinstance(conv, Conv) and isinstance(activation, nn.LeakyReLU)
    return conv, activation.negative_slope


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


class _Kernels(NamedTuple):
    meeting: ModuleType
    deciding: ModuleType


def _kernels() -> Optional[_Kernels]:
    meeting, deciding = (fast.compiled(f"kairos.engines.swift.{name}_kernels") for name in ("meeting", "deciding"))
    return None if meeting is None or deciding is None else _Kernels(meeting, deciding)
