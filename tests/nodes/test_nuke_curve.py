"""Nuke's curve text is read as Nuke means it (NDK guide, "Curve serialisation format", and nuke.AnimationKey)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.timing import TimeMap


def times(text: str, **more: int) -> list[Fraction]:
    return list(TimeMap.from_nuke_curve(text, 0, 1000, **more))


def test_linear_keys() -> None:
    assert times("{curve L x1 10 x5 12}") == [10, Fraction(21, 2), 11, Fraction(23, 2), 12]
    assert times("{{curve L x1 10 x3 12}}") == [10, 11, 12]


def test_a_key_without_x_lies_as_far_on_as_the_two_before_it() -> None:
    assert times("curve L 5 7 9") == [5, 7, 9]  # 0, then the next frame, then the same step.
    assert times("curve L x1 10 11") == [10, 11]  # The second lies at twice the first.
    assert times("curve L x3 10 16") == [10, 12, 14, 16]
    assert times("curve L x1 10 x3 14 20") == [10, 12, 14, 17, 20]


def test_a_constant_key_holds_until_the_next() -> None:
    assert times("curve K x1 5 x3 8 L x4 20 x6 24") == [5, 5, 8, 20, 22, 24]


def test_smooth_keys_stay_between_their_neighbours_values() -> None:
    curve = times("curve x0 0 x10 10 x20 10 x30 0")
    assert all(value == 10 for value in curve[10:21])  # A peak's slopes are 0 on both sides, so the plateau is flat.
    assert max(curve) == 10


def test_catmull_rom_takes_the_slope_between_the_neighbours() -> None:
    # Slope at x10: (40 - 0) / 20 = 2. On 0..10, Hermite of 0, 10 with end slopes 1 (its chord) and 2, at the middle:
    # 10/2 + (1 - 2) * 10 / 8.
    assert times("curve R x0 0 x10 10 x20 40")[5] == Fraction(10, 2) + Fraction(-10, 8)


def test_slopes_that_the_user_set_are_used() -> None:
    # s on a key sets both of its slopes. Hermite of 0..10 with slopes 0 and 0 at a quarter: 10 * 1/16 * (3 - 1/2).
    assert times("curve x0 0 s0 x8 10 s0")[2] == 10 * Fraction(1, 16) * Fraction(5, 2)
    # t is the right slope alone: (slope 4) * 10 / 8 above the middle of 0..10 with a flat end.
    assert times("curve x0 0 s0 t4 x10 10 s0")[5] == 5 + Fraction(4 * 10, 8)


def test_a_cubic_key_bends_without_a_jump_in_the_rate_of_change_of_its_slope() -> None:
    # End slopes are the chords, 1 and 3. (1 + 2m)/10 + (2m + 3)/10 = 3 * 1/10 + 3 * 3/10 gives m = 2; Hermite at 5.
    assert times("curve C x0 0 x10 10 x20 40")[5] == 5 + Fraction((1 - 2) * 10, 8)
    curve = times("curve C x0 0 s0 x2 4 x4 4 x6 0 s0")
    # Chords 2, 0, -2: (0 + 2a)/2 + (2a + b)/2 = 3, so 4a + b = 6; by symmetry b = -a, so a = 2. Middle: 4 + (2+2)*2/8.
    assert curve[3] == 5
    assert curve == curve[::-1]


def test_a_cubic_key_after_a_hold_starts_along_its_own_segment() -> None:
    assert times("curve K x0 5 C x4 10 x8 18") == [5, 5, 5, 5, 10, 12, 14, 16, 18]


def test_handles_shape_the_curve_as_bezier_handles_of_a_third_of_their_length() -> None:
    # u and v of 1 are the plain cubic; symmetric handles of any length leave the middle where it is.
    assert times("curve x0 0 s0 v1 x10 10 s0 u1") == times("curve x0 0 s0 x10 10 s0")
    long_handles = times("curve x0 0 s0 v2 x10 10 s0 u2")
    assert long_handles[5] == 5
    assert 0 < long_handles[2] < times("curve x0 0 s0 x10 10 s0")[2]


def test_the_ends_are_held_unless_l_extends_them() -> None:
    assert times("curve L x10 10 x20 20", start=8, end=22) == [10, 10, *range(10, 21), 20, 20]
    assert times("curve L l x10 10 x20 20", start=8, end=22) == list(range(8, 23))


@pytest.mark.parametrize(
    "text",
    ["", "1001", "{curve}", "curve x1 2 q5", "curve x1 2 x1 3", "curve x 2", "curve x0 0 u7 x5 5"],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="Nuke curve") as caught:
        times(text)
    assert caught.value.remedy
