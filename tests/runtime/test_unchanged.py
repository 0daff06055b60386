"""What is remembered of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest

from kairos.unchanged import while_unchanged

LONG_AGO = (1e9, 1e9)


def test_a_file_is_looked_at_again_where_it_has_changed_or_may_have(tmp_path: Path) -> None:
    read: List[str] = []

    @while_unchanged(2)
    def text(path: Path) -> str:
        read.append(path.name)
        return path.read_text()

    path = tmp_path / "one"
    path.write_text("first")
    # Within a tick of the clock another file could look the same.
    assert (text(path), text(path), len(read)) == ("first", "first", 2)
    os.utime(path, LONG_AGO)
    assert (text(path), text(path), len(read)) == ("first", "first", 3)
    path.write_text("longer than that")
    os.utime(path, LONG_AGO)
    assert (text(path), len(read)) == ("longer than that", 4)
    os.utime(path, (1e9 + 5, 1e9 + 5))
    assert (text(path), text(path), len(read)) == ("longer than that", "longer than that", 5)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        text(path)
