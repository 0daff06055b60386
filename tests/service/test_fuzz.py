"""No message, however malformed, crashes the service."""

from __future__ import annotations

import json
import os
import random
import struct
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from kairos_nodes.client import Client, protocol
from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import InbetweenJob, RetimeJob, VectorsJob
from support import service

REQUESTS = ("hello", "submit", "cancel", "events", "jobs", "engines", "echo", "release", "dance", "", None, 7, [])
VALUES = (
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), -1e308, 1 << 70, 10**4000, "", "a", "\0", "\ud800",
    "../../etc/passwd", "9" * 5000, "memory", "1e999999", [], [[]], {}, {"job": "retime"},
    {"folder": 0, "name": "in-" + "0" * 32}, {"folder": 9, "name": "x"}, {"folder": True, "name": 1},
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


def _nested(chance: random.Random) -> bytes:
    """Far deeper than any message, as a whole or in a field."""
    depth = chance.choice((90, 900, 5000, 200_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    inner = opening * depth + b"1" + closing * depth
    field = chance.choice((b"job", b"frames", b"pictures", b"name", b"id"))
    return chance.choice((inner, b'{"id":1,"request":"submit","%s":%s}' % (field, inner), opening * depth))


def _request(chance: random.Random) -> bytes:
    """Noise, cut JSON, or a request of which some fields are right and some are not."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.13:
        return _nested(chance)
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


def _broken(chance: random.Random) -> bytes:
    """What no connection sends: half a message, or a length that cannot be."""
    data = _request(chance)
    length = chance.choice((len(data) + 1 + chance.randrange(1000), -1, -2, 1 << 30, (1 << 31) - 1))
    more = struct.pack("!Q", chance.choice((0, 1 << 40, (1 << 64) - 1))) if length == -1 else b""
    return struct.pack("!i", length) + more + data[: chance.randrange(len(data) + 1)]


def _called(folder: Path) -> Connection:
    return pipes.Client(service.rendezvous(folder).address, family="AF_UNIX")


def _opened(folder: Path) -> Connection:
    connection = _called(folder)
    protocol.prove_to_server(connection, bytes.fromhex(service.rendezvous(folder).key), "0.1.0")
    return connection


def _as_a_stranger(folder: Path, chance: random.Random) -> None:
    """Hangs up before it has said who it is, or says something else first."""
    with _called(folder) as stranger:
        how = chance.randrange(4)
        if how == 0:
            return
        stranger.recv_bytes()
        if how == 1:
            os.write(stranger.fileno(), _broken(chance))
            return
        stranger.send_bytes(b'{"id":1,"request":"shutdown","now":true}' if how == 2 else _request(chance))
        told = protocol.decode(stranger.recv_bytes())
        assert set(told) == {"error"}, told
        with pytest.raises((EOFError, ConnectionError)):
            stranger.recv_bytes()


def _fuzz(folder: Path, count: int, seed: int) -> None:
    pid, chance = service.rendezvous(folder).pid, random.Random(seed)
    connection = _opened(folder)
    answered = 0
    for index in range(count):
        way = chance.random()
        if way < 0.02:
            _as_a_stranger(folder, chance)
            continue
        if way < 0.04:
            # The service cannot know where the next message would begin: it hangs up, and the next client comes.
            os.write(connection.fileno(), _broken(chance))
            connection.close()
            connection = _opened(folder)
            continue
        try:
            connection.send_bytes(_request(chance))
            while connection.poll(0):
                answered += "id" in protocol.decode(connection.recv_bytes())
        except (OSError, EOFError):
            raise AssertionError(f"the service hung up on message {index} of seed {seed}") from None
    connection.close()
    assert answered > count / 2
    assert service.alive(pid)
    with Client("after", folder=folder, start=False) as after:
        assert after.connect()["pid"] == pid
        assert len(after.retime(service.shot(2), speed="1", engine="classic", device="cpu")) == 2


def test_ten_thousand_malformed_requests_are_answered_and_the_service_goes_on(runtime: Path) -> None:
    _fuzz(runtime, 10_000, seed=1)


def test_a_client_that_stops_in_the_middle_of_a_message_holds_nobody_up(runtime: Path, client: Client) -> None:
    half_said, half_proved = _opened(runtime), _called(runtime)
    for connection in (half_said, half_proved):
        os.write(connection.fileno(), struct.pack("!i", 1000) + b'{"id":1,"request":"ech')
    assert len(client.retime(service.shot(2), speed="1", engine="classic", device="cpu")) == 2
    for connection in (half_said, half_proved):
        connection.close()


def test_requests_in_the_wrong_order_are_answered(client: Client) -> None:
    for request, fields in (
        ("release", {"job": "a", "name": "out-0"}),
        ("cancel", {"job": "a"}),
        ("events", {"job": "a"}),
        ("echo", {"pictures": [{"width": 1, "height": 1, "channels": ["R"], "depth": "half", "segment": {}}]}),
        ("hello", {}),
        ("hello", {"host": "twice", "pid": "x"}),
    ):
        try:
            client.request(request, **fields)
        except BadRequest as error:
            assert error.remedy
