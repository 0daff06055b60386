"""A picture of paths in a real clip: where points go between two kept frames, as they are seen in the dropped ones, as
straight lines, and as ``swift`` tells it without and with GIMM.
"""

from __future__ import annotations

from functools import partial
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.bench.metrics import Image
from kairos.bench.motion_clips import APART, IMPLICIT, OPTION
from kairos.bench.quality import EncodedShot
from kairos.bench.trajectories import SEEN, STRAIGHT, SWIFT, SWIFT_GIMM, Trajectories, followed, moved, points_of
from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.motion.occlusion import consistency
from kairos.motion.warp import backward_warp
from kairos.training.searched import swift_flows

_AGREES, _SAME = 0.5, 1.5
"""Pixels by which a point may miss itself, followed there and back from one frame to the next; and by which the motion
across the gap may miss where it is seen to get to: paths are to be told apart, not matches.
"""


def clip_trajectories(frames: Sequence[Image], apart: int = APART) -> Optional[Trajectories]:
    """The points of a clip's most curved gap whose paths curve most; None where no gap has neighbours on both sides.

    Args:
        frames: of the clip.
        apart: of so many one is kept.

    Raises:
        EngineError: there are no weights of GIMM.
    """
    kept = list(frames[: (len(frames) - 1) // apart * apart + 1 : apart])
    shot, ask = EncodedShot(kept), engine("swift").open
    sessions = {
        name: ask(shot, EngineSettings(options=options), lambda event: None)
        for name, options in ((SWIFT, {}), (SWIFT_GIMM, {OPTION: IMPLICIT}))
    }
    times = [number / apart for number in range(apart + 1)]
    found = []
    for gap in range(1, len(kept) - 2):
        there, usable = _seen(frames[gap * apart : (gap + 1) * apart + 1])
        across = _ways(sessions[SWIFT], gap, 0.0)[1]
        usable &= (there[-1] - across).square().sum(0) < _SAME**2
        away = torch.stack([there[number] - there[-1] * time for number, time in enumerate(times)])
        bent = away.square().sum(1).sqrt().amax(0)
        found.append((float(bent[usable].mean()) if bool(usable.any()) else 0.0, gap, there, across, usable))
    if not found:
        return None
    _, gap, there, across, usable = max(found, key=lambda each: each[0])
    points = points_of(there, times, usable)
    here = torch.tensor(points, dtype=torch.float32)
    tracks = {SEEN: moved(there, points), STRAIGHT: moved(torch.stack([across * time for time in times]), points)}
    for name, session in sessions.items():
        tracks[name] = followed(partial(_ways, session, gap), here, times)
    return Trajectories(tracks, torch.stack([shot.proxy(gap), shot.proxy(gap + 1)]))


def _ways(session: Session, gap: int, time: float) -> Tuple[Tensor, Tensor]:
    (answer,) = session.at(Pair(gap, gap + 1, before=gap - 1, after=gap + 2), [time])
    return answer.flow_to_0, answer.flow_to_1


def _seen(frames: Sequence[Image]) -> Tuple[Tensor, Tensor]:
    """Flows (T, 2, H, W) from the first frame's pixels to every frame, followed from each to the next, and (H, W) where
    all of the way can be followed.
    """
    shot = EncodedShot(frames)
    total = torch.zeros(2, *shot.size)
    there, usable = [total], torch.ones(shot.size, dtype=torch.bool)
    for number in range(len(frames) - 1):
        onward, back = swift_flows(shot.proxy(number), shot.proxy(number + 1))
        agreement = consistency(onward, back)
        off = backward_warp(torch.cat([agreement.error, agreement.inside.float()]), total)
        usable &= (off[0] < _AGREES) & (off[1] > 0.99)
        total = total + backward_warp(onward, total)
        there.append(total)
    return torch.stack(there), usable
