# SPDX-License-Identifier: GPL-3.0-or-later
"""The files behind a strip, as the runtime takes them, and the job that slows them. Needs no Blender."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from kairos_nodes.cache import fingerprint
from kairos_nodes.errors import BadRequest, ImageError
from kairos_nodes.jobs import Job
from kairos_nodes.nodes import node
from kairos_nodes.timing import map_text

from .strips import Retime

_NUMBERED = re.compile(r"^(.*?)(\d{1,9})(\D*)(\.\w+)$")
"""Before the frame number, the number, what follows, and the ending, which may hold digits of its own (.jp2)."""
_OUTPUTS: Mapping[str, str] = {
    ".exr": ".exr",
    ".sxr": ".exr",
    ".mxr": ".exr",
    ".hdr": ".exr",
    ".tif": ".tif",
    ".tiff": ".tif",
    ".dpx": ".dpx",
    ".cin": ".dpx",
}
"""What frames are written as, by the source's ending: the same encoding, so that Blender's colour settings of the
source fit the result. Everything else, movies among it, becomes PNG of the source's own bit depth."""

NEIGHBOURS = 1
"""Source frames that motion may look at on either side of those that are shown."""


@dataclass(frozen=True)
class Media:
    """Numbered files or a movie.

    Attributes:
        spec: as ``--input`` takes it.
        first: source frame number of a strip's index 0.
        last: source frame number of its last index.
        files: every file by source frame number; a movie's only one has number ``first``.
        movie: it is a movie.
    """

    spec: str
    first: int
    last: int
    files: Mapping[int, Path]
    movie: bool = False

    @property
    def ending(self) -> str:
        """Ending of the frames to write."""
        path = next(iter(self.files.values()))
        return ".png" if self.movie else _OUTPUTS.get(path.suffix.lower(), ".png")


def movie_media(path: Path, trimmed: int, length: int) -> Media:
    """A movie of which a strip has ``length`` frames from number ``trimmed`` on."""
    return Media(str(path), trimmed, trimmed + length - 1, {trimmed: path}, movie=True)


def image_media(name: str, folder: Path, names: Sequence[str], shown: Tuple[int, int]) -> Media:
    """The numbered files of an image strip.

    Args:
        name: the strip's, for people.
        folder: where they lie.
        names: file of every index.
        shown: first and last index that the strip needs; these must be there, numbered without a gap.

    Raises:
        BadRequest: a still, names that are not numbered one after another, or cannot be a pattern.
        ImageError: a file is missing.
    """
    if len(set(names)) < 2:
        raise BadRequest(f"{name} is a single picture: nothing moves in it.", "Choose an image sequence or a movie.")
    low, high = shown
    found = [_parsed(name, one) for one in names[low : high + 1]]
    stem, _, ending = found[0]
    base = int(found[0][1])
    for step, (its_stem, digits, its_ending) in enumerate(found):
        if (its_stem, its_ending) != (stem, ending):
            raise BadRequest(
                f"{name} changes from {names[low + step - 1]} to {names[low + step]}: its files are not one sequence.",
                "Cut the strip there, and slow each part by itself.",
            )
        if int(digits) != base + step:
            raise BadRequest(
                f"{name}: frame {base + step} is not in the strip; {names[low + step - 1]} is followed by "
                f"{names[low + step]}.",
                "Render the frame and add the sequence again, or cut the strip there.",
            )
    widths = {len(digits) for _, digits, _ in found}
    pad = f"%0{widths.pop()}d" if len(widths) == 1 else "%d"
    # Frames beside those that are shown are welcome where they are there.
    while low and _follows(names[low - 1], found[0], base - 1):
        low, base = low - 1, base - 1
    end = shown[1]
    while end + 1 < len(names) and _follows(names[end + 1], found[0], base + end + 1 - low):
        end += 1
    files = {base + index - low: folder / names[index] for index in range(low, end + 1)}
    # One look at the folder, which may lie on a slow disk, in place of one for every frame.
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    for index in range(shown[0], shown[1] + 1):
        if names[index] not in there and not (folder / names[index]).is_file():
            raise ImageError(
                f"{name}: frame {base + index - low} is missing: {folder / names[index]}.",
                "Render or restore it, or cut the strip there.",
            )
    number = base - low
    return Media(str(folder / f"{stem}{pad}{ending}"), number, number + len(names) - 1, files)


