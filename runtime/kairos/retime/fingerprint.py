"""What a finished frame was made from, in one line: the same fingerprint means the same pixels."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping, Sequence

FORMAT = 1
"""Raise when the same settings begin to give other pixels."""


def settings_digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of everything that is the same for all frames of a job: settings, engine, weights, automatic choices."""
    return _digest({"format": FORMAT, **settings})


def frame_fingerprint(settings: str, request: Sequence[Any], identities: Sequence[str]) -> str:
    """Fingerprint of one frame.

    Args:
        settings: from :func:`settings_digest`.
        request: the frame's own times, as JSON values.
        identities: identity of every source frame that may have had a say in it.
    """
    return _digest({"settings": settings, "request": list(request), "sources": list(identities)})


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
