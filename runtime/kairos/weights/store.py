"""The weights that one user has: safetensors, and beside each a record of where it came from.

A model that is published as a folder (a configuration and a vocabulary beside its tensors) is kept as one, and its
record names each file's SHA-256.

A record is written last and removed first, so whatever happens, weights with a record are whole. This module knows
files alone, so that engines can look their weights up in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from kairos.errors import BadRequest, KairosError
from kairos.unchanged import while_unchanged

VARIABLE = "KAIROS_WEIGHTS"
"""Names the store's folder, in place of the user's own."""

FORMAT = 1
"""Of the records."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_FILE = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,63}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""Of a folder's files, or of one of its parts."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that Windows has given to devices."""


@dataclass(frozen=True)
class Record:
    """Where weights came from and on which terms.

    Attributes:
        name: of the weights, as ``--weights`` takes it.
        architecture: id of their network, which is its engine's.
        values: the network's hyper-parameters; of a folder its ``files`` with the SHA-256 of each.
        licence: what the user accepted.
        non_commercial: it forbids commercial use.
        accepted: when, UTC, ISO 8601.
        source: name of the file they came from, or its address.
        source_sha256: of that file; of a folder that of its ``model.safetensors``, or of all its files.
        taken: what of that file was taken, for people.
        sha256: of the stored safetensors; of a folder that of its ``model.safetensors``, or of all its files' where it
            has several parts.
    """

    name: str
    architecture: str
    values: Mapping[str, Any]
    licence: str
    non_commercial: bool
    accepted: str
    source: str
    source_sha256: str
    taken: str
    sha256: str

    @property
    def variant(self) -> str:
        """Which of the architecture's networks it is."""
        return str(self.values.get("variant", self.architecture))

    @property
    def files(self) -> Mapping[str, str]:
        """Of a folder each file's SHA-256 by its name; empty where the weights are one file."""
        files = self.values.get("files", {})
        return files if isinstance(files, dict) else {}


