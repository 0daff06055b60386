"""Convolutions of networks on the CPU with fewer products: 3x3 ones, also to half the size, and 4x4 transposed ones.

See :mod:`kairos.engines.winograd_kernels` and :mod:`kairos.engines.resizing_kernels`. Only where that is quicker:
float32, enough pixels, and enough channels in and out. Everything else, whatever needs a gradient or is being recorded,
and every machine without numba, takes torch's convolution. Both agree but for rounding: about 1e-5 of the greatest
number around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Callable, Dict, Generic, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.fetching import recorded
from kairos.engines.pointwise import Slope
from kairos.motion import fast

_WORTH = 1 << 23
"""Pixels (of a transposed convolution's input, else of the answer) times inputs times outputs from which on it is
quicker."""

_PER_THREAD = 1 << 22
"""Of these, what is worth handing to another thread."""

_LIGHT, _HEAVY = 1 << 22, 5
"""Numbers of packed kernels (16 MB) that are kept whatever the size of the planes, and how many times as many as the
planes have otherwise."""

_A, _B = 0.5**0.5, 2**0.5
_THREE = torch.tensor(
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

_TWO = torch.tensor(
    [[-_B / 3, -1 / 3], [_B / 3, -1 / 3], [_A / 3, 1 / 3], [-_A / 3, 1 / 3], [0, 1]], dtype=torch.float64
)
"""What five numbers two weights become (points A, -A, B, -B and infinity)."""


def _placed(*blocks: Tuple[Sequence[int], Tensor], taps: int) -> Tensor:
    """Numbers that become of a row of so many weights, from those that become of some of them."""
    rows = [torch.zeros(len(each), taps, dtype=torch.float64) for _, each in blocks]
    for row, (places, each) in zip(rows, blocks):
        row[:, list(places)] = each
    return torch.cat(rows)


@dataclass(frozen=True, eq=False)
class Way:
    """A kind of convolution.

    Attributes:
        module, kernel: names of what computes it.
        parts: what numbers a row of weights becomes.
        step: pixels of the input from tile to tile, and ``side``: of the answer.
        cost: products of a tile for an input and an output.
    """

    module: str
    kernel: str
    parts: Tensor
    step: int
    side: int
    cost: int

    @property
    def kernels(self) -> Optional[ModuleType]:
        """None on machines without numba."""
        return fast.compiled(f"kairos.engines.{self.module}")


SAME = Way("winograd_kernels", "convolve_rows", _THREE, 4, 4, 36)
"""A 3x3 convolution with a border of one pixel."""

HALF = Way(
    *("resizing_kernels", "halve_rows"),
    _placed(((0, 2), _TWO), ((1,), torch.ones(1, 1, dtype=torch.float64)), taps=3),
    *(8, 4, 81),
)
"""The same of every other pixel of every other row."""

TWICE = Way(*("resizing_kernels", "enlarge_rows"), _placed(((3, 1), _TWO), ((2, 0), _TWO), taps=4), *(4, 8, 100))
"""A 4x4 transposed convolution to twice the size, the border's pixels taken off."""

_SCRATCH: Dict[str, List[Tuple[object, ...]]] = {}
"""What threads compute in, by kernels' module: as many as have ever computed at once."""

_LEAST = {SAME: (16, 24), HALF: (32, 48), TWICE: (32, 24)}
"""Inputs and outputs from which on each is quicker."""


@dataclass(frozen=True)
class Packed:
    """A convolution as :func:`convolve` wants it: kernels, and bias and slope (outputs,)."""

    way: Way
    kernels: Tensor
    bias: Tensor
    slope: Tensor


Source = Union[Tensor, float, None]
"""What kernels are made of: weights, bias, slope and the like."""

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """What is made of a layer's weights, made anew once what they are made of is another or has been written to.

    Writes to frozen weights through ``.data`` or numpy are not seen: torch does not count them.
    """

    def __init__(self) -> None:
        self._made: Optional[Tuple[List[object], List[object], Made]] = None

    def __reduce__(self) -> Tuple[object, ...]:
        # Copies of a layer have weights of their own, and files need no kernels.
        return Kept, ()

    def of(self, sources: Sequence[Source], make: Callable[[], Made]) -> Made:
        """``make()``, or what it answered for these."""
        state = [_state(each) if isinstance(each, Tensor) else each for each in sources]
        made = self._made
        if made is None or made[0] != state:
            # As long as these are held on to, no other tensor and no other numbers take their places.
            held: List[object] = [(each, each.detach()) for each in sources if isinstance(each, Tensor)]
            made = self._made = (state, held, make())
        return made[2]


def fits(conv: nn.Conv2d, planes: Tensor, slope: Slope = 1.0) -> Optional[Way]:
    """Which way a convolution of these planes (B, some or all of the inputs, H, W) goes; None: torch's."""
    way = _way_of(conv)
    return way if way is not None and worth(way, planes, conv.out_channels, conv.weight, conv.bias, slope) else None


def _way_of(conv: nn.Conv2d) -> Optional[Way]:
    if conv.kernel_size != (3, 3) or conv.padding != (1, 1) or conv.dilation != (1, 1):
        return None
    if conv.groups != 1 or conv.padding_mode != "zeros":
        return None
    return {(1, 1): SAME, (2, 2): HALF}.get((conv.stride[0], conv.stride[1]))


def worth(way: Way, planes: Tensor, outputs: int, weight: Tensor, *others: Source) -> bool:
    """Whether a convolution of planes (B, inputs, H, W), by kernels made of ``weight`` and ``others``, goes so."""
    if recorded() or planes.dim() != 4 or not planes.numel():
        return False
    _, inputs, height, width = planes.shape
    tiles, least = height * width / way.step**2, _LEAST[way]
    if inputs < least[0] or outputs < least[1] or 16 * tiles * inputs * outputs < _WORTH:
        return False
    # Packed kernels are several times as large as the weights: they are not to be what takes the memory.
    if len(way.parts) ** 2 * inputs * outputs > max(_LIGHT, _HEAVY * height * width * (inputs + outputs)):
        return False
    learned = (each.requires_grad for each in (planes, weight, *others) if isinstance(each, Tensor))
    if torch.is_grad_enabled() and any(learned):
        return False
    if not fast.usable(planes.detach(), weight.detach()):
        return False
    kernels = way.kernels
    return kernels is not None and max(inputs, outputs) <= kernels.GREATEST


def split(conv: nn.Conv2d, planes: Tensor) -> Sequence[Tensor]:
    """Planes of more inputs than kernels are made for in even parts, where these go this way; else as they are."""
    way = _way_of(conv)
    parts = [planes] if way is None else even_parts(way, planes)
    return parts if all(fits(conv, part) for part in parts) else [planes]


def even_parts(way: Way, planes: Tensor) -> Sequence[Tensor]:
    """As many parts of the inputs as kernels are made for; all at once where there are no kernels."""
    kernels = None if planes.device.type != "cpu" or recorded() else way.kernels
    return [planes] if kernels is None else planes.chunk(-(-planes.shape[1] // kernels.GREATEST), 1)


def pack(way: Way, weight: Tensor, bias: Optional[Tensor], slope: Slope = 1.0) -> Packed:
    """Weights (outputs, inputs, rows, columns) as :func:`convolve` wants them."""
    kernels = way.kernels
    assert kernels is not None, "only after fits()"
    outputs = weight.shape[0]
    parts = torch.einsum("ia,kcab,jb->ijck", way.parts, weight.detach().double(), way.parts).float()
    # Those that leave the fewest outputs unused.
    sizes = (kernels.BLOCK, kernels.BROAD) if way is SAME else (kernels.BLOCK,)
    block = min(sizes, key=lambda size: -outputs % size)
    filled = F.pad(parts.flatten(0, 1), (0, -outputs % block))
    blocks = filled.reshape(*filled.shape[:2], -1, block)
    added = parts.new_zeros(outputs) if bias is None else bias.detach().float().contiguous()
    slopes = slope.detach() if isinstance(slope, Tensor) else slope
    return Packed(way, blocks.transpose(1, 2).contiguous(), added, torch.ones_like(added) * slopes)


def convolve(planes: Tensor, packed: Packed) -> Tensor:
    """(B, inputs, H, W) to (B, outputs, ...), in the order of memory that convolutions are fastest in."""
    way, kernels = packed.way, packed.way.kernels
    assert kernels is not None, "only after fits()"
    if planes.stride(1) != 1 or planes.stride(3) < planes.shape[1]:
        planes = planes.contiguous(memory_format=torch.channels_last)
    batch, inputs, height, width = planes.shape
    outputs, row, pixel = packed.bias.numel(), planes.stride(2), planes.stride(3)
    down, across = (-(-size // way.step) for size in (height, width))
    out = planes.new_empty(batch, way.side * down, way.side * across, outputs)
    assert inputs == packed.kernels.shape[2], "other planes than it was packed for"
    steps = (row, pixel, height, width, inputs, outputs)
    extent = (height - 1) * row + (width - 1) * pixel + inputs
    bands = min(torch.get_num_threads(), 16 * down * across * inputs * outputs // _PER_THREAD)
    for picture, answer in zip(planes, out):
        lines = (picture.as_strided((extent,), (1,)), packed.kernels, packed.bias, packed.slope, answer)
        rows = partial(_rows, kernels, way.kernel, [each.view(-1).numpy() for each in lines], steps)
        fast.in_parts(rows, down, bands)
    # Of an odd number every other one is a half more.
    wanted = (-(-size * way.side // way.step) for size in (height, width))
    return out.permute(0, 3, 1, 2)[:, :, : next(wanted), : next(wanted)]


def _rows(
    kernels: ModuleType, kernel: str, lines: Sequence[object], steps: Sequence[int], top: int, bottom: int
) -> None:
    kept = _SCRATCH.setdefault(kernels.__name__, [])
    try:
        scratch = kept.pop()
    except IndexError:
        # Zeros: tiles that fill up a group are computed from what lies there, and odd numbers would take longer.
        scratch = tuple(np.zeros(size, np.float32) for size in (kernels.WIDE, kernels.WIDE, kernels.SMALL))
    getattr(kernels, kernel)(*lines, *scratch, *steps, top, bottom)
    kept.append(scratch)


def _state(tensor: Tensor) -> object:
    """What is another once the tensor is another, or has been written to."""
    if tensor.requires_grad or tensor.is_inference():
        # Torch counts neither what fused optimizers write to what learns nor any write to what inference mode made.
        return tensor.detach().numpy().tobytes()
    return id(tensor), tensor.data_ptr(), tensor._version
