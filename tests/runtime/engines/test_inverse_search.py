"""The compiled search finds motion as OpenCV's does, and as well whatever the pictures."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Optional, Tuple

import cv2
import numpy as np
import pytest

from kairos.engines.classic import fusion, inverse_search
from kairos.engines.classic.inverse_search import Effort, Flow, Picture, coarsest_level
from kairos.engines.classic.inverse_search import inverse_search as found
from kairos.engines.classic.landmarks import landmark_motion
from kairos.engines.classic.search import View, search
from kairos.motion import fast

EFFORT = Effort(stride=3, iterations=12, refinements=5)
QUICK = Effort(stride=4, iterations=6, refinements=0)


def textured(height: int, width: int, seed: int = 3) -> np.ndarray[Tuple[int, ...], np.dtype[np.float32]]:
    """A picture with detail of many sizes, grey levels."""
    random = np.random.default_rng(seed)
    plate = np.zeros((height, width), np.float32)
    for cells in (4, 9, 20, 45):
        coarse = random.random((cells, max(1, cells * width // height)), np.float32)
        plate += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.3
    return (plate - plate.min()) / (plate.max() - plate.min()) * 255


def moved(height: int, width: int, matrix: np.ndarray[Tuple[int, ...], np.dtype[np.float64]]) -> Tuple[Picture, ...]:
    """A picture, and the same moved by an affine motion (2, 3) of its pixels."""
    margin = 48
    plate = textured(height + 2 * margin, width + 2 * margin)
    shifted = matrix.copy()
    shifted[:, 2] += margin - matrix[:, :2] @ [margin, margin]
    later = cv2.warpAffine(plate, shifted, plate.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    cut = slice(margin, margin + height), slice(margin, margin + width)
    first, second = (np.rint(each[cut].clip(0, 255)) for each in (plate, later))
    return first, second


def panned(height: int, width: int, x: float, y: float) -> Tuple[Picture, ...]:
    return moved(height, width, np.array([[1, 0, x], [0, 1, y]], np.float64))


def inner(flow: Flow, border: int) -> Flow:
    return flow[border:-border, border:-border]


@pytest.fixture
def as_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled", lambda module: None)


def test_the_kernels_are_there() -> None:
    assert None not in inverse_search._kernels(), "numba is among the dependencies"


# The second has odd sides.
@pytest.mark.parametrize("size", [(144, 192), (135, 201)])
@pytest.mark.parametrize("move", [(0.0, 0.0), (0.4, -0.7), (5.25, 2.5), (-17.0, 9.0)])
@pytest.mark.parametrize("by_brightness", [False, True])
def test_a_pan_is_found(size: Tuple[int, int], move: Tuple[float, float], by_brightness: bool) -> None:
    flow = found(*panned(*size, *move), EFFORT, by_brightness=by_brightness)
    assert flow.shape == (*size, 2) and flow.dtype == np.float32
    # What comes in at the border is in neither: as far as the pan goes, and a patch.
    error = np.hypot(*(inner(flow, 28) - np.float32(move)).transpose(2, 0, 1))
    assert float(error.mean()) < 0.05


def test_a_turn_and_a_zoom_are_found() -> None:
    height, width, turn, zoom = 180, 240, np.deg2rad(2.0), 1.03
    spin = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([width / 2, height / 2])
    matrix = np.concatenate([spin, (middle - spin @ middle)[:, None]], 1)
    flow = found(*moved(height, width, matrix), EFFORT)
    y, x = np.mgrid[:height, :width]
    truth = np.stack([x, y], -1) @ (matrix[:, :2] - np.eye(2)).T + matrix[:, 2]
    assert float(np.hypot(*inner(flow - truth, 16).transpose(2, 0, 1)).mean()) < 0.1


@pytest.mark.parametrize("by_brightness", [False, True])
@pytest.mark.parametrize("finest", [0, 1])
def test_it_agrees_with_opencv(by_brightness: bool, finest: int) -> None:
    pictures = panned(160, 224, 6.3, -3.6)
    ours = found(*pictures, EFFORT, by_brightness=by_brightness, finest=finest)
    theirs = inverse_search._by_opencv(*pictures, EFFORT, finest, by_brightness, None, None)
    assert ours.shape == theirs.shape
    # Both are that near to the truth themselves.
    assert float(np.hypot(*inner(ours - theirs, 16).transpose(2, 0, 1)).mean()) < 0.1


def test_what_grows_brighter_is_found_by_its_pattern() -> None:
    first, second = panned(144, 192, 3.0, -2.0)
    first, brighter = first * np.float32(0.7), second * np.float32(0.7) + 40
    errors = [
        float(np.hypot(*(inner(found(first, brighter, QUICK, by_brightness=by) - np.float32((3, -2)), 16).T)).mean())
        for by in (False, True)
    ]
    assert errors[0] < 0.2 < errors[1]


@pytest.mark.parametrize("coarsest", [0, 1])
def test_a_start_is_begun_from(coarsest: int) -> None:
    """Of what is the same all over, nothing but the start tells how far it has come."""
    flat = np.full((96, 128), 90, np.float32)
    start = np.empty((96, 128, 2), np.float32)
    start[..., 0], start[..., 1] = 3.5, -1.25
    flow = found(flat, flat, QUICK, start=start, coarsest=coarsest)
    assert float(np.abs(flow - start).max()) < 1e-4


def test_a_start_leads_to_what_is_too_far_otherwise() -> None:
    pictures = panned(144, 192, 40.0, 0.0)
    start = np.zeros((144, 192, 2), np.float32)
    start[..., 0] = 38.5
    near, far = (found(*pictures, EFFORT, start=each, coarsest=0) for each in (start, None))
    errors = [float(np.abs(each[48:-48, 48:-48, 0] - 40).mean()) for each in (near, far)]
    assert errors[0] < 0.1 and errors[1] > 5


def test_the_same_bits_on_any_thread() -> None:
    pairs = [panned(101 + 8 * k, 150, 3.0 + k, -k / 2) for k in range(4)]
    once = [found(*pair, EFFORT) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda pair: found(*pair, EFFORT), pairs * 3))
    for number, flow in enumerate(again):
        assert np.array_equal(flow, once[number % 4])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (9, 8), (17, 33), (63, 65), (40, 400)])
@pytest.mark.parametrize("effort", [EFFORT, QUICK])
def test_frames_of_any_size_can_be_searched(size: Tuple[int, int], effort: Effort) -> None:
    pictures = panned(*size, 1.0, 0.5)
    for finest in (0, 1):
        for start, coarsest in ((None, None), (np.ones((*size, 2), np.float32), 2)):
            flow = found(*pictures, effort, finest=min(finest, coarsest_level(*size)), start=start, coarsest=coarsest)
            assert flow.shape == (*size, 2) and bool(np.isfinite(flow).all())


@pytest.mark.parametrize("levels", [(0, 0), (255, 255), (0, 255), (128, 0)])
@pytest.mark.parametrize("by_brightness", [False, True])
def test_flat_frames_stand_still(levels: Tuple[int, int], by_brightness: bool) -> None:
    first, second = (np.full((70, 90), level, np.float32) for level in levels)
    flow = found(first, second, EFFORT, by_brightness=by_brightness)
    assert float(np.abs(flow).max()) < 1e-4


def test_what_is_black_white_and_without_likeness_gives_numbers() -> None:
    random = np.random.default_rng(5)
    first, second = (np.where(random.random((90, 110)) < 0.5, 0, 255).astype(np.float32) for _ in range(2))
    far = np.full((90, 110, 2), 1e6, np.float32)
    for start in (None, far, -far):
        assert bool(np.isfinite(found(first, second, EFFORT, start=start)).all())


def test_pictures_need_not_lie_in_one_piece() -> None:
    first, second = panned(96, 120, 2.0, 1.0)
    turned = [np.asfortranarray(each) for each in (first, second)]
    assert np.array_equal(found(*turned, EFFORT), found(first, second, EFFORT))


def test_where_kernels_cannot_run_opencv_searches(as_without_kernels: None) -> None:
    pictures = panned(96, 128, 2.0, -1.0)
    theirs = inverse_search._by_opencv(*pictures, Effort(3, 16, 5), 0, False, None, None)
    # OpenCV's own answers hang on the number of its threads.
    assert float(np.abs(search(*pictures) - theirs).mean()) < 0.02


def test_without_numba_opencv_searches() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from kairos.engines.classic.search import search\n"
        "plane = np.random.default_rng(1).integers(0, 255, (96, 128)).astype(np.float32)\n"
        "print(float(np.abs(search(plane, plane)).mean()) < 0.1)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "True"


@pytest.mark.parametrize("count", [2, 4, 6])
def test_costs_are_the_same_with_and_without_kernels(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    random = np.random.default_rng(count)
    height, width = 61, 83
    colours = tuple(textured(height, width, seed)[..., None].repeat(3, 2) for seed in (1, 2))
    flows = [random.normal(0, 4, (height, width, 2)).astype(np.float32) for _ in range(2 * count)]

    def costs() -> np.ndarray[Tuple[int, ...], np.dtype[np.float32]]:
        return np.stack(fusion._costs((colours[0], colours[1]), flows[:count], flows[count:], 2))

    compiled = costs()
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    # OpenCV fetches from places rounded to 1/32 of a pixel.
    assert float(np.abs(compiled - costs()).mean()) < 0.25
    assert float(np.abs(compiled).mean()) > 5


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_costs_of_whole_pixels_are_exact(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    random = np.random.default_rng(count)
    colours = tuple(random.uniform(-20, 270, (31, 43, 3)).astype(np.float32) for _ in range(2))
    flows = [random.normal(0, 4, (31, 43, 2)).round().astype(np.float32) for _ in range(2 + count)]
    found = np.stack(fusion._costs((colours[0], colours[1]), flows[:2], flows[2:], 1))
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    without = np.stack(fusion._costs((colours[0], colours[1]), flows[:2], flows[2:], 1))
    assert np.allclose(found, without, atol=1e-3) and float(found.std()) > 5


def test_more_ways_back_than_kernels_take_are_compared_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(9)
    colours = tuple(textured(31, 43, seed)[..., None].repeat(3, 2) for seed in (1, 2))
    flows = [random.normal(0, 4, (31, 43, 2)).astype(np.float32) for _ in range(9)]
    found = fusion._costs((colours[0], colours[1]), flows[:2], flows[2:], 1)
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    assert np.array_equal(found, fusion._costs((colours[0], colours[1]), flows[:2], flows[2:], 1))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_costs_are_gathered_and_the_least_is_found_to_the_bit_as_without_kernels(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    random = np.random.default_rng(count)
    height, width = 61, 83
    image = textured(height, width, 3)
    costs = [random.uniform(0, 90, (height, width)).astype(np.float32) for _ in range(count)]
    # Some of what costs the same: the first is taken.
    costs[-1][:20] = costs[0][:20]
    flows = [np.full((height, width, 2), number, np.float32) for number in range(count)]

    def answers() -> Tuple[np.ndarray, np.ndarray]:
        return np.stack(fusion._gather(image, costs, 9)), fusion._best(flows, costs)

    compiled = answers()
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    for one, other in zip(compiled, answers()):
        assert np.array_equal(one, other)
    assert len(np.unique(compiled[1])) == count
    assert not (compiled[1][:20] == count - 1).any()


def test_the_better_of_two_motions_is_chosen() -> None:
    first, second = panned(90, 120, 6.0, 0.0)
    colours = [each[..., None].repeat(3, 2).astype(np.float32) for each in (first, second)]
    view = View((colours[0], colours[1]), (first, second))
    wrong, right = np.zeros((2, 90, 120, 2), np.float32)
    right[..., 0] = 6
    chosen = fusion.choose(view, 0, [wrong, right], [wrong, -right])
    assert np.array_equal(inner(chosen, 16), inner(right, 16))


def test_landmarks_are_points_found_again() -> None:
    first, second = panned(200, 280, 31.0, -12.0)
    answer: Optional[Tuple[Flow, Flow]] = landmark_motion(first, second)
    assert answer is not None
    for flow, sign in zip(answer, (1, -1)):
        assert float(np.abs(np.median(flow, (0, 1)) - sign * np.float32((31, -12))).max()) < 0.5
