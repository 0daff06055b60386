"""Label maps that were found rather than given, kept on disk: they are found once for a shot."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Mapping, Optional
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from kairos.errors import EngineError
from kairos_nodes.cache import folder

Kept = Mapping[str, npt.NDArray[np.generic]]
"""Arrays by name."""


class Store:
    """What was found in one shot, frame by frame, in the cache that :mod:`kairos_nodes.cache` names.

    Several processes may use it at once: every file is written whole or not at all.

    Args:
        print_of: the fingerprint of all that the maps were made from.
    """

    def __init__(self, print_of: str) -> None:
        self.folder = folder("regions", print_of)

    def get(self, position: int) -> Optional[Kept]:
        """What was kept of a position; None where nothing was, or it cannot be read."""
        try:
            with np.load(self._path(position), allow_pickle=False) as held:
                return {name: held[name] for name in held.files}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def keep(self, position: int, found: Kept) -> None:
        """Keeps the arrays of a position.

        Raises:
            EngineError: the disk is full, or the folder cannot be written.
        """
        path = self._path(position)
        temporary: Optional[Path] = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".regions~", dir=self.folder)
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **found)  # type: ignore[arg-type]
            temporary.replace(path)
        except OSError as error:
            raise EngineError(
                f"Regions cannot be kept in {self.folder}: {error.strerror or error}.",
                "Free space, or name another folder in KAIROS_CACHE.",
            ) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    def _path(self, position: int) -> Path:
        return self.folder / f"{position:06d}.npz"
