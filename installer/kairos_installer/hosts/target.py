"""What the installer knows about a host: where one is, and what Kairos puts there."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional

from kairos_installer.hosts.system import System


@dataclass(frozen=True)
class Target:
    """One installed host, or one folder that hosts read.

    Attributes:
        host: ``blender``, ``nuke`` or ``resolve``.
        title: with its version, as an artist would say: ``Blender 4.5``.
        place: the folder that Kairos' plugin goes into.
        program: its executable, where that was found.
        why_not: why Kairos cannot be put there; empty where it can.
        ready: whether the host has settings of its own already, which a first start makes.
    """

    host: str
    title: str
    place: Path
    program: Optional[Path] = None
    why_not: str = ""
    ready: bool = True


@dataclass(frozen=True)
class Plan:
    """What has to be in a host's folder.

    Attributes:
        files: contents of all files, by absolute path below the target's place.
        block_file: a script of the user's that gets a marked block; None where there is none.
        block: the block's lines.
        tool: puts the files there in the host's own way, and answers whether that worked; the installer then checks,
            and writes what is missing.
        then: what the artist has to do next; told whether the tool worked.
    """

    files: Dict[Path, bytes] = field(default_factory=dict)
    block_file: Optional[Path] = None
    block: List[str] = field(default_factory=list)
    tool: Optional[Callable[[], bool]] = None
    then: Callable[[bool], str] = lambda by_tool: ""


@dataclass(frozen=True)
class Installed:
    """A plugin as it lies in a host's folder.

    Attributes:
        version: of Kairos; empty where it cannot be told.
        home: the Kairos that it belongs to, where it says so.
    """

    version: str
    home: Optional[Path] = None


class Host(abc.ABC):
    """One of the applications that Kairos has a plugin for.

    Attributes:
        id: on the command line.
        title: as its makers call it.
        script: the user's own script in the place that gets a block; empty where there is none.
    """

    id: str
    title: str
    script = ""

    @abc.abstractmethod
    def find(self, system: System) -> List[Target]:
        """All of them on this machine, the newest first."""

    @abc.abstractmethod
    def looked(self, system: System) -> List[str]:
        """Where :meth:`find` looks, for the artist whose host is not found."""

    @abc.abstractmethod
    def given(self, system: System, path: Path) -> Target:
        """The one that an artist named. Raises BadRequest where the path cannot be one."""

    @abc.abstractmethod
    def plan(self, root: Path, target: Target, scratch: Path, dry: bool) -> Plan:
        """What Kairos in ``root`` puts there. ``scratch``: a folder for what must be built first; ``dry``: only asked.

        Raises:
            KairosError: this Kairos has no plugin for it.
        """

    @abc.abstractmethod
    def installed(self, place: Path) -> Optional[Installed]:
        """The plugin that lies in a place now, whoever put it there; None where there is none."""

    def retire(self, target: Target) -> bool:
        """Takes the plugin out in the host's own way, before its files go. Answers whether that worked."""
        return False
