"""The explicit list of published networks that Kairos can build."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from kairos.engines.amt.architecture import ARCHITECTURE as AMT
from kairos.engines.architecture import Architecture
from kairos.engines.ema.architecture import ARCHITECTURE as EMA
from kairos.engines.film.architecture import ARCHITECTURE as FILM
from kairos.engines.gimm.architecture import ARCHITECTURE as GIMM
from kairos.engines.gimm_vfi.architecture import ARCHITECTURE as GIMM_VFI
from kairos.engines.hierarchical.architecture import ARCHITECTURE as HIERARCHICAL
from kairos.engines.hierarchical.masks.ram_checkpoint import ARCHITECTURE as RAM
from kairos.engines.ifrnet.architecture import ARCHITECTURE as IFRNET
from kairos.engines.raft.architecture import ARCHITECTURE as RAFT
from kairos.engines.rife.architecture import ARCHITECTURE as RIFE
from kairos.errors import BadRequest

ARCHITECTURES: Tuple[Architecture, ...] = (FILM, RIFE, IFRNET, AMT, EMA, RAFT, GIMM, GIMM_VFI, HIERARCHICAL, RAM)
"""In the order in which a state dict is tried on them."""


def variant(name: str) -> Tuple[Architecture, Mapping[str, Any]]:
    """The network of a published size or version, and its hyper-parameters. Raises BadRequest for an unknown name."""
    for architecture in ARCHITECTURES:
        if name in architecture.variants:
            return architecture, architecture.variants[name]
    known = ", ".join(name for architecture in ARCHITECTURES for name in architecture.variants)
    raise BadRequest(f"There is no published network {name!r}.", f"Choose of {known}.")
