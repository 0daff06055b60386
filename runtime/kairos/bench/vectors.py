"""``kairos bench vectors``: end-point error of an engine's motion against true flow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch

from kairos.bench.arrays import ArrayShot
from kairos.bench.clips import read_flo, read_rgb
from kairos.bench.texture import Grid, Texture, grid
from kairos.demo.measure import counted_pixels
from kairos.demo.scene import DemoScene
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.frame import Planes
from kairos.motion.encode import encode, shot_exposure

UNKNOWN = 1e9
"""True flow above this says that nobody knows (Middlebury's convention)."""

SIZE = (270, 480)
"""Height and width of the made clips, pixels."""


@dataclass(frozen=True)
class Case:
    """Frames whose motion is known.

    Attributes:
        name: in the table.
        frames: (3, H, W) proxies.
        pair: between which frames.
        time: of the in-between whose motion to the pair's second frame is measured.
        truth: (2, H, W) pixels from that time to the second frame, x right, y down.
        counted: (H, W) where the truth is known, and one vector is the truth.
    """

    name: str
    frames: Sequence[Planes]
    pair: Pair
    time: float
    truth: Planes
    counted: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EndPointError:
    """Of one case, pixels: mean and median; share of pixels that are more than one pixel off; mean true length."""

    mean: float
    median: float
    over_one: float
    length: float


@dataclass(frozen=True)
class Report:
    """Errors by case and engine; engines in the order asked for."""

    engines: Sequence[str]
    cases: Mapping[str, Mapping[str, EndPointError]]


def end_point_error(found: Planes, case: Case) -> EndPointError:
    """Distance between found and true vectors over the pixels that count."""
    error = np.hypot(*(found - case.truth))[case.counted].astype(np.float64)
    length = float(np.hypot(*case.truth)[case.counted].mean(dtype=np.float64))
    return EndPointError(float(error.mean()), float(np.median(error)), float((error > 1).mean()), length)


def measure(id: str, case: Case, device: Optional[torch.device] = None) -> EndPointError:
    """An engine's error on one case. Raises EngineError where the engine cannot run, BadRequest for an unknown one."""
    shot = ArrayShot(case.frames, device)
    session = engine(id).open(shot, EngineSettings(), lambda event: None)
    (answer,) = session.at(case.pair, [case.time])
    return end_point_error(answer.flow_to_1.float().cpu().numpy(), case)


def vectors(
    root: Optional[Path], engines: Sequence[str] = ("classic",), listener: Optional[Callable[[str], None]] = None
) -> Report:
    """Runs the bench.

    Args:
        root: folder of development data, for RubberWhale; None leaves it out.
        engines: ids to measure. Engines without motion of their own are left out.
        listener: told one line per case and engine.

    Raises:
        BadRequest: an unknown engine, or ``root`` without RubberWhale.
    """
    cases = [rubber_whale(root)] if root is not None else []
    cases += made_cases() + demo_cases()
    ids = [engine(id).card.id for id in engines if engine(id).card.gives_motion]
    table = {}
    for case in cases:
        table[case.name] = {id: measure(id, case) for id in ids}
        if listener is not None:
            for id, error in table[case.name].items():
                listener(f"{case.name}: {id} {error.mean:.3f} px")
    return Report(ids, table)


def rubber_whale(root: Path) -> Case:
    """Middlebury's RubberWhale, frame 10 to 11, true by hidden fluorescent texture; unknown pixels are left out.

    Raises BadRequest where ``root`` does not hold it.
    """
    folder = root / "middlebury-RubberWhale"
    if not (folder / "flow_gt.flo").is_file():
        raise BadRequest(f"{folder} does not hold RubberWhale.", "Give the folder of development data.")
    flow = read_flo(folder / "flow_gt.flo")
    frames = [
        read_rgb(folder / name).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        for name in ("frame10.png", "frame11.png")
    ]
    known = np.asarray((np.abs(flow) < UNKNOWN).all(axis=0), np.bool_)
    return Case("RubberWhale", frames, Pair(0, 1), 0.0, np.where(known, flow, 0).astype(np.float32), known)


Move = Callable[[Grid, Grid, float], Tuple[Grid, Grid]]
"""Where the points x, y of time 0 are at a time."""


def made_cases() -> List[Case]:
    """A textured plane that pans, zooms and turns: four frames, measured between the second and third."""
    height, width = SIZE
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2

    def pan(across: float, down: float) -> Move:
        return lambda x, y, time: (x + across * time, y + down * time)

    def spiral(zoom: float, degrees: float) -> Move:
        def move(x: Grid, y: Grid, time: float) -> Tuple[Grid, Grid]:
            scale, angle = zoom**time, math.radians(degrees) * time
            cos, sin = scale * math.cos(angle), scale * math.sin(angle)
            dx, dy = x - centre_x, y - centre_y
            return centre_x + cos * dx - sin * dy, centre_y + sin * dx + cos * dy

        return move

    moves = {
        "pan 0.3 px": pan(0.3, 0.15),
        "pan 8 px": pan(7.5, 3.25),
        "pan 40 px": pan(38.0, -12.0),
        "zoom 4 %": spiral(1.04, 0.0),
        "turn 3 degrees": spiral(1.0, 3.0),
    }
    return [_plane_case(name, move) for name, move in moves.items()]


def _plane_case(name: str, move: Move) -> Case:
    texture, (x, y) = Texture(31, 0.5, 0.12, longest=400.0), grid(*SIZE)
    # A pan undoes itself with time reversed, and so do a zoom and a turn about one centre.
    frames = [texture.at(*move(x, y, -time)) for time in (-1.0, 0.0, 1.0, 2.0)]
    there_x, there_y = move(x, y, 1.0)
    truth = np.stack([there_x - x, there_y - y]).astype(np.float32)
    inside = (there_x >= 0) & (there_x <= SIZE[1] - 1) & (there_y >= 0) & (there_y <= SIZE[0] - 1)
    return Case(name, frames, Pair(1, 2, before=0, after=3), 0.0, truth, inside)


def demo_cases() -> List[Case]:
    """The demo scene, four frames: at a source frame, and half-way between two."""
    scene = DemoScene()
    plates = [torch.from_numpy(scene.render(float(time)).rgb) for time in range(3, 7)]
    exposure = shot_exposure(plates)
    frames = [encode(plate, exposure).numpy() for plate in plates]
    cases = []
    for name, time in (("demo, at a frame", 0.0), ("demo, half-way", 0.5)):
        start = 4.0 + time
        counted = counted_pixels(scene, start, 5.0, scene.render(start).planes["foreground.A"])
        truth = scene.motion(start, 5.0)
        cases.append(Case(name, frames, Pair(1, 2, before=0, after=3), time, truth, counted))
    return cases


def render(report: Report) -> str:
    """The table: mean and median error and share over 1 px, per case and engine."""
    width = max(len(name) for name in report.cases)
    lines = [" ".join([f"{'case':<{width}}", f"{'motion':>8}", *(f"{id:>26}" for id in report.engines)])]
    for name, errors in report.cases.items():
        cells = [
            f"{errors[id].mean:7.3f} {errors[id].median:7.3f} {100 * errors[id].over_one:6.2f} %"
            for id in report.engines
        ]
        length = next(iter(errors.values())).length if errors else 0.0
        lines.append(" ".join([f"{name:<{width}}", f"{length:>8.2f}", *(f"{cell:>26}" for cell in cells)]))
    lines.append("End-point error, pixels: mean, median, share more than 1 px off. Motion: mean true length.")
    return "\n".join(lines)
