"""A marked block in a script of the user's: put in and taken out to the byte."""

from __future__ import annotations

import re
from typing import Optional, Sequence, Tuple

from kairos_nodes.errors import KairosError

BEGIN = b"# >>> Kairos: written and removed by 'kairos install' >>>"
END = b"# <<< Kairos <<<"

_JOINED = b"# (the line above had no end)"
_LINE_END = re.compile(rb"\r\n|\n|\r")


def put(text: bytes, lines: Sequence[str]) -> bytes:
    """The script with the block: in the old one's place, else at its end. The rest stays as it is.

    Args:
        text: the script as it is on disk.
        lines: the block's own, in ASCII.

    Raises:
        KairosError: a block was begun and not ended, which only a hand can mend.
    """
    found = _find(text)
    end = _line_end(text if found is None else text[: found[0]])
    if found is not None:
        before, after = text[: found[0]], text[found[1] :]
        # What stood there when the block came stays said: whether the line before it had an end.
        joined = _JOINED in text[found[0] : found[1]].splitlines()
        end = _line_end(text[found[0] : found[1]])
    else:
        before, after = text, b""
        joined = bool(text) and not text.endswith((b"\n", b"\r"))
        before += end if joined else b""
    body = [line.encode("ascii") for line in lines]
    block = end.join([BEGIN, *([_JOINED] if joined else []), *body, END]) + end
    return before + block + after


def take(text: bytes) -> bytes:
    """The script without the block, to the byte as it was before; the same text where it holds none.

    Raises:
        KairosError: see :func:`put`.
    """
    found = _find(text)
    if found is None:
        return text
    before, block, after = text[: found[0]], text[found[0] : found[1]], text[found[1] :]
    # The line end that was added before the block goes too, unless lines came after it since.
    if _JOINED in block.splitlines() and not after:
        before = before[: -len(_line_end(block))]
    return before + after


def inside(text: bytes) -> Optional[str]:
    """The block's own lines; None where there is no block. Raises KairosError, see :func:`put`."""
    found = _find(text)
    return None if found is None else text[found[0] : found[1]].decode("ascii", "replace")


def _find(text: bytes) -> Optional[Tuple[int, int]]:
    """Where the block begins and ends, its last line's end included."""
    begins = re.search(rb"(?:^|(?<=[\r\n]))" + re.escape(BEGIN) + rb"(?=[\r\n]|$)", text)
    if begins is None:
        return None
    ends = re.compile(rb"[\r\n]" + re.escape(END) + rb"(?:\r\n|\n|\r|$)").search(text, begins.end())
    if ends is None:
        raise KairosError(
            "Kairos' block begins and does not end.",
            f"Remove it by hand: from the line {BEGIN.decode()} on, what belongs to Kairos.",
        )
    return begins.start(), ends.end()


def _line_end(text: bytes) -> bytes:
    found = _LINE_END.search(text)
    return b"\n" if found is None else found[0]
