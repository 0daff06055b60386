"""A shot: frames read one at a time, from numbered files or a movie, with what is missing made up for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import FrozenSet, List, Optional, Protocol, Tuple, Type

from kairos.color import ColorConfig
from kairos.errors import BadRequest, FrameError, ImageError
from kairos.frame import Frame

from .conversion import input_colorspace
from .header import Header
from .mix import mixed
from .movie_read import MovieReader
from .rates import exact_rate
from .sequences import Numbered, choose_range, find_frames, is_movie_file, listed_frames, nearby
from .stills import read_header, read_still

ON_MISSING = ("error", "hold", "blend")

_KEPT_HEADERS = 64
"""Headers remembered; one may hold a Cryptomatte manifest of a megabyte."""


class Reader(Protocol):
    """Where existing frames come from, by frame number."""

    def path(self, number: int) -> Path:
        """The file of a frame."""

    def identity(self, number: int) -> str:
        """What the pixels come from."""

    def header(self, number: int) -> Header:
        """Everything but pixels; ``colorspace`` empty."""

    def read(self, number: int) -> Frame:
        """The frame; ``colorspace`` empty."""

    def close(self) -> None:
        """Lets go of files."""


class StillReader:
    """Numbered files. Thread-safe."""

    def __init__(self, found: Numbered) -> None:
        self._found = found

    def path(self, number: int) -> Path:
        """The file of a frame."""
        return self._found.path(number)

    def identity(self, number: int) -> str:
        """Name, size and time of change. Raises FrameError where the file is gone."""
        path = self.path(number)
        try:
            status = path.stat()
        except OSError as error:
            raise FrameError(f"Frame {number} is gone: {path} cannot be read.") from error
        return f"{path.name}|{status.st_size}|{status.st_mtime_ns}"

    def header(self, number: int) -> Header:
        """Everything but pixels."""
        return read_header(self.path(number), number)

    def read(self, number: int) -> Frame:
        """The frame."""
        return read_still(self.path(number), number)

    def close(self) -> None:
        """Nothing stays open between frames."""


class Shot:
    """A lazily read sequence of frames. Thread-safe; positions count from 0.

    Made by :func:`open_shot`.

    Attributes:
        spec: as the artist named it.
        numbers: frame number of every position, gaps included.
        missing: positions that something stands in for.
        rate: frames per second, where known.
        movie: True for a movie file.
        scene_linear: True for scene-linear pixels, False for display-referred ones, as encoded in the file.
        colorspace: OCIO colour space of the pixels.
    """

    def __init__(
        self,
        spec: str,
        reader: Reader,
        numbers: Tuple[int, ...],
        existing: FrozenSet[int],
        *,
        movie: bool,
        on_missing: str = "error",
        fps: Optional[Fraction] = None,
        colorspace: Optional[str] = None,
        config: Optional[ColorConfig] = None,
    ) -> None:
        self.spec, self.numbers, self.movie = spec, numbers, movie
        self._reader, self._existing, self._on_missing = reader, existing, on_missing
        self._sorted = sorted(existing)
        self.missing = frozenset(position for position, number in enumerate(numbers) if number not in existing)
        self._headers: OrderedDict[int, Header] = OrderedDict()
        self._lock = threading.Lock()
        first = reader.header(next((number for number in numbers if number in existing), self._sorted[0]))
        config = config or ColorConfig.load()
        self.colorspace = input_colorspace(reader.path(first.number), first, config, colorspace or "")
        self.scene_linear = config.is_scene_linear(self.colorspace)
        self.rate = first.rate or (exact_rate(fps) if fps else None)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"<Shot {self.spec!r} {self.numbers[0]}-{self.numbers[-1]} {self.colorspace}>"

    def __enter__(self) -> Shot:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def path(self, position: int) -> Path:
        """The file of a position (where it is missing: the file it would be). Raises FrameError outside the shot."""
        return self._reader.path(self._number(position))

    def identity(self, position: int) -> str:
        """What a position's pixels come from, for fingerprints: name, size and time of change of its file or files."""
        number = self._number(position)
        if number in self._existing:
            return self._reader.identity(number)
        names = [self._reader.identity(other) for other, _ in self._stand_ins(number)]
        return f"{self._on_missing} {number}: {' + '.join(names)}"

    def header(self, position: int) -> Header:
        """Everything but the pixels; remembered.

        Raises:
            FrameError: outside the shot, or missing.
            ImageError: damaged, unsupported.
        """
        number = self._number(position)
        with self._lock:
            if number in self._headers:
                return self._headers[number]
        header = self._reader.header(number) if number in self._existing else self._made_up_header(number)
        header = replace(header, rate=self.rate, scene_linear=self.scene_linear, colorspace=self.colorspace)
        with self._lock:
            self._headers[number] = header
            while len(self._headers) > _KEPT_HEADERS:
                self._headers.popitem(last=False)
        return header

    def read(self, position: int) -> Frame:
        """Reads a frame; what is missing is held or blended as asked for.

        Raises:
            FrameError: outside the shot, or missing.
            ImageError: damaged, unsupported.
        """
        number = self._number(position)
        frame = self._reader.read(number) if number in self._existing else self._made_up(number)
        return replace(frame, rate=self.rate, scene_linear=self.scene_linear, colorspace=self.colorspace)

    def close(self) -> None:
        """Lets go of files."""
        self._reader.close()

    def _number(self, position: int) -> int:
        if not 0 <= position < len(self.numbers):
            raise FrameError(
                f"{self.spec} has no frame at position {position}: it has {len(self.numbers)} frames, "
                f"{self.numbers[0]}-{self.numbers[-1]}."
            )
        return self.numbers[position]

    def _stand_ins(self, number: int) -> List[Tuple[int, float]]:
        """Existing frames and their weights in place of a missing one; the heaviest first."""
        before = max((other for other in self._sorted if other < number), default=None)
        after = min((other for other in self._sorted if other > number), default=None)
        if self._on_missing == "error":
            raise FrameError(
                f"Frame {number} of {self.spec} is missing.", "Render it, or pass --on-missing hold or blend."
            )
        if before is None or after is None or self._on_missing == "hold":
            only = before if before is not None else after
            if only is None:
                raise FrameError(f"{self.spec} has no frames.")
            return [(only, 1.0)]
        weight = (number - before) / (after - before)
        pair = [(before, 1.0 - weight), (after, weight)]
        return sorted(pair, key=lambda item: -item[1])

    def _made_up_header(self, number: int) -> Header:
        headers = [self._reader.header(other) for other, _ in self._stand_ins(number)]
        parts = headers[0].parts
        if len(headers) > 1 and len(headers[1].parts) == len(parts):
            pairs = zip(parts, headers[1].parts)
            parts = tuple(replace(one, window=one.window.union(two.window)) for one, two in pairs)
        return replace(headers[0], number=number, timecode="", parts=parts)

    def _made_up(self, number: int) -> Frame:
        sources = self._stand_ins(number)
        frames = [self._reader.read(other) for other, _ in sources]
        frame = frames[0] if len(frames) == 1 else mixed(frames[0], frames[1], sources[1][1])
        return replace(frame, number=number, timecode="")


