"""An engine's own options as people write them: ``NAME=VALUE,NAME=VALUE``."""

from __future__ import annotations

from typing import Dict

from kairos_nodes.errors import BadRequest


def parse_fit(text: str) -> Dict[str, str]:
    """Options by name from ``--fit NAME=VALUE,NAME=VALUE``.

    Raises:
        BadRequest: a piece that is no pair, or an option named twice.
    """
    return _pairs(text, "--fit", "steps=500,omega=20")


def parse_generate(text: str) -> Dict[str, str]:
    """Options by name from ``--generate NAME=VALUE,NAME=VALUE``. Raises BadRequest as :func:`parse_fit` does."""
    return _pairs(text, "--generate", "steps=25,seed=3")


def _pairs(text: str, flag: str, example: str) -> Dict[str, str]:
    options: Dict[str, str] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = (word.strip() for word in piece.partition("="))
        if not name or not value:
            raise BadRequest(f"{flag}: {piece!r} is not NAME=VALUE.", f"Write it like {example}.")
        if name in options:
            raise BadRequest(f"{flag}: {name!r} is named twice.", "Name each option once.")
        options[name] = value
    return options
