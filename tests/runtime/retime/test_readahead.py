"""Frames decoded ahead of need, and let go of again."""

from __future__ import annotations

import threading
import weakref

import pytest

from kairos.errors import ImageError
from kairos.retime.readahead import ReadAhead


class Value:
    """Something that can be watched being let go of."""


def test_nothing_outside_the_wanted_positions_is_kept() -> None:
    seen: list[weakref.ref[Value]] = []

    def load(position: int) -> Value:
        value = Value()
        seen.append(weakref.ref(value))
        return value

    with ReadAhead(load) as ahead:
        ahead.want([0, 1])
        ahead.get(0), ahead.get(1)
        ahead.want([1, 2])
        ahead.get(2)
        assert [ref() is None for ref in seen] == [True, False, False]


def test_a_position_is_loaded_once_while_it_stays_wanted() -> None:
    loads: list[int] = []
    with ReadAhead(lambda position: loads.append(position)) as ahead:
        ahead.want([3, 4])
        ahead.get(3)
        ahead.want([4, 5])
        ahead.get(4), ahead.get(5)
    assert loads == [3, 4, 5]


def test_loading_goes_on_while_the_caller_works() -> None:
    begun = threading.Event()
    with ReadAhead(lambda position: begun.set()) as ahead:
        ahead.want([7])
        assert begun.wait(5)


def test_what_loading_raises_reaches_the_caller() -> None:
    def broken(position: int) -> None:
        raise ImageError(f"frame {position} is damaged.")

    with ReadAhead(broken) as ahead:
        ahead.want([12])
        with pytest.raises(ImageError, match="frame 12"):
            ahead.get(12)
