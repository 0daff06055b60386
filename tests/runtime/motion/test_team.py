"""Kernels on torch's own threads."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import List, Tuple

import pytest
import torch

from kairos.motion import fast, team


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_each_band_is_done_once(threads: int) -> None:
    before = torch.get_num_threads()
    done: List[Tuple[int, int]] = []
    try:
        torch.set_num_threads(threads)
        fast.in_parts(lambda top, bottom: done.append((top, bottom)), 20, 5)
    finally:
        torch.set_num_threads(before)
    assert sorted(done) == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Torch's threads are GNU OpenMP's on Linux alone.")
def test_they_are_those_that_torch_computes_with() -> None:
    if "OpenMP" not in torch.__config__.parallel_info():
        pytest.skip("This torch shares its work out otherwise.")
    assert team._library() is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(1 << 20).exp_()
        tasks = Path("/proc/self/task")
        before = len(list(tasks.iterdir()))
        met, seen = threading.Barrier(2, timeout=20), set()

        def work(top: int, bottom: int) -> None:
            met.wait()
            seen.add(threading.get_native_id())

        for _ in range(3):
            assert team.shared_out(work, [(0, 1), (1, 2)])
        assert len(seen) == 2 and len(list(tasks.iterdir())) <= before
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_goes_wrong_is_told(kind: type) -> None:
    def work(top: int, bottom: int) -> None:
        if top:
            raise kind("as it should")

    with pytest.raises(kind, match="as it should"):
        fast.in_parts(work, 2, 2)
    fast.in_parts(lambda top, bottom: None, 2, 2)


def test_those_who_work_side_by_side_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    met = threading.Barrier(2, timeout=20)

    def share() -> int:
        met.wait()
        return team.threads()

    with team.side_by_side(2) as both:
        assert [each.result() for each in [both.submit(share), both.submit(share)]] == [2, 2]
        with team.beside(2):
            assert team.threads() == 1
            with team.beside(7):
                assert team.threads() == 1
            done: List[Tuple[int, int]] = []
            fast.in_parts(lambda top, bottom: done.append((top, threading.get_ident())), 6, 3)
            assert done == [(top, threading.get_ident()) for top in (0, 2, 4)]
        assert team.threads() == 4


def test_threads_of_different_callers_do_not_mix() -> None:
    done: List[List[int]] = [[] for _ in range(4)]

    def caller(number: int) -> None:
        for _ in range(30):
            fast.in_parts(lambda top, bottom: done[number].append(top), 4, 4)

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(60)
    assert all(sorted(each) == sorted(30 * [0, 1, 2, 3]) for each in done)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Torch's threads are GNU OpenMP's on Linux alone.")
def test_an_openmp_that_has_gone_since_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> None:
        raise OSError(f"{path}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", gone)
    monkeypatch.setattr(team, "_library", team._library.__wrapped__)
    assert not team.shared_out(lambda top, bottom: None, [(0, 1), (1, 2)])
    done: List[int] = []
    fast.in_parts(lambda top, bottom: done.append(top), 4, 2)
    assert sorted(done) == [0, 2]


def test_few_bands_do_not_wake_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert not team.shared_out(lambda top, bottom: None, [(0, 1), (1, 2)])


_INTERRUPTED = """
import signal, time
from kairos.motion import fast

def interrupt(*_):
    sent.append(None)
    raise KeyboardInterrupt

sent, caught, end = [], 0, time.monotonic() + 3
signal.signal(signal.SIGALRM, interrupt)
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
        begun = time.monotonic()
        while time.monotonic() < begun + 5:
            fast.in_parts(lambda top, bottom: None, 2, 2)
    except KeyboardInterrupt:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(caught, len(sent))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Timers that interrupt are asked of POSIX.")
def test_ctrl_c_is_never_lost() -> None:
    """Wherever it comes, between bands and before them too. In a process of its own: what a test process hangs on
    Python's garbage collection loses whatever is raised in it.
    """
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    caught, sent = map(int, ended.stdout.split())
    assert caught == sent > 20


_FORKED = """
import os, torch
from kairos.motion import fast
done = []
torch.ones(1 << 20).exp_()
fast.in_parts(lambda top, bottom: done.append(top), 4, 2)
child = os.fork()
if not child:
    fast.in_parts(lambda top, bottom: done.append(top), 4, 2)
    os._exit(0 if sorted(done) == [0, 0, 2, 2] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Processes are not forked here.")
def test_a_forked_process_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", _FORKED], check=True, timeout=60)
