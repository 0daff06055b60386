"""Published networks keep motion apart by the artist's matte."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.adapters.matted import MattedSession
from kairos.engines.adapters.session import NetworkSession, Way
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.published import Found, Padding
from kairos.engines.registry import engine
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos_nodes.layers import Policy
from support.scenes import HEIGHT, WIDTH, MemoryShot, cover, grid, mse, plate, texture
from support.untrained import EXAMPLES, keep_untrained

GROUND, THING = (-6, 2), (8, -2)
"""Pixels that background and foreground move by: whole ones also half-way."""


class OneMotion:
    """A network that knows a single motion for all of a frame: the whole-pixel one that fits best."""

    padding = Padding(1)
    any_time, scales, tile = True, False, None

    def __init__(self, picture: float = 0.0) -> None:
        self.picture = picture

    def look(self, frame: Tensor) -> Tensor:
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> Tuple[Tensor, Tensor, Tuple[int, int]]:
        inner = (..., slice(12, -12), slice(12, -12))
        errors = {
            (x, y): float((second.roll((-y, -x), (-2, -1)) - first)[inner].abs().mean())
            for x in range(-10, 11, 2)
            for y in range(-4, 5, 2)
        }
        return first, second, min(errors, key=lambda shift: errors[shift])

    def at(self, state: Tuple[Tensor, Tensor, Tuple[int, int]], time: float) -> Found:
        first, _, shift = state
        way = torch.tensor(shift, dtype=torch.float32)[None, :, None, None].expand(1, 2, *first.shape[-2:])
        mask = torch.full_like(first[:, :1], 1 - time)
        return Found(-way * time, way * (1 - time), torch.full_like(first, self.picture), mask, torch.zeros_like(first))


def share(time: float) -> np.ndarray:
    return cover((80 + THING[0] * time, 60 + THING[1] * time), (22, 18))


def frame(time: float) -> Tensor:
    columns, rows = grid()
    ground = texture(3)(columns - GROUND[0] * time, rows - GROUND[1] * time)
    thing = 1.5 * texture(4)(columns - THING[0] * time, rows - THING[1] * time)
    return plate(ground * (1 - share(time)) + thing * share(time))


def shot(matted: bool = True) -> MemoryShot:
    mattes = [plate(share(time))[:1] for time in (0, 1)]
    return MemoryShot([frame(0), frame(1)], mattes if matted else None)


def between(view: MemoryShot, answer: Inbetween) -> Tensor:
    return compose(view.frames[0], view.frames[1], answer, Policy.BLEND, codec=Codec(view.exposure))


def test_foreground_and_background_each_take_their_own_motion() -> None:
    view = shot()
    (answer,) = MattedSession(view, OneMotion(), Way()).at(Pair(0, 1), [0.5])
    inside = torch.from_numpy(share(0.5) > 0.5)[None]
    for layer, motion in ((inside, THING), (~inside, GROUND)):
        for flow, part in ((answer.flow_to_0, -0.5), (answer.flow_to_1, 0.5)):
            wanted = torch.tensor(motion)[:, None, None] * part
            assert bool(((flow == wanted).all(0, keepdim=True) | ~layer).all())
    (alone,) = NetworkSession(view, OneMotion(), Way()).at(Pair(0, 1), [0.5])
    inner = (slice(None), slice(10, -10), slice(16, -16))
    errors = [mse(between(view, each)[inner], frame(0.5)[inner]) for each in (answer, alone)]
    # Where one source hides a pixel the other shows it: what is left is the edge's own mixture of both layers.
    assert errors[0] < 0.03 * errors[1]


def test_a_source_that_shows_the_other_layer_counts_for_nothing() -> None:
    (answer,) = MattedSession(shot(), OneMotion(), Way()).at(Pair(0, 1), [0.5])
    ahead, behind = (torch.from_numpy(share(time) > 0.5)[None] for time in (1.0, 0.0))
    here = torch.from_numpy(share(0.5) > 0)[None]
    # Background that the foreground will cover: seen in source 0 alone, three pixels further on there.
    x, y = (round(part / 2) for part in GROUND)
    covered = ahead.roll((-y, -x), (1, 2)) & ~behind.roll((y, x), (1, 2)) & ~here
    assert int(covered.sum()) > 100
    assert float(answer.occlusion_1[covered].min()) == 1.0 == float(answer.blend[covered].min())
    assert float(answer.occlusion_0[covered].max()) < 0.01


def test_from_a_source_every_pixel_goes_the_way_of_its_own_layer() -> None:
    start, end = MattedSession(shot(), OneMotion(), Way()).at(Pair(0, 1), [0.0, 1.0])
    for answer, time, flow in ((start, 0.0, start.flow_to_1), (end, 1.0, -end.flow_to_0)):
        inside = torch.from_numpy(share(time) > 0.5)[None]
        inner = (slice(None), slice(12, -12), slice(12, -12))
        for layer, motion in ((inside, THING), (~inside, GROUND)):
            off = (flow - torch.tensor(motion)[:, None, None]).abs().amax(0, keepdim=True)
            assert float(off[inner][layer[inner]].max()) < 1e-4
        assert not (answer.flow_to_0 if time == 0 else answer.flow_to_1).any()
        assert (answer.blend == 1 - time).all()
        assert float((answer.occlusion_0 if time == 0 else answer.occlusion_1).max()) == 0


def test_what_both_sources_hide_is_filled_by_what_surrounds_it() -> None:
    # The foreground stays, the background passes behind it; half-way the matte is gone, as if it flickered.
    class Still(OneMotion):
        def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> Any:
            return first, second, (0, 0)

    bright = [plate(np.where(share(0) > 0.5, 4.0, 0.2 + 0.01 * index)) for index in range(2)]
    mattes: List[Tensor] = [plate(share(0))[:1] for _ in bright]
    view = MemoryShot(bright, mattes)
    session = MattedSession(view, Still(), Way())
    back = session._covered(
        Pair(0, 1), session._views[0], next(session._layers[0].at(Pair(0, 1), [0.5])), 1 - mattes[0], 1 - mattes[1]
    )
    assert abs(float(between(view, back)[:, 60, 80].mean()) - 0.205) < 0.01


def test_without_a_matte_on_both_frames_or_without_two_layers_it_is_the_network_alone() -> None:
    whole = torch.ones(1, HEIGHT, WIDTH)
    views = [shot(False), MemoryShot([frame(0), frame(1)], [whole, whole])]
    for view in views:
        (ours,) = MattedSession(view, OneMotion(), Way()).at(Pair(0, 1), [0.5])
        (alone,) = NetworkSession(view, OneMotion(), Way()).at(Pair(0, 1), [0.5])
        assert torch.equal(ours.flow_to_0, alone.flow_to_0) and torch.equal(ours.blend, alone.blend)


def test_a_painter_keeps_its_picture_and_joins_its_motion() -> None:
    (answer,) = MattedSession(shot(), OneMotion(0.25), Way(paints=True)).at(Pair(0, 1), [0.5])
    assert answer.image is not None and answer.residual is None and bool((answer.image == 0.25).all())
    inside = torch.from_numpy(share(0.5) > 0.5)
    assert set(answer.flow_to_1[0][inside].tolist()) == {THING[0] / 2}


@pytest.mark.parametrize("id", EXAMPLES)
def test_every_published_engine_looks_at_both_layers(id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path))
    keep_untrained(tmp_path, id, name=id)

    def answers(view: MemoryShot) -> List[Inbetween]:
        session = engine(id).open(view, EngineSettings(), lambda event: None)
        return list(session.at(Pair(0, 1), [0.0, 0.5]))

    def planes(answer: Inbetween) -> List[Optional[Tensor]]:
        return [answer.flow_to_0, answer.flow_to_1, answer.blend, answer.occlusion_0, answer.occlusion_1, answer.image]

    part = (slice(None), slice(28, 92), slice(40, 136))
    small = [frame(time)[part] for time in (0, 1)]
    mattes = [plate(share(time))[:1][part] for time in (0, 1)]
    ours, alone = answers(MemoryShot(small, mattes)), answers(MemoryShot(small))
    assert not torch.equal(ours[1].flow_to_0, alone[1].flow_to_0)
    for answer in ours:
        assert all(bool(each.isfinite().all()) for each in planes(answer) if each is not None)
        assert all(float(each.min()) >= 0 and float(each.max()) <= 1 for each in (answer.blend, answer.occlusion_0))
    if engine(id).card.paints:
        assert ours[1].image is not None and alone[1].image is not None
        assert torch.equal(ours[1].image, alone[1].image)
