"""Decoding ahead of need: a few frames at a time, never the clip."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Callable, Dict, Generic, Optional, Sequence, Type, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Keeps what :meth:`want` named last, loaded by a thread of its own, and nothing else.

    Args:
        load: makes the value of one position; runs on the loading thread, and may raise.
        threads: how many positions load at once.
    """

    def __init__(self, load: Callable[[int], T], threads: int = 1) -> None:
        self._load = load
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kairos-read")
        self._held: Dict[int, Future[T]] = {}

    def want(self, positions: Sequence[int]) -> None:
        """Starts loading ``positions`` in that order and lets go of every other."""
        wanted = set(positions)
        for position in [held for held in self._held if held not in wanted]:
            self._held.pop(position).cancel()
        for position in positions:
            if position not in self._held:
                self._held[position] = self._pool.submit(self._load, position)

    def get(self, position: int) -> T:
        """The value of ``position``, waiting for it; loaded at once where nobody asked. Raises what loading raised."""
        future = self._held.get(position)
        if future is None:
            return self._load(position)
        return future.result()

    def close(self) -> None:
        """Stops loading; values already held are let go."""
        self._held.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> ReadAhead[T]:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
