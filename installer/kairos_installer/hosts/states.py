"""Which hosts are here, and whether the plugin in each fits this Kairos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from kairos_installer.hosts import copying
from kairos_installer.hosts.record import Record, Records
from kairos_installer.hosts.system import System
from kairos_installer.hosts.target import Host, Installed, Target
from kairos_installer.hosts.versions import version_in
from kairos_installer.hosts.work import HOSTS, KAIROS, records_of
from kairos_nodes.errors import KairosError


@dataclass(frozen=True)
class State:
    """One host and the plugin in it.

    Attributes:
        host: ``blender``, ``nuke`` or ``resolve``.
        title: with its version.
        place: where the plugin is or would be.
        program: its executable, or empty.
        installed: the plugin's version; None where there is none, empty where it cannot be told.
        why_not: why Kairos cannot be put there; empty where it can.
        trouble: what is wrong; empty where nothing is.
        mend: what to do about it.
    """

    host: str
    title: str
    place: str
    program: str
    installed: Optional[str]
    why_not: str = ""
    trouble: str = ""
    mend: str = ""

    @property
    def line(self) -> str:
        """In one line."""
        if self.trouble:
            return f"{self.title}: {self.trouble} {self.mend}"
        if self.why_not:
            return f"{self.title}: {self.why_not}"
        if self.installed is None:
            return f"{self.title}: without Kairos; kairos install {self.host} puts it there"
        return f"{self.title}: Kairos {self.installed} ({self.place})"


def states(system: System, root: Path = KAIROS) -> List[State]:
    """All hosts that are found, and all places that Kairos was put into. Starts no host that says its version itself.

    Args:
        system: where to look.
        root: the folder of this Kairos.
    """
    records, found = records_of(system), []
    for host in HOSTS.values():
        targets = host.find(system)
        known = {str(target.place) for target in targets}
        elsewhere = [record for record in records.all(host.id) if record.place not in known]
        again = f"kairos install {host.id}"
        found += [_state(host, target, records, root, again) for target in targets]
        for record in elsewhere:
            target = Target(host.id, record.title, Path(record.place))
            found.append(_state(host, target, records, root, f'{again} --host-path "{record.place}"'))
    return found


def _state(host: Host, target: Target, records: Records, root: Path, again: str) -> State:
    installed, record = host.installed(target.place), records.of(host.id, target.place)
    trouble, mend = _trouble(installed, record, root, again)
    return State(
        host=host.id,
        title=target.title,
        place=str(target.place),
        program=str(target.program or ""),
        installed=None if installed is None else installed.version,
        why_not=target.why_not,
        trouble=trouble and f"{trouble}.",
        mend=mend,
    )


def _trouble(installed: Optional[Installed], record: Optional[Record], root: Path, again: str) -> Tuple[str, str]:
    """What is wrong with a plugin and how to mend it; ``again`` is the command that installs it there."""
    if record is not None and not Path(record.place).is_dir():
        return (
            f"{record.place} is gone",
            f'Forget it: kairos install {record.host} --uninstall --host-path "{record.place}"',
        )
    if record is not None and not record.finished:
        return "an installation was interrupted", f"Finish it: {again}"
    if record is not None:
        try:
            wrong = [name for name, hashes in record.files.items() if copying.digest(Path(name)) not in hashes]
        except KairosError as error:
            return error.message.rstrip("."), error.remedy
        if wrong:
            return f"missing or changed: {_listed(wrong)}", f"Mend it: {again}"
        if installed is None:
            return "the plugin was installed and is no longer there", f"Put it back: {again}"
    if installed is None:
        return "", ""
    version = version_in(root / "nodes")
    if installed.home is not None and installed.home != root:
        return f"it uses another Kairos, {installed.home}", f"To use this one: {again}"
    if installed.version != version:
        said = f"its plugin is Kairos {installed.version or 'of unknown version'}, and this is {version}"
        return said, f"{again} brings it to this one." if record is not None else "Remove it there, then " + again
    return "", ""


def _listed(names: List[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
