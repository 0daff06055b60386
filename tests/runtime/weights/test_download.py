"""Downloads go on where they broke off, and only the right file is ever used: against a real server on this machine."""

from __future__ import annotations

import hashlib
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

from kairos.errors import BadRequest, KairosError
from kairos.weights.catalogue import CATALOGUE, Place, place
from kairos.weights.download import download

DATA = bytes(range(256)) * 4096
"""A mebibyte."""


@dataclass
class Site:
    """What the server has and how it behaves.

    Attributes:
        data, tag: the file and its version.
        cut: bytes after which the next answer breaks off.
        ranges: it can send parts.
        length: it says how long the file is.
        status: of every answer, in place of the file.
        asked: ``Range`` headers received.
    """

    data: bytes = DATA
    tag: Optional[str] = '"one"'
    cut: Optional[int] = None
    ranges: bool = True
    length: bool = True
    status: int = 200
    asked: List[Optional[str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    """Serves one file as its site says."""

    site: Site

    def do_GET(self) -> None:
        site, wanted = self.site, self.headers.get("Range")
        site.asked.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") == site.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(site.data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if site.tag:
            self.send_header("ETag", site.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.data) - 1}/{len(site.data)}")
        if site.length:
            self.send_header("Content-Length", str(len(site.data) - start))
        self.end_headers()
        cut, site.cut = site.cut, None
        self.wfile.write(site.data[start:] if cut is None else site.data[start : start + cut])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A site on this machine."""
    made = Site()
    handler = type("Bound", (Handler,), {"site": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/net.pth"
        yield made
        server.shutdown()


def at(site: Site, sha256: str = hashlib.sha256(DATA).hexdigest()) -> Place:
    """The site as a place of weights."""
    return Place("net", "small", "net.pth", site.url, "https://example.org/net", sha256)


def quiet(done: int, total: Optional[int]) -> None:
    """Listens to no progress."""


def test_a_file_comes_whole_and_progress_is_told(site: Site, tmp_path: Path) -> None:
    told: List[tuple[int, Optional[int]]] = []
    path = download(at(site), tmp_path / "downloads", lambda done, total: told.append((done, total)))
    assert path.read_bytes() == DATA and sorted(p.name for p in path.parent.iterdir()) == ["net.pth"]
    assert told[-1] == (len(DATA), len(DATA))
    download(at(site), tmp_path / "downloads", quiet)
    assert len(site.asked) == 1, "what is here and right is not fetched again"


def test_a_broken_off_download_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.cut = 300_000
    with pytest.raises(KairosError, match=r"broken off after \d+ of 1048576 bytes"):
        download(at(site), tmp_path, quiet)
    have = (tmp_path / "net.pth.part").stat().st_size
    assert 0 < have < len(DATA) and not (tmp_path / "net.pth").exists()
    assert download(at(site), tmp_path, quiet).read_bytes() == DATA
    assert site.asked == [None, f"bytes={have}-"]


@pytest.mark.parametrize("change", ["version", "no-version", "no-ranges"])
def test_where_going_on_is_not_safe_it_begins_again(change: str, site: Site, tmp_path: Path) -> None:
    site.cut = 300_000
    if change == "no-version":
        site.tag = None
    with pytest.raises(KairosError, match="broken off"):
        download(at(site, ""), tmp_path, quiet)
    if change == "version":
        site.tag, site.data = '"two"', DATA[::-1]
    site.ranges = change != "no-ranges"
    assert download(at(site, ""), tmp_path, quiet).read_bytes() == site.data


def test_a_file_that_shrank_at_the_server_is_fetched_from_its_beginning(site: Site, tmp_path: Path) -> None:
    site.cut = 900_000
    with pytest.raises(KairosError):
        download(at(site, ""), tmp_path, quiet)
    site.data = DATA[:1000]
    assert download(at(site, ""), tmp_path, quiet).read_bytes() == site.data


def test_another_file_than_the_known_one_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.data = b"<html>please log in</html>"
    with pytest.raises(
        KairosError, match=r"another file than the official one.*kairos weights add net\.pth --name net"
    ) as error:
        download(at(site), tmp_path, quiet)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_the_first_digits_of_a_hash_are_enough(site: Site, tmp_path: Path) -> None:
    assert download(at(site, hashlib.sha256(DATA).hexdigest()[:8]), tmp_path, quiet).read_bytes() == DATA


def test_a_server_that_does_not_say_the_length_is_read_to_its_end(site: Site, tmp_path: Path) -> None:
    site.length = False
    assert download(at(site), tmp_path, quiet).read_bytes() == DATA


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_server_without_the_file_is_told_in_one_line(status: int, site: Site, tmp_path: Path) -> None:
    site.status = status
    with pytest.raises(KairosError, match=f"answered {status}.*Download.*kairos weights add") as error:
        download(at(site), tmp_path, quiet)
    assert "\n" not in str(error.value)


def test_without_a_network_one_line_says_what_to_do_by_hand(site: Site, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        site.url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.pth"
        with pytest.raises(KairosError) as error:
            download(at(site), tmp_path, quiet)
    text = str(error.value)
    assert "cannot be reached" in text and site.url in text and "kairos weights add net.pth --name net" in text
    assert "\n" not in text
    with pytest.raises(KairosError, match="cannot be reached"):
        download(Place("net", "small", "net.pth", "https://host.invalid/net.pth", ""), tmp_path, quiet)


def test_what_only_a_page_leads_to_is_told_with_the_page() -> None:
    by_hand = [each for each in CATALOGUE if not each.url]
    assert by_hand
    for each in by_hand:
        with pytest.raises(KairosError, match="authors' page") as error:
            download(each, Path("nowhere"), quiet)
        assert each.page in str(error.value) and f"--name {each.name}" in str(error.value)


def test_the_catalogue_names_every_place_once_and_over_secure_connections() -> None:
    names = [each.name for each in CATALOGUE]
    assert len(set(names)) == len(names)
    for each in CATALOGUE:
        assert each.page.startswith("https://") and (not each.url or each.url == f"https://{each.url[8:]}")
        assert not each.sha256 or (len(each.sha256) in (8, 64) and int(each.sha256, 16) >= 0)
        assert place(each.name) is each
    with pytest.raises(BadRequest, match=r"rife-9.*rife-4\.25"):
        place("rife-9")
