"""From words found in two frames to objects that both share: the rules of "Aligning Anything: Hierarchical Motion
Estimation for Video Frame Interpolation" (submission without names, section on target-level masks).

A word is what a tagger named and a detector and a segmenter found. Each rule is a function of its own; :func:`agreed`
is all of them in their order. Where the text leaves a choice, the docstring says which was made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.motion.nouns import singular
from kairos.motion.regions import partition

FRAME_FILLING = 0.95
"""Part of the frame over which a mask says nothing about objects."""

OVERLAP = 0.10
"""Part of the smaller of two masks that may lie in the other."""

_VERBS = """
    attach balance bathe bend bite blow bounce carry catch chase climb cook crouch cut dance dig dive drag drive eat
    embrace enjoy fall feed fight flip float fly follow gather grab graze hang hide hit hold hop hug jog jump kick
    kiss kneel lay lead lean leap lick lie lift load look make march mow open pass perch perform play point pose pour
    practice prepare pull punch push race reach read rest ride roam roll row run sail say see serve shake shine show
    sing sit skate sleep smile spray squat stand stare stretch surf surround swim take talk throw tread tumble turn
    wag wait walk wash watch wear wrestle write yawn
"""

_COLOURS = """
    beige black blue brown colorful colourful dark gold golden gray green grey light maroon orange pink purple red
    silver tan teal turquoise violet white yellow
"""

_ADJECTIVES = """
    attractive beautiful big bright broken clean clear cloudy cold cute dirty empty fluffy full happy high huge large
    little long low many muddy narrow new old other rural short small snowy spotted square steep stormy striped sunny
    tall thick thin urban various wet wide wooden young
"""

_SCENES = """
    afternoon art autumn background black-and-white close-up cityscape dawn day daytime dusk environment evening event
    foreground image indoor interior landscape midday morning nature night outdoor photo photograph picture scene
    scenery season spring summer sunrise sunset twilight view weather winter
"""

IRRELEVANT: FrozenSet[str] = frozenset((_VERBS + _COLOURS + _ADJECTIVES + _SCENES).split())
"""Words that name no object (a choice: verbs, adjectives, colours, whole scenes), lower-cased and singular."""


@dataclass(frozen=True)
class Word:
    """What one frame shows of one word.

    Attributes:
        name: as the tagger or the artist spelled it.
        mask: (H, W) bool, all things of that name together.
        score: the detector's, 0..1.

    Raises:
        ValueError: the mask is not (H, W) bool.
    """

    name: str
    mask: Tensor
    score: float

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype is not torch.bool:
            raise ValueError(
                f"the mask of '{self.name}' has to be (H, W) bool, not {tuple(self.mask.shape)} {self.mask.dtype}"
            )


Named = Dict[str, Word]
"""The words of one frame by :func:`key`, in the order they came in."""


def key(name: str) -> str:
    """What words are compared by: lower-cased, singular, single blanks."""
    return singular(" ".join(name.lower().split()))


def united(words: Sequence[Word]) -> Named:
    """One word per key: the union of the masks, the highest score."""
    found: Named = {}
    for word in words:
        name, known = key(word.name), found.get(key(word.name))
        if known is None:
            found[name] = replace(word, name=name)
        else:
            found[name] = Word(name, known.mask | word.mask, max(known.score, word.score))
    return found


def detected(words: Mapping[str, Word]) -> Named:
    """Words that the detector found anything for: their mask is not empty."""
    return {name: word for name, word in words.items() if bool(word.mask.any())}


def parts_of_the_frame(words: Mapping[str, Word]) -> Named:
    """Words whose mask covers no more than :data:`FRAME_FILLING` of the frame."""
    return {name: word for name, word in words.items() if _area(word.mask) <= FRAME_FILLING * word.mask.numel()}


def relevant(words: Mapping[str, Word], irrelevant: FrozenSet[str] = IRRELEVANT) -> Named:
    """Words that are not on the list, which holds keys."""
    return {name: word for name, word in words.items() if name not in irrelevant}


def common(first: Mapping[str, Word], second: Mapping[str, Word]) -> List[str]:
    """The keys that both frames have, in the first one's order."""
    return [name for name in first if name in second]


