"""The explicit list of published networks that Kairos can build."""

from __future__ import annotations

from typing import Tuple

from kairos.engines.amt.architecture import ARCHITECTURE as AMT
from kairos.engines.architecture import Architecture
from kairos.engines.ema.architecture import ARCHITECTURE as EMA
from kairos.engines.film.architecture import ARCHITECTURE as FILM
from kairos.engines.gimm.architecture import ARCHITECTURE as GIMM
from kairos.engines.gimm_vfi.architecture import ARCHITECTURE as GIMM_VFI
from kairos.engines.ifrnet.architecture import ARCHITECTURE as IFRNET
from kairos.engines.raft.architecture import ARCHITECTURE as RAFT
from kairos.engines.rife.architecture import ARCHITECTURE as RIFE

ARCHITECTURES: Tuple[Architecture, ...] = (FILM, RIFE, IFRNET, AMT, EMA, RAFT, GIMM, GIMM_VFI)
"""In the order in which a state dict is tried on them."""
