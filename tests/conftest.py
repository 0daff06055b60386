"""Settings of the whole suite: one compute thread per process, fixed seeds, no window on a screen."""

from __future__ import annotations

import gc
import os
import random
import sys
from typing import Generator, List

import pytest
from hypothesis import settings

# Before torch and OpenMP are loaded: several test processes share the cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# The same examples on every run, however slow the machine.
settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Half a million objects of modules and tests stay until the end: nothing looks for garbage among them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Libraries count at the very end what is left of them."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Files with slow tests come first: begun last, one of them would keep a process busy while the others rest."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random numbers; libraries that a test never loads are left alone."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