def open_shot(
    spec: str,
    *,
    frame_range: Optional[Tuple[int, int]] = None,
    on_missing: str = "error",
    fps: Optional[Fraction] = None,
    colorspace: Optional[str] = None,
    config: Optional[ColorConfig] = None,
) -> Shot:
    """Opens a movie, a numbered sequence, a folder with one sequence, or a single still.

    Args:
        spec: ``shot.%04d.exr``, ``shot.####.exr``, ``shot.1001-1048#.exr``, ``shot.$F4.exr``, a folder, a file.
        frame_range: first and last frame number to read, inclusive; movies count from 0.
        on_missing: ``error``; ``hold`` repeats the frame before a gap; ``blend`` mixes its two sides.
        fps: frames per second where the file does not say.
        colorspace: the pixels' colour space in place of the file rule's.
        config: colour configuration; None loads the default one.

    Raises:
        ImageError: nothing is there, or the first frame cannot be read.
        FrameError: frames are missing (and ``on_missing`` is ``error``), or the range lies outside.
        BadRequest: several sequences in the folder, an unknown colour space, an impossible range.
    """
    if on_missing not in ON_MISSING:
        raise BadRequest(f"--on-missing {on_missing!r} is unknown.", f"Use {', '.join(ON_MISSING)}.")
    path = Path(spec)
    if is_movie_file(path) and not path.is_dir():
        if not path.exists():
            raise ImageError(f"{spec} does not exist.", nearby(path.parent))
        movie = MovieReader(path)
        try:
            found = Numbered(dict.fromkeys(range(movie.count), path), tuple(range(movie.count)))
            numbers = choose_range(found, frame_range, spec)
            existing = frozenset(range(movie.count))
            return _shot(spec, movie, numbers, existing, True, on_missing, fps, colorspace, config)
        except BaseException:
            movie.close()
            raise
    found = find_frames(spec)
    numbers = choose_range(found, frame_range, spec)
    return _shot(spec, StillReader(found), numbers, frozenset(found.files), False, on_missing, fps, colorspace, config)


def _shot(
    spec: str,
    reader: Reader,
    numbers: Tuple[int, ...],
    existing: FrozenSet[int],
    movie: bool,
    on_missing: str,
    fps: Optional[Fraction],
    colorspace: Optional[str],
    config: Optional[ColorConfig],
) -> Shot:
    gaps = [number for number in numbers if number not in existing]
    if gaps and on_missing == "error":
        many = f"{len(gaps)} frames are missing" if len(gaps) > 1 else "1 frame is missing"
        raise FrameError(
            f"{spec}: {many}: {listed_frames(gaps)}.",
            "Render them, choose a --range, or pass --on-missing hold or blend.",
        )
    return Shot(
        spec,
        reader,
        numbers,
        existing,
        movie=movie,
        on_missing=on_missing,
        fps=fps,
        colorspace=colorspace,
        config=config,
    )
