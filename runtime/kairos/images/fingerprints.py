"""The mark by which a finished frame of an interrupted job is recognised."""

from __future__ import annotations

from pathlib import Path

from kairos.errors import ImageError

from . import exr_layout
from .atomic import is_temporary
from .codes import is_whole
from .movie_write import movie_fingerprint
from .sequences import is_movie_file
from .stills import still_fingerprint


def read_fingerprint(path: Path) -> str:
    """The fingerprint that :func:`kairos.images.write_image` or a movie writer left in a file.

    Empty where there is none, and where the file is missing, temporary, cut short, damaged or of another origin.
    """
    if is_temporary(path) or not path.is_file():
        return ""
    try:
        if is_movie_file(path):
            return movie_fingerprint(path)
        found = still_fingerprint(path)
        whole = exr_layout.is_complete(path) if exr_layout.is_exr(path) else is_whole(path)
    except (ImageError, OSError):
        return ""
    return found if whole else ""
