"""From words to shared objects: every rule by itself, then all in their order."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
import torch
from torch import Tensor

from kairos.motion.nouns import singular
from kairos.motion.region_rules import (
    IRRELEVANT,
    Word,
    agreed,
    clash,
    common,
    detected,
    disjoint,
    key,
    parts_of_the_frame,
    relevant,
    united,
)


def span(*pixels: int, length: int = 100) -> Tensor:
    """(1, length) bool, true from the first to before the second pixel of each two."""
    mask = torch.zeros(1, length, dtype=torch.bool)
    for start, end in zip(pixels[::2], pixels[1::2]):
        mask[0, start:end] = True
    return mask


def word(name: str, *pixels: int, score: float = 0.5) -> Word:
    return Word(name, span(*pixels), score)


def frame(**spans: Tuple[int, ...]) -> Dict[str, Word]:
    return {name: word(name, *pixels) for name, pixels in spans.items()}


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("dogs", "dog"), ("people", "person"), ("policemen", "policeman"), ("ladies", "lady"), ("monkeys", "monkey"),
        ("boxes", "box"), ("benches", "bench"), ("dresses", "dress"), ("horses", "horse"), ("buses", "bus"),
        ("tomatoes", "tomato"), ("horseshoes", "horseshoe"), ("wolves", "wolf"), ("knives", "knife"),
        ("gloves", "glove"), ("movies", "movie"), ("police officers", "police officer"),
    ],
)  # fmt: skip
def test_plurals_are_brought_back(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert singular(expected) == expected


@pytest.mark.parametrize("name", ["grass", "bus", "glasses", "tennis", "scissors", "specimen", "is", ""])
def test_what_only_ends_like_a_plural_stays(name: str) -> None:
    assert singular(name) == name


def test_words_are_compared_lower_cased_and_singular() -> None:
    assert key("  Police   OFFICERS ") == key("police officer") == "police officer"
    assert common(united([word("Dogs", 0, 9)]), united([word("dog", 0, 9)])) == ["dog"]


def test_words_that_are_the_same_unite_their_masks() -> None:
    found = united([word("dog", 0, 10, score=0.4), word("cat", 50, 60), word("Dogs", 20, 30, score=0.7)])
    assert list(found) == ["dog", "cat"]
    assert torch.equal(found["dog"].mask, span(0, 10, 20, 30))
    assert found["dog"].score == 0.7


def test_words_that_the_detector_finds_nothing_for_are_dropped() -> None:
    assert list(detected(frame(dog=(0, 1), ghost=()))) == ["dog"]


def test_a_mask_over_95_percent_of_the_frame_is_dropped_and_one_of_just_95_is_not() -> None:
    assert list(parts_of_the_frame(frame(room=(0, 95), world=(0, 96)))) == ["room"]


def test_words_of_the_irrelevant_list_are_dropped() -> None:
    words = frame(dog=(0, 9), run=(0, 9), blue=(0, 9), outdoor=(0, 9), large=(0, 9))
    assert list(relevant(words)) == ["dog"]
    assert list(relevant(words, frozenset({"dog"}))) == ["run", "blue", "outdoor", "large"]


def test_the_irrelevant_list_holds_keys() -> None:
    assert [name for name in IRRELEVANT if key(name) != name] == []


def test_only_words_of_both_frames_are_common_in_the_first_ones_order() -> None:
    assert common(frame(b=(0, 1), a=(0, 1), c=(0, 1)), frame(a=(0, 1), d=(0, 1), b=(0, 1))) == ["b", "a"]


def test_a_tenth_of_the_smaller_mask_may_overlap_and_no_more() -> None:
    apart = frame(a=(0, 20), b=(18, 58))
    assert disjoint(["a", "b"], [apart, apart]) == ["a", "b"]
    close = frame(a=(0, 20), b=(17, 57))
    assert disjoint(["a", "b"], [close, close]) == ["b"]


@pytest.mark.parametrize("violating", [0, 1])
def test_either_frame_alone_removes_a_word_for_both(violating: int) -> None:
    frames = [frame(a=(0, 20), b=(40, 80)), frame(a=(0, 20), b=(40, 80))]
    frames[violating] = frame(a=(0, 20), b=(10, 50))
    assert disjoint(["a", "b"], frames) == ["b"]


def test_the_frame_with_the_worse_overlap_decides_which_is_smaller() -> None:
    # In the first frame a is smaller and overlaps by 0.2; in the second b is smaller and overlaps by 0.5.
    frames = [frame(a=(0, 20), b=(16, 56)), frame(a=(0, 40), b=(35, 45))]
    found = clash(("a", "b"), frames)
    assert found is not None
    assert (found.loser, found.winner, found.ratio) == ("b", "a", 0.5)


def test_the_worst_overlap_is_removed_first_and_changes_what_is_left() -> None:
    # a < b < c. b lies in c by 30 of 30, a in b by 2 of 10.
    words = frame(a=(0, 10), b=(8, 38), c=(5, 75))
    pairs = {pair: clash(pair, [words, words]) for pair in (("a", "b"), ("b", "c"), ("a", "c"))}
    ratios = {pair: found.ratio for pair, found in pairs.items() if found is not None}
    assert ratios == {("a", "b"): 0.2, ("b", "c"): 1.0, ("a", "c"): 0.5}
    # By decreasing overlap: b falls to c, then a falls to c.
    assert disjoint(["a", "b", "c"], [words, words]) == ["c"]
    # c begins behind a: now a clashes with b alone, and stays since b is gone when its turn comes. Taken in the order
    # of the list, a would have fallen to b first.
    words = frame(a=(0, 10), b=(8, 38), c=(10, 80))
    assert disjoint(["a", "b", "c"], [words, words]) == ["a", "c"]


def test_equally_large_masks_leave_the_word_of_the_higher_score() -> None:
    for scores, expected in (((0.9, 0.4), ["a"]), ((0.4, 0.9), ["b"]), ((0.5, 0.5), ["a"])):
        words = {"a": word("a", 0, 20, score=scores[0]), "b": word("b", 10, 30, score=scores[1])}
        assert disjoint(["a", "b"], [words, words]) == expected


def test_of_equal_overlaps_the_one_with_the_least_score_is_removed_first() -> None:
    # Both pairs overlap by half. If b falls to c first, a stays; if a falls to b first, both fall.
    def words(first: float, second: float) -> Dict[str, Word]:
        return {
            "a": word("a", 0, 10, score=first),
            "b": word("b", 5, 25, score=second),
            "c": word("c", 15, 55),
        }

    sure, unsure = words(0.9, 0.1), words(0.1, 0.9)
    assert disjoint(["a", "b", "c"], [sure, sure]) == ["a", "c"]
    assert disjoint(["a", "b", "c"], [unsure, unsure]) == ["c"]


def test_pixels_still_in_two_masks_go_to_the_smaller_and_the_rest_is_0() -> None:
    first = [word("dog", 0, 20), word("lawn", 18, 78)]
    second = [word("lawn", 30, 60), word("dog", 0, 30)]
    names, one, other = agreed(first, second)
    assert names == ["dog", "lawn"]
    assert one[0].tolist() == [1] * 20 + [2] * 58 + [0] * 22
    assert other[0].tolist() == [1] * 30 + [2] * 30 + [0] * 40


def test_all_rules_together() -> None:
    first = [
        word("Dogs", 0, 10), word("dog", 10, 20), word("animal", 0, 20, score=0.9), word("run", 0, 20),
        word("field", 0, 100), word("ball", 50, 60), word("kite", 80, 90), word("tree"),
    ]  # fmt: skip
    second = [
        word("ball", 45, 55), word("dog", 5, 25), word("animals", 5, 25, score=0.3), word("run", 5, 25),
        word("field", 0, 50), word("tree", 70, 80),
    ]  # fmt: skip
    # animal and dog are the same region: the dog's score is lower in the first frame, which comes first.
    names, one, other = agreed(first, second)
    assert names == ["animal", "ball"]
    assert one.unique().tolist() == other.unique().tolist() == [0, 1, 2]
    assert torch.equal(one == 1, span(0, 20)) and torch.equal(other == 2, span(45, 55))


def test_nothing_in_common_is_one_region() -> None:
    names, one, other = agreed([word("dog", 0, 9)], [])
    assert names == []
    assert one.dtype is torch.int16 and one.shape == other.shape == (1, 100)
    assert not one.any() and not other.any()
    names, one, _ = agreed([], [], size=(3, 4))
    assert names == [] and one.shape == (3, 4)


def test_masks_of_different_sizes_and_no_size_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        agreed([word("dog", 0, 9)], [Word("dog", torch.ones(2, 2, dtype=torch.bool), 0.5)])
    with pytest.raises(ValueError, match="size has to be given"):
        agreed([], [])
    with pytest.raises(ValueError, match="bool"):
        Word("dog", torch.ones(2, 2), 0.5)
