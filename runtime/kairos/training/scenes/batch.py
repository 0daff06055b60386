"""Scenes by number: rendered, with their truth, as batches."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from kairos.training.scenes.layer import ADDITIVE, OPAQUE, SHADOW, TRANSPARENT, Layer
from kairos.training.scenes.plan import Scene, draw_scene
from kairos.training.scenes.render import Ownership, motion, picture
from kairos.training.scenes.textures import Bank, build_bank

REMEMBERED = 4
"""Scenes kept after they were drawn, so that one can be rendered at other times at once."""


@dataclass(frozen=True)
class Switches:
    """Parts of every scene that can be left out; the rest of the scene stays as it is.

    Attributes:
        photographs: scikit-image's pictures among the textures. This one changes what else is drawn.
        acceleration: of things and camera, and the camera's shake: what two frames cannot show.
        films: transparent and additive layers; shadows; shutter: motion blur; grain; brightness: changes between
            frames; highlights: glints above white.
    """

    photographs: bool = True
    films: bool = True
    shadows: bool = True
    shutter: bool = True
    grain: bool = True
    brightness: bool = True
    highlights: bool = True
    acceleration: bool = True


@dataclass(frozen=True)
class SceneBatch:
    """B scenes and what is true about them. float32 on one device, except ``ids`` and ``depth``.

    Attributes:
        frames: (B, 3, 3, H, W) at times 0, t and 1: encoded, about 0..1, highlights above, noise a little below.
        context: (B, 2, 3, H, W) at times -1 and 2, or None.
        time: (B,) t of each scene, in (0, 1).
        flow_01, flow_10, flow_t0, flow_t1: (B, 2, H, W) pixels, x right, y down, from the first-named frame's pixels to
            the second. Exact also where the point is hidden or outside the second frame.
        visible_01, visible_10, visible_t0, visible_t1: (B, 1, H, W) in 0..1: how much of the pixel's surface point is
            seen in the second frame, 0 = hidden or outside the frame.
        valid: (B, 3, 1, H, W) at 0, t, 1: 0 where a pixel mixes surfaces, so that it has no one motion.
        ids: (B, 3, 1, H, W) int64 object at 0, t, 1; 0 is the background.
        depth: (B, 3, 1, H, W) int64 order of the layers at 0, t, 1; 0 is the nearest.
    """

    frames: Tensor
    context: Optional[Tensor]
    time: Tensor
    flow_01: Tensor
    flow_10: Tensor
    flow_t0: Tensor
    flow_t1: Tensor
    visible_01: Tensor
    visible_10: Tensor
    visible_t0: Tensor
    visible_t1: Tensor
    valid: Tensor
    ids: Tensor
    depth: Tensor


@dataclass(frozen=True)
class Paths:
    """Where the points of one scene are at T times; what :class:`SceneBatch` says of one holds of every.

    Attributes:
        flow_01, flow_10: (2, H, W) pixels; visible_01, visible_10: (1, H, W); valid: (2, 1, H, W) at 0 and 1.
        flow_0_before, flow_1_after: (2, H, W) pixels, from time 0 to -1 and from 1 to 2; visible_0_before,
            visible_1_after: (1, H, W).
        flow_t0, flow_t1: (T, 2, H, W) pixels, from the pixels of each time to 0 and to 1.
        visible_t0, visible_t1: (T, 1, H, W); valid_t: (T, 1, H, W).
    """

    flow_01: Tensor
    flow_10: Tensor
    visible_01: Tensor
    visible_10: Tensor
    valid: Tensor
    flow_0_before: Tensor
    flow_1_after: Tensor
    visible_0_before: Tensor
    visible_1_after: Tensor
    flow_t0: Tensor
    flow_t1: Tensor
    visible_t0: Tensor
    visible_t1: Tensor
    valid_t: Tensor


class Scenes:
    """An endless numbered supply of layered moving scenes.

    Scene number n of a seed and size is always the same, in whatever batch it comes. The seed also decides the bank of
    textures, which takes a few seconds once.

    Args:
        seed: any integer from 0.
        height, width: of the frames in pixels, at least 32.
        device: where scenes are rendered and tensors live.
        context: also render the frames at times -1 and 2.
        reach: largest motion over the interval in pixels; None is min(150, 0.45 min(height, width)).
        switches: parts to leave out.

    Raises:
        ValueError: the size is under 32 pixels, or the reach is not positive.
    """

    def __init__(
        self,
        seed: int,
        height: int,
        width: int,
        *,
        device: Union[str, torch.device] = "cpu",
        context: bool = False,
        reach: Optional[float] = None,
        switches: Optional[Switches] = None,
    ) -> None:
        if min(height, width) < 32:
            raise ValueError(f"scenes of {width}x{height} are too small: at least 32 pixels each way")
        self.seed, self.height, self.width = seed, height, width
        self.device = torch.device(device)
        self.context = context
        self.reach = min(150.0, 0.45 * min(height, width)) if reach is None else float(reach)
        if self.reach <= 0.0:
            raise ValueError(f"reach {self.reach} has to be positive")
        self.switches = switches or Switches()
        self._bank: Bank = build_bank(seed, self.device, self.switches.photographs)
        self._drawn: OrderedDict[int, Scene] = OrderedDict()

    def scene(self, index: int) -> Scene:
        """What scene number index consists of.

        Raises:
            ValueError: the number is negative.
        """
        if index < 0:
            raise ValueError(f"scene {index} does not exist: scenes count from 0")
        if index not in self._drawn:
            rng = np.random.default_rng([self.seed, 0x5CE7E, index])
            drawn = draw_scene(
                rng, self._bank, self.height, self.width, self.reach, self.device, not self.switches.acceleration
            )
            self._drawn[index] = self._switched(drawn)
            while len(self._drawn) > REMEMBERED:
                self._drawn.popitem(last=False)
        return self._drawn[index]

    def _switched(self, scene: Scene) -> Scene:
        switches, finish = self.switches, scene.finish
        kinds = {OPAQUE}
        kinds |= {TRANSPARENT, ADDITIVE} if switches.films else set()
        kinds |= {SHADOW} if switches.shadows else set()
        layers = [layer for layer in scene.layers if layer.kind in kinds]
        if not switches.highlights:
            layers = [_without_highlights(layer) for layer in layers]
        if not switches.shutter:
            finish = replace(finish, instants=1)
        if not switches.grain:
            finish = replace(finish, grain=0.0)
        if not switches.brightness:
            finish = replace(finish, gain=0.0, flicker=(0.0, 0.0))
        return replace(scene, layers=tuple(layers), finish=finish)

    def render(self, index: int, times: Sequence[float]) -> Tensor:
        """(T, 3, H, W) frames of one scene at any times; 0 and 1 are the two frames of ``batch``."""
        with torch.no_grad():
            return torch.stack([self._frame(index, float(time), truth=False)[0] for time in times])

    def paths(self, index: int, times: Sequence[float]) -> Paths:
        """The motion of one scene at any times, without its pictures: a part of the work."""
        scene = self.scene(index)
        size = (self.height, self.width, self.device)
        with torch.no_grad():
            owns = [
                picture(scene.layers, time, *size, truth=True, colours=False)[1]
                for time in (-1.0, 0.0, 1.0, 2.0, *times)
            ]
            before, zero, one, after, *between = (own for own in owns if own is not None)
            there, back = motion(scene.layers, zero, one, 1.0), motion(scene.layers, one, zero, 0.0)
            back_0, on_1 = motion(scene.layers, zero, before, -1.0), motion(scene.layers, one, after, 2.0)
            to_0 = [motion(scene.layers, own, zero, 0.0) for own in between]
            to_1 = [motion(scene.layers, own, one, 1.0) for own in between]
        stacks = [torch.stack(list(planes)) for found in (to_0, to_1) for planes in zip(*found)]
        return Paths(
            there[0], back[0], there[1], back[1], torch.stack([zero.valid, one.valid])[:, None],
            back_0[0], on_1[0], back_0[1], on_1[1],
            stacks[0], stacks[2], stacks[1], stacks[3], torch.stack([own.valid for own in between])[:, None],
        )  # fmt: skip

    def batch(self, first: int, count: int) -> SceneBatch:
        """Scenes number first to first + count - 1."""
        return self.chosen(range(first, first + count))

    def chosen(self, numbers: Sequence[int]) -> SceneBatch:
        """Scenes of these numbers, in their order."""
        if not numbers:
            raise ValueError("a batch of 0 scenes holds nothing")
        with torch.no_grad():
            found = [self._one(index) for index in numbers]
            stacked = [torch.stack([one[k] for one in found]) for k in range(len(found[0]))]
            context = None
            if self.context:
                context = torch.stack([self.render(index, (-1.0, 2.0)) for index in numbers])
        return SceneBatch(stacked[0], context, *stacked[1:])

    def _one(self, index: int) -> Tuple[Tensor, ...]:
        scene = self.scene(index)
        times = (0.0, scene.time, 1.0)
        frames: List[Tensor] = []
        owns: List[Ownership] = []
        for time in times:
            frame, own = self._frame(index, time, truth=True)
            assert own is not None
            frames.append(frame)
            owns.append(own)
        zero, middle, one = owns
        flows, seen = zip(
            motion(scene.layers, zero, one, 1.0),
            motion(scene.layers, one, zero, 0.0),
            motion(scene.layers, middle, zero, 0.0),
            motion(scene.layers, middle, one, 1.0),
        )
        numbers = torch.tensor([layer.number for layer in scene.layers], device=self.device)
        nearer = [sum(layer.kind == OPAQUE for layer in scene.layers[k + 1 :]) for k in range(len(scene.layers))]
        order = torch.tensor(nearer, device=self.device)
        owners = torch.stack([own.owner for own in owns])[:, None]
        valid = torch.stack([own.valid for own in owns])[:, None]
        between = torch.tensor(scene.time, device=self.device)
        return (torch.stack(frames), between, *flows, *seen, valid, numbers[owners], order[owners])

    def _frame(self, index: int, time: float, truth: bool) -> Tuple[Tensor, Optional[Ownership]]:
        """One finished frame (3, H, W), and whose pixels it shows at its middle instant."""
        scene = self.scene(index)
        size = (self.height, self.width, self.device)
        frame, own = picture(scene.layers, time, *size, truth=truth)
        finish = scene.finish
        if finish.instants > 1:
            half = finish.instants // 2
            for k in range(-half, half + 1):
                if k != 0:
                    frame = frame + picture(scene.layers, time + finish.shutter * k / (2 * half), *size, truth=False)[0]
            frame = frame / (2 * half + 1)
        gain = 1.0 + finish.gain * (time - 0.5) + finish.flicker[0] * float(np.sin(9.0 * time + finish.flicker[1]))
        frame = frame * gain if gain != 1.0 else frame
        if finish.grain > 0.0:
            frame = frame + self._grain(index, time, scene)
        return frame, own

    def _grain(self, index: int, time: float, scene: Scene) -> Tensor:
        """(3, H, W) noise of one frame alone: a window of the bank's, anywhere and either way round."""
        rng = np.random.default_rng([self.seed, index, round((time + 8.0) * 1e6)])
        noise = self._bank.grain_soft if scene.finish.soft else self._bank.grain
        # Frames larger than the bank's noise repeat it.
        spare = (noise.shape[1] - self.height, noise.shape[2] - self.width)
        if min(spare) > 0:
            top, left = (int(rng.integers(room)) for room in spare)
            window = noise[:, top : top + self.height, left : left + self.width]
        else:
            again = [-(-side // have) for side, have in zip((self.height, self.width), noise.shape[1:])]
            window = noise.repeat(1, *again)[:, : self.height, : self.width]
            window = window.roll((int(rng.integers(self.height)), int(rng.integers(self.width))), (1, 2))
        return window * (scene.finish.grain * float(rng.choice([-1.0, 1.0])))


def _without_highlights(layer: Layer) -> Layer:
    if layer.surface is None or len(layer.surface.highlights) == 0:
        return layer
    return replace(layer, surface=replace(layer.surface, highlights=np.zeros((0, 6))))
