"""The command line: ``kairos COMMAND``. See ``docs/parameters.md`` for every option."""

from __future__ import annotations

import sys
from typing import List, Optional

from .app import run

__all__ = ["main"]


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs one command. Answers 0 done, 1 failed, 2 bad request, 3 done with frames missing, 130 cancelled."""
    return run(sys.argv[1:] if arguments is None else arguments)
