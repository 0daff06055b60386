"""Boxes around what words name, by Grounding DINO (Liu et al., ECCV 2024, arXiv 2303.05499)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.hierarchical.masks.pictures import normalised
from kairos.errors import BadRequest, EngineError

BOX_SCORE, TEXT_SCORE = 0.25, 0.25
"""Over which a box counts, and over which one of its words does."""

_SHORT, _LONG = 800, 1333
"""Pixels of the picture's sides in training, where the folder says nothing else."""

_MARKS: Mapping[str, int] = {"[CLS]": 101, "[SEP]": 102, ".": 1012}
"""Numbers of the marks by which the network tells phrases apart: those of BERT's vocabulary of small letters."""


@dataclass(frozen=True)
class Query:
    """One text for the network.

    Attributes:
        text: tags in small letters, ``. `` between them and ``.`` at the end.
        ids: its tokens, the marks at both ends included.
        places: of each tag, first token and the one after its last.
    """

    text: str
    ids: Tuple[int, ...]
    places: Mapping[str, Tuple[int, int]]


@dataclass(frozen=True)
class Found:
    """What a box holds.

    Attributes:
        tag: as :func:`cleaned` spells it.
        box: left, top, right, bottom in pixels of the picture, from its upper left corner.
        score: the box's best for a token of the tag, 0..1.
    """

    tag: str
    box: Tuple[float, float, float, float]
    score: float


def cleaned(tags: Sequence[str]) -> List[str]:
    """Tags in small letters, each once; dots, which part phrases, are blanks, and what is blank is left out."""
    spelled = (" ".join(tag.lower().replace(".", " ").replace("?", " ").split()) for tag in tags)
    return list(dict.fromkeys(tag for tag in spelled if tag))


class Detector:
    """Grounding DINO, ready for use.

    Args:
        network: ``GroundingDinoForObjectDetection`` or the MM one, in evaluation mode.
        tokenizer: of its folder's vocabulary.
        pictures: the folder's ``preprocessor_config.json``; empty for the usual.

    Raises:
        EngineError: the vocabulary is not the one that the network's marks are numbered by.
    """

    def __init__(self, network: Any, tokenizer: Any, pictures: Mapping[str, Any]) -> None:
        self._network, self._tokenizer, self._pictures = network, tokenizer, pictures
        self._limit = int(network.config.max_text_len)
        wrong = [mark for mark, number in _MARKS.items() if tokenizer.convert_tokens_to_ids(mark) != number]
        if wrong:
            raise EngineError(
                f"Grounding DINO's vocabulary is another than BERT's of small letters ({', '.join(wrong)}).",
                "Get the folder from its authors again.",
            )

    def queries(self, tags: Sequence[str]) -> List[Query]:
        """As many texts as it takes for all tags, none longer than the network reads (256 tokens).

        Raises:
            BadRequest: one tag alone is longer.
        """
        start, stop, end = _MARKS["[CLS]"], _MARKS["."], _MARKS["[SEP]"]
        found: List[Query] = []
        names: List[str] = []
        ids: List[int] = [start]
        places: Dict[str, Tuple[int, int]] = {}
        for tag in cleaned(tags):
            tokens = self._tokenizer(tag, add_special_tokens=False)["input_ids"]
            if len(tokens) + 3 > self._limit:
                raise BadRequest(f"The tag {tag[:40]!r} ... is too long.", "Name the object in a word or two.")
            if len(ids) + len(tokens) + 2 > self._limit:
                found.append(_query(names, [*ids, end], places))
                names, ids, places = [], [start], {}
            places[tag] = (len(ids), len(ids) + len(tokens))
            names.append(tag)
            ids += [*tokens, stop]
        return [*found, _query(names, [*ids, end], places)] if names else found

    @torch.no_grad()
    def boxes(self, picture: Tensor, tags: Sequence[str]) -> List[Found]:
        """What the picture shows of the tags.

        A box counts where any token scores over :data:`BOX_SCORE`, and for every tag of which a token scores over
        :data:`TEXT_SCORE` (a choice: two words for one thing both keep it, whichever scores higher in this frame).

        Args:
            picture: (3, H, W), 0..1, display-referred.
            tags: words or short phrases.
        """
        height, width = picture.shape[-2:]
        pixels = normalised(self._resized(picture), self._pictures)[None]
        whole = torch.tensor([width, height, width, height], dtype=torch.float32)
        found = []
        for query in self.queries(tags):
            ids = torch.tensor([query.ids], device=pixels.device)
            answer = self._network(
                pixel_values=pixels,
                input_ids=ids,
                token_type_ids=torch.zeros_like(ids),
                attention_mask=torch.ones_like(ids),
            )
            scores = answer.logits[0].float().sigmoid().cpu()
            centre, side = answer.pred_boxes[0].float().cpu().split(2, -1)
            corners = torch.cat([centre - side / 2, centre + side / 2], -1).clamp(0, 1) * whole
            counts = scores[:, : len(query.ids)].amax(-1) > BOX_SCORE
            for tag, (first, after) in query.places.items():
                best = scores[:, first:after].amax(-1)
                for index in torch.nonzero(counts & (best > TEXT_SCORE))[:, 0].tolist():
                    left, top, right, bottom = corners[index].tolist()
                    if right > left and bottom > top:
                        found.append(Found(tag, (left, top, right, bottom), float(best[index])))
        return found

    def _resized(self, picture: Tensor) -> Tensor:
        size = self._pictures.get("size") or {}
        short, long = (
            float(size.get(f"{side}_edge", usual)) for side, usual in (("shortest", _SHORT), ("longest", _LONG))
        )
        height, width = picture.shape[-2:]
        scale = min(short / min(height, width), long / max(height, width))
        sides = [max(1, round(side * scale)) for side in (height, width)]
        return F.interpolate(picture[None], sides, mode="bilinear", align_corners=False, antialias=True)[0]


def _query(names: Sequence[str], ids: Sequence[int], places: Mapping[str, Tuple[int, int]]) -> Query:
    return Query(". ".join(names) + ".", tuple(ids), dict(places))
