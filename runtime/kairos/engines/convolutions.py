"""Convolutions as they are quickest on the processor at hand.

Planes are (B, C, H, W). On the CPU a convolution goes by :mod:`kairos.engines.winograd` where that is quicker, and what
follows it is part of it; else torch computes as many outputs as fill the processor's vectors. On a GPU, when
training and when a graph is recorded all is torch's own.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Callable, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines import few, winograd
from kairos.engines.fetching import recorded
from kairos.engines.pointwise import Slope, sloped
from kairos.engines.winograd import SAME, TWICE, Kept, Packed, Way

_VECTOR = 16
"""Numbers that the CPU computes with at once."""

_MKLDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_FUSED: Optional[Callable[..., Tensor]] = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if _MKLDNN else None
"""Of torch's own compiler, and so not promised to stay."""

_ACTIVATIONS = (nn.PReLU, nn.LeakyReLU, nn.ReLU)


class Conv(nn.Conv2d):
    """A convolution. Its state is that of torch's."""

    def forward(self, planes: Tensor, slope: Slope = 1.0) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, h, w); what is less than 0 is multiplied by ``slope``: one for all, or one
        of each output (outputs,).
        """
        way = winograd.fits(self, planes, slope) if planes.shape[-3] == self.in_channels else None
        if way is not None:
            sources = (self.weight, self.bias, slope)
            packed = kept(self).of(sources, lambda: winograd.pack(way, self.weight, self.bias, slope))
            return winograd.convolve(planes, packed)
        if few.fits(self, planes, slope):
            sources = (self.weight, self.bias, slope)
            return few.convolve(planes, kept(self, "few").of(sources, lambda: few.pack(self, slope)))
        if self.padding_mode != "zeros":
            return sloped(super().forward(planes), slope)
        weight, bias, more = self.weight, self.bias, spare(self.out_channels, planes) if self.groups == 1 else 0
        if more:
            weight, bias = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, more)), None if bias is None else F.pad(bias, (0, more))
            slope = F.pad(slope, (0, more)) if isinstance(slope, Tensor) and slope.numel() > 1 else slope
        out = direct(planes, weight, bias, slope, self)
        return out[:, : self.out_channels] if more else out


def direct(planes: Tensor, weight: Tensor, bias: Optional[Tensor], slope: Slope, like: nn.Conv2d) -> Tensor:
    """Torch's own convolution, by other weights, in the manner of a layer; a leaky ReLU goes in the same pass over the
    planes where torch has one for it.
    """
    manner: Any = (like.stride, like.padding, like.dilation, like.groups)
    running = planes.device.type == "cpu" and not (torch.is_grad_enabled() or recorded())
    if not running or _FUSED is None or isinstance(slope, Tensor) or slope == 1.0 or planes.dtype is not torch.float32:
        return sloped(F.conv2d(planes, weight, bias, *manner), slope)
    stride, padding, dilation, groups = manner
    activation: Any = ("leaky_relu", [slope]) if slope else ("relu", [])
    out: Tensor = _FUSED(planes, weight, bias, padding, stride, dilation, groups, *activation, "")
    return out


_TAPS = ((3, 1, None), (None, 2, 0))
"""Of the four taps of a transposed convolution: which one each of three neighbours is multiplied by, for the first and
for the second of the two pixels that a pixel becomes."""

_BLOCK = 32
"""Outputs that :mod:`kairos.engines.winograd` works out together."""

_FEW = 3
"""By how many times the inputs are more than the outputs where a convolution to four times the outputs is quicker."""


class Enlarging(nn.ConvTranspose2d):
    """A transposed convolution to twice the size.

    On the CPU, where :mod:`kairos.engines.winograd` does not take it as it is, one to few outputs is a 3x3 convolution
    to four times as many; for the rest see :func:`spare`.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1)

    def forward(self, planes: Tensor, wanted: Optional[int] = None, slope: Slope = 1.0) -> Tensor:  # type: ignore[override]
        """(B, inputs, H, W) to (B, outputs, 2H, 2W); ``wanted``: of these, so many from the first on; what is less than
        0 is multiplied by ``slope``, see :class:`Conv`.
        """
        wanted = wanted or self.out_channels
        assert self.bias is not None
        sources = (self.weight, self.bias, slope)
        fewer = TWICE.cost * _filled(wanted) < SAME.cost * _filled(4 * wanted)
        parts = winograd.even_parts(TWICE, planes)
        fewer = fewer and planes.shape[-3] == self.in_channels
        if fewer and all(winograd.worth(TWICE, part, wanted, *sources) for part in parts):
            return self._in_parts(parts, wanted, slope)
        if planes.shape[-3] == self.in_channels >= _FEW * wanted and winograd.worth(SAME, planes, 4 * wanted, *sources):
            packed = kept(self, "one", wanted).of(sources, lambda: self._packed_as_one(wanted, slope))
            found = winograd.convolve(planes, packed).permute(0, 2, 3, 1)
            # Of each pixel two rows of two, all outputs of each: the first rows of all pixels come first.
            batch, height, width, _ = found.shape
            found = found.view(batch, height, width, 2, 2 * wanted).transpose(2, 3)
            return found.reshape(batch, 2 * height, 2 * width, wanted).permute(0, 3, 1, 2)
        weight, bias = self.weight[:, :wanted], self.bias[:wanted]
        more = spare(wanted, planes)
        if more:
            weight, bias = F.pad(weight, (0, 0, 0, 0, 0, more)), F.pad(bias, (0, more))
        return sloped(F.conv_transpose2d(planes, weight, bias, 2, 1)[:, :wanted], slope)

    def convolution(self, wanted: int) -> Tuple[Tensor, Tensor]:
        """A convolution that answers the same: weights (2, 2, wanted, inputs, 3, 3) and bias (2, 2, wanted), of the two
        rows of two pixels that a pixel becomes.
        """
        assert self.bias is not None
        weight = self.weight.detach().transpose(0, 1)[:wanted]
        out = weight.new_zeros(2, 2, wanted, self.in_channels, 3, 3)
        for row, rows in enumerate(_TAPS):
            for column, columns in enumerate(_TAPS):
                for y, x in product(range(3), repeat=2):
                    down, across = rows[y], columns[x]
                    if down is not None and across is not None:
                        out[row, column, :, :, y, x] = weight[:, :, down, across]
        return out, self.bias.detach()[:wanted].expand(2, 2, -1)

    def _in_parts(self, parts: Sequence[Tensor], wanted: int, slope: Slope) -> Tensor:
        """The sum of what parts of the inputs become."""
        assert self.bias is not None
        own = slope if len(parts) == 1 else 1.0
        out: Optional[Tensor] = None
        start = 0
        for number, part in enumerate(parts):
            weight = self.weight[start : start + part.shape[1], :wanted].transpose(0, 1)
            bias = self.bias[:wanted] if out is None else None

            def packed(weight: Tensor = weight, bias: Optional[Tensor] = bias) -> Packed:
                return winograd.pack(TWICE, weight, bias, own)

            found = winograd.convolve(part, kept(self, wanted, number).of((self.weight, self.bias, own), packed))
            out = found if out is None else out.add_(found)
            start += part.shape[1]
        assert out is not None
        return out if own is slope else sloped(out, slope)

    def _packed_as_one(self, wanted: int, slope: Slope) -> Packed:
        weight, bias = self.convolution(wanted)
        each = slope.detach().expand(wanted).repeat(4) if isinstance(slope, Tensor) else slope
        return winograd.pack(SAME, weight.flatten(0, 2), bias.flatten(), each)


