"""``kairos install``: what it does, in an artist's words."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, Sequence

from kairos_installer.hosts import block, copying
from kairos_installer.hosts.blender import Blender
from kairos_installer.hosts.nuke import Nuke
from kairos_installer.hosts.record import Record, Records
from kairos_installer.hosts.resolve import Resolve
from kairos_installer.hosts.system import System
from kairos_installer.hosts.target import Host, Plan, Target
from kairos_installer.hosts.versions import version_in
from kairos_installer.lock import locked
from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.home import home_file, record_text, remember_home

HOSTS: Mapping[str, Host] = {host.id: host for host in (Nuke(), Blender(), Resolve())}
"""By what ``kairos install`` calls them."""

KAIROS = Path(__file__).resolve().parents[3]
"""The folder of this Kairos: its launcher, ``plugin`` and ``nodes``."""

_OWN = ("docs", "installer", "nodes", "plugin", "runtime", "tests", ".runtime")

Say = Callable[[str], None]


def records_of(system: System) -> Records:
    """What this user's Kairos put into hosts."""
    return Records(system.data / "hosts")


def install(
    host_id: str,
    system: System,
    say: Say,
    *,
    paths: Sequence[Path] = (),
    dry: bool = False,
    root: Path = KAIROS,
) -> None:
    """Puts Kairos into every such host that is found, or into those named. Run twice, it finds nothing to do.

    Args:
        host_id: one of :data:`HOSTS`.
        system: where to look.
        say: told what is done, a line at a time.
        paths: hosts or their folders; empty is all that are found in the standard places.
        dry: only says what it would do.
        root: the folder of Kairos.

    Raises:
        BadRequest: no such host is here, or something in the way is not Kairos'.
        KairosError: a file cannot be read or written; the same command goes on from there.
    """
    host = _host(host_id)
    targets = _targets(host, system, [_whole(path) for path in paths])
    for target in targets:
        around = {target.place, *target.place.parents}
        if target.place == root or any(root / own in around for own in _OWN):
            raise BadRequest(f"{target.place} lies inside Kairos itself.", "Name the host's own folder.")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kairos-install-")))
        if not dry:
            stack.enter_context(_alone(system, say))
            _remember(root)
            stack.callback(_forget, records_of(system), root)
        _each(targets, lambda target: _install_one(host, target, system, root, scratch, dry, say), say)


def uninstall(
    host_id: str,
    system: System,
    say: Say,
    *,
    paths: Sequence[Path] = (),
    dry: bool = False,
    root: Path = KAIROS,
) -> None:
    """Removes exactly what was installed, wherever that was, or from the places named. Arguments as of :func:`install`.

    Raises:
        BadRequest: there is no such host.
        KairosError: a file cannot be removed; the same command goes on from there.
    """
    host = _host(host_id)
    whole, records = [_whole(path) for path in paths], records_of(system)
    chosen = [record for record in records.all(host_id) if _is_meant(host, system, record, whole)]
    known = [host.given(system, path) for path in whole] if whole and not chosen else host.find(system)
    with contextlib.ExitStack() as stack:
        if not dry:
            stack.enter_context(_alone(system, say))
        _each(chosen, lambda record: _uninstall_one(host, record, records, dry, say), say)
        places = {record.place for record in chosen}
        others = [target for target in known if str(target.place) not in places]
        found = [_uninstall_unrecorded(host, target, dry, say) for target in others]
        if not chosen and not any(found):
            say(f"{host.title}: Kairos is not installed there; nothing to remove.")
        if not dry:
            _forget(records, root)


def _install_one(host: Host, target: Target, system: System, root: Path, scratch: Path, dry: bool, say: Say) -> None:
    records, version = records_of(system), version_in(root / "nodes")
    old = records.of(host.id, target.place)
    if target.program is None and old is not None and old.program and Path(old.program).is_file():
        # An artist named it once.
        target = replace(target, program=Path(old.program), ready=True)
    plan = host.plan(root, target, Path(tempfile.mkdtemp(dir=str(scratch))), dry)
    if dry:
        _show(target, plan, copying.compare(plan, target.place, old), say)
        return
    program = str(target.program) if target.program is not None and target.ready else ""
    record = Record(host.id, target.title, str(target.place), str(root), version, program)
    changes, by_tool = copying.install(plan, record, records, system.data / "kept")
    done = [f"{_files(len(changes.written))} written" if changes.written else ""]
    done += [f"{_files(len(changes.removed))} of the old version removed" if changes.removed else ""]
    done += [f"{plan.block_file} changed" if changes.block else ""]
    done += ["an interrupted installation finished" if changes.interrupted else ""]
    said = ", ".join(part for part in done if part)
    say(f"{target.title}: {said or f'Kairos {version} is there already'} ({target.place})")
    for path, kept in changes.kept.items():
        say(f"  {path.name} had been changed by hand; the changed one is now {kept}")
    for path in changes.changed:
        if path not in changes.kept:
            say(f"  kept, since it was changed by hand: {path}")
    if said:
        say(f"  {plan.then(by_tool)}")


