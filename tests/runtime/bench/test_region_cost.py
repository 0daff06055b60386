"""The bench of what regions cost: its ratios, and a run through the command."""

from __future__ import annotations

import os

import pytest

from kairos.bench.region_cost import Cost, region_cost
from kairos.cli import main
from kairos.errors import BadRequest
from kairos.weights.store import VARIABLE


def test_ratios_are_of_what_was_timed_in_turn() -> None:
    without, with_regions = (
        [[1.0, 0.5, 0.5], [2.0, 1.0, 1.0], [4.0, 1.0, 0.0]],
        [[1.5, 0.5, 0.7], [2.2, 1.0, 1.0], [4.8, 2.0, 1.0]],
    )
    cost = Cost(without, with_regions)
    assert cost.ratios() == pytest.approx((1.2, 1.2))
    assert cost.seconds() == (2.0, 2.2)


def test_it_runs_through_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    before = os.environ.get(VARIABLE)
    main(["bench", "region-cost", "--size", "160x96", "--pairs", "1", "--untrained", "rife-4.6", "--device", "cpu"])
    told = capsys.readouterr().out
    assert os.environ.get(VARIABLE) == before
    for title in ("swift, regions", "hierarchical on swift", "hierarchical on rife-4.6"):
        (line,) = [line for line in told.splitlines() if line.startswith(title)]
        assert all(float(number) > 0 for number in line[len(title) :].split("->")[0].split())
    assert "1 made pairs of 160x96" in told and "auto finds a frame's objects in" in told


def test_a_network_that_regions_cannot_guide_is_refused() -> None:
    with pytest.raises(BadRequest, match="Regions cannot guide film"):
        region_cost(160, 96, 1, ["film"], "cpu")
