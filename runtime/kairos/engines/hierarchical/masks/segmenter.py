"""Masks of what boxes surround, by SAM-HQ (Ke et al., NeurIPS 2023, arXiv 2306.01567)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.hierarchical.masks.pictures import normalised

CHUNK = 16
"""Boxes decoded at a time."""

Box = Tuple[float, float, float, float]


@dataclass(frozen=True)
class Encoded:
    """A picture as the network remembers it, for any number of boxes.

    Attributes:
        image: the encoder's answer.
        intermediate: of its blocks on the way, which the finer masks are made with.
        size: H, W of the picture.
        inner: h, w of the picture in the network's square, whose rest is empty.
    """

    image: Tensor
    intermediate: List[Tensor]
    size: Tuple[int, int]
    inner: Tuple[int, int]


class Segmenter:
    """SAM-HQ, ready for use.

    Args:
        network: ``SamHQModel`` in evaluation mode.
        pictures: the folder's ``preprocessor_config.json``; empty for the usual.
    """

    def __init__(self, network: Any, pictures: Mapping[str, Any]) -> None:
        self._network, self._pictures = network, pictures
        self._side = int(network.config.vision_config.image_size)

    @torch.no_grad()
    def encoded(self, picture: Tensor) -> Encoded:
        """A picture (3, H, W), 0..1, display-referred, through the encoder: once for all its boxes."""
        height, width = picture.shape[-2:]
        scale = self._side / max(height, width)
        inner = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
        small = F.interpolate(picture[None], inner, mode="bilinear", align_corners=False, antialias=True)[0]
        pixels = F.pad(normalised(small, self._pictures), (0, self._side - inner[1], 0, self._side - inner[0]))
        image, intermediate = self._network.get_image_embeddings(pixels[None])
        return Encoded(image, list(intermediate), (height, width), inner)

    @torch.no_grad()
    def masks(self, encoded: Encoded, boxes: Sequence[Box]) -> Iterator[Tensor]:
        """One mask (H, W) bool per box (left, top, right, bottom in pixels of the picture), in their order."""
        (height, width), (rows, columns) = encoded.size, encoded.inner
        fit = torch.tensor([columns / width, rows / height] * 2)
        for start in range(0, len(boxes), CHUNK):
            inside = (torch.tensor(boxes[start : start + CHUNK]) * fit)[None].to(encoded.image.device)
            answer = self._network(
                image_embeddings=encoded.image,
                intermediate_embeddings=encoded.intermediate,
                input_boxes=inside,
                multimask_output=False,
            )
            for logits in answer.pred_masks[0, :, 0]:
                yield at_size(logits, self._side, encoded.inner, encoded.size)


def at_size(logits: Tensor, side: int, inner: Tuple[int, int], size: Tuple[int, int]) -> Tensor:
    """A mask at the picture's size.

    Args:
        logits: (n, n), of the network's whole square.
        side: of the square in pixels.
        inner: rows and columns of it that the picture takes, from the upper left.
        size: H and W of the picture.

    Returns:
        (H, W) bool: where the logits, brought to that size, are over 0.
    """
    square = F.interpolate(logits[None, None].float(), (side, side), mode="bilinear", align_corners=False)
    within = square[..., : inner[0], : inner[1]]
    return F.interpolate(within, size, mode="bilinear", align_corners=False)[0, 0] > 0
