"""GIMM as what tells the paths of engines that find their motion themselves (``--motion gimm``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Union

import torch

from kairos.engines.files import file_hash
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.loading import SHIPPED, load_network
from kairos.engines.gimm.motion import GimmMotion
from kairos.engines.stored import DTYPES, network_of, none_yet, record_of, records_of
from kairos.errors import BadRequest, EngineError
from kairos.weights.store import Record

MOTION = "motion"
MEANING = "gimm, or gimm:NAME: the paths between both frames as GIMM tells them, in place of the engine's own"
"""The option of engines that take their paths from here, and what it means."""

CELL = 4
"""Pixels per cell of the grid on which paths are sought: a sixteenth of the time. Kairos' own network learned on it."""


def motion_source(options: Mapping[str, Any]) -> Union[Path, Record, None]:
    """The weights that an engine's options ask for; None where they leave the paths to the engine.

    Without a name those that come with Kairos, else the first that the user has.

    Raises:
        BadRequest: something else that is to tell paths, or weights that are not there.
        EngineError: there are no weights of GIMM.
    """
    told = str(options.get(MOTION) or "own")
    if told == "own":
        return None
    kind, colon, name = told.partition(":")
    if kind != ARCHITECTURE.id or (colon and not name):
        raise BadRequest(f"--motion: there is no {told!r}.", "Use own, gimm or gimm:NAME.")
    if not name and SHIPPED.is_file():
        return SHIPPED
    if not records_of(kind):
        raise EngineError(f"--motion {told} cannot be: {none_yet(kind)}")
    return record_of(kind, name)


def motion_hash(options: Mapping[str, Any]) -> str:
    """SHA-256 of GIMM's weights that an engine's options ask for, told apart from others'; empty where they do not."""
    source = motion_source(options)
    if source is None:
        return ""
    return f"motion:{source.sha256 if isinstance(source, Record) else file_hash(source)}"


def gimm_motion(
    options: Mapping[str, Any], device: torch.device, precision: str = "fp32", cell: int = CELL
) -> Optional[GimmMotion]:
    """What tells the paths; None where the options leave them to the engine.

    Args:
        options: the engine's.
        device: of the flows.
        precision: of the convolutions; coordinates and velocities are always in full precision.
        cell: pixels per cell of the grid, see :class:`kairos.engines.gimm.motion.GimmMotion`.

    Raises:
        BadRequest: an unknown precision.
        KairosError: as :func:`motion_source` says, or the weights are damaged.
    """
    source = motion_source(options)
    if source is None:
        return None
    if precision not in DTYPES:
        raise BadRequest(f"GIMM cannot compute in {precision}.", "Use --precision auto.")
    if isinstance(source, Record):
        return GimmMotion(network_of(source, ARCHITECTURE, device, precision), cell)
    return GimmMotion(load_network(source, device, DTYPES[precision]), cell)
