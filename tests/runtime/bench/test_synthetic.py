"""The synthetic bench: figures of answers whose figures are known, and a run through the command line."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Tuple

import pytest
import torch

from kairos.bench import synthetic as bench
from kairos.bench.synthetic import (
    BLEND,
    STRAIGHT,
    TRUTH,
    Report,
    Tally,
    add_motion,
    add_picture,
    render,
    synthetic,
    true_answer,
)
from kairos.cli import main
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos.motion.inbetween import Inbetween
from kairos.training.scenes import SceneBatch
from kairos_nodes.layers import Policy
from support.banks import small_banks

HEIGHT, WIDTH = 32, 48


def _scene() -> SceneBatch:
    """A picture that moves 24 px to the right in its left half and stands still in its right; what passes the frame's
    edge, or under the still half, is hidden. The truth is valid in the leftmost 16 columns.
    """
    torch.manual_seed(1)
    frames = torch.rand(1, 3, 3, HEIGHT, WIDTH)
    motion = torch.zeros(1, 2, HEIGHT, WIDTH)
    motion[:, 0, :, :24] = 24.0
    visible_t0, visible_t1 = torch.ones(2, 1, 1, HEIGHT, WIDTH).unbind()
    visible_t0[..., :12] = 0.0
    visible_t1[..., 12:24] = 0.0
    valid = torch.ones(1, 3, 1, HEIGHT, WIDTH)
    valid[:, 1, ..., 16:] = 0.0
    zeros = torch.zeros(1, 3, 1, HEIGHT, WIDTH, dtype=torch.int64)
    whole = torch.ones(1, 1, HEIGHT, WIDTH)
    return SceneBatch(
        frames=frames,
        context=None,
        time=torch.tensor([0.5]),
        flow_01=motion,
        flow_10=-motion,
        flow_t0=-0.5 * motion,
        flow_t1=0.5 * motion,
        visible_01=whole,
        visible_10=whole,
        visible_t0=visible_t0,
        visible_t1=visible_t1,
        valid=valid,
        ids=zeros,
        depth=zeros,
    )


def _answer(scene: SceneBatch, off: Tuple[float, float] = (0.0, 0.0), hidden: float = 1.0) -> Inbetween:
    """The truth, with flow to frame 0 off by so many pixels, and what is hidden said with so much certainty."""
    half = torch.full((1, HEIGHT, WIDTH), 0.5)
    return Inbetween(
        time=0.5,
        flow_to_0=scene.flow_t0[0] + torch.tensor(off)[:, None, None],
        flow_to_1=scene.flow_t1[0],
        blend=half,
        occlusion_0=(1 - scene.visible_t0[0]) * hidden,
        occlusion_1=(1 - scene.visible_t1[0]) * hidden,
        confidence=half,
    )


def test_the_truth_makes_no_error() -> None:
    tally, scene = Tally(), _scene()
    add_motion(tally, _answer(scene), scene)
    add_picture(tally, scene.frames[0, 1], scene, sharp=True)
    assert (tally.epe, tally.epe_large, tally.f1, tally.sharpness) == (0.0, 0.0, 1.0, 1.0)
    # The floor of the mean square error.
    assert tally.psnr == pytest.approx(70.0)


def test_an_error_counts_where_it_is_valid_and_visible() -> None:
    tally, scene = Tally(), _scene()
    add_motion(tally, _answer(scene, off=(3.0, 4.0)), scene)
    # Of the 16 valid columns, 4 (columns 12 to 15) are visible in frame 0, where every vector is off by 5 px, and
    # 12 (columns 0 to 11) in frame 1, where none is. All of them move by more than 20 px.
    assert tally.pixels == tally.pixels_large == 16 * HEIGHT
    assert tally.epe == tally.epe_large == pytest.approx(5 * 4 / 16)


def test_motion_counts_as_large_by_the_whole_interval() -> None:
    tally, scene = Tally(), _scene()
    # 24 px from frame 0 to 1 are 12 from frame t; a third of that is not large.
    slower = SceneBatch(**{**vars(scene), "flow_t0": scene.flow_t0 / 3, "flow_t1": scene.flow_t1 / 3})
    add_motion(tally, _answer(slower), slower)
    assert tally.pixels == 16 * HEIGHT and tally.pixels_large == 0
    assert math.isnan(tally.epe_large)


def test_occlusion_is_what_is_said_with_more_than_half_certainty() -> None:
    tally, scene = Tally(), _scene()
    add_motion(tally, _answer(scene, hidden=0.6), scene)
    assert tally.f1 == 1.0
    add_motion(tally, _answer(scene, hidden=0.4), scene)
    # The second answer misses as many as the first finds: F1 = 2 n / (2 n + n).
    assert tally.f1 == pytest.approx(2 / 3)


def test_blur_lowers_sharpness_and_grain_does_not_count() -> None:
    scene, blurred = _scene(), Tally()
    soft = torch.nn.functional.avg_pool2d(scene.frames[:, 1], 3, 1, 1)[0]
    add_picture(blurred, soft, scene, sharp=True)
    # Neighbouring means of 9 share 6 values: the difference of two sums of 3 of uniform noise over 9, against 1/3.
    assert 0.1 < blurred.sharpness < 0.4
    grainy = Tally()
    add_picture(grainy, soft, scene, sharp=False)
    assert math.isnan(grainy.sharpness) and grainy.psnr == blurred.psnr


def test_highlights_are_clipped_before_they_are_compared() -> None:
    tally, scene = Tally(), _scene()
    scene.frames[:, 1] = 3.0
    add_picture(tally, torch.full((3, HEIGHT, WIDTH), 1.2), scene, sharp=False)
    assert tally.psnr == pytest.approx(70.0)


def test_the_table_has_a_row_for_every_engine_and_no_number_where_there_is_none() -> None:
    tally, scene = Tally(), _scene()
    add_picture(tally, scene.frames[0, 0], scene, sharp=False)
    lines = render(Report({BLEND: tally, "classic": Tally()}, 1, WIDTH, HEIGHT)).splitlines()
    assert lines[1].split() == [BLEND, f"{tally.psnr:.2f}", "-", "-", "-", "-"]
    assert lines[2].split() == ["classic", "-", "-", "-", "-", "-"]


def test_classic_beats_the_blend_and_knows_its_motion(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "synthetic", "--count", "4", "--size", "96x64", "--device", "cpu"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capfd.readouterr().out.splitlines()}
    assert float(rows["classic"][0]) > float(rows[BLEND][0])
    assert all(re.fullmatch(r"\d+\.\d+", rows["classic"][column]) for column in (0, 1, 3))


def test_tallies_of_several_lots_add_up() -> None:
    one, other, scene = Tally(), Tally(), _scene()
    add_picture(one, torch.zeros(3, HEIGHT, WIDTH), scene, sharp=True)
    add_motion(other, _answer(scene, off=(3.0, 0.0)), scene)
    both = one + other
    assert (both.scenes, both.psnr, both.epe) == (1, one.psnr, other.epe)


@pytest.mark.slow
def test_shared_out_among_processes_the_figures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    small_banks(bench, "_scenes", monkeypatch)
    monkeypatch.setattr(bench, "_PORTION", 2)
    alone, shared = (synthetic(["classic"], 3, 96, 64, "cpu", workers=workers) for workers in (1, 2))
    assert alone.count == shared.count == 3
    assert alone.tallies["classic"].psnr == pytest.approx(shared.tallies["classic"].psnr, abs=1e-9)


def test_four_frames_tell_of_acceleration_and_two_do_not() -> None:
    two, four = (synthetic(["classic"], 12, 96, 64, "cpu", frames=frames) for frames in (2, 4))
    assert two.tallies[TRUTH] == four.tallies[TRUTH]
    assert four.tallies["classic"].psnr > two.tallies["classic"].psnr + 0.3
    # What two frames can tell at best errs where paths are curved; the paths as they are do not.
    assert two.tallies[STRAIGHT].epe > 0.05 and two.tallies[TRUTH].epe == two.tallies[TRUTH].epe_large == 0.0
    assert two.tallies[STRAIGHT].f1 == two.tallies[TRUTH].f1 == 1.0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BadRequest, match="--frames 3"):
        synthetic(["classic"], 1, 64, 64, "cpu", frames=3)
    with pytest.raises(BadRequest, match="There is no engine 'none'"):
        synthetic(["none"], 1, 64, 64, "cpu")
    with pytest.raises(BadRequest, match="measure nothing"):
        synthetic(["classic"], 0, 64, 64, "cpu")
    with pytest.raises(BadRequest, match="--workers 0"):
        synthetic(["classic"], 1, 64, 64, "cpu", workers=0)


def test_true_paths_rebuild_what_moves_unevenly_and_straight_ones_what_moves_evenly() -> None:
    """A pattern that has gone three quarters of its 24 pixels by half time."""
    columns = torch.arange(96.0)
    frames = [torch.sin((columns - at) * 0.3).expand(3, HEIGHT, 96)[..., 24:72] * 0.4 + 0.5 for at in (0.0, 18.0, 24.0)]
    scene = _scene()
    whole, even = torch.ones(1, 1, HEIGHT, WIDTH), torch.zeros(1, 2, HEIGHT, WIDTH)
    even[:, 0] = 1.0
    uneven = replace(
        scene,
        frames=torch.stack(frames)[None].contiguous(),
        flow_t0=-18 * even,
        flow_t1=6 * even,
        visible_t0=whole,
        visible_t1=whole,
    )
    first, last = uneven.frames[0, 0], uneven.frames[0, 2]
    inner = slice(20, -20)
    errors = []
    for straight in (False, True):
        picture = compose(first, last, true_answer(uneven, straight), Policy.BLEND)
        errors.append(float((picture - uneven.frames[0, 1])[..., inner].square().mean()))
    assert errors[0] < 1e-3 < 1e-2 < errors[1]
