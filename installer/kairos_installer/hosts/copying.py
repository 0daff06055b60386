"""Files into a host's folder and out again. Whatever is not ours stays; whatever was interrupted can be finished."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from kairos_installer.hosts import block
from kairos_installer.hosts.record import INSTALLED, UNDER_WAY, Record, Records
from kairos_installer.hosts.target import Plan
from kairos_nodes.errors import BadRequest, KairosError

_NO_FILE = "no plain file"


@dataclass
class Changes:
    """What an installation does, or would do, to a place.

    Attributes:
        written: files that are new or get new contents.
        same: files that are right already.
        removed: files of an older Kairos that this one does not have.
        changed: files that the user changed since they were installed.
        kept: where those lie afterwards, by their path in the host.
        block: whether the user's script changes.
        interrupted: whether an earlier attempt was, so that this one finishes it.
    """

    written: List[Path] = field(default_factory=list)
    same: List[Path] = field(default_factory=list)
    removed: List[Path] = field(default_factory=list)
    changed: List[Path] = field(default_factory=list)
    kept: Dict[Path, Path] = field(default_factory=dict)
    block: bool = False
    interrupted: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.written or self.removed or self.changed or self.block or self.interrupted)


def compare(plan: Plan, place: Path, old: Optional[Record]) -> Changes:
    """What an installation would do. Reads and writes nothing else.

    Raises:
        BadRequest: something in the way is not Kairos'.
        KairosError: a file cannot be read.
    """
    ours = old.files if old is not None else {}
    foreign = set(_links(plan.files, place))
    changes = Changes(interrupted=old is not None and not old.finished)
    for path, content in plan.files.items():
        wanted, found = _hash(content), digest(path)
        if found == wanted:
            changes.same.append(path)
            continue
        changes.written.append(path)
        if found is not None and str(path) not in ours:
            foreign.add(path)
        elif found is not None and found not in ours[str(path)]:
            changes.changed.append(path)
    if foreign:
        first, more = min(foreign), len(foreign) - 1
        others = f" ({more} more are in the way)" if more else ""
        raise BadRequest(
            f"{first} is there already and was not put there by this user's Kairos{others}.",
            "Remove it, in the host itself where it was installed there, or move it away; then install again.",
        )
    for name, hashes in ours.items():
        path = Path(name)
        if path in plan.files:
            continue
        found = digest(path)
        if found in hashes:
            changes.removed.append(path)
        elif found is not None:
            changes.changed.append(path)
    if plan.block_file is not None:
        before = _script(plan.block_file)
        with _named(plan.block_file):
            changes.block = block.put(before, plan.block) != before
    return changes


def install(plan: Plan, record: Record, records: Records, keep_in: Path) -> Tuple[Changes, bool]:
    """Brings a place to what the plan says, recorded before the first byte is written.

    Args:
        plan: what is wanted.
        record: of whom and where; its files and folders are filled in here.
        records: where it is kept.
        keep_in: takes files that the user changed and that new ones replace.

    Returns:
        What was done, and whether the host's own tool did it.

    Raises:
        BadRequest: something in the way is not Kairos'; nothing was touched.
        KairosError: a file cannot be written; the record stays for the next attempt.
    """
    place = Path(record.place)
    old = records.of(record.host, place)
    changes = compare(plan, place, old)
    hashes = {str(path): [_hash(content)] for path, content in plan.files.items()}
    targets = [*plan.files, *([plan.block_file] if plan.block_file is not None else [])]
    begun = _before_it(plan, record, old, hashes, _missing_folders(targets))
    by_tool = False
    if old is None or changes.any:
        _begin(records, begun)
        try:
            by_tool = _carry_out(plan, changes, begun, keep_in)
        except KairosError:
            if old is None:
                _give_up(begun, records)
            raise
    _sweep_folders(folder for folder in begun.folders if not any(Path(folder) in path.parents for path in targets))
    folders = [folder for folder in begun.folders if Path(folder).is_dir()]
    done = begun.changed(state=INSTALLED, files=hashes, folders=folders)
    if done != old:
        with _told(records.folder / "the record", "written to"):
            records.write(done)
    return changes, by_tool


def _before_it(
    plan: Plan, record: Record, old: Optional[Record], hashes: Mapping[str, List[str]], missing: Iterable[Path]
) -> Record:
    """The record of what is about to be there: old and new contents are both Kairos'."""
    before = old.files if old is not None else {}
    script = plan.block_file
    return record.changed(
        state=UNDER_WAY,
        files={name: sorted({*before.get(name, ()), *hashes.get(name, ())}) for name in {**before, **hashes}},
        folders=sorted({*(old.folders if old is not None else ()), *map(str, missing)}),
        block_file=str(script or ""),
        block_made=script is not None and (not script.exists() or (old is not None and old.block_made)),
    )


