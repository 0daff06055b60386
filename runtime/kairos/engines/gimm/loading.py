"""The weights of GIMM that come with Kairos: its own, beside this file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from kairos.engines.architecture import shapes_of
from kairos.engines.files import file_hash, mismatch, read_tensors
from kairos.engines.gimm.anchored import Anchored
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.motion import Network
from kairos.engines.gimm.network import GIMM
from kairos.errors import BadRequest

SHIPPED = Path(__file__).parent / "weights" / "gimm.safetensors"

_REMEDY = "Install Kairos again, or give weights that kairos weights list shows: --motion gimm:NAME."


def load_network(path: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Network:
    """The network with weights from a file, for use. Loaded once, and again when the file has become another.

    Raises:
        BadRequest: the file is missing, damaged, or holds another network's weights.
    """
    if not path.is_file():
        raise BadRequest(f"There are no weights {path}.", _REMEDY)
    return _network(path, file_hash(path), device, dtype)


@lru_cache(maxsize=2)
def _network(path: Path, digest: str, device: torch.device, dtype: torch.dtype) -> Network:
    tensors = ARCHITECTURE.spelled(read_tensors(path, _REMEDY))
    values = ARCHITECTURE.recognise(shapes_of(tensors))
    network = None if values is None else ARCHITECTURE.build(values)
    if not isinstance(network, (GIMM, Anchored)):
        raise BadRequest(f"{path} does not hold weights of GIMM.", _REMEDY)
    problem = mismatch(network.state_dict(), tensors)
    if problem:
        raise BadRequest(f"{path} does not hold weights of GIMM: {problem}.", _REMEDY)
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return network.to(device, dtype)
