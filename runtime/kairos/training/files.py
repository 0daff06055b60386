"""Files of a training that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator

from safetensors import SafetensorError

from kairos.errors import KairosError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on leaving it is flushed to disk and takes its name.

    A training is its folder's only writer, so the temporary has a fixed name and a killed run's is written over. (The
    images' own such helper cannot serve here: training runs on machines without image libraries.)

    Raises:
        KairosError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> KairosError:
    """The error for a file that could not be written."""
    said = getattr(error, "strerror", None) or error
    return KairosError(f"{path} cannot be written: {said}.", "Check the folder's permissions and the disk.")
