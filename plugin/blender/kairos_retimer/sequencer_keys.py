# SPDX-License-Identifier: GPL-3.0-or-later
"""A strip's retiming keys. Blender's Python tells where on the timeline they lie, but not what they show.

That is read from Blender's memory of the key, and only where everything there agrees with what Python tells: Blender up
to 4.5 and from 5.0 on keep it at different places.
"""

from __future__ import annotations

import ctypes
import struct
from fractions import Fraction
from typing import Any, List, Optional, Sequence, Tuple

from kairos_nodes.errors import BadRequest

from .strips import RetimingKey

TRANSITION = 1
"""Flag of a key at which a change of speed begins."""

_READ = 24
"""Bytes of a key that are looked at; it has 40 in every Blender."""

_LAYOUTS = ("<di4xf4x", "<dif8x")
"""Position, flags and factor of a key: up to 4.5, and from 5.0 on."""

_NEAR = 1e-3


def retiming_keys(strip: Any, start: float) -> Tuple[RetimingKey, ...]:
    """A strip's retiming keys, empty where it has none. ``start`` is the timeline frame that they count from.

    Raises:
        BadRequest: this Blender keeps them in another way.
    """
    keys = list(getattr(strip, "retiming_keys", ()))
    if len(keys) < 2:
        return ()
    raw = [ctypes.string_at(key.as_pointer(), _READ) for key in keys]
    positions = [key.timeline_frame - start for key in keys]
    found = decoded(raw, positions)
    if found is None:
        raise BadRequest(
            f"{strip.name}: its retiming keys cannot be read in this version of Blender.",
            "Choose the speed in the panel, or use a Speed effect.",
        )
    return found


def decoded(raw: Sequence[bytes], positions: Sequence[float]) -> Optional[Tuple[RetimingKey, ...]]:
    """Keys from their bytes; None where no known layout fits.

    Args:
        raw: the first bytes of every key.
        positions: where Blender says that they lie, counted from the strip's start, to the nearest frame.
    """
    for layout in _LAYOUTS:
        rows = [struct.unpack(layout, one) for one in raw]
        if _plausible(rows, positions):
            return tuple(
                RetimingKey(_exact(index), _exact(factor), bool(flags & TRANSITION)) for index, flags, factor in rows
            )
    return None


def _plausible(rows: Sequence[Tuple[float, int, float]], positions: Sequence[float]) -> bool:
    """Whether keys ascend, lie where Blender says, and go from the first source frame to the last."""
    indices = [row[0] for row in rows]
    factors: List[float] = [row[2] for row in rows]
    near = all(abs(index - position) < 1 for index, position in zip(indices, positions))
    ascend = all(a < b for a, b in zip(indices, indices[1:]))
    inside = all(-_NEAR <= factor <= 1 + _NEAR for factor in factors)
    return near and ascend and inside and abs(factors[0]) < _NEAR and abs(factors[-1] - 1) < _NEAR


def _exact(value: float) -> Fraction:
    """The simple fraction that was meant: factors are kept in single precision, as 4 / 11."""
    simple = Fraction(value).limit_denominator(100_000)
    return simple if abs(float(simple) - value) < 1e-7 else Fraction(value)
