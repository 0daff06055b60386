"""Layers and label maps: the compiled kernels answer as torch and numpy do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, List, Optional, Tuple, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.base import Pair
from kairos.engines.classic import counted, layered, parts
from kairos.engines.classic.course import Course
from kairos.engines.classic.midway import Moment, between, moment
from kairos.engines.classic.motion import Layer, PairMotion, Rest
from kairos.engines.classic.parts import parted
from kairos.engines.classic.reach import fronts, in_front, reach_of
from kairos.engines.classic.regions import Box, better, boxes
from kairos.motion import fast
from kairos.motion.fill import fill_holes, fill_weighted
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule
from support.scenes import MemoryShot, session

Kind = TypeVar("Kind")
Both = Callable[[Callable[[], Kind]], Tuple[Kind, Kind]]

SIZES = ((181, 243), (96, 160), (40, 67))


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both[Kind]:
    """What a call answers with the kernels, and what it answers without."""
    assert fast.usable(torch.zeros(1)), "numba is among the dependencies"

    def call(work: Callable[[], Kind]) -> Tuple[Kind, Kind]:
        compiled = work()
        with monkeypatch.context() as patch:
            patch.setattr(fast, "usable", lambda *_: False)
            return compiled, work()

    return call


def noise(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def labels_at(size: Tuple[int, int], time: float) -> Tensor:
    """Three objects over the rest: one that another crosses, and one that leaves the frame."""
    height, width = size
    found = torch.zeros(height, width, dtype=torch.int16)
    for number, (top, left), (down, across) in (
        (1, (0.2, 0.1), (0.1, 0.3)),
        (2, (0.4, 0.5), (0.0, -0.2)),
        (3, (0.05, 0.8), (0.1, 0.12)),
    ):
        y, x = round(height * (top + down * time)), round(width * (left + across * time))
        found[y : y + height // 3, x : x + width // 4] = number
    return found


def whole_motion(size: Tuple[int, int], seed: int = 0) -> Layer:
    """Vectors of all kinds, with trust of all degrees."""
    height, width = size
    labels = labels_at(size, 0.0).long(), labels_at(size, 1.0).long()
    ways = torch.tensor([[3.0, -2.0], [0.3 * width, 0.1 * height], [-0.2 * width, 0.0], [0.12 * width, 0.1 * height]])
    there = ways[labels[0]].permute(2, 0, 1) + noise(2, *size, seed=seed) - 0.5
    back = -ways[labels[1]].permute(2, 0, 1) + noise(2, *size, seed=seed + 1) - 0.5
    there[:, 5:9] *= 40
    trusts = [(noise(1, *size, seed=seed + each) ** 0.5).clamp(min=1e-3) for each in (2, 3)]
    fronts = [(noise(1, *size, seed=seed + each) > 0.9).float() for each in (4, 5)]
    one = torch.ones(1, *size)
    return Layer(there.contiguous(), back.contiguous(), *trusts, *fronts, one, one)


def layers_of(size: Tuple[int, int], given: bool = False) -> PairMotion:
    layer = replace(whole_motion(size), given=given)
    rules = {1: RegionRule(order=1), 2: RegionRule(order=2), 3: RegionRule(order=3)}
    layers = parted(layer, labels_at(size, 0.0), labels_at(size, 1.0), rules)
    assert len(layers) > 1
    still = torch.zeros(1, *size, dtype=torch.bool)
    still[:, size[0] // 2 :, : size[1] // 6] = True
    return PairMotion(layers, still)


def planes(told: Moment) -> List[Tensor]:
    return [told.velocity, told.trust, told.top, told.quiet.float(), told.seen0, told.seen1]


def answer(told: Inbetween) -> List[Tensor]:
    return [told.flow_to_0, told.flow_to_1, told.blend, told.occlusion_0, told.occlusion_1, told.confidence]


def assert_near(one: List[Tensor], two: List[Tensor], off: float = 1e-3) -> None:
    for first, second in zip(one, two):
        assert first.shape == second.shape
        assert float((first - second).abs().max()) < off


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("rest_at_half", [False, True])
@pytest.mark.parametrize("time", [0.0, 0.31, 0.8, 1.0])
def test_layers_arrive_and_are_seen_as_torch_has_it(
    size: Tuple[int, int], given: bool, rest_at_half: bool, time: float, both: Both[List[Tensor]]
) -> None:
    motion = replace(layers_of(size, given), rest_at_half=rest_at_half)
    assert any(reach is not None for reach in motion.reaches)
    compiled, plain = both(lambda: planes(moment(motion, time)))
    assert torch.equal(compiled[2], plain[2]) and torch.equal(compiled[3], plain[3])
    assert_near(compiled, plain)
    assert_near(*both(lambda: answer(between(motion, None, time))))


@pytest.mark.parametrize("size", [(96, 160), (97, 161)], ids=str)
def test_the_rest_on_half_the_grid_leaves_objects_as_they_are(size: Tuple[int, int]) -> None:
    """And a rest that moves alike everywhere moves so still."""
    fine = layers_of(size)
    rest = fine.layers[0]
    way = torch.tensor([2.5, -1.25])[:, None, None].expand(2, *size).contiguous()
    one, none = torch.ones(1, *size), torch.zeros(1, *size)
    rest = replace(rest, there=way, back=-way, trust0=one, trust1=one, front0=none, front1=none)
    fine = replace(fine, layers=(rest, *fine.layers[1:]))
    coarse = replace(fine, rest_at_half=True)
    for motion in (fine, fine.reversed()):
        assert motion.rest is None and replace(motion, rest_at_half=True).reversed().rest is not None
    here, at_half = (moment(motion, 0.3) for motion in (fine, coarse))
    objects = here.top > 0
    assert 0.1 < float(objects.float().mean()) < 0.9
    assert torch.equal(here.top, at_half.top)
    assert torch.equal(here.velocity * objects, at_half.velocity * objects)
    assert_near([here.velocity], [at_half.velocity])
    # At the edge of the frame nothing arrives.
    assert_near(*([told.trust[:, 4:-4, 4:-4]] for told in (here, at_half)))
    ends = [answer(between(motion, None, time)) for motion in (fine, coarse) for time in (0.0, 1.0)]
    assert all(torch.equal(*each) for pair in zip(ends[:2], ends[2:]) for each in zip(*pair))


@pytest.mark.parametrize(("id", "times"), [("swift", 1), ("classic", 0)])
def test_swift_tells_the_rest_on_half_the_grid(id: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: List[Tuple[Tensor, ...]] = []
    grown = Rest.grown

    def listened(rest: Rest, *given: Any) -> Tuple[Tensor, ...]:
        told.append(grown(rest, *given))
        return told[-1]

    monkeypatch.setattr(Rest, "grown", listened)
    size = SIZES[1]
    labels = [labels_at(size, time) for time in (0.0, 1.0)]
    rules = {number: RegionRule(order=number) for number in (1, 2, 3)}
    shot = MemoryShot([noise(3, *size, seed=1), noise(3, *size, seed=2)], regions=labels, rules=rules)
    list(session(shot, id).at(Pair(0, 1), [0.5]))
    assert [each[0].shape for each in told] == [(2, *size)] * times


def test_a_motion_alone_is_seen_as_torch_has_it(both: Both[List[Tensor]]) -> None:
    motion = PairMotion((whole_motion(SIZES[0]),), torch.zeros(1, *SIZES[0], dtype=torch.bool))
    assert_near(*both(lambda: answer(between(motion, None, 0.4))))


def test_vectors_that_are_no_numbers_carry_nothing(both: Both[List[Tensor]]) -> None:
    motion = layers_of(SIZES[1])
    for number, broken in enumerate((torch.nan, torch.inf, -torch.inf)):
        motion.layers[-1].there[number % 2, 40 + number, 60:70] = broken
        motion.layers[0].back[number % 2, 30 + number, 10:20] = broken
    compiled, plain = both(lambda: planes(moment(motion, 0.5)))
    for one, two in zip(compiled, plain):
        assert torch.equal(one.isfinite(), two.isfinite())
        assert float((one - two).nan_to_num().abs().max()) < 1e-3


def test_layers_look_the_same_with_any_number_of_threads() -> None:
    motion, before = layers_of((360, 500)), torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            answers.append(answer(between(motion, None, 0.3)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*each) for other in answers[1:] for each in zip(answers[0], other))


def test_a_course_leads_layers_the_same_way(both: Both[List[Tensor]]) -> None:
    class Straight:
        def know(self, *flows: Optional[Tensor]) -> None:
            return None

        def at(self, known: None, time: float, arrived: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
            assert arrived is not None
            return arrived * -time, arrived * (1 - time)

    motion = layers_of(SIZES[1])
    course = Course(Straight(), (None,) * len(motion.layers))
    assert_near(*both(lambda: answer(between(motion, course, 0.4))))


def test_gradients_and_halves_take_the_way_of_torch() -> None:
    motion = layers_of(SIZES[2])
    assert layered.usable(motion)
    layer = replace(motion.layers[0], back=motion.layers[0].back.clone().requires_grad_())
    assert not layered.usable(PairMotion((layer,), motion.still))
    assert not layered.usable(motion, motion.still.half())


def test_what_is_in_front_is_told_where_a_layer_can_be_seen() -> None:
    motion = layers_of(SIZES[0])
    above = in_front([(whole.share0, whole.share1) for whole in map(Layer.in_frame, motion.layers)])
    for layer, front, reach, (above0, above1) in zip(motion.layers, motion.fronts, motion.reaches, above):
        assert front is not None

        above0, above1 = (whole if reach is None else reach.cut(whole) for whole in (above0, above1))
        assert torch.equal(front.above0, above0) and torch.equal(front.above1, above1)
        near = torch.nn.functional.max_pool2d(front.above0[None], 3, 1, 1)[0]
        assert torch.equal(front.clear0, layer.share0 * (1 - near))
    top = motion.fronts[-1]
    assert top is not None and not top.above0.any()
    assert torch.equal(top.clear0.sum(), motion.layers[-1].share0.sum())
    alone = PairMotion((motion.layers[0].in_frame(),), motion.still)
    assert alone.fronts == (None,)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_objects_become_the_same_layers(size: Tuple[int, int], both: Both[Tuple[Layer, ...]]) -> None:
    layer, rules = whole_motion(size), {3: RegionRule(order=1)}
    compiled, plain = both(lambda: parted(layer, labels_at(size, 0.0), labels_at(size, 1.0), rules))
    assert len(compiled) == len(plain) > 1
    for one, two in zip(compiled, plain):
        names = ("there", "back", "trust0", "trust1", "share0", "share1")
        assert_near([getattr(one, name) for name in names], [getattr(two, name) for name in names])


def test_boxes_hold_all_of_an_object_and_nothing_else() -> None:
    labels = np.zeros((211, 97), np.int16)
    labels[3:150, 20:40], labels[210, 96], labels[0, :] = 7, 300, 2
    found = boxes(labels)
    assert found == {2: Box(0, 1, 0, 97), 7: Box(3, 150, 20, 40), 300: Box(210, 211, 96, 97)}
    assert boxes(np.zeros((3, 4), np.int16)) == {}


@pytest.mark.parametrize("size", [*SIZES, (7, 9), (1, 9), (5, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("told", ["objects", "one of them in front", "one object alone", "nothing"])
def test_objects_are_parted_as_without_kernels(size: Tuple[int, int], told: str, both: Both[Tuple[Layer, ...]]) -> None:
    layer = whole_motion(size)
    layer.there[0, -1, -1] = torch.inf
    labels = [labels_at(size, time) for time in (0.0, 1.0)]
    if told == "one object alone":
        labels = [torch.full_like(each, 2) for each in labels]
    elif told == "nothing":
        labels = [each * 0 for each in labels]
    rules = {number: RegionRule(order=number) for number in (1, 3)} if told == "one of them in front" else {}
    compiled, plain = both(lambda: parted(layer, labels[0], labels[1], rules))
    assert len(compiled) == len(plain)
    inside = torch.ones(1, *size, dtype=torch.bool)
    inside[0, -1, -1] = False
    for one, two in zip(map(Layer.in_frame, compiled), map(Layer.in_frame, plain)):
        assert torch.equal(one.share0, two.share0) and torch.equal(one.share1, two.share1)
        for name in ("trust0", "trust1"):
            assert float(((getattr(one, name) - getattr(two, name)) * inside).abs().max()) < 1e-4
        assert_near([one.back], [two.back])


def test_what_vanishes_is_counted_as_without_kernels(both: Both[np.ndarray]) -> None:
    """Asked of every pixel, and of every second and third one of larger frames."""
    for size in ((181, 243), (778, 801), (1203, 1501)):
        layer = whole_motion(size)
        labels = [labels_at(size, time).numpy() for time in (0.0, 1.0)]
        compiled, plain = both(lambda: parts._votes(layer, *labels))  # noqa: B023  called at once
        assert plain.sum() > 100
        assert np.abs(compiled - plain).max() <= 0.002 * plain.sum()


def calm_motion(size: Tuple[int, int]) -> PairMotion:
    """Layers of vectors that change so slowly that neighbours mostly come from neighbours, out of the frame too."""
    layer, (height, width) = whole_motion(size), size
    down, across = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    there = torch.stack([6.3 * across - 2.0 * down - 4.1, 3.0 * down - 5.2 * across + 0.7])
    calm = replace(layer, there=there, back=0.4 - there, trust0=0.4 + 0.6 * across[None], trust1=1 - 0.5 * down[None])
    rules = {1: RegionRule(order=1), 2: RegionRule(order=2), 3: RegionRule(order=3)}
    layers = parted(calm, labels_at(size, 0.0), labels_at(size, 0.2), rules)
    assert len(layers) > 1
    still = torch.zeros(1, *size, dtype=torch.bool)
    still[:, size[0] // 2 :, : size[1] // 6] = True
    return PairMotion(layers, still)


@pytest.mark.parametrize("size", [*SIZES, (61, 79), (72, 71)], ids=str)
def test_neighbours_that_come_from_neighbours_are_seen_as_torch_has_it(
    size: Tuple[int, int], both: Both[List[Tensor]]
) -> None:
    def layers() -> List[Tensor]:
        names = ("there", "back", "trust0", "trust1", "share0", "share1")
        return [getattr(layer, name) for layer in calm_motion(size).layers for name in names]

    assert_near(*both(layers))
    motion = calm_motion(size)
    compiled, plain = both(lambda: planes(moment(motion, 0.3)))
    assert torch.equal(compiled[2], plain[2]) and torch.equal(compiled[3], plain[3])
    assert_near(compiled, plain)
    assert_near(*both(lambda: answer(between(motion, None, 0.7))))


def test_objects_are_compared_where_neighbours_end_beside_one_another(both: Both[Optional[Tensor]]) -> None:
    size = (90, 131)
    labels, layer = labels_at(size, 0.0), calm_motion(size).layers[0].in_frame()
    first, second = noise(3, *size, seed=1), noise(3, *size, seed=2)
    second[:, :, 5:] = first[:, :, :-5]
    right = torch.zeros(2, *size)
    right[0] = 5.0
    compiled, plain = both(lambda: better(layer.there, right, (first, second), (labels, labels.roll(5, 1))))
    assert compiled is not None and plain is not None and bool(compiled.any()) and torch.equal(compiled, plain)


@pytest.mark.parametrize("size", [(40, 67), (181, 243)], ids=str)
def test_what_lies_in_front_of_layers_is_told_as_torch_has_it(size: Tuple[int, int], both: Both[List[Tensor]]) -> None:
    motion = layers_of(size)
    shares = [(layer.share0 * noise(1, *layer.share0.shape[1:], seed=1), layer.share1) for layer in motion.layers]

    def told() -> List[Tensor]:
        found = fronts(shares, motion.reaches)
        return [plane for each in found if each is not None for plane in vars(each).values()]

    compiled, plain = both(told)
    assert len(compiled) == 4 * len(shares) and any(float(each.amax()) > 0 for each in compiled)
    assert all(torch.equal(*each) for each in zip(compiled, plain))


def test_shares_of_objects_tell_where_these_are() -> None:
    labels = np.zeros((50, 71), np.int16)
    labels[7:9, 70], labels[20, 3:5], labels[30:, :2] = 4, 2, 1
    share, nothing = counted.shares(labels, [2, 4]), counted.shares(labels, [9])
    assert torch.equal(share[0], torch.from_numpy(np.isin(labels, (2, 4)).astype(np.float32)))
    for one, two in ((share, nothing), (nothing, share)):
        assert counted.shown(one, two) == (7, 21, 3, 71)
    assert counted.shown(nothing, nothing) is None and not nothing.any()
    assert counted.shown(share, counted.shares(labels, [1])) == (7, 50, 0, 71)
    dot = counted.shares(labels[:1, :1], [0])
    assert counted.shown(dot, dot) == (0, 1, 0, 1)


def test_in_front_of_a_layer_lies_what_all_those_over_it_are() -> None:
    motion = layers_of((181, 243))
    above = in_front([(whole.share0, whole.share1) for whole in map(Layer.in_frame, motion.layers)])
    for front, reach, (above0, above1) in zip(motion.fronts, motion.reaches, above):
        assert front is not None
        cut = (lambda plane: plane) if reach is None else reach.cut
        assert torch.equal(front.above0, cut(above0)) and torch.equal(front.above1, cut(above1))
    assert float(above[0][0].max()) == 1.0 and not bool(above[-1][0].any())


def test_boxes_are_the_same_without_kernels(both: Both[object]) -> None:
    labels = (noise(130, 201, seed=3) * 40).to(torch.int16).numpy()
    labels[labels > 20] = 0
    compiled, plain = both(lambda: boxes(labels))
    assert compiled == plain


def test_of_two_flows_the_same_is_better_without_kernels(both: Both[Optional[Tensor]]) -> None:
    size = SIZES[0]
    labels = labels_at(size, 0.0), labels_at(size, 1.0)
    layer, rough = whole_motion(size), noise(3, *size, seed=9)
    second = torch.zeros(3, *size)
    second[:] = 0.5
    ways = torch.zeros(2, *size), layer.there
    for number in (1, 2):
        second[:, labels[1] == number], rough[:, labels[0] == number] = 0.1 * number, 0.1 * number
    compiled, plain = both(lambda: better(*ways, (rough, second), labels, 0.02))
    assert compiled is not None and plain is not None and torch.equal(compiled, plain)
    assert compiled[labels[0] == 1].all() and not compiled[labels[0] == 0].any()
    assert better(ways[1], ways[0], (rough, second), labels) is None


def test_ends_of_vectors_are_counted_by_object() -> None:
    labels, other = np.zeros((4, 6), np.int16), np.zeros((4, 6), np.int16)
    labels[1, 1:3], other[1, 3:5] = 1, 1
    labels[3, 0], other[3, 5] = 2, 2
    flow, trust = torch.zeros(2, 4, 6), torch.ones(1, 4, 6)
    flow[0, 1, 1:3] = 2.4
    flow[0, 3, 0] = torch.nan
    trust[0, 1, 2] = 0.4
    stays, comes, area, begins = counted.ends(flow, trust, labels, other, 3, 0.5)
    # The vector that is no number stays where it is; two pixels of the ground end on the first object unmoved, one on
    # the second.
    assert stays.tolist() == [18, 1, 0] and comes.tolist() == [1, 2, 1]
    assert area.tolist() == [21, 2, 1] and begins.tolist() == [21, 1, 1]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (37, 51), (129, 128), (260, 301)], ids=str)
def test_pictures_of_any_size_are_filled_the_same(size: Tuple[int, int], both: Both[Tensor]) -> None:
    values, weight = noise(2, *size, seed=1) * 30, noise(1, *size, seed=2) ** 4
    compiled, plain = both(lambda: fill_weighted(values, weight))
    assert float((compiled - plain).abs().max()) < 1e-4
    known = weight > 0.5
    broken = torch.where(known, values, torch.nan)
    compiled, plain = both(lambda: fill_holes(broken, known))
    assert float((compiled - plain).abs().max()) < 1e-4 and torch.equal(compiled[:, known[0]], values[:, known[0]])


def test_a_part_of_a_frame_reaches_as_far_as_its_first_and_last_pixels() -> None:
    shares = torch.zeros(1, 64, 90), torch.zeros(1, 64, 90)
    shares[0][0, 30, 40], shares[1][0, 33, 89] = 0.01, 1.0
    reach = reach_of(*shares)
    assert reach is not None and (reach.top, reach.bottom, reach.left, reach.right) == (22, 42, 32, 90)


def test_objects_far_from_one_another_are_worked_out_each_where_it_is() -> None:
    labels = torch.zeros(720, 1280, dtype=torch.int16)
    for number, (left, top) in enumerate(((20, 20), (120, 40), (900, 500)), start=1):
        labels[top : top + 60, left : left + 60] = number
    even, still = torch.ones(1, 720, 1280), torch.zeros(2, 720, 1280)
    layers = parted(Layer(still, still, even, even, even * 0, even * 0, even, even), labels, labels)
    assert [layer.reach and (layer.reach.top, layer.reach.left) for layer in layers] == [None, (12, 12), (492, 892)]
    assert layers[1].there.shape == (2, 96, 176) and float(layers[1].share0.sum()) == 2 * 60 * 60
    assert bool((layers[2].in_frame().share0[0] > 0).eq(labels == 3).all())
    assert len(parted(Layer(still, still, even, even, even * 0, even * 0, even, even), labels, labels, None, True)) == 2
