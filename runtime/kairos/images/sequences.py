"""Numbered files: from a pattern in any of the trade's spellings to the frames that exist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from fileseq.constants import PAD_STYLE_HASH1, PAD_STYLE_HASH4
from fileseq.exceptions import FileSeqException
from fileseq.filesequence import FileSequence
from fileseq.frameset import FrameSet

from kairos.errors import BadRequest, FrameError, ImageError

MOVIE_SUFFIXES = (".mov", ".mp4", ".m4v", ".mkv", ".mxf", ".avi", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts")
"""Endings of movie files."""

_IMAGE_SUFFIXES = frozenset(
    (
        *(".exr", ".sxr", ".mxr", ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".dpx", ".cin", ".hdr", ".bmp"),
        *(".tga", ".webp", ".jp2", ".psd", ".sgi", ".rgb", ".ppm", ".pgm", ".pfm", ".iff"),
    )
)
"""What counts as a picture when a folder is searched."""

_PATTERN = re.compile(r"#|@|%\d*d|\$F\d*|<UDIM>")

_SHOWN = 8


@dataclass(frozen=True)
class Numbered:
    """The files of one sequence.

    Attributes:
        files: existing files by frame number.
        numbers: the frames asked for, in order: all from the first to the last, or those the pattern lists.
        pattern: how files are named; None for a single still.
    """

    files: Dict[int, Path]
    numbers: Tuple[int, ...]
    pattern: Optional[FileSequence] = None

    def path(self, number: int) -> Path:
        """The file of a frame, whether it exists or not."""
        if number in self.files or self.pattern is None:
            return self.files[number]
        return Path(self.pattern.frame(number))


def is_movie_file(path: Path) -> bool:
    """True where the ending is a movie's."""
    return path.suffix.lower() in MOVIE_SUFFIXES


def find_frames(spec: str) -> Numbered:
    """The files that a pattern, a folder or a single file names.

    Args:
        spec: ``shot.%04d.exr``, ``shot.####.exr``, ``shot.@@@@.exr``, ``shot.$F4.exr``, ``shot.1001-1048#.exr``,
            ``shot.1001-1048x2#.exr``, a folder with one sequence, or one still.

    Raises:
        ImageError: nothing is there; the remedy names sequences nearby.
        BadRequest: a folder with several sequences, an unreadable pattern.
    """
    path = Path(spec)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file() or not _PATTERN.search(path.name):
        if not path.exists():
            raise ImageError(f"{spec} does not exist.", nearby(path.parent))
        number = _number_in(path)
        return Numbered({number: path}, (number,))
    return _of_pattern(spec)


def _number_in(path: Path) -> int:
    """The frame number in a still's name; 1 where it has none."""
    match = re.search(r"(?:^|[^\d-])(-?\d+)$", path.stem)
    return int(match.group(1)) if match and len(match.group(1)) < 10 else 1


def _of_folder(folder: Path) -> Numbered:
    found = _sequences_in(folder)
    if not found:
        raise ImageError(f"{folder} holds no images.", "Name a folder with one sequence, or the sequence itself.")
    if len(found) > 1:
        names = [Path(str(sequence)).name for sequence in found]
        raise BadRequest(f"{folder} holds {len(found)} sequences: {_listed(names)}.", "Name one of them.")
    return _numbered(found[0], [int(number) for number in found[0].frameSet() or ()])


def _sequences_in(folder: Path) -> List[FileSequence]:
    """Sequences and single stills of a folder, hidden files and temporaries left out."""
    try:
        found = FileSequence.findSequencesOnDisk(str(folder), pad_style=PAD_STYLE_HASH1)
    except (OSError, FileSeqException):
        return []
    pictures = [sequence for sequence in found if sequence.extension().lower() in _IMAGE_SUFFIXES]
    return sorted(pictures, key=lambda sequence: (-len(sequence), str(sequence)))