def default_root() -> Path:
    """The user's store, or the folder that ``$KAIROS_WEIGHTS`` names."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    # A GPU machine on which one only trains and measures has no such library.
    try:
        import platformdirs
    except ImportError:
        return Path.home() / ".kairos" / "weights"
    return Path(platformdirs.user_data_dir("kairos", appauthor=False)) / "weights"


class Store:
    """A folder of weights.

    Args:
        root: the folder; made when something is first put into it.
    """

    def __init__(self, root: Optional[Path] = None) -> None:
        self.root = root if root is not None else default_root()

    def path(self, name: str) -> Path:
        """Where weights of that name lie. Raises BadRequest for a name that cannot be one."""
        return self.root / f"{checked_name(name)}.safetensors"

    def folder(self, name: str) -> Path:
        """Where a folder of that name lies. Raises BadRequest for a name that cannot be one."""
        return self.root / checked_name(name)

    def records(self) -> List[Record]:
        """All weights, by name. Records that cannot be read are passed over; ``verify`` tells of them."""
        found = (self._record(path) for path in self._record_paths())
        return [record for record in found if record is not None]

    def of(self, architecture: str) -> List[Record]:
        """The weights of one architecture, by name."""
        return [record for record in self.records() if record.architecture == architecture]

    def get(self, name: str) -> Record:
        """The record of that name. Raises BadRequest where there is none."""
        record = self._record(self._record_path(checked_name(name)))
        if record is None:
            known = ", ".join(each.name for each in self.records())
            raise BadRequest(
                f"There are no weights {name!r}.", f"There are {known}." if known else "Add some: kairos weights add."
            )
        return record

    def put(self, record: Record, tensors: Mapping[str, Tensor]) -> Record:
        """Keeps weights; answers with the record as kept, its ``sha256`` filled in.

        Raises:
            BadRequest: the name is taken by other weights.
            KairosError: the folder cannot be written.
        """
        path = self.path(record.name)
        self._check_free(record)
        data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        kept = Record(**{**asdict(record), "sha256": hashlib.sha256(data).hexdigest()})
        _write_whole(path, data)
        self._write_record(kept)
        return kept

    def put_folder(self, record: Record, source: Path) -> Record:
        """Keeps a folder: those of its files that the record names. Answers with the record.

        Raises:
            BadRequest: the name is taken by other weights.
            KairosError: the folder cannot be written, or a file is not the one that the record names.
        """
        self._check_free(record)
        folder = self.folder(record.name)
        for file, digest in record.files.items():
            with written_whole(folder / file) as temporary:
                shutil.copyfile(source / file, temporary)
                if _sha256(temporary) != digest:
                    raise KairosError(f"{source / file} changed while it was read.", "Add the folder again.")
        self._write_record(record)
        return record

    def _check_free(self, record: Record) -> None:
        known = self._record(self._record_path(record.name))
        if known is not None and (known.source_sha256, known.architecture) != (
            record.source_sha256,
            record.architecture,
        ):
            raise BadRequest(
                f"There are other weights {record.name!r} already.",
                f"Choose another --name, or kairos weights remove {record.name} first.",
            )

    def _write_record(self, record: Record) -> None:
        text = json.dumps({"format": FORMAT, **asdict(record)}, indent=2, sort_keys=True) + "\n"
        _write_whole(self._record_path(record.name), text.encode())

    def remove(self, name: str) -> Record:
        """Removes weights and their record. Raises BadRequest where there are none, KairosError where it fails."""
        record = self.get(name)
        try:
            self._record_path(name).unlink()
            self.path(name).unlink(missing_ok=True)
            for file in record.files:
                (self.folder(name) / file).unlink(missing_ok=True)
            if record.files:
                # What others have put into the folder is left.
                folder = self.folder(name)
                for part in [*{(folder / file).parent for file in record.files} - {folder}, folder]:
                    with contextlib.suppress(OSError):
                        part.rmdir()
        except OSError as error:
            raise KairosError(
                f"{name} cannot be removed: {error.strerror or error}.", f"Check the permissions of {self.root}."
            ) from error
        return record

    def load(self, name: str) -> Tuple[Record, Dict[str, Tensor]]:
        """Weights and their record.

        Raises:
            BadRequest: there are none of that name.
            KairosError: they are damaged.
        """
        record = self.get(name)
        trouble = self.trouble(record)
        if trouble:
            raise KairosError(
                f"The weights {name} {trouble}.", f"Run kairos weights remove {name}, and add or fetch them again."
            )
        try:
            return record, load(self.path(name).read_bytes())
        except (OSError, SafetensorError) as error:
            raise KairosError(f"The weights {name} cannot be read: {error}.", "Run kairos weights verify.") from error

    def trouble(self, record: Record, anew: bool = False) -> str:
        """What is wrong with kept weights, in a few words; empty where they are as they were added.

        Args:
            record: of the weights.
            anew: read the files even where nothing says that they have changed since they were last read.
        """
        folder = self.folder(record.name)
        wanted = {folder / file: digest for file, digest in record.files.items()}
        for path, digest in (wanted or {self.path(record.name): record.sha256}).items():
            try:
                found = (_sha256 if anew else _hash)(path)
            except OSError:
                return "are missing"
            if found != digest:
                return "are damaged"
        return ""

    def verify(self) -> List[Tuple[str, str]]:
        """Every name with what is wrong, empty where nothing is; broken records and files without one included."""
        report = []
        for path in self._record_paths():
            record = self._record(path)
            trouble = "has a damaged record" if record is None else self.trouble(record, anew=True)
            report.append((path.stem, trouble))
        named = {name for name, _ in report}
        if self.root.is_dir():
            lost = sorted(path.stem for path in self.root.glob("*.safetensors") if path.stem not in named)
            report += [(name, "has no record and is not used") for name in lost]
        return report

    def _record_paths(self) -> List[Path]:
        return sorted(self.root.glob("*.json")) if self.root.is_dir() else []

    def _record_path(self, name: str) -> Path:
        return self.root / f"{name}.json"

    def _record(self, path: Path) -> Optional[Record]:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told.pop("format") != FORMAT:
                return None
            record = Record(**told)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None
        texts = (record.architecture, record.licence, record.source, record.sha256, record.source_sha256)
        whole = isinstance(record.values, dict) and all(isinstance(text, str) for text in texts)
        # A record says which files are read and removed: none outside of its folder.
        whole = whole and all(
            isinstance(digest, str) and _FILE.fullmatch(file) is not None for file, digest in record.files.items()
        )
        return record if whole and record.name == path.stem and _NAME.fullmatch(record.name) else None


def checked_name(name: str) -> str:
    """The name. Raises BadRequest where it cannot name weights."""
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name) or name.endswith("."):
        raise BadRequest(
            f"{name!r} cannot name weights.", "Use small letters, digits, dots, dashes and underscores, at most 64."
        )
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_hash = while_unchanged(32)(_sha256)


def _write_whole(path: Path, data: bytes) -> None:
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on leaving it is flushed to disk and takes its name, or is gone.

    Raises:
        KairosError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise KairosError(
            f"{path} cannot be written: {error.strerror or error}.", "Check the folder's permissions and the disk."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