def _carry_out(plan: Plan, changes: Changes, begun: Record, keep_in: Path) -> bool:
    """Makes the changes. Answers whether the host's own tool did it."""
    place = Path(begun.place)
    for path in changes.changed:
        if path in plan.files:
            changes.kept[path] = _set_aside(path, place, keep_in)
    # A tool replaces the whole folder: it is asked only where nothing but ours lies there.
    wanted = bool(changes.written or changes.interrupted) and not _strangers(plan.files, begun.files)
    by_tool = plan.tool is not None and wanted and plan.tool()
    for path, content in plan.files.items():
        if digest(path) != _hash(content):
            _write(path, content)
    for path in changes.removed:
        _remove(path)
    if plan.block_file is not None and changes.block:
        _write(plan.block_file.resolve(), block.put(_script(plan.block_file), plan.block))
    for name in begun.files:
        _remove_temporary(Path(name))
    return by_tool


def _give_up(begun: Record, records: Records) -> None:
    """Forgets a first installation that could not put anything there."""
    script = Path(begun.block_file) if begun.block_file else None
    if any(digest(Path(name)) in hashes for name, hashes in begun.files.items()):
        return
    if script is not None and block.inside(_script(script)) is not None:
        return
    _sweep_folders(begun.folders)
    with _told(records.folder / "the record", "removed from"):
        records.remove(begun)


def uninstall(record: Record, records: Records) -> Changes:
    """Removes exactly what a record says, and the record.

    A file that the user changed since is kept and named in the answer. Python's byte code of a removed source goes too.

    Raises:
        KairosError: a file cannot be removed; the record stays, for the next attempt.
    """
    changes = Changes()
    _begin(records, record.changed(state=UNDER_WAY))
    for name, hashes in record.files.items():
        path = Path(name)
        found = digest(path)
        if found in hashes:
            _remove(path)
            changes.removed.append(path)
        elif found is not None:
            changes.changed.append(path)
        else:
            _remove_byte_code(path)
        _remove_temporary(path)
    if record.block_file:
        changes.block = take_block(Path(record.block_file), made=record.block_made)
    _sweep_folders(record.folders)
    with _told(records.folder, "written to"):
        records.remove(record)
    return changes


def is_ours_alone(record: Record) -> bool:
    """Whether a place holds what was installed and nothing else, so that a host's own tool may clear it."""
    files = {Path(name): hashes for name, hashes in record.files.items()}
    whole = record.finished and all(digest(path) in hashes for path, hashes in files.items())
    return whole and not _strangers(files, record.files)


def take_block(script: Path, made: bool = False) -> bool:
    """Takes Kairos' block out of a user's script, and an empty script away that was ``made`` for it.

    Returns:
        Whether there was one. Raises KairosError.
    """
    before = _script(script)
    _remove_temporary(script.resolve())
    with _named(script):
        after = block.take(before)
    if after == before:
        return False
    if after or not made:
        _write(script.resolve(), after)
    else:
        _remove(script)
    return True


