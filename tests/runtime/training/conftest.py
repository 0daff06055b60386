"""What trainings on made scenes share."""

from __future__ import annotations

from typing import Iterator

import pytest

from support.banks import small_bank


@pytest.fixture(scope="module")
def small_textures() -> Iterator[None]:
    """For trainings to which it does not matter how their scenes look."""
    with pytest.MonkeyPatch.context() as patch:
        small_bank(patch)
        yield
