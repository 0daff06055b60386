"""No message, however malformed, crashes the service."""

from __future__ import annotations

import json
import os
import random
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from kairos_nodes.client import Client, protocol
from kairos_nodes.jobs import InbetweenJob, RetimeJob, VectorsJob
from support import service

REQUESTS = ("hello", "submit", "cancel", "events", "jobs", "engines", "echo", "release", "dance", "", None, 7, [])
VALUES = (
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 1 << 70, "", "a", "\0", "\ud800", "../../etc/passwd",
    "memory", [], [[]], {}, {"job": "retime"}, {"folder": 0, "name": "in-" + "0" * 32}, {"folder": 9, "name": "x"},
)  # fmt: skip

JOBS = (
    RetimeJob("no/such/plate.%04d.exr", "no/such/out.%04d.exr", speed="1").to_dict(),
    VectorsJob("no/such/plate.%04d.exr", "no/such/out.%04d.exr").to_dict(),
    InbetweenJob("no/a.exr", "no/b.exr", "no/out.exr", 1).to_dict(),
)


def _value(chance: random.Random, depth: int = 0) -> Any:
    if depth < 3 and chance.random() < 0.3:
        return [_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if depth < 3 and chance.random() < 0.3:
        return {str(chance.choice(("job", "version", "width", "x", "name"))): _value(chance, depth + 1) for _ in "abc"}
    return chance.choice(VALUES)


def _request(chance: random.Random) -> bytes:
    """Noise, cut JSON, or a request of which some fields are right and some are not."""
    kind = chance.random()
    if kind < 0.15:
        return chance.randbytes(chance.randrange(200))
    message: Any = {"id": chance.choice((1, 2, "x", None, [], 1.5)), "request": chance.choice(REQUESTS)}
    for name in ("job", "name", "frames", "pictures", "detached", "host", "pid"):
        if chance.random() < 0.6:
            message[name] = _value(chance)
    if chance.random() < 0.4:
        index = chance.randrange(3)
        job = {"job": ("retime", "vectors", "inbetween")[index], "version": 1, **JOBS[index]}
        if chance.random() < 0.8:
            job[chance.choice([*job, "more"])] = _value(chance)
        message.update(request="submit", job=job)
    if chance.random() < 0.3:
        picture = {"width": 4, "height": 4, "channels": ["R"], "depth": "float", "segment": {"folder": 0, "name": "x"}}
        picture[chance.choice(list(picture))] = _value(chance)
        message["frames"] = {"pictures": [picture] * chance.randrange(3), "rate": _value(chance)}
        message["pictures"] = [picture]
    if kind < 0.25:
        message = _value(chance)
    data = json.dumps(message).encode()
    return data[: chance.randrange(len(data))] if kind < 0.35 else data


def _opened(folder: Path) -> Connection:
    found = service.rendezvous(folder)
    connection = pipes.Client(found.address, family="AF_UNIX")
    protocol.prove_to_server(connection, bytes.fromhex(found.key), "0.1.0")
    return connection


def _fuzz(folder: Path, count: int, seed: int) -> None:
    pid, chance = service.rendezvous(folder).pid, random.Random(seed)
    connection = _opened(folder)
    for index in range(count):
        try:
            connection.send_bytes(_request(chance))
            while connection.poll(0):
                connection.recv_bytes()
        except (OSError, EOFError):
            raise AssertionError(f"the service hung up on message {index} of seed {seed}") from None
    connection.close()
    assert service.alive(pid)
    with Client("after", folder=folder, start=False) as after:
        assert after.connect()["pid"] == pid
        assert len(after.retime(service.shot(2), speed="1", engine="classic", device="cpu")) == 2


def test_malformed_requests_are_answered_and_the_service_goes_on(runtime: Path) -> None:
    _fuzz(runtime, 600, seed=1)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("KAIROS_FULL_FUZZ"), reason="set KAIROS_FULL_FUZZ=1 for all 10,000")
def test_ten_thousand_malformed_requests_are_answered_and_the_service_goes_on(runtime: Path) -> None:
    _fuzz(runtime, 10_000, seed=2)


def test_strangers_that_talk_nonsense_are_hung_up_on(runtime: Path) -> None:
    found, chance = service.rendezvous(runtime), random.Random(3)
    for index in range(60):
        with pipes.Client(found.address, family="AF_UNIX") as stranger:
            if index % 3 == 0:
                continue
            stranger.recv_bytes()
            if index % 3 == 1:
                stranger.send_bytes(chance.randbytes(chance.randrange(1, 200)))
            else:
                os.write(stranger.fileno(), b"\x7f\xff\xff\xff" + chance.randbytes(40))
    assert service.eventually(lambda: service.alive(found.pid))
    with Client("after", folder=runtime, start=False) as after:
        assert after.connect()["pid"] == found.pid
