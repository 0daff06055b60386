"""The attention between two frames, by windows, that tells motion and appearance at once (EMA-VFI).

Maps are (B, h, w, C) here, channels last; along the batch come first all frames 0, then all frames 1.
"""

from __future__ import annotations

from functools import partial
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import dtype_of
from kairos.engines.convolutions import Conv, Layers, Linear
from kairos.engines.fetching import counted
from kairos.engines.tiles import Part, cells, in_tiles

WINDOW = 7
SHIFT = 3
HEAD = 32
"""Channels of a head."""

_HALO = 4
"""Cells around that the convolutions of a stage depend on: three."""

_APART = -100.0
"""Added to the likeness of tokens that do not belong together."""


class Attention(nn.Module):
    """Every token of a window asks the same window of the other frame."""

    def __init__(self, width: int, motion: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.q, self.kv = Linear(width, width), Linear(width, 2 * width)
        self.cor_embed = Linear(2, motion)
        self.proj, self.motion_proj = Linear(width, width), Linear(motion, motion)

    def forward(self, tokens: Tensor, places: Tensor, apart: Tensor) -> Tuple[Tensor, Tensor]:
        """What is found and where.

        Args:
            tokens: (B * windows, 49, C), normalised.
            places: (windows, 49, 2) float32, where the tokens lie, -1 to 1.
            apart: (windows, 49, 49) float32, added to the likeness.

        Returns:
            Appearance (B * windows, 49, C) and motion (B * windows, 49, M).
        """
        windows = places.shape[0]
        one, two = tokens.reshape(2, -1, *tokens.shape[1:])
        other = torch.cat([two, one])
        asked = self._heads(self.q(tokens))
        keys, values = (self._heads(part) for part in self.kv(other).chunk(2, -1))
        likeness = (asked * HEAD**-0.5) @ keys.transpose(-2, -1)
        likeness = likeness.reshape(-1, windows, *likeness.shape[1:]) + apart[:, None].to(likeness.dtype)
        share = torch.softmax(likeness.flatten(0, 1), -1)
        appearance: Tensor = self.proj((share @ values).transpose(1, 2).flatten(2))
        # A small difference of places: in float32, as all places are.
        where = F.linear(places, self.cor_embed.weight.float(), self.cor_embed.bias.float())
        known = self._heads(where.repeat(tokens.shape[0] // windows, 1, 1))
        moved = (share.float() @ known - known).transpose(1, 2).flatten(2)
        motion: Tensor = self.motion_proj(moved.to(tokens.dtype))
        return appearance, motion

    def _heads(self, planes: Tensor) -> Tensor:
        return planes.reshape(*planes.shape[:2], self.heads, -1).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers and a convolution per channel between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = Linear(width, 4 * width), Linear(4 * width, width)
        self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(4 * width, 4 * width, 3, 1, 1, groups=4 * width)})

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, C) to the same shape."""
        planes = self.dwconv["dwconv"](self.fc1(tokens).permute(0, 3, 1, 2))
        out: Tensor = self.fc2(F.gelu(planes).permute(0, 2, 3, 1))
        return out


class Block(nn.Module):
    """Attention and what follows it.

    Args:
        width, motion: channels of the tokens, and of the motion told.
        shift: by how many tokens the windows are moved right and down.
    """

    def __init__(self, width: int, motion: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = Attention(width, motion), Mlp(width)

    def forward(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
        """Tokens (B, h, w, C) to the next tokens and motion (B, h, w, M)."""
        height, width = tokens.shape[1:3]
        margins = _margins(height, width)
        padded, places = _padded(tokens, margins), _padded(_places(tokens), margins)
        apart = self._apart(padded, height, width, margins)
        inner, places = self._windows(padded), self._windows(places)
        inner = self.norm1(inner)
        found, motion = self.attn(inner, places, apart)
        # As the published weights were trained: what is added to is the normalised token, not the token.
        tokens, motion = (self._map(planes, height, width, margins) for planes in (inner + found, motion))
        return tokens + self.mlp(self.norm2(tokens)), motion

    def _windows(self, planes: Tensor) -> Tensor:
        """(B, h, w, C), padded, to (B * windows, 49, C)."""
        if self.shift:
            planes = planes.roll((-self.shift, -self.shift), (1, 2))
        batch, height, width, channels = planes.shape
        planes = planes.reshape(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
        return planes.transpose(2, 3).reshape(-1, WINDOW * WINDOW, channels)

    def _map(self, planes: Tensor, height: int, width: int, margins: List[int]) -> Tensor:
        """Windows back to (B, h, w, C)."""
        left, right, above, below = margins
        rows, columns = (height + above + below) // WINDOW, (width + left + right) // WINDOW
        channels = planes.shape[-1]
        planes = planes.reshape(-1, rows, columns, WINDOW, WINDOW, channels).transpose(2, 3)
        planes = planes.reshape(-1, rows * WINDOW, columns * WINDOW, channels)
        if self.shift:
            planes = planes.roll((self.shift, self.shift), (1, 2))
        return planes[:, above : above + height, left : left + width]

    def _apart(self, padded: Tensor, height: int, width: int, margins: List[int]) -> Tensor:
        """(windows, 49, 49) float32, added to the likeness: what does not belong together is set apart."""
        left, _, above, _ = margins
        y, x = counted(padded[0, :, 0, 0]), counted(padded[0, 0, :, 0])
        apart = _different(_thirds(y, above, above + height), _thirds(x, left, left + width))
        if self.shift:
            high, wide = padded.shape[1:3]
            rows = _thirds(y, high - WINDOW, high - self.shift)
            columns = _thirds(x, wide - WINDOW, wide - self.shift)
            # As the published weights were trained: what padding sets apart does not move with the windows.
            apart = apart | _different(rows, columns)
        return apart * _APART


class Blocks(nn.ModuleList):
    """The blocks of a stage, every other one with moved windows; together they tell as much motion as appearance."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(Block(width, width // depth, SHIFT if number % 2 else 0) for number in range(depth))

    def run(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
        """Tokens (B, h, w, C) to the last tokens and the motion of all blocks (B, C, h, w)."""
        motions = []
        for block in self:
            tokens, motion = block(tokens)
            motions.append(motion)
        return tokens, torch.cat(motions, -1).permute(0, 3, 1, 2)


class Embedding(nn.Module):
    """A map at half the size, normalised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj, self.norm = Conv(inputs, outputs, 3, 2, 1), nn.LayerNorm(outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, inputs) to (B, h / 2, w / 2, outputs)."""
        out: Tensor = self.norm(self.proj(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return out


class CrossScaleEmbedding(nn.Module):
    """A map at 1/8 from planes at 1/4, 1/2 and 1, looked at in several widths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        kinds = [(4, 2, 1), (2, 4, 1), (2, 4, 2), (1, 8, 1), (1, 8, 2), (1, 8, 3), (1, 8, 4)]
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs * width, width, 3, stride, dilation, dilation) for inputs, stride, dilation in kinds
        )
        self.proj, self.norm = nn.Conv2d(7 * width, 8 * width, 1), nn.LayerNorm(8 * width)

    def forward(self, whole: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        """Planes (B, C, H, W) to (B, H / 8, W / 8, 8 width)."""
        planes = [quarter, half, half, whole, whole, whole, whole]
        seen = torch.cat([layer(each) for layer, each in zip(self.layers, planes)], 1)
        out: Tensor = self.norm(self.proj(seen).permute(0, 2, 3, 1))
        return out


class Stages(nn.Module):
    """The feature extractor: three stages of convolutions, then two of attention."""

    def __init__(self, width: int, depths: Tuple[int, int]) -> None:
        super().__init__()
        self.block1 = _convolutions(3, width)
        for number in (2, 3):
            outputs = width << (number - 1)
            embedding = Layers(Conv(outputs // 2, outputs, 3, 2, 1), nn.PReLU(outputs))
            self.add_module(f"patch_embed{number}", embedding)
            self.add_module(f"block{number}", _convolutions(outputs, outputs))
        self.patch_embed4, self.patch_embed5 = CrossScaleEmbedding(width), Embedding(8 * width, 16 * width)
        self.block4, self.block5 = Blocks(8 * width, depths[0]), Blocks(16 * width, depths[1])
        self.norm4, self.norm5 = nn.LayerNorm(8 * width, 1e-6), nn.LayerNorm(16 * width, 1e-6)

    def forward(self, frames: Tensor, tile: Optional[int] = None) -> Tuple[List[Tensor], List[Tensor]]:
        """Frames (2B, 3, H, W) to appearance at five sizes and motion at 1/8 and 1/16, finest first.

        ``tile``: side of the tiles, pixels, that the convolutions work in; None for the whole frame at once.
        """
        planes, appearance = frames, []
        for number in (1, 2, 3):
            size = (planes.shape[-2], planes.shape[-1])
            size = size if number == 1 else (size[0] // 2, size[1] // 2)
            work = partial(self._convolved, number, planes)
            planes = in_tiles(work, size, cells(tile, 1 << (number - 1)), _HALO)
            appearance.append(planes)
        tokens, motion_4 = self.block4.run(self.patch_embed4(*appearance))
        tokens = self.norm4(tokens)
        appearance.append(tokens.permute(0, 3, 1, 2))
        tokens, motion_5 = self.block5.run(self.patch_embed5(tokens))
        appearance.append(self.norm5(tokens).permute(0, 3, 1, 2))
        return appearance, [motion_4, motion_5]

    def _convolved(self, number: int, planes: Tensor, part: Part) -> Tensor:
        """Appearance of one of the first three stages on a part of its grid, from the stage before it."""
        if number == 1:
            answer: Tensor = self.block1["conv"](part.of(planes).to(dtype_of(self)))
            return answer
        planes = self.get_submodule(f"patch_embed{number}")(part.finer(2).of(planes))
        answer = self.get_submodule(f"block{number}.conv")(planes)
        return answer


def _convolutions(inputs: int, outputs: int) -> nn.ModuleDict:
    convolutions = Layers(
        Conv(inputs, outputs, 3, 1, 1), nn.PReLU(outputs), Conv(outputs, outputs, 3, 1, 1), nn.PReLU(outputs)
    )
    return nn.ModuleDict({"conv": convolutions})


def _margins(height: int, width: int) -> List[int]:
    """Tokens to add left, right, above and below, so that windows fit."""
    # Of positive numbers alone: a recorded graph may round negative ones towards 0.
    beyond_x, beyond_y = ((side + WINDOW - 1) // WINDOW * WINDOW - side for side in (width, height))
    return [beyond_x // 2, beyond_x - beyond_x // 2, beyond_y // 2, beyond_y - beyond_y // 2]


def _places(tokens: Tensor) -> Tensor:
    """(1, h, w, 2) float32: x and y of every token, -1 to 1."""
    x, y = (
        2 * place / (place.shape[0] - 1) - 1 for place in (counted(tokens[0, 0, :, 0]), counted(tokens[0, :, 0, 0]))
    )
    return torch.stack([x.expand(y.shape[0], -1), y[:, None].expand(-1, x.shape[0])], -1)[None]


def _padded(planes: Tensor, margins: List[int]) -> Tensor:
    """(B, h, w, C) with margins of zeros left, right, above and below."""
    return F.pad(planes, (0, 0, *margins))


def _thirds(place: Tensor, first: int, second: int) -> Tensor:
    """0 for places up to the first, 1 up to the second, 2 beyond."""
    return (place >= first).long() + (place >= second).long()


def _different(rows: Tensor, columns: Tensor) -> Tensor:
    """(windows, 49, 49): which tokens of a window lie in different parts, by the parts of rows and of columns."""
    parts = 3 * rows[:, None] + columns
    windows = parts.reshape(rows.shape[0] // WINDOW, WINDOW, columns.shape[0] // WINDOW, WINDOW).transpose(1, 2)
    windows = windows.reshape(-1, WINDOW * WINDOW)
    return windows[:, None] != windows[:, :, None]