def _filled(outputs: int) -> int:
    """Outputs that are worked out where so many are wanted."""
    return -(-outputs // _BLOCK) * _BLOCK


class Linear(nn.Linear):
    """A linear layer. Its state is that of torch's.

    On the CPU a convolution of single pixels answers the same in half to three quarters of the time.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        plain = tokens.device.type != "cpu" or tokens.dtype is not torch.float32 or not tokens.numel()
        if plain or recorded() or torch.is_grad_enabled():
            return super().forward(tokens)
        pixels = tokens.reshape(1, -1, 1, self.in_features).permute(0, 3, 1, 2)
        found = F.conv2d(pixels, self.weight[:, :, None, None], self.bias)
        return found.permute(0, 2, 3, 1).reshape(*tokens.shape[:-1], self.out_features)


class Layers(nn.Sequential):
    """Layers in turn; a PReLU, leaky ReLU or ReLU is part of the :class:`Conv` or :class:`Enlarging` before it."""

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to what the last layer answers."""
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            if isinstance(layer, (Conv, Enlarging)) and layers and isinstance(layers[0], _ACTIVATIONS):
                planes = layer(planes, slope=_slope_of(layers.pop(0)))
            else:
                planes = layer(planes)
        return planes


def _slope_of(activation: nn.Module) -> Slope:
    if isinstance(activation, nn.PReLU):
        return activation.weight
    return activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0


def convolved(conv: nn.Conv2d, parts: Sequence[Tensor], slope: Slope = 1.0) -> Tensor:
    """A convolution of planes side by side, without putting them there.

    On the CPU that saves more time and memory than the single convolutions cost; they want the order of memory that
    the weights have.
    """
    out: Optional[Tensor] = None
    start = 0
    pieces = [piece for part in parts for piece in winograd.split(conv, part)]
    for number, part in enumerate(pieces):
        inputs = slice(start, start + part.shape[1])
        bias = conv.bias if out is None else None
        way = winograd.fits(conv, part)
        if way is not None:

            def packed(inputs: slice = inputs, bias: Optional[Tensor] = bias, way: Way = way) -> Packed:
                return winograd.pack(way, conv.weight[:, inputs], bias)

            sources = (conv.weight, bias, inputs.start, inputs.stop)
            found = winograd.convolve(part, kept(conv, number).of(sources, packed))
        else:
            planes = part.contiguous(memory_format=torch.channels_last)
            found = F.conv2d(planes, conv.weight[:, inputs], bias, conv.stride, conv.padding)
        writable = out is not None and not (recorded() or out.requires_grad)
        out = found if out is None else out.add_(found) if writable else out + found
        start = inputs.stop
    assert out is not None
    return sloped(out, slope)


def kept(layer: nn.Module, *which: object) -> Kept[Any]:
    """Where a layer keeps what is packed of it, or of a part of it; no part of its state."""
    every = layer.__dict__.setdefault("_kept", {})
    found: Kept[Any] = every.setdefault(which, Kept())
    return found


def spare(outputs: int, planes: Tensor) -> int:
    """How many outputs more are best computed by torch on the CPU, and left alone.

    Its vectors take 16 at once. Where the outputs do not fill them, it takes up to half as long again.
    """
    if planes.device.type != "cpu" or recorded() or torch.is_grad_enabled() or outputs < _VECTOR:
        return 0
    return -outputs % _VECTOR
