"""3x3 convolutions of networks on the CPU, with a quarter of the products; see :mod:`kairos.engines.winograd_kernels`.

Only where that is quicker: float32, enough pixels, and enough channels in and out. Everything else, whatever needs a
gradient or is being recorded, and every machine without numba, takes torch's convolution. Both agree but for rounding:
about 1e-5 of the greatest number around.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.fetching import recorded
from kairos.motion import fast

_LEAST_INPUTS, _LEAST_OUTPUTS = 16, 24
_WORTH = 1 << 23
"""Products (pixels times inputs times outputs, of one of the nine taps) from which on it is quicker."""

_PER_THREAD = 1 << 22
"""Of these, what is worth handing to another thread."""

_LIGHT = 1 << 22
"""Numbers of packed kernels (16 MB) that are kept whatever the size of the planes."""

_A, _B = 0.5**0.5, 2**0.5
_PARTS = torch.tensor(
    [
        [1, 0, 0],
        [-2 / 3, -2 / 3 * _A, -1 / 3],
        [-2 / 3, 2 / 3 * _A, -1 / 3],
        [1 / 6, 1 / 6 * _B, 1 / 3],
        [1 / 6, -1 / 6 * _B, 1 / 3],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
"""What six numbers a row of three weights becomes (points 0, A, -A, B, -B and infinity)."""

Slope = Union[float, Tensor]
"""What numbers below 0 are multiplied by: all, or of each output (outputs,)."""


@dataclass(frozen=True)
class Packed:
    """A convolution as :func:`convolve` wants it: kernels, and bias and slope (outputs,)."""

    kernels: Tensor
    bias: Tensor
    slope: Tensor


Source = Union[Tensor, float, None]
"""What kernels are made of: weights, bias, slope and the like."""


class Kept:
    """Packed kernels of a layer, made anew once what they are made of is another or has been written to.

    Writes to frozen weights through ``.data`` or numpy are not seen: torch does not count them.
    """

    def __init__(self) -> None:
        self._made: Optional[Tuple[List[object], List[object], Packed]] = None

    def __reduce__(self) -> Tuple[object, ...]:
        # Copies of a layer have weights of their own, and files need no kernels.
        return Kept, ()

    def of(self, sources: Sequence[Source], make: Callable[[], Packed]) -> Packed:
        """``make()``, or what it answered for these."""
        state = [_state(each) if isinstance(each, Tensor) else each for each in sources]
        made = self._made
        if made is None or made[0] != state:
            # As long as these are held on to, no other tensor and no other numbers take their places.
            held: List[object] = [(each, each.detach()) for each in sources if isinstance(each, Tensor)]
            made = self._made = (state, held, make())
        return made[2]


def fits(conv: nn.Conv2d, planes: Tensor, slope: Slope = 1.0) -> bool:
    """Whether a convolution of these planes (B, some or all of the inputs, H, W) goes this way."""
    if conv.kernel_size != (3, 3) or conv.stride != (1, 1) or conv.padding != (1, 1) or conv.dilation != (1, 1):
        return False
    if conv.groups != 1 or conv.padding_mode != "zeros":
        return False
    return worth(planes, conv.out_channels, conv.weight, conv.bias, slope)


def worth(planes: Tensor, outputs: int, weight: Tensor, *others: Source) -> bool:
    """Whether a 3x3 convolution of planes (B, inputs, H, W), by kernels made of ``weight`` and ``others``, goes this
    way.
    """
    if recorded() or planes.dim() != 4 or not planes.numel():
        return False
    _, inputs, height, width = planes.shape
    if inputs < _LEAST_INPUTS or outputs < _LEAST_OUTPUTS or height * width * inputs * outputs < _WORTH:
        return False
    # Packed kernels are four times as large as the weights: they are not to be what takes the memory.
    if 36 * inputs * outputs > max(_LIGHT, height * width * (inputs + outputs)):
        return False
    learned = (each.requires_grad for each in (planes, weight, *others) if isinstance(each, Tensor))
    if torch.is_grad_enabled() and any(learned):
        return False
    if not fast.usable(planes.detach(), weight.detach()):
        return False
    kernels = _kernels()
    return kernels is not None and max(inputs, outputs) <= kernels.GREATEST


def split(conv: nn.Conv2d, planes: Tensor) -> Sequence[Tensor]:
    """Planes of more inputs than kernels are made for in even parts, where these go this way; else as they are."""
    kernels = None if planes.device.type != "cpu" or recorded() else _kernels()
    if kernels is None or planes.shape[1] <= kernels.GREATEST:
        return [planes]
    parts = planes.chunk(-(-planes.shape[1] // kernels.GREATEST), 1)
    return parts if all(fits(conv, part) for part in parts) else [planes]


def pack(weight: Tensor, bias: Optional[Tensor], slope: Slope = 1.0) -> Packed:
    """Weights (outputs, inputs, 3, 3) as :func:`convolve` wants them."""
    kernels = _kernels()
    assert kernels is not None, "only after fits()"
    outputs, inputs = weight.shape[:2]
    weight = weight.detach()
    parts = torch.einsum("ia,kcab,jb->ijck", _PARTS, weight.double(), _PARTS).float().reshape(36, inputs, outputs)
    blocks = F.pad(parts, (0, -outputs % kernels.BLOCK)).view(36, inputs, -1, kernels.BLOCK)
    added = torch.zeros(outputs) if bias is None else bias.detach().float().contiguous()
    slopes = slope.detach() if isinstance(slope, Tensor) else slope
    return Packed(blocks.transpose(1, 2).contiguous(), added, torch.ones(outputs) * slopes)


def convolve(planes: Tensor, packed: Packed) -> Tensor:
    """(B, inputs, H, W) to (B, outputs, H, W), in the order of memory that convolutions are fastest in."""
    kernels = _kernels()
    assert kernels is not None, "only after fits()"
    if planes.stride(1) != 1 or planes.stride(3) < planes.shape[1]:
        planes = planes.contiguous(memory_format=torch.channels_last)
    batch, inputs, height, width = planes.shape
    outputs, row, pixel = packed.bias.numel(), planes.stride(2), planes.stride(3)
    down, across = (height + 3) // 4, (width + 3) // 4
    out = torch.empty(batch, 4 * down, 4 * across, outputs)
    steps = (row, pixel, height, width, inputs, outputs)
    extent = (height - 1) * row + (width - 1) * pixel + inputs
    bands = min(torch.get_num_threads(), height * width * inputs * outputs // _PER_THREAD)
    for picture, answer in zip(planes, out):
        lines = (picture.as_strided((extent,), (1,)), packed.kernels, packed.bias, packed.slope, answer)
        rows = partial(_rows, kernels, [each.view(-1).numpy() for each in lines], steps)
        fast.in_parts(rows, down, bands)
    return out.permute(0, 3, 1, 2)[:, :, :height, :width]


def _rows(kernels: ModuleType, lines: Sequence[object], steps: Sequence[int], top: int, bottom: int) -> None:
    kernels.convolve_rows(*lines, *_scratch(kernels), *steps, top, bottom)


def _state(tensor: Tensor) -> object:
    """What is another once the tensor is another, or has been written to."""
    if tensor.requires_grad or tensor.is_inference():
        # Torch counts neither what fused optimizers write to what learns nor any write to what inference mode made.
        return tensor.detach().numpy().tobytes()
    return id(tensor), tensor.data_ptr(), tensor._version


class _Own(threading.local):
    """What a thread computes in."""

    scratch: Optional[Tuple[object, ...]] = None


_own = _Own()


def _scratch(kernels: ModuleType) -> Tuple[object, ...]:
    if _own.scratch is None:
        # Zeros: tiles that fill up a group are computed from what lies there, and odd numbers would take longer.
        _own.scratch = tuple(torch.zeros(size).numpy() for size in (kernels.WIDE, kernels.WIDE, kernels.SMALL))
    return _own.scratch


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.winograd_kernels")
