"""Motion between any two times of a shot, where an engine knows it better than by paths through both frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Iterator, Optional, Sequence

import pytest
import torch
from torch import Tensor

from kairos.engines.base import Pair
from kairos.motion.inbetween import Inbetween
from kairos.retime.paths import Paths
from kairos.retime.structure import Structure

SIZE = (16, 48)
STEP = 8.0
"""Pixels to the right from frame to frame."""


def pan(by: float) -> Tensor:
    """(2, H, W) of that many pixels to the right."""
    return torch.tensor([by, 0.0])[:, None, None].expand(2, *SIZE).clone()


class Steady:
    """A session whose paths go straight from frame to frame."""

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        ones = torch.ones(1, *SIZE)
        for time in times:
            yield Inbetween(time, pan(-STEP * time), pan(STEP * (1 - time)), ones / 2, 0 * ones, 0 * ones, ones)


class Accelerating(Steady):
    """One that shows other movement between the frames, slow at first, and tells of it."""

    def motion(self, pair: Pair, start: float, end: float) -> Optional[Tensor]:
        """See :class:`kairos.engines.base.TellsMotion`."""
        return None if {start, end} <= {0.0, 1.0} else pan(STEP * (end**2 - start**2))


@pytest.mark.parametrize(
    ("session", "start", "end", "wanted"),
    [
        (Steady(), "1/4", "1/2", 2.0),
        (Accelerating(), "1/4", "1/2", 1.5),
        (Accelerating(), "1/2", "1/4", -1.5),
        (Accelerating(), "0", "1/2", 2.0),
        # Across a frame: to it, and on from it.
        (Steady(), "1/2", "5/4", 6.0),
        (Accelerating(), "1/2", "5/4", 6.5),
        (Accelerating(), "5/4", "1/2", -6.5),
        # From frame to frame it knows no better.
        (Accelerating(), "0", "1", 8.0),
    ],
)
def test_what_a_session_knows_of_motion_is_taken(session: Steady, start: str, end: str, wanted: float) -> None:
    structure = Structure(3, lambda position: False, lambda position: False)
    paths = Paths(session, structure, SIZE, torch.device("cpu"))
    field = paths.field(Fraction(start), Fraction(end))
    torch.testing.assert_close(field.flow, pan(wanted))
    middle = field.occlusion[:, :, 16:-16]
    assert float(middle.max()) == 0.0