@dataclass(frozen=True)
class Work:
    """A retime ready to run.

    Attributes:
        media: what it reads.
        retime: what the new strip shows.
        range: source frames that it may read, both included.
    """

    media: Media
    retime: Retime
    range: Tuple[int, int]

    @classmethod
    def of(cls, media: Media, retime: Retime) -> Work:
        """The work of a retime, with a neighbour on either side for the motion where there is one."""
        low = media.first + math.floor(min(retime.indices))
        high = media.first + math.ceil(max(retime.indices))
        if media.movie:
            low, high = max(low - NEIGHBOURS, media.first), min(high + NEIGHBOURS, media.last)
        else:
            low = next(n for n in range(low - NEIGHBOURS, low + 1) if _there(media, n) or n == low)
            high = next(n for n in range(high + NEIGHBOURS, high - 1, -1) if _there(media, n) or n == high)
        return cls(media, retime, (low, high))

    @property
    def map_text(self) -> str:
        """The frame map: output frames from 1."""
        times = [Fraction(self.media.first) + index for index in self.retime.indices]
        return map_text(enumerate(times, 1))

    def print(self, settings: Mapping[str, object]) -> str:
        """Fingerprint of the result, by sources, times and settings."""
        low, high = self.range
        used = [path for number, path in self.media.files.items() if self.media.movie or low <= number <= high]
        return fingerprint(
            {
                "sources": [_identity(path) for path in used],
                "range": self.range,
                "map": self.map_text,
                "ending": self.media.ending,
                "settings": dict(settings),
            }
        )

    def job(
        self, folder: Path, map_file: Path, settings: Mapping[str, object], only: Optional[int] = None
    ) -> Tuple[Job, List[str]]:
        """The job, and the names of the files that it writes.

        Args:
            folder: where to write.
            map_file: where :attr:`map_text` lies.
            settings: knobs of the Slow Motion node, such as ``engine``.
            only: the one output frame to render, numbered from 1; all of them where None.

        Raises:
            BadRequest: a setting cannot be.
        """
        low, high = self.range
        values: Dict[str, object] = {
            **settings,
            "frame_map": str(map_file),
            "range": f"{low}-{high}",
            "vectors": "none",
            # A timeline shows the beauty alone: what else a render holds would only be moved and written.
            "channels": "rgba",
        }
        if self.media.movie:
            # Blender estimates how many frames some movies hold; the last one that is really there is held.
            values["on_missing"] = "hold"
        if only is not None:
            values["frames"] = str(only)
        output = f"kairos.%05d{self.media.ending}"
        job = node("SlowMotion").make_job(self.media.spec, (folder / output).as_posix(), values, "frame_map")
        numbers = range(1, len(self.retime.indices) + 1) if only is None else (only,)
        return job, [output % number for number in numbers]


def shown_range(retime: Retime) -> Tuple[int, int]:
    """First and last index that a retime needs."""
    return math.floor(min(retime.indices)), math.ceil(max(retime.indices))


def _there(media: Media, number: int) -> bool:
    path = media.files.get(number)
    return path is not None and path.is_file()


def _parsed(strip: str, name: str) -> Tuple[str, str, str]:
    match = _NUMBERED.match(name)
    if match is None:
        raise BadRequest(f"{strip}: {name} has no frame number.", "Number the files, such as shot.1001.exr.")
    if re.search(r"[#@%]|\$F|<UDIM>", match[1] + match[3] + match[4]):
        raise BadRequest(
            f"{strip}: the name {name} holds a sign that stands for numbers (#, @, % or $F).", "Rename the files."
        )
    return match[1], match[2], match[3] + match[4]


def _follows(name: str, like: Tuple[str, str, str], number: int) -> bool:
    match = _NUMBERED.match(name)
    return match is not None and (match[1], match[3] + match[4]) == (like[0], like[2]) and int(match[2]) == number


def _identity(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"