@dataclass(frozen=True)
class Clash:
    """Two words that overlap too far to be told apart.

    Attributes:
        ratio: overlap over the smaller mask, in the frame where it is greater.
        loser: the word to give up: of the smaller mask there; of equal ones that of the lower score, then the later.
        winner: the other.
        score: the loser's in that frame.
    """

    ratio: float
    loser: str
    winner: str
    score: float


def clash(names: Tuple[str, str], frames: Sequence[Mapping[str, Word]]) -> Optional[Clash]:
    """How two words clash, or None where neither frame has more than :data:`OVERLAP` of the smaller mask in the other.

    Tested in both frames (a choice); the one where it is worse decides who loses, the earlier where they are equal.

    Args:
        names: keys, the earlier first.
        frames: words of each frame by key.
    """
    worst: Optional[Clash] = None
    for frame in frames:
        first, second = (frame[name] for name in names)
        areas = _area(first.mask), _area(second.mask)
        ratio = _area(first.mask & second.mask) / max(1, min(areas))
        if ratio > OVERLAP and (worst is None or ratio > worst.ratio):
            first_loses = (areas[0], first.score) < (areas[1], second.score)
            loser, winner = names if first_loses else names[::-1]
            worst = Clash(ratio, loser, winner, frame[loser].score)
    return worst


def disjoint(names: Sequence[str], frames: Sequence[Mapping[str, Word]]) -> List[str]:
    """The words left when no two overlap by more than :data:`OVERLAP` of the smaller one.

    The worst pair loses its smaller word, in both frames; then the pairs that are left are looked at again. The order
    is a choice and changes what is left: a word that is gone takes nobody with it. Of pairs that overlap equally, the
    one whose loser has the lower score goes first, so that ties end in favour of the higher score.
    """
    left = list(names)
    clashes = [
        found
        for index, one in enumerate(left)
        for other in left[index + 1 :]
        if (found := clash((one, other), frames)) is not None
    ]
    while clashes:
        worst = min(clashes, key=lambda each: (-each.ratio, each.score))
        left.remove(worst.loser)
        clashes = [each for each in clashes if worst.loser not in (each.loser, each.winner)]
    return left


def agreed(
    first: Sequence[Word],
    second: Sequence[Word],
    *,
    irrelevant: FrozenSet[str] = IRRELEVANT,
    size: Optional[Tuple[int, int]] = None,
) -> Tuple[List[str], Tensor, Tensor]:
    """The objects that two frames share, by all rules in their order.

    Per frame: words of one key united; without those found nowhere, those that fill the frame, and irrelevant ones.
    Then what both frames have, without overlaps of more than a tenth; pixels still in two masks go to the smaller, and
    all others are the remainder, label 0.

    Args:
        first, second: the words of each frame.
        irrelevant: keys to leave out.
        size: H and W, needed only where neither frame has a word.

    Returns:
        Keys in label order (``names[i]`` is label i + 1), and both frames' label maps, (H, W) int16.

    Raises:
        ValueError: masks of different sizes, or no word and no size either.
    """
    masks = [word.mask for word in (*first, *second)]
    shapes = {(mask.shape[0], mask.shape[1]) for mask in masks} | ({size} if size is not None else set())
    if not shapes:
        raise ValueError("without any word, the frames' size has to be given")
    if len(shapes) > 1:
        raise ValueError(f"masks of one pair differ in size: {sorted(shapes)}")
    frames = [relevant(parts_of_the_frame(detected(united(words))), irrelevant) for words in (first, second)]
    names = disjoint(common(*frames), frames)
    if not names:
        empty = torch.zeros(shapes.pop(), dtype=torch.int16, device=masks[0].device if masks else None)
        return [], empty, empty.clone()
    one, other = (partition(torch.stack([frame[name].mask for name in names])) for frame in frames)
    return names, one, other


def _area(mask: Tensor) -> int:
    return int(torch.count_nonzero(mask))
