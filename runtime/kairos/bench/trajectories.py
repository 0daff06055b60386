"""A picture of paths: where points of a made scene go between two frames, in truth and as each method tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from kairos.bench.motion import TRUTH, scene_flows
from kairos.bench.motion_methods import GIMM_FOUR, GIMM_TWO, QUADRATIC, At, Flows, Weights, gimm
from kairos.bench.motion_report import Colour, draw_legend
from kairos.engines.fetching import pixels
from kairos.training.files import written_whole
from kairos.training.scenes import Scenes
from kairos.training.scenes.render import motion, picture

STRAIGHT = "straight"

SEEN, SWIFT, SWIFT_GIMM = "seen", "swift", "swift gimm"
"""Of a clip: followed from frame to frame through those that are dropped, and as the engine tells it without and with
GIMM's paths.
"""

POINTS = 8
"""Of the picture, at most."""

STEPS = tuple(number / 8 for number in range(9))
"""Times at which a path is known."""

_STEP, _APART = 4, 0.12
"""Pixels between the points that are looked at, and the least distance of those chosen, part of the diagonal."""

_WIDE, _FOOT = 1344, 60
"""Pixels across the picture, about, and those of the legend's height."""

_COLOURS: Mapping[str, Colour] = {
    TRUTH: (245, 245, 245),
    STRAIGHT: (110, 180, 255),
    QUADRATIC: (190, 110, 255),
    GIMM_TWO: (255, 175, 50),
    GIMM_FOUR: (255, 70, 60),
    SEEN: (245, 245, 245),
    SWIFT: (255, 210, 90),
    SWIFT_GIMM: (255, 70, 60),
}
_GROUND, _INK = (40, 40, 40), (225, 225, 225)

Track = npt.NDArray[np.float64]
"""(T, N, 2) pixels, x and y, at :data:`STEPS`."""


@dataclass(frozen=True)
class Trajectories:
    """Of a few points of frame 0, by method, first what others are measured by; ``frames``: (2, 3, H, W), 0 and 1."""

    tracks: Mapping[str, Track]
    frames: Tensor

    def off(self, name: str) -> float:
        """Median distance from the first method's place between both frames, pixels: a point that something else nearly
        hides is followed wrongly.
        """
        return float(np.median(np.linalg.norm(self.tracks[name] - self.tracks[self.reference], axis=-1)[1:-1]))

    @property
    def reference(self) -> str:
        """What others are measured by."""
        return next(iter(self.tracks))


def trajectories(supply: Scenes, index: int, flows: str, weights: Optional[Weights]) -> Trajectories:
    """The points of a scene whose paths curve most, apart from each other, and visible in both frames.

    Args:
        supply: the scenes.
        index: of the scene.
        flows: what methods are given; see :func:`kairos.bench.motion.scene_flows`.
        weights: GIMM's, or None.
    """
    with torch.inference_mode():
        paths = supply.paths(index, STEPS[1:-1])
        given = scene_flows(supply, index, paths, flows)
        layers, size = supply.scene(index).layers, (supply.height, supply.width, supply.device)
        _, zero = picture(layers, 0.0, *size, truth=True, colours=False)
        assert zero is not None
        there = torch.stack([motion(layers, zero, zero, time)[0] for time in STEPS])
        usable = (paths.valid[0] > 0.5) & (paths.visible_01 > 0.5) & _in_sight(there[1:-1], paths.flow_t0)
        points = points_of(there, STEPS, usable[0])
        here = torch.tensor(points, dtype=torch.float32, device=supply.device)
        tracks = {
            TRUTH: moved(there, points),
            STRAIGHT: moved(torch.stack([given.flow_01 * time for time in STEPS]), points),
            QUADRATIC: moved(torch.stack([_parabola(given, time) for time in STEPS]), points),
        }
        for name, method in _gimms(weights).items():
            tracks[name] = followed(method(given), here)
        return Trajectories(tracks, supply.render(index, (0.0, 1.0)))


def draw(found: Trajectories, path: Path) -> None:
    """The paths over both frames, enlarged, and below each path by itself, larger still, what it lies beside its
    straight line many times as much, as PNG. Raises KairosError where it cannot be written.
    """
    both = (found.frames.mean(0).clamp(0, 1) * 130 + 20).byte().permute(1, 2, 0).cpu().numpy()
    plate = Image.fromarray(both)
    zoom = max(1, round(_WIDE / plate.width))
    plate = plate.resize((plate.width * zoom, plate.height * zoom), Image.Resampling.BICUBIC)
    side = plate.width // POINTS
    image = Image.new("RGB", (plate.width, plate.height + side + _FOOT), _GROUND)
    image.paste(plate)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    for number in range(found.tracks[found.reference].shape[1]):
        # A pixel's centre lies in the middle of its enlarged square.
        _draw_paths(pen, found, {name: (track[:, number] + 0.5) * zoom for name, track in found.tracks.items()})
        x, y = ((found.tracks[found.reference][0, number] + 0.5) * zoom).tolist()
        pen.text((x + 8, y - 12), str(number + 1), _INK, font, "lm")
        corner = side * number, plate.height
        close, times = _close(found, number)
        _draw_paths(
            pen, found, {name: track * (side - 56) + [corner[0] + 28, corner[1] + 36] for name, track in close.items()}
        )
        pen.text((corner[0] + 8, corner[1] + 14), f"{number + 1}: {times:.2g} x", _INK, font, "lm")
    foot = plate.height + side
    draw_legend(pen, (16, foot + 18), {name: _COLOURS[name] for name in found.tracks}, _INK)
    told = ", ".join(f"{name} {found.off(name):.2f} px" for name in found.tracks if name != found.reference)
    pen.text((16, foot + 44), f"median distance from {found.reference}: {told}", _INK, font, "lm")
    with written_whole(path) as temporary:
        image.save(temporary, "PNG")


