"""Which Kairos lies in a folder."""

from __future__ import annotations

import re
from pathlib import Path


def version_in(folder: Path) -> str:
    """The version of the ``kairos_nodes`` in a folder; empty where there is none."""
    try:
        text = (folder / "kairos_nodes" / "__init__.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r'^__version__\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return found[1] if found else ""
