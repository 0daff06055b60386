"""Objects that the artist told apart: found as a whole, kept whole, in order, or held."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.base import Pair
from kairos.engines.classic import regions, resemblance
from kairos.engines.classic import session as working
from kairos.engines.classic.motion import Layer
from kairos.engines.classic.parts import parted
from kairos.engines.classic.reach import reach_of
from kairos.engines.classic.regions import better, departed, travelled, travelled_both
from kairos.engines.classic.resemblance import resembling, resembling_both
from kairos.motion import fast
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.motion.occlusion import confidence, consistency
from kairos.motion.region_choice import RegionRule
from kairos_nodes.layers import Policy
from support.scenes import HEIGHT, WIDTH, MemoryShot, grid, plate, session, texture

PAIR = Pair(0, 1)


def box(left: float, top: float, width: int = 24, height: int = 24) -> np.ndarray:
    columns, rows = grid()
    return (columns >= left) & (columns < left + width) & (rows >= top) & (rows < top + height)


class Boxes:
    """Patterned boxes over still ground: each from one place to another, later ones over earlier ones."""

    def __init__(self, *ways: Tuple[Tuple[float, float], Tuple[float, float]]) -> None:
        self._ways = ways

    def frame(self, time: float) -> Tensor:
        columns, rows = grid()
        picture = texture(20)(columns, rows)
        for number, (x, y) in enumerate(self._at(time)):
            # Of one pattern, finer than the way that it goes: what it shows alone does not tell where it went.
            picture = np.where(box(x, y), 1.5 * texture(29 + number)(columns - x, rows - y), picture)
        return plate(picture)

    def labels(self, time: float) -> Tensor:
        found = np.zeros((HEIGHT, WIDTH), np.int16)
        for number, (x, y) in enumerate(self._at(time), start=1):
            found[box(x, y)] = number
        return torch.from_numpy(found)

    def shot(self, told: bool = True, rules: Optional[Mapping[int, RegionRule]] = None) -> MemoryShot:
        regions = [self.labels(0), self.labels(1)] if told else None
        return MemoryShot([self.frame(0), self.frame(1)], regions=regions, rules=rules)

    def _at(self, time: float) -> Sequence[Tuple[float, float]]:
        return [(x + time * (u - x), y + time * (v - y)) for (x, y), (u, v) in self._ways]


def answer(shot: MemoryShot, time: float = 0.5, id: str = "classic") -> Inbetween:
    (found,) = session(shot, id).at(PAIR, [time])
    return found


def shown(shot: MemoryShot, found: Inbetween) -> Tensor:
    return compose(shot.frames[0], shot.frames[1], found, Policy.BLEND, codec=Codec(shot.exposure))


def off(scene: Boxes, shot: MemoryShot, id: str, where: Tuple[float, float]) -> float:
    """Mean squared error half-way, inside the box that begins at a place."""
    inside = torch.from_numpy(box(where[0] + 3, where[1] + 3, 18, 18))
    return float((shown(shot, answer(shot, id=id)) - scene.frame(0.5))[:, inside].square().mean())


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_an_object_that_goes_far_is_found_by_its_region(id: str) -> None:
    scene = Boxes(((8, 40), (118, 52)))
    middle = 63, 46
    assert off(scene, scene.shot(), id, middle) < 0.2 * off(scene, scene.shot(told=False), id, middle)


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_a_shot_without_objects_is_retimed_as_without_regions(id: str) -> None:
    scene = Boxes(((60, 40), (66, 43)))
    nothing = [torch.zeros(HEIGHT, WIDTH, dtype=torch.int16)] * 2
    empty = MemoryShot([scene.frame(0), scene.frame(1)], regions=nothing)
    plain, found = answer(scene.shot(told=False), id=id), answer(empty, id=id)
    assert torch.equal(plain.flow_to_0, found.flow_to_0) and torch.equal(plain.blend, found.blend)


def test_what_an_object_has_come_is_told_by_the_side_that_the_frame_does_not_cut_off() -> None:
    whole, cut = np.zeros((40, 60), np.int16), np.zeros((40, 60), np.int16)
    whole[10:20, 30:50] = 1
    cut[12:22, 45:60] = 1
    there = travelled(whole, cut, np.zeros((40, 60, 2), np.float32))
    assert tuple(there[15, 40]) == (15.0, 2.0)
    assert not there[whole == 0].any()


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_a_layer_that_is_worked_out_only_where_it_can_be_seen_looks_as_if_it_were_everywhere(
    id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Boxes(((8, 40), (48, 46)), ((100, 70), (90, 60)))
    shot, times = scene.shot(), (0.0, 0.3, 0.6, 1.0)
    found = [answer(shot, time, id) for time in times]

    def in_frame(*given: Any) -> Tuple[Layer, ...]:
        layers = parted(*given)
        assert any(layer.reach is not None for layer in layers)
        return tuple(layer.in_frame() for layer in layers)

    monkeypatch.setattr(working, "parted", in_frame)
    everywhere = [answer(shot, time, id) for time in times]
    for time, one, other in zip(times, found, everywhere):
        # Where nothing arrives of a layer, it is filled in from what is around, of which there is less.
        assert float((one.flow_to_0 - other.flow_to_0).abs().mean()) < 0.01
        off = [float((shown(shot, each) - scene.frame(time)).square().mean()) for each in (one, other)]
        assert off[0] <= 1.05 * off[1]


def test_a_layer_reaches_from_where_it_is_to_where_it_comes() -> None:
    first, second = torch.zeros(1, 100, 200), torch.zeros(1, 100, 200)
    first[0, 30:40, 50:60] = 1
    second[0, 32:42, 80:90] = 0.1
    reach = reach_of(first, second)
    assert reach is not None and (reach.top, reach.bottom, reach.left, reach.right) == (22, 50, 42, 98)
    assert torch.equal(reach.placed(reach.cut(first)), first)
    assert reach_of(torch.ones(1, 100, 200), second) is None and reach_of(first * 0, second * 0) is None


def _told(labels: Tensor, other: Tensor, rules: Optional[Mapping[int, RegionRule]] = None) -> int:
    """Layers that come of two label maps of a box that moves by 20 pixels to the right, and is found to."""
    true0, true1 = (Boxes(((40, 40), (60, 40))).labels(time) for time in (0.0, 1.0))
    there, back = torch.zeros(2, *labels.shape), torch.zeros(2, *labels.shape)
    there[0, true0 == 1], back[0, true1 == 1] = 20.0, -20.0
    whole = torch.ones(1, *labels.shape)
    layer = Layer(there, back, *agreed(there, back), whole * 0, whole * 0, whole, whole)
    return len(parted(layer, labels, other, rules))


def test_an_object_whose_outlines_motion_does_not_bear_out_is_no_layer() -> None:
    first, second = (Boxes(((40, 40), (60, 40))).labels(time) for time in (0.0, 1.0))
    assert _told(first, second) == 2
    assert _told(first, second.roll(8, -1)) == 1, "a mask that lies beside its place"
    assert _told(first, second.roll(8, -1), {1: RegionRule(order=1)}) == 2, "the artist wants it in front"


CROSSING = Boxes(((40, 40), (96, 40)), ((96, 44), (40, 44)))
"""Two boxes that change places, and meet half-way."""


@pytest.mark.parametrize(("front", "number"), [({1: RegionRule(order=1)}, 0), ({2: RegionRule(order=1)}, 1)])
def test_the_artist_says_which_object_is_in_front_where_they_meet(front: Mapping[int, RegionRule], number: int) -> None:
    shot = CROSSING.shot(rules=front)
    picture = shown(shot, answer(shot))
    meeting = torch.from_numpy(box(71, 47, 18, 14))
    columns, rows = grid()
    fits = []
    for index, (x, y) in enumerate([(68, 40), (68, 44)]):
        alone = plate(1.5 * texture(29 + index)(columns - x, rows - y))
        fits.append(float((picture - alone)[:, meeting].square().mean()))
    assert fits[number] < 0.3 * fits[1 - number]


@pytest.mark.parametrize("time", [0.25, 0.75])
def test_a_held_object_is_the_nearer_frames_bit_for_bit_and_others_move(time: float) -> None:
    scene = Boxes(((20, 20), (44, 20)), ((100, 70), (112, 70)))
    shot = scene.shot(rules={1: RegionRule(hold=True)})
    near = 0 if time < 0.5 else 1
    picture = shown(shot, answer(shot, time))
    held, moving = scene.labels(near) == 1, torch.from_numpy(box(100 + 12 * time + 3, 73, 18, 18))
    assert torch.equal(picture[:, held], shot.frames[near][:, held])
    assert float((picture - scene.frame(time))[:, moving].square().mean()) < 1e-3


def test_a_held_object_does_not_move_with_the_ground_that_it_leaves() -> None:
    scene = Boxes(((20, 40), (80, 40)))
    shot = scene.shot(rules={1: RegionRule(hold=True)})
    picture = shown(shot, answer(shot, 0.4))
    between = torch.from_numpy(box(50, 43, 24, 18))
    assert float((picture - plate(texture(20)(*grid())))[:, between].square().mean()) < 1e-3


def agreed(there: Tensor, back: Tensor) -> Tuple[Tensor, Tensor]:
    """Trust as it is found: how far both ways agree."""
    sides = (confidence(consistency(*ways), ways[0]) for ways in ((there, back), (back, there)))
    one, two = (side.clamp(min=1e-3) for side in sides)
    return one, two


def _flowing(labels: Tensor, ways: Mapping[int, float], hidden: Tensor) -> Tuple[Tensor, Tensor]:
    """(2, H, W) flow of labelled pixels along x, and trust in it: none where hidden."""
    flow = torch.zeros(2, *labels.shape)
    for number, x in ways.items():
        flow[0, labels == number] = x
    return flow, (1.0 - hidden.float())[None].clamp(min=1e-3)


@pytest.mark.parametrize(
    ("rules", "order"),
    [({}, [0, 2, 1]), ({2: RegionRule(order=1)}, [0, 1, 2]), ({1: RegionRule(order=-1)}, [1, 0, 2])],
)
def test_of_two_objects_the_one_that_vanishes_is_behind(rules: Mapping[int, RegionRule], order: Sequence[int]) -> None:
    """Box 2 slides 12 pixels to the right, under box 1; the artist may say otherwise, and put one behind the rest."""
    labels = []
    for right in (30, 36):
        plane = np.zeros((40, 60), np.int16)
        plane[10:30, right - 20 + (6 if right == 36 else 0) : right] = 2
        plane[10:30, 36:50] = 1
        labels.append(torch.from_numpy(plane))
    gone = (labels[0] == 2) & (torch.arange(60) >= 24)
    there, trust0 = _flowing(labels[0], {2: 12.0}, gone)
    back, _ = _flowing(labels[1], {2: -12.0}, torch.zeros_like(gone))
    trust0, trust1 = trust0.minimum(agreed(there, back)[0]), agreed(there, back)[1]
    even = torch.ones_like(trust0)
    layers = parted(Layer(there, back, trust0, trust1, even * 0, even * 0, even, even), *labels, rules)
    assert [int(labels[0][layer.in_frame().share0[0] == 1].unique()) for layer in layers] == order


def test_an_object_that_one_frame_alone_shows_is_of_the_rest() -> None:
    scene = Boxes(((20, 20), (44, 20)))
    labels = scene.labels(0)
    even = torch.ones(1, HEIGHT, WIDTH)
    still = torch.zeros(2, HEIGHT, WIDTH)
    layers = parted(Layer(still, still, even, even, even * 0, even * 0, even, even), labels, torch.zeros_like(labels))
    assert len(layers) == 1 and bool((layers[0].share0 == 1).all()) and bool((layers[0].share1 == 1).all())


def test_objects_that_never_meet_share_a_layer() -> None:
    apart = Boxes(((10, 10), (20, 10)), ((120, 80), (126, 80)))
    for scene, ways, layers in ((apart, (10.0, 6.0), 2), (CROSSING, (56.0, -56.0), 3)):
        labels = scene.labels(0), scene.labels(1)
        there, back = (torch.zeros(2, HEIGHT, WIDTH) for _ in range(2))
        for number, way in enumerate(ways, start=1):
            there[0, labels[0] == number], back[0, labels[1] == number] = way, -way
        even = torch.ones(1, HEIGHT, WIDTH)
        layer = Layer(there, back, *agreed(there, back), even * 0, even * 0, even, even)
        assert len(parted(layer, *labels)) == layers


@pytest.mark.parametrize("id", ["classic", "swift"])
@pytest.mark.parametrize("ground", [0, 2], ids=["rest", "object"])
def test_what_an_object_uncovers_shows_nothing_of_it(id: str, ground: int) -> None:
    """The box goes 60 pixels: the ground it leaves and the ground it comes to are each shown by one frame alone."""
    scene = Boxes(((30, 40), (90, 40)))
    regions = [torch.where(scene.labels(time) == 1, 1, ground).to(torch.int16) for time in (0, 1)]
    shot = MemoryShot([scene.frame(0), scene.frame(1)], regions=regions)
    picture = shown(shot, answer(shot, id=id))
    for left in (32, 91):
        beside = torch.from_numpy(box(left, 43, 20, 18))
        ghost = float((shot.frames[0] - shot.frames[1])[:, beside].square().mean())
        error = float((picture - scene.frame(0.5))[:, beside].square().mean())
        # A third of the box left over would be a ninth of this.
        assert error < 0.1 * ghost, error / ghost


def test_an_object_that_another_cuts_off_is_found_by_what_it_looks_like() -> None:
    """Box 1 goes 40 pixels to the right; box 2 hides its left quarter in the first frame and its right one in the
    second, so that the middle of what is seen goes 34.
    """
    scene = Boxes(((40, 40), (80, 40)), ((22, 40), (98, 40)))
    labels = [np.asarray(scene.labels(time)) for time in (0, 1)]
    grey = [np.asarray(scene.frame(time).mean(0) * 255).clip(0, 255).astype(np.float32) for time in (0, 1)]
    outline = travelled(labels[0], labels[1], np.zeros((HEIGHT, WIDTH, 2), np.float32))
    inside = labels[0] == 1
    assert abs(float(outline[inside][:, 0].mean()) - 34) < 0.5
    found = resembling(outline, (grey[0], grey[1]), labels[0], labels[1])
    assert np.abs(found[inside] - (40, 0)).max() <= 1
    assert np.array_equal(found[labels[0] == 0], outline[labels[0] == 0])


def test_objects_are_looked_for_both_ways_at_once_as_each_way_alone() -> None:
    scene = Boxes(((8, 40), (118, 52)), ((150, 90), (128, 60)), ((60, 100), (61, 100)))
    pictures = tuple(np.asarray(scene.frame(time).mean(0) * 255, np.float32) for time in (0, 1))
    labels = scene.labels(0).numpy(), scene.labels(1).numpy()
    plain = [np.full((HEIGHT, WIDTH, 2), value, np.float32) for value in (0.25, -0.5)]
    gone = travelled_both(labels, plain)
    for one, two in zip(gone, (travelled(*labels, plain[0]), travelled(*labels[::-1], plain[1]))):
        assert np.array_equal(one, two)
    found = resembling_both(gone, (pictures[0], pictures[1]), labels)
    alone = (
        resembling(gone[0], (pictures[0], pictures[1]), *labels),
        resembling(gone[1], (pictures[1], pictures[0]), *labels[::-1]),
    )
    for one, two in zip(found, alone):
        assert np.array_equal(one, two)
    assert not np.array_equal(found[0], gone[0]) or not np.array_equal(gone[0], plain[0])


def test_objects_are_looked_for_as_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Boxes(((8, 40), (60, 52)), ((150, 90), (128, 60)), ((60, 100), (61, 100)))
    pictures = tuple(np.asarray(scene.frame(time).mean(0) * 255, np.float32) for time in (0, 1))
    labels = scene.labels(0).numpy(), scene.labels(1).numpy()
    random = np.random.default_rng(6)
    starts = [random.normal(0, 3, (HEIGHT, WIDTH, 2)).astype(np.float32) for _ in range(2)]
    compiled = resembling_both(starts, (pictures[0], pictures[1]), labels)
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    for one, other, start in zip(compiled, resembling_both(starts, (pictures[0], pictures[1]), labels), starts):
        assert np.array_equal(one, other) and not np.array_equal(one, start)


@pytest.mark.parametrize("seed", range(6))
def test_an_object_is_found_where_no_other_way_is_better(seed: int) -> None:
    """Every way by itself, in float64, against all of them by Fourier transforms."""
    random = np.random.default_rng(seed)
    where = [regions.Box(10, 10 + high, 20, 20 + wide) for high, wide in random.integers(9, 24, (2, 2))]
    high, wide = 60, 70
    whole = cv2.GaussianBlur(random.uniform(0, 255, (high, wide)), (0, 0), 1.5) * 3
    planes = [np.zeros((high, wide)) for _ in where]
    seen = []
    for box, move, plane in zip(where, ((0, 0), (3, -2)), planes):
        moved = np.roll(whole, move, (0, 1))
        mask = random.random((high, wide)) < 0.9
        inside = slice(box.top, box.bottom), slice(box.left, box.right)
        plane[inside] = mask[inside]
        seen.append(resemblance._Seen(moved[inside], mask[inside]))
    outlines = np.array([1.5, 2.0]), np.array([-1.0, -2.5])
    areas = [each.mask.sum() for each in seen]
    spread = sum(each.picture[each.mask].var() for each in seen) + resemblance._NOISE
    costs = []
    for down in range(-30, 31):
        for across in range(-30, 31):
            other = np.roll(planes[1], (-down, -across), (0, 1)) * planes[0]
            shared = other.sum()
            if shared < resemblance._LEAST * min(areas):
                continue
            apart = (whole - np.roll(whole, (3 - down, -2 - across), (0, 1))) ** 2
            unlike = (apart * other).sum() / shared / spread
            if unlike <= resemblance._ALIKE:
                costs.append((unlike + resemblance._OVERLAP * (1 - shared / min(areas)), across, down))
    found = resemblance._best((seen[0], seen[1]), (where[0], where[1]), outlines)
    assert found is not None and costs
    for way, outline, sign in zip(found, outlines, (1, -1)):
        far = [
            cost + resemblance._FAR * np.hypot(across - sign * outline[0], down - sign * outline[1]) / resemblance._SIDE
            for cost, across, down in costs
        ]
        assert tuple(way) == tuple(sign * each for each in costs[int(np.argmin(far))][1:])


def test_an_object_with_no_likeness_goes_where_its_outline_says() -> None:
    random = np.random.default_rng(7)
    box = regions.Box(4, 34, 6, 36)
    seen = [resemblance._Seen(random.uniform(0, 255, (30, 30)), np.ones((30, 30), bool)) for _ in range(2)]
    outlines = np.array([1.5, 2.0]), np.array([-1.0, -2.5])
    found = resemblance._best((seen[0], seen[1]), (box, box), outlines)
    assert found is not None and all(np.array_equal(way, outline) for way, outline in zip(found, outlines))


def test_pixels_that_the_other_frame_hides_do_not_speak_for_a_motion() -> None:
    """Half of object 1 lies under object 2 in the second frame. On the rest one motion leaves 0.1, another 0.06."""
    labels, after = torch.zeros(20, 40, dtype=torch.int16), torch.zeros(20, 40, dtype=torch.int16)
    labels[:, :20], after[:, :10], after[:, 10:20] = 1, 1, 2
    first, second = torch.zeros(3, 20, 40), torch.zeros(3, 20, 40)
    second[:, 0::2], second[:, 1::2] = 0.1, 0.06
    still, down = torch.zeros(2, 20, 40), torch.zeros(2, 20, 40)
    still[1, 1::2], down[1, 0::2] = -1, 1
    wins = better(still, down, (first, second), (labels, after))
    assert wins is not None and torch.equal(wins, labels == 1)


def test_vectors_that_nobody_believes_do_not_put_an_object_behind() -> None:
    """Box 2 slides 12 pixels to the right, under box 1, most of which is given vectors that end on box 2."""
    labels = [torch.zeros(40, 60, dtype=torch.int16) for _ in range(2)]
    for plane, right in zip(labels, (30, 42)):
        plane[10:30, right - 20 : right] = 2
        plane[10:30, 36:50] = 1
    junk = (labels[0] == 1) & (torch.arange(60) < 47)
    there, trust0 = _flowing(labels[0], {2: 12.0}, junk | ((labels[0] == 2) & (torch.arange(60) >= 24)))
    there[0, junk] = -12.0
    back, trust1 = _flowing(labels[1], {2: -12.0}, torch.zeros_like(junk))
    # Of the ground, what is hidden in the other frame agrees with nothing.
    for trust, plane, both in zip((trust0, trust1), labels, agreed(there, back)):
        trust[:, plane == 0] = both[:, plane == 0]
    even = torch.ones_like(trust0)
    layers = parted(Layer(there, back, trust0, trust1, even * 0, even * 0, even, even), *labels)
    assert [int(labels[0][layer.in_frame().share0[0] == 1].unique()) for layer in layers] == [0, 2, 1]


def test_layers_that_no_pixel_belongs_to_are_none() -> None:
    labels = torch.ones(40, 60, dtype=torch.int16)
    labels[10:20, 10:20] = 2
    even, still = torch.ones(1, 40, 60), torch.zeros(2, 40, 60)
    layers = parted(Layer(still, still, even, even, even * 0, even * 0, even, even), labels, labels)
    assert [bool(layer.share0.any()) for layer in layers] == [True, True]


def found_of(scene: Boxes, labels: Sequence[Tensor], rules: Optional[Mapping[int, RegionRule]] = None) -> MemoryShot:
    """A shot whose regions nobody gave."""
    shot = MemoryShot([scene.frame(0), scene.frame(1)], regions=labels, rules=rules)
    shot.found = True
    return shot


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_regions_that_were_found_wrong_change_nothing(id: str) -> None:
    scene = Boxes(((60, 40), (66, 43)))
    wrong = torch.zeros(HEIGHT, WIDTH, dtype=torch.int16)
    wrong[5:60, 20:75], wrong[70:90, 100:130] = 1, 2
    plain, found = answer(scene.shot(told=False), id=id), answer(found_of(scene, [wrong, wrong]), id=id)
    assert torch.equal(plain.flow_to_0, found.flow_to_0) and torch.equal(plain.blend, found.blend)
    given = answer(MemoryShot([scene.frame(0), scene.frame(1)], regions=[wrong, wrong]), id=id)
    assert not torch.equal(plain.flow_to_0, given.flow_to_0), "as layers they would"


def test_an_object_that_goes_far_is_found_by_a_region_that_was_found_right() -> None:
    scene = Boxes(((8, 40), (118, 52)))
    middle, labels = (63, 46), [scene.labels(0), scene.labels(1)]
    alone = off(scene, scene.shot(told=False), "swift", middle)
    # Not as a layer of its own, it is less whole than a given one.
    assert off(scene, found_of(scene, labels), "swift", middle) < 0.5 * alone


def test_found_objects_that_the_artist_orders_are_layers() -> None:
    labels, rules = [CROSSING.labels(0), CROSSING.labels(1)], {1: RegionRule(order=1)}
    loose, ordered = found_of(CROSSING, labels), found_of(CROSSING, labels, rules)
    assert not torch.equal(answer(loose).flow_to_0, answer(ordered).flow_to_0)
    meeting, fits = torch.from_numpy(box(71, 47, 18, 14)), []
    columns, rows = grid()
    for index, (x, y) in enumerate([(68, 40), (68, 44)]):
        alone = plate(1.5 * texture(29 + index)(columns - x, rows - y))
        fits.append(float((shown(ordered, answer(ordered)) - alone)[:, meeting].square().mean()))
    assert fits[0] < 0.3 * fits[1]


def test_motion_departs_for_objects_alone_that_another_takes_to_where_they_look_more_alike() -> None:
    scene = Boxes(((20, 20), (40, 20)), ((90, 60), (90, 60)))
    flows, others = torch.zeros(2, 2, HEIGHT, WIDTH), torch.full((2, 2, HEIGHT, WIDTH), 0.0)
    others[0, 0], others[1, 0] = 20.0, -20.0
    told = scene.labels(0).numpy(), scene.labels(1).numpy()
    chosen = departed(flows, others, (scene.frame(0), scene.frame(1)), told)
    for side in (0, 1):
        moves = scene.labels(side) == 1
        assert torch.equal(chosen[side][:, moves], others[side][:, moves])
        assert torch.equal(chosen[side][:, ~moves], flows[side][:, ~moves])