def _draw_paths(pen: ImageDraw.ImageDraw, found: Trajectories, tracks: Mapping[str, Track]) -> None:
    """One point's paths, (T, 2) of the picture."""
    for name, track in tracks.items():
        thick = name == found.reference
        places = [(x, y) for x, y in track.tolist()]
        pen.line(places, _COLOURS[name], 7 if thick else 2, joint="curve")
        radius = 5 if thick else 2.5
        for x, y in places:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], _COLOURS[name])


def _close(found: Trajectories, number: int) -> Tuple[Mapping[str, Track], float]:
    """One point's paths, (T, 2) in 0..1, what they lie beside the straight line times as much as said."""
    tracks = {name: track[:, number] for name, track in found.tracks.items()}
    seen = tracks[found.reference]
    line = np.linspace(0, 1, len(seen))[:, None] * (seen[-1] - seen[0]) + seen[0]
    beside = max(float(np.abs(track - line).max()) for track in tracks.values())
    times = max(1.0, 0.35 * float(np.abs(seen[-1] - seen[0]).max()) / max(beside, 1e-6))
    grown = {name: line + (track - line) * times for name, track in tracks.items()}
    every = np.concatenate(list(grown.values()))
    low, long = every.min(0), max(float(np.ptp(every, axis=0).max()), 1e-6)
    return {name: (track - low) / long for name, track in grown.items()}, times


def _in_sight(there: Tensor, back: Tensor) -> Tensor:
    """(1, H, W): whether all times show a pixel of frame 0, from the flows to them and back, (T, 2, H, W)."""
    x, y = pixels(there)
    height, width = there.shape[-2:]
    seen = torch.ones(1, height, width, dtype=torch.bool, device=there.device)
    for to, home in zip(there, back):
        column, row = (x + to[0]).round().long(), (y + to[1]).round().long()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        off = (to + home.flatten(1)[:, place]).square().sum(0)
        # The nearest pixel, not the place itself.
        seen &= inside & (off < 1.0)
    return seen


def _gimms(weights: Optional[Weights]) -> Dict[str, Callable[[Flows], At]]:
    if weights is None:
        return {}
    two = {GIMM_TWO: gimm(weights, four=False)}
    return {**two, GIMM_FOUR: gimm(weights, four=True)} if weights.sees_four else two


def _parabola(flows: Flows, time: float) -> Tensor:
    """(2, H, W): from frame 0's pixels to a time, through the frame before and frame 1."""
    half = 0.5 * (flows.flow_01 + flows.before)
    return (flows.flow_01 - half) * time + half * time * time


def points_of(there: Tensor, times: Sequence[float], usable: Tensor) -> List[Tuple[int, int]]:
    """Places (x, y) whose path, flows (T, 2, H, W) at times, lies furthest from the straight line, among those that are
    usable, (H, W), and end inside the frame.
    """
    height, width = usable.shape
    straight = torch.stack([there[-1] * time for time in times])
    bent = (there - straight).square().sum(1).sqrt().amax(0)
    x, y = pixels(there)
    ends = torch.stack([x + there[-1, 0], y + there[-1, 1]])
    inside = (ends >= 0).all(0) & (ends[0] <= width - 1) & (ends[1] <= height - 1)
    score = torch.where(usable & inside, bent, -1.0)[::_STEP, ::_STEP]
    chosen: List[Tuple[int, int]] = []
    least = _APART * float(np.hypot(width, height))
    for place in score.flatten().argsort(descending=True, stable=True).tolist():
        row, column = divmod(place, score.shape[1])
        if float(score[row, column]) < 0 or len(chosen) == POINTS:
            break
        point = column * _STEP, row * _STEP
        if all(np.hypot(point[0] - x, point[1] - y) >= least for x, y in chosen):
            chosen.append(point)
    return chosen


def moved(flows: Tensor, points: Sequence[Tuple[int, int]]) -> Track:
    """Where points of frame 0 go along flows (T, 2, H, W) from its pixels."""
    columns, rows = ([point[axis] for point in points] for axis in (0, 1))
    found = flows[:, :, rows, columns].permute(0, 2, 1).double().cpu().numpy()
    answer: Track = found + np.array(points, np.float64).reshape(1, -1, 2)
    return answer


def followed(at: At, points: Tensor, times: Sequence[float] = STEPS) -> Track:
    """Where points (N, 2) of frame 0 go by the ways back from each time.

    Of the pixels at the time the one is taken that comes from nearest to the point, less what it misses it by.
    """
    track = []
    for time in times:
        to_0, _ = at(time)
        x, y = pixels(to_0[None])
        places = torch.stack([x.expand_as(to_0[0]), y.expand_as(to_0[0])]).flatten(1)
        comes = places + to_0.flatten(1)
        nearest = (comes[:, None] - points.T[:, :, None]).square().sum(0).argmin(1)
        track.append((places[:, nearest] - (comes[:, nearest] - points.T)).T)
    answer: Track = torch.stack(track).double().cpu().numpy()
    return answer