def digest(path: Path) -> Optional[str]:
    """SHA-256 of a file, None where there is nothing, and something that no hash equals where it is no plain file.

    Raises:
        KairosError: it cannot be read.
    """
    try:
        status = path.lstat()
        return _hash(path.read_bytes()) if stat.S_ISREG(status.st_mode) else _NO_FILE
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KairosError(f"{path} cannot be read: {error.strerror}.", "Ask whoever owns it for permission.") from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _script(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise KairosError(f"{path} cannot be read: {error.strerror}.", "Ask whoever owns it for permission.") from error


def _links(files: Iterable[Path], place: Path) -> List[Path]:
    """Folders below the place that are links: what looks like the host's folder may be someone's sources."""
    folders = {parent for path in files for parent in path.parents if place in parent.parents}
    return [folder for folder in folders if folder.is_symlink()]


def _missing_folders(files: Iterable[Path]) -> Set[Path]:
    return {parent for path in files for parent in path.parents if not parent.exists()}


def _strangers(files: Iterable[Path], ours: Mapping[str, object]) -> List[Path]:
    """Files in Kairos' own folders that are not Kairos' (Python's byte code excepted)."""
    folders = {path.parent for path in files}
    return [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if str(path) not in ours and path not in folders and path.name != "__pycache__" and not _above(path, folders)
    ]


def _above(path: Path, folders: Iterable[Path]) -> bool:
    return any(path in folder.parents for folder in folders)


def _temporary(path: Path) -> Path:
    """Named after the file, so that one left behind by a killed installation is known."""
    return path.with_name(f".{path.name}.kairos-new")


def _remove_temporary(path: Path) -> None:
    """What a killed installation may have left beside a file."""
    with _told(path, "removed from"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        _temporary(path).unlink()


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; one that is there keeps its permissions."""
    temporary = _temporary(path)
    with _told(path, "written to"):
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "it is write-protected")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if path.exists():
                shutil.copymode(path, temporary)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def _remove(path: Path) -> None:
    with _told(path, "removed from"):
        # The host's own tool may have removed it already.
        path.unlink(missing_ok=True)
    _remove_byte_code(path)


def _remove_byte_code(path: Path) -> None:
    """What Python made of a source when a host loaded it."""
    if path.suffix != ".py":
        return
    cache = path.parent / "__pycache__"
    with contextlib.suppress(OSError):
        for compiled in cache.glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        cache.rmdir()


def _set_aside(path: Path, place: Path, keep_in: Path) -> Path:
    """Moves a file that the user changed to where it can be found again."""
    stamp = time.strftime("%Y-%m-%d %H.%M.%S")
    tries = (keep_in / f"{stamp}{more}" / path.relative_to(place) for more in ("", *map(" ({})".format, range(2, 100))))
    kept = next(one for one in tries if not one.exists())
    with _told(kept, "written to"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, kept)
    return kept


def _sweep_folders(folders: Iterable[str]) -> None:
    """Removes those that are empty, the deepest first."""
    for folder in sorted(folders, key=lambda name: -len(Path(name).parts)):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def unrecorded(folder: Path, error: OSError) -> KairosError:
    """For the artist whose data folder cannot be written to."""
    return KairosError(
        f"What is installed cannot be recorded in {folder}: {error.strerror}; nothing was changed.",
        "Ask for permission to write there: it is this user's own data folder.",
    )


def _begin(records: Records, record: Record) -> None:
    """Says what is about to be done."""
    try:
        records.write(record)
    except OSError as error:
        raise unrecorded(records.folder, error) from error


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says of which script an error is."""
    try:
        yield
    except KairosError as error:
        raise KairosError(f"{path}: {error.message}", error.remedy) from None


@contextlib.contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    """Turns the system's words into an artist's."""
    try:
        yield
    except PermissionError as error:
        raise KairosError(
            f"{path} cannot be changed: {error.strerror}.",
            f"Ask for permission to change {path.parent}, and close the host: it may hold the file.",
        ) from error
    except OSError as error:
        raise KairosError(
            f"{path.name} cannot be {done} {path.parent}: {error.strerror}.",
            "Make room or mend the folder, then run the same command again: it goes on from here.",
        ) from error
