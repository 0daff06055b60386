"""Cuts that nothing morphs across, repeats that are gone over."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kairos.retime.structure import Moment, Structure


def structure(count: int, cuts: str = "", repeats: str = "") -> Structure:
    """``cuts``: positions after which a scene ends. ``repeats``: positions that repeat the one before."""
    ends = {int(word) for word in cuts.split()}
    same = {int(word) - 1 for word in repeats.split()}
    return Structure(count, ends.__contains__, same.__contains__)


def test_an_integer_time_shows_the_frame_itself() -> None:
    assert structure(5).at(Fraction(3)) == Moment(hold=3)


def test_a_fractional_time_lies_between_its_two_frames_with_both_neighbours() -> None:
    moment = structure(5).at(Fraction(9, 4))
    assert (moment.pair.first, moment.pair.second, moment.pair.before, moment.pair.after) == (2, 3, 1, 4)
    assert moment.time == 0.25


def test_the_ends_of_the_shot_have_no_neighbour_beyond_them() -> None:
    pair = structure(3).at(Fraction(1, 2)).pair
    assert (pair.before, pair.after) == (None, 2)


@pytest.mark.parametrize(("time", "shown"), [("5/4", 1), ("3/2", 2), ("7/4", 2)])
def test_across_a_cut_the_nearer_scene_is_shown_unmixed(time: str, shown: int) -> None:
    assert structure(4, cuts="1").at(Fraction(time)) == Moment(hold=shown)


def test_neighbours_never_come_from_the_other_side_of_a_cut() -> None:
    pair = structure(6, cuts="1 3").at(Fraction(5, 2)).pair
    assert (pair.first, pair.second, pair.before, pair.after) == (2, 3, None, None)


def test_a_single_repeat_inside_a_movement_is_bridged() -> None:
    on_twos = structure(9, repeats="1 3 5 7")
    moment = on_twos.at(Fraction(5))
    assert (moment.pair.first, moment.pair.second, moment.time) == (4, 6, 0.5)
    assert (moment.pair.before, moment.pair.before_time) == (2, -1.0)


def test_a_shot_is_told_scene_by_scene_without_what_is_bridged() -> None:
    assert structure(7, cuts="2", repeats="5").scenes() == ((0, 1, 2), (3, 4, 6))
    assert structure(4, cuts="0", repeats="3").scenes() == ((0,), (1, 2, 3))


def test_a_longer_rest_is_a_hold_that_the_shot_means() -> None:
    rest = structure(7, repeats="2 3 4")
    assert rest.at(Fraction(5, 2)) == Moment(hold=2)
    assert rest.at(Fraction(3)) == Moment(hold=3)


def test_a_repeat_at_the_end_of_the_shot_is_held() -> None:
    assert structure(4, repeats="3").at(Fraction(5, 2)) == Moment(hold=2)


def test_stand_ins_for_missing_frames_are_never_bridged() -> None:
    kept = Structure(5, lambda position: False, {1}.__contains__, frozenset({2}))
    assert kept.at(Fraction(2)) == Moment(hold=2)


def test_times_outside_the_shot_are_held_at_its_ends() -> None:
    assert structure(3).at(Fraction(9)) == Moment(hold=2)
    assert structure(3).at(Fraction(-1)) == Moment(hold=0)


def test_a_cut_separates_scenes_at_the_middle_of_its_interval() -> None:
    cut = structure(4, cuts="1")
    assert cut.same_scene(Fraction(1), Fraction(5, 4))
    assert not cut.same_scene(Fraction(1), Fraction(7, 4))