def _show(target: Target, plan: Plan, changes: copying.Changes, say: Say) -> None:
    say(f"{target.title}: would install in {target.place}")
    for path in changes.written:
        say(f"  write   {path}")
    for path in changes.removed:
        say(f"  remove  {path}")
    for path in changes.changed:
        kind = "set aside and write anew" if path in plan.files else "keep"
        say(f"  {kind}, since it was changed by hand: {path}")
    if changes.block:
        say(f"  put into {plan.block_file}:")
        for line in plan.block:
            say(f"      {line}")
    if changes.same:
        say(f"  leave {_files(len(changes.same))} as it should be")
    if not changes.any:
        say("  nothing to do")


def _uninstall_one(host: Host, record: Record, records: Records, dry: bool, say: Say) -> None:
    if dry:
        say(f"{record.title}: would remove from {record.place}")
        for name, hashes in sorted(record.files.items()):
            found = copying.digest(Path(name))
            if found is not None:
                say(f"  remove  {name}" if found in hashes else f"  keep, since it was changed by hand: {name}")
        if record.block_file:
            say(f"  take Kairos' block out of {record.block_file}")
        return
    count = sum(copying.digest(Path(name)) is not None for name in record.files)
    if record.program and count and copying.is_ours_alone(record):
        host.retire(Target(host.id, record.title, Path(record.place), Path(record.program)))
    changes = copying.uninstall(record, records)
    removed = f"{_files(count - len(changes.changed))} removed"
    if record.block_file:
        removed = f"took Kairos' block out of {record.block_file}" if changes.block else "was gone already"
    say(f"{record.title}: {removed} ({record.place})")
    for path in changes.changed:
        say(f"  kept, since it was changed by hand: {path}")


def _uninstall_unrecorded(host: Host, target: Target, dry: bool, say: Say) -> bool:
    """A block is known by its marks without any record; files are not touched. Answers whether Kairos was there."""
    if host.script:
        script = target.place / host.script
        if dry:
            there = script.is_file() and block.inside(script.read_bytes()) is not None
        else:
            there = copying.take_block(script)
        if there:
            say(f"{target.title}: {'would take' if dry else 'took'} Kairos' block out of {script}")
        return there
    found = host.installed(target.place)
    if found is None:
        return False
    say(f"{target.title}: Kairos {found.version} in {target.place} was not put there by this user's kairos install.")
    say("  Remove it in the host, or as the user who installed it.")
    return True


def _host(host_id: str) -> Host:
    if host_id not in HOSTS:
        raise BadRequest(f"Kairos has no plugin for {host_id}.", f"Name one of {', '.join(HOSTS)}.")
    return HOSTS[host_id]


def _targets(host: Host, system: System, paths: Sequence[Path]) -> List[Target]:
    targets = [host.given(system, path) for path in paths] or host.find(system)
    if not targets:
        raise BadRequest(
            f"{host.title} was not found. Looked in {', '.join(host.looked(system))}.",
            f"Where it lies elsewhere, name it: kairos install {host.id} --host-path PATH",
        )
    able = [target for target in targets if not target.why_not]
    if not able:
        raise BadRequest(f"{targets[0].title} was found, but {targets[0].why_not}.", "")
    return able


def _is_meant(host: Host, system: System, record: Record, paths: Sequence[Path]) -> bool:
    place = Path(record.place)
    for path in paths:
        if path == place or path in place.parents:
            return True
        with contextlib.suppress(KairosError):
            if host.given(system, path).place == place:
                return True
    return not paths


def _each(items: Sequence[object], work: Callable[..., None], say: Say) -> None:
    """Does all, the rest too where one fails."""
    failures: List[KairosError] = []
    for item in items:
        try:
            work(item)
        except KairosError as error:
            failures.append(error)
            if len(items) > 1:
                say(f"{getattr(item, 'title', '')}: failed. {' '.join(str(error).split())}")
    if len(items) == 1 and failures:
        raise failures[0]
    if failures:
        raise KairosError(f"{len(failures)} of {len(items)} failed; see above.", "") from failures[0]


@contextlib.contextmanager
def _alone(system: System, say: Say) -> Iterator[None]:
    """One installer of this user at a time."""
    folder = system.data
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            waiting = "Another installation runs ({}); waiting for it."
            stack.enter_context(locked(folder / "hosts.lock", lambda holder: say(waiting.format(holder))))
        except OSError as error:
            raise copying.unrecorded(folder, error) from error
        yield


def _remember(root: Path) -> None:
    try:
        remember_home(root)
    except OSError as error:
        raise copying.unrecorded(home_file().parent, error) from error


def _forget(records: Records, root: Path) -> None:
    """Where no host has a plugin, nobody needs to know where Kairos lies."""
    if records.all():
        return
    with contextlib.suppress(OSError):
        if home_file().read_text(encoding="utf-8") == record_text(root):
            home_file().unlink()
        records.folder.rmdir()


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _whole(path: Path) -> Path:
    return Path(path).expanduser().absolute()
