"""Downloads that go on where they were broken off, and are used only when they are whole and what they should be."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

from kairos.errors import KairosError
from kairos.weights.catalogue import Place
from kairos.weights.containers import file_sha256
from kairos.weights.store import written_whole

Progress = Callable[[int, Optional[int]], None]
"""Told bytes here and bytes in all (None where the server does not say)."""

TIMEOUT = 30.0
"""Seconds without an answer after which the network counts as absent."""

MOST_BYTES = 1 << 33
"""The largest published checkpoint, RAM's, has two thirds of this."""

_CHUNK = 1 << 18
_AGENT = "kairos-weights"


@dataclass(frozen=True)
class _Answer:
    """What a server says before the file itself: where its part begins, the whole's length, and which version it is."""

    start: int
    total: Optional[int]
    version: str


def download(place: Place, folder: Path, progress: Progress) -> Path:
    """The published file, in ``folder``.

    What an earlier attempt brought is kept and gone on from, as long as the server still has the same version.

    Args:
        place: with an address.
        folder: of downloads; made where it is missing.
        progress: told of every piece.

    Raises:
        KairosError: there is no network, the server has not got the file, the disk is full, or the file is not the one
            that is known. The message says how to come by it otherwise.
    """
    if not place.url:
        raise KairosError(f"{place.name} can only be got from its authors' page.", place.by_hand())
    whole, part = folder / place.file, folder / f"{place.file}.part"
    if whole.is_file() and _is_right(whole, place):
        return whole
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(place, part, progress)
        digest = file_sha256(part)
        if not digest.startswith(place.sha256):
            _forget(part)
            raise KairosError(
                f"{place.url} sent another file than the official one (SHA-256 {digest[:16]}).", place.by_hand()
            )
        part.replace(whole)
        _note(part).unlink(missing_ok=True)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise KairosError(f"{place.url} cannot be reached ({_reason(error)}).", place.by_hand()) from error
    except OSError as error:
        raise KairosError(
            f"{folder} cannot be written: {error.strerror or error}.", "Check the folder's permissions and the disk."
        ) from error
    return whole


def _is_right(path: Path, place: Place) -> bool:
    return bool(place.sha256) and file_sha256(path).startswith(place.sha256)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _fetch(place: Place, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.is_file() else 0
    version = _version(part)
    with _opened(place.url, have if version else 0, version) as (response, answer):
        if answer.start == 0:
            _remember(part, answer.version)
        done = answer.start
        with part.open("r+b" if answer.start else "wb") as file:
            file.seek(answer.start)
            file.truncate()
            progress(done, answer.total)
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > min(MOST_BYTES, answer.total if answer.total is not None else MOST_BYTES):
                    raise http.client.HTTPException("it sends more than it announced")
                file.write(chunk)
                progress(done, answer.total)
    if answer.total is not None and done < answer.total:
        raise http.client.HTTPException(f"broken off after {done} of {answer.total} bytes; fetch again to go on")


@contextlib.contextmanager
def _opened(url: str, have: int, version: str) -> Iterator[tuple[Any, _Answer]]:
    """The server's answer to a request for the bytes from ``have`` on, or for all of them where it has others now."""
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if have:
        headers.update({"Range": f"bytes={have}-", "If-Range": version})
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        # 416: the server has no byte from there on, so what is here is another version or whole already.
        if error.code != 416 or not have:
            raise
        request = urllib.request.Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    with response:
        start, total = 0, _number(response.headers.get("Content-Length"))
        if response.status == 206:
            start, total = _range(response.headers.get("Content-Range", ""), have)
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        # A weak tag does not promise the same bytes.
        yield response, _Answer(start, total, "" if tag.startswith("W/") else tag)


def _range(header: str, have: int) -> tuple[int, Optional[int]]:
    """First byte and whole length of ``bytes 5-9/10``."""
    unit, _, rest = header.partition(" ")
    span, _, total = rest.partition("/")
    start = _number(span.partition("-")[0])
    if unit != "bytes" or start != have:
        raise http.client.HTTPException("it sends another part than it was asked for")
    return have, _number(total)


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isdecimal() else None


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _version(part: Path) -> str:
    """Which version of the file the part is of; empty where that is unknown."""
    try:
        told: Dict[str, str] = json.loads(_note(part).read_text(encoding="utf-8"))
        return str(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remember(part: Path, version: str) -> None:
    with written_whole(_note(part)) as temporary:
        temporary.write_text(json.dumps({"version": version}), encoding="utf-8")


def _forget(part: Path) -> None:
    for path in (part, _note(part)):
        path.unlink(missing_ok=True)