def _of_pattern(spec: str) -> Numbered:
    asked = _parsed(spec)
    folder = Path(asked.dirname() or ".")
    files: Dict[int, Path] = {}
    width = asked.zfill()
    for other in _same_name(asked, folder):
        for number in other.frameSet() or ():
            path = Path(other.frame(number))
            # One padding is asked for; others are taken where it has no file (exports differ in this).
            if int(number) not in files or len(_digits(path, other)) == width:
                files[int(number)] = path
    if not files:
        raise ImageError(f"No frame of {spec} exists.", nearby(folder))
    given = asked.frameSet()
    numbers = [int(number) for number in given] if given else sorted(files)
    if given and not set(numbers) & set(files):
        raise ImageError(
            f"None of the frames {given} of {spec} exists; there are {_span(sorted(files))}.", nearby(folder)
        )
    chosen = tuple(sorted(set(numbers))) if given else tuple(range(numbers[0], numbers[-1] + 1))
    return Numbered(files, chosen, asked)


def _parsed(spec: str) -> FileSequence:
    hashes = re.search(r"#+", Path(spec).name)
    # Studios count one digit per #, but a lone one means four (fileseq's and Shake's custom).
    style = PAD_STYLE_HASH1 if hashes and len(hashes.group()) > 1 else PAD_STYLE_HASH4
    try:
        return FileSequence(spec, pad_style=style)
    except (FileSeqException, ValueError) as error:
        raise BadRequest(
            f"{spec} is no sequence pattern: {error}.", "Write it like shot.%04d.exr or shot.####.exr."
        ) from error


def _same_name(asked: FileSequence, folder: Path) -> List[FileSequence]:
    return [
        other
        for other in _sequences_in(folder)
        if other.frameSet() and other.basename() == asked.basename() and other.extension() == asked.extension()
    ]


def _digits(path: Path, sequence: FileSequence) -> str:
    return path.name[len(sequence.basename()) : len(path.name) - len(sequence.extension())]


def _numbered(sequence: FileSequence, numbers: List[int]) -> Numbered:
    if not numbers:
        path = Path(str(sequence))
        number = _number_in(path)
        return Numbered({number: path}, (number,))
    files = {number: Path(sequence.frame(number)) for number in numbers}
    return Numbered(files, tuple(range(numbers[0], numbers[-1] + 1)), sequence)


def nearby(folder: Path) -> str:
    """A remedy naming the sequences of a folder."""
    if not folder.is_dir():
        return f"The folder {folder} does not exist."
    names = [Path(str(sequence)).name for sequence in _sequences_in(folder)]
    names += sorted(entry.name for entry in folder.iterdir() if is_movie_file(entry) and not entry.name.startswith("."))
    return f"{folder} holds {_listed(names)}." if names else f"{folder} holds no images."


def shots_in(folder: Path) -> List[str]:
    """The movies and sequences of a folder, and of the folders in it, as :func:`find_frames` takes them, by name.

    Single stills are none.
    """
    found = [str(sequence) for sequence in _sequences_in(folder) if len(sequence) > 1]
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return found
    found += [str(entry) for entry in entries if entry.is_file() and is_movie_file(entry)]
    return sorted(found) + [shot for entry in entries if entry.is_dir() for shot in shots_in(entry)]


def _listed(names: List[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _span(numbers: List[int]) -> str:
    return f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def listed_frames(numbers: List[int]) -> str:
    """Frame numbers as people write them: ``1003-1005, 1009``."""
    return str(FrameSet(sorted(numbers))).replace(",", ", ") if numbers else "none"


def choose_range(found: Numbered, frame_range: Optional[Tuple[int, int]], spec: str) -> Tuple[int, ...]:
    """The frame numbers to read: those found, or those of ``frame_range`` (first and last, inclusive).

    Raises:
        FrameError: the range lies outside the sequence altogether.
        BadRequest: the range ends before it begins.
    """
    if frame_range is None:
        return found.numbers
    first, last = frame_range
    if last < first:
        raise BadRequest(f"--range {first}-{last} ends before it begins.", f"Write it as {last}-{first}.")
    have = sorted(found.files)
    if first > have[-1] or last < have[0]:
        raise FrameError(
            f"--range {first}-{last} lies outside {spec}, which has frames {_span(have)}.", "Choose frames that exist."
        )
    stepped = len(found.numbers) > 1 and len(found.numbers) <= found.numbers[-1] - found.numbers[0]
    if stepped:
        return tuple(number for number in found.numbers if first <= number <= last)
    return tuple(range(first, last + 1))
