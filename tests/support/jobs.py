"""Running jobs from tests: in this process, or as an artist would on the command line."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List

import pytest

from kairos.cli.app import run
from kairos.events import Event
from kairos.retime import Outcome, run_retime
from kairos_nodes.jobs import RetimeJob
from support.made import FIRST, Clip
from support.process import ROOT, command, environment, kairos

__all__ = ["ROOT", "Ran", "command", "environment", "frame_at", "kairos", "kairos_here", "retime"]


@dataclass
class Ran:
    """What a job did, and what it told."""

    outcome: Outcome
    events: List[Event] = field(default_factory=list)
    pattern: str = ""

    def file(self, number: int) -> Path:
        """The output file of a frame number."""
        return Path(self.pattern % number)

    def files(self) -> List[Path]:
        """All output files, in order."""
        return sorted(Path(self.pattern).parent.glob("*.exr"))

    def warnings(self) -> List[str]:
        """Messages of the warnings."""
        return [event.data["message"] for event in self.events if event.kind == "warning"]


def retime(clip: Clip, directory: Path, **settings: Any) -> Ran:
    """Retimes a made clip into ``directory``; ``settings`` are fields of RetimeJob."""
    pattern = str(directory / "out.%04d.exr")
    events: List[Event] = []
    job = RetimeJob(input=clip.pattern, output=pattern, **{"device": "cpu", **settings})
    return Ran(run_retime(job, events.append), events, pattern)


def kairos_here(captured: pytest.CaptureFixture[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process: it says and answers what one of its own would, which takes seconds to start."""
    captured.readouterr()
    status = run(list(arguments))
    said = captured.readouterr()
    return subprocess.CompletedProcess(arguments, status, said.out, said.err)


def frame_at(k: int) -> int:
    """Output number of the k-th output frame (from 0) of a made clip."""
    return FIRST + k
