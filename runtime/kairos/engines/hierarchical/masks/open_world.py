"""Objects by their names: words to boxes to masks, and label maps of a shot's frames.

The pipeline of "Aligning Anything: Hierarchical Motion Estimation for Video Frame Interpolation" (submission without
names, section on target-level masks): Grounding DINO finds boxes for tags, SAM-HQ makes masks of them, all masks of one
word in one frame are one. The rules by which words become objects are those of :mod:`kairos.motion.region_rules`.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor

from kairos.engines.hierarchical.masks.detector import cleaned
from kairos.engines.hierarchical.masks.models import Models
from kairos.engines.hierarchical.masks.pictures import shown
from kairos.errors import EngineError
from kairos.motion.region_rules import Word, agreed, key


def words(picture: Tensor, tags: Sequence[str], models: Models) -> List[Word]:
    """What one frame shows of the tags.

    Args:
        picture: (3, H, W), 0..1, display-referred.
        tags: words or short phrases, in any letters.
        models: to find them with.

    Returns:
        A word for every tag that is seen, in the tags' order, in small letters: its mask (H, W) on the models' device,
        the union of the masks of all its boxes, and the score of the best box. Masks of two words may overlap.

    Raises:
        BadRequest: a tag is longer than the detector reads.
    """
    seen = shown(picture, models.device)
    found = models.detector.boxes(seen, tags)
    if not found:
        return []
    encoded = models.segmenter.encoded(seen)
    # A box that several words share is made a mask of once.
    boxes = list(dict.fromkeys(each.box for each in found))
    named = {box: [each for each in found if each.box == box] for box in boxes}
    masks: Dict[str, Tensor] = {}
    scores: Dict[str, float] = {}
    for box, mask in zip(boxes, models.segmenter.masks(encoded, boxes)):
        for each in named[box]:
            masks[each.tag] = mask | masks[each.tag] if each.tag in masks else mask
            scores[each.tag] = max(each.score, scores.get(each.tag, 0.0))
    return [Word(tag, masks[tag], scores[tag]) for tag in cleaned(tags) if tag in masks]


def label_maps(
    pictures: Sequence[Tensor], tags: Optional[Sequence[str]], models: Models
) -> Tuple[List[str], List[Tensor]]:
    """Label maps of the frames of a shot; the same number is the same word in all of them.

    The rules hold between every frame and the next. A frame shows the words that it shares with either neighbour, less
    those that the rules gave up in a pair with it; where its two pairs bring words together that no pair has seen side
    by side, the rule of overlaps is applied to the frame by itself.

    Args:
        pictures: frames in their order, each (3, H, W), 0..1, display-referred; two or more.
        tags: words for all frames, or None to have each frame tagged.
        models: to find them with.

    Returns:
        Names in label order (``names[i]`` is label i + 1), and the label map of each frame, (H, W) int16.

    Raises:
        EngineError: the frames are to be tagged, and there is no tagger or no list of tags.
        ValueError: fewer than two frames, or frames of different sizes.
    """
    if len(pictures) < 2:
        raise ValueError("label maps need two frames or more")
    if len({picture.shape[-2:] for picture in pictures}) > 1:
        raise ValueError("the frames of a shot have to be of one size")
    seen = [words(picture, _tags_of(picture, tags, models), models) for picture in pictures]
    size = (pictures[0].shape[-2], pictures[0].shape[-1])
    kept = _kept(seen, size)
    names: List[str] = []
    maps = []
    for frame, keys in zip(seen, kept):
        own = [word for word in frame if key(word.name) in keys]
        found, labels, _ = agreed(own, own, size=size)
        names += [name for name in found if name not in names]
        table = torch.tensor([0, *(names.index(name) + 1 for name in found)], dtype=torch.int16, device=labels.device)
        maps.append(table[labels.long()].to(models.device))
    return names, maps


def _tags_of(picture: Tensor, tags: Optional[Sequence[str]], models: Models) -> Sequence[str]:
    if tags is not None:
        return tags
    if models.tagger is None:
        raise EngineError(
            "Without tags, frames have to be tagged, and there are no weights of ram.",
            "Give the words yourself, or run kairos weights fetch ram.",
        )
    return models.tagger.tags(picture)


def _kept(seen: Sequence[Sequence[Word]], size: Tuple[int, int]) -> List[Set[str]]:
    """The keys that each frame keeps."""
    keys = [{key(word.name) for word in frame} for frame in seen]
    kept: List[Set[str]] = [set() for _ in seen]
    lost: List[Set[str]] = [set() for _ in seen]
    for index, (first, second) in enumerate(zip(seen[:-1], seen[1:])):
        names = set(agreed(first, second, size=size)[0])
        for each in (index, index + 1):
            kept[each] |= names
            lost[each] |= (keys[index] & keys[index + 1]) - names
    return [one - other for one, other in zip(kept, lost)]
