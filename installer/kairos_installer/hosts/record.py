"""What was put where: one record for each place, from which it is removed or finished."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Optional

from kairos_nodes.home import write_whole

FORMAT = 1

INSTALLED, UNDER_WAY = "installed", "under way"


@dataclass(frozen=True)
class Record:
    """What Kairos wrote into one place.

    Attributes:
        host: ``blender``, ``nuke`` or ``resolve``.
        title: of the host, with its version.
        place: the folder.
        home: the Kairos that it came from.
        version: of that Kairos.
        program: the host's executable, where its own tool may take the plugin out again, or empty.
        state: :data:`INSTALLED`, or :data:`UNDER_WAY` from before the first byte is written until the last is.
        files: SHA-256 of each file by its absolute path. While under way both that of the old and of the new contents.
        folders: those that were made for it.
        block_file: the user's script that holds the block, or empty.
        block_made: the script was made for the block.
    """

    host: str
    title: str
    place: str
    home: str
    version: str
    program: str = ""
    state: str = INSTALLED
    files: Dict[str, List[str]] = field(default_factory=dict)
    folders: List[str] = field(default_factory=list)
    block_file: str = ""
    block_made: bool = False

    @property
    def finished(self) -> bool:
        """False for one that was interrupted."""
        return self.state == INSTALLED

    def changed(self, **values: Any) -> Record:
        """A copy with other values."""
        return replace(self, **values)


class Records:
    """All records of the user, one file each in a folder.

    Args:
        folder: made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file_of(self, host: str, place: Path) -> Path:
        """Where a place's record lies."""
        return self.folder / f"{host}-{hashlib.sha256(str(place).encode('utf-8', 'replace')).hexdigest()[:12]}.json"

    def of(self, host: str, place: Path) -> Optional[Record]:
        """A place's record; None where nothing was installed."""
        found = _read(self.file_of(host, place))
        return found if found is not None and (found.host, found.place) == (host, str(place)) else None

    def all(self, host: str = "") -> List[Record]:
        """Every record that can be read, of one host or of all, in a steady order."""
        found = [_read(path) for path in sorted(self.folder.glob("*.json"))]
        return [one for one in found if one is not None and host in ("", one.host)]

    def write(self, record: Record) -> None:
        """Writes a record whole or not at all. Raises OSError."""
        text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1, sort_keys=True, ensure_ascii=True)
        write_whole(self.file_of(record.host, Path(record.place)), text + "\n")

    def remove(self, record: Record) -> None:
        """Forgets a place. Raises OSError."""
        self.file_of(record.host, Path(record.place)).unlink()


def _read(path: Path) -> Optional[Record]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = Record(**{one.name: data[one.name] for one in fields(Record)}) if data["format"] == FORMAT else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if found is not None and isinstance(found.files, dict) else None
