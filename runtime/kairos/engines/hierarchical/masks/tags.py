"""Tags of a picture by RAM's weights, where the user has them, and its list of tags."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.hierarchical.masks.pictures import normalised, shown
from kairos.engines.hierarchical.masks.ram_checkpoint import ARCHITECTURE
from kairos.engines.stored import network_of, record_of, records_of
from kairos.errors import EngineError
from kairos.weights.store import Record, Store

LIST, THRESHOLDS = "ram_tag_list.txt", "ram_tag_list_threshold.txt"
"""What RAM's authors call the list of tags and that of their thresholds, one line per tag."""

USUAL = 0.65
"""The threshold of most tags, taken for all where the second list is missing."""


class Tagger:
    """RAM and its tags. Weights and lists are read when a picture is first tagged: tags that are given need neither.

    Args:
        record: of the weights.
        device: to run on.
        store: that holds them, the lists beside.
    """

    def __init__(self, record: Record, device: torch.device, store: Optional[Store] = None) -> None:
        self._record, self._device = record, device
        self._root = (store if store is not None else Store()).root
        self._lists: Optional[Tuple[List[str], Tensor]] = None

    @property
    def list_path(self) -> Path:
        """Where the list of tags is looked for."""
        return self._root / f"{self._record.name}.tags.txt"

    @property
    def thresholds_path(self) -> Path:
        """Where the thresholds are looked for."""
        return self._root / f"{self._record.name}.thresholds.txt"

    @torch.no_grad()
    def tags(self, picture: Tensor) -> List[str]:
        """What a picture (3, H, W), 0..1, display-referred, shows, in the order of the list.

        Raises:
            EngineError: the list of tags is missing, or it is that of other weights.
            KairosError: the weights are damaged.
        """
        names, thresholds = self._read()
        network = network_of(self._record, ARCHITECTURE, self._device, "fp32")
        # Squashed, whatever the picture's shape: so was every picture in training.
        seen = shown(picture, self._device)[None]
        sides = (network.side, network.side)
        small = F.interpolate(seen, sides, mode="bilinear", align_corners=False, antialias=True)[0]
        scores = network(normalised(small, {})[None])[0].cpu()
        return [names[index] for index in torch.nonzero(scores > thresholds)[:, 0].tolist()]

    def _read(self) -> Tuple[List[str], Tensor]:
        if self._lists is None:
            count = int(self._record.values["tags"])
            names = _lines(self.list_path, count, LIST)
            thresholds = torch.full((count,), USUAL)
            if self.thresholds_path.is_file():
                try:
                    numbers = [float(line) for line in _lines(self.thresholds_path, count, THRESHOLDS)]
                except ValueError:
                    raise EngineError(
                        f"{self.thresholds_path} holds a line that is no number.",
                        f"Copy RAM's {THRESHOLDS} there again.",
                    ) from None
                thresholds = torch.tensor(numbers)
            self._lists = names, thresholds
        return self._lists


def load_tagger(name: str, device: torch.device) -> Optional[Tagger]:
    """The tagger of those weights; of the first that are kept where ``name`` is empty, or None where none are.

    Raises:
        BadRequest: there are none of that name.
    """
    if not name and not records_of(ARCHITECTURE.id):
        return None
    return Tagger(record_of(ARCHITECTURE.id, name), device)


def _lines(path: Path, count: int, published: str) -> List[str]:
    """The lines of a list. Raises EngineError where it is missing or has not ``count`` of them."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise EngineError(
            f"RAM cannot tag without its list of tags, {path}.",
            f"Copy {published}, which its authors publish beside their code, to that name, or give the tags yourself.",
        ) from None
    lines = [line.strip() for line in lines if line.strip()]
    if len(lines) != count:
        raise EngineError(
            f"{path} has {len(lines)} lines, and the weights have {count} tags.", f"Copy their own {published} there."
        )
    return lines
