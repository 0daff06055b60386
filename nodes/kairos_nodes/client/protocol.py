"""The language between a host and the runtime: JSON messages over a private socket or pipe, after a mutual proof.

Both sides prove that they know the key of the rendezvous file before anything else is said. The proof is Kairos' own
rather than that of ``multiprocessing.connection``: that one is MD5 before Python 3.12, waits for ever, and cannot say
which protocol the other side speaks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Dict, Type

from kairos_nodes import errors
from kairos_nodes.errors import KairosError, ServiceError

PROTOCOL = 1
"""Raise when a message changes its meaning."""

OLDEST = 1
"""The oldest protocol that this side still speaks."""

LARGEST = 8 << 20
"""Bytes of the largest message; pixels never travel inside one."""

HANDSHAKE_SECONDS = 30.0
"""How long either side may take to prove itself: a runtime that still loads torch on a busy machine is slow."""

Message = Dict[str, Any]


def encode(message: Message) -> bytes:
    """A message as bytes. Raises ServiceError for one too large to send."""
    data = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(data) > LARGEST:
        raise ServiceError(f"A message of {len(data)} bytes is too large.", "Submit fewer frames at once.")
    return data


def decode(data: bytes) -> Message:
    """The inverse of :func:`encode`. Raises ServiceError for whatever is no message."""
    try:
        message = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ServiceError(f"This is no message: {str(error)[:200]}.", "Send JSON objects.") from None
    if not isinstance(message, dict):
        raise ServiceError("This is no message: not a JSON object.", "Send JSON objects.")
    return message


def receive(connection: Connection, seconds: float) -> Message:
    """The next message of a handshake.

    Raises:
        ServiceError: silence, or no message.
        EOFError, OSError: the other side is gone.
    """
    if not connection.poll(seconds):
        raise ServiceError("The other side does not answer.", "Run kairos doctor, and look into the log.")
    return decode(connection.recv_bytes(LARGEST))


def sever(connection: Connection) -> None:
    """Hangs up so that a thread that waits in a read wakes; the connection's owner still closes it."""
    if sys.platform == "win32":
        connection.close()
        return
    # A handle of its own: closing the connection's while another thread reads could free its number for another file.
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def common_protocol(other: Message) -> int:
    """The protocol that both sides speak. Raises ServiceError where there is none."""
    newest, oldest = other.get("protocol"), other.get("oldest", other.get("protocol"))
    if not isinstance(newest, int) or not isinstance(oldest, int):
        raise ServiceError("The other side is not Kairos.", "Restart the host, and run kairos doctor.")
    common = min(PROTOCOL, newest)
    if common < max(OLDEST, oldest):
        theirs = other.get("version", "unknown")
        raise ServiceError(
            f"The other side (Kairos {theirs}) speaks protocol {newest}, this one speaks {OLDEST} to {PROTOCOL}.",
            "Use the same Kairos in host and runtime: kairos serve --stop ends the runtime; kairos install updates the "
            "host's plugin.",
        )
    return common


def proof(key: bytes, role: str, client_nonce: str, server_nonce: str) -> str:
    """What only a holder of the key can say (HMAC-SHA256, hexadecimal); each role says something else."""
    return hmac.new(key, f"{role}|{client_nonce}|{server_nonce}".encode(), hashlib.sha256).hexdigest()


def prove_to_server(connection: Connection, key: bytes, version: str) -> int:
    """The client's half of the handshake; answers with the protocol that both speak.

    Raises:
        ServiceError: another protocol, a wrong key on either side, or silence.
        EOFError, OSError: the server is gone.
    """
    greeting = receive(connection, HANDSHAKE_SECONDS)
    if "error" in greeting:
        raise error_from(greeting["error"])
    protocol = common_protocol(greeting)
    theirs, own = str(greeting.get("nonce", "")), secrets.token_hex(16)
    said = proof(key, "client", own, theirs)
    connection.send_bytes(
        encode({"protocol": PROTOCOL, "oldest": OLDEST, "version": version, "nonce": own, "proof": said})
    )
    answer = receive(connection, HANDSHAKE_SECONDS)
    if "error" in answer:
        raise error_from(answer["error"])
    if not _same(answer.get("proof"), proof(key, "server", own, theirs)):
        raise ServiceError("The runtime does not know the key of its own rendezvous file.", "Run kairos serve --stop.")
    return protocol


def prove_to_client(connection: Connection, key: bytes, version: str) -> int:
    """The server's half of the handshake; same answer and errors as :func:`prove_to_server`.

    A client that is refused is told why before the error leaves.
    """
    own = secrets.token_hex(16)
    connection.send_bytes(encode({"protocol": PROTOCOL, "oldest": OLDEST, "version": version, "nonce": own}))
    try:
        answer = receive(connection, HANDSHAKE_SECONDS)
        protocol = common_protocol(answer)
        theirs = str(answer.get("nonce", ""))
        if not _same(answer.get("proof"), proof(key, "client", theirs, own)):
            raise ServiceError("The key is wrong.", "Only the user who runs the runtime may use it; restart the host.")
    except ServiceError as error:
        connection.send_bytes(encode({"error": error_to(error)}))
        raise
    connection.send_bytes(encode({"proof": proof(key, "server", theirs, own)}))
    return protocol


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def error_to(error: KairosError) -> Message:
    """An error as JSON values."""
    return {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}


def error_from(data: object) -> KairosError:
    """The inverse of :func:`error_to`; an unknown kind becomes a plain KairosError."""
    if not isinstance(data, dict):
        return ServiceError("The runtime failed without saying why.", "Run kairos doctor, and look into the log.")
    found: Type[KairosError] = getattr(errors, str(data.get("kind")), KairosError)
    if not (isinstance(found, type) and issubclass(found, KairosError)):
        found = KairosError
    return found(str(data.get("message", "")), str(data.get("remedy", "")))
