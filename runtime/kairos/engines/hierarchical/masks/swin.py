"""Swin, a picture's features by attention in shifted windows (Liu et al., ICCV 2021, arXiv 2103.14030, section 3)."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 4
"""Pixels of a side that the first layer makes one token of."""

_APART = -100.0
"""Added before the softmax to places that only the shift brought into one window."""


class _Mlp(nn.Module):
    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, tokens: Tensor) -> Tensor:
        answer: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return answer


class _Attention(nn.Module):
    """Attention within windows, with a table of what each offset between two places adds."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        # Follows from the window alone, so that checkpoints need not hold it.
        self.register_buffer("relative_position_index", offsets(window), persistent=False)

    def forward(self, tokens: Tensor, apart: Optional[Tensor]) -> Tensor:
        """Windows (B * N, T, C), and what is added to their scores (N, T, T)."""
        windows, count, width = tokens.shape
        query, key, value = self.qkv(tokens).view(windows, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        added = bias.view(count, count, self.heads).permute(2, 0, 1)[None]
        if apart is not None:
            every = apart[:, None] + added
            added = every.repeat(windows // apart.shape[0], 1, 1, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, added)
        answer: Tensor = self.proj(mixed.transpose(1, 2).reshape(windows, count, width))
        return answer


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, window: int, shift: int, ratio: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width, ratio)

    def forward(self, plane: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        seen = self.norm1(plane)
        apart = None
        if self.shift:
            seen = seen.roll((-self.shift, -self.shift), (1, 2))
            apart = _apart(plane.shape[1], plane.shape[2], self.window, self.shift, plane)
        mixed = joined(self.attn(parted(seen, self.window), apart), self.window, plane.shape)
        if self.shift:
            mixed = mixed.roll((self.shift, self.shift), (1, 2))
        plane = plane + mixed
        answer: Tensor = plane + self.mlp(self.norm2(plane))
        return answer


class _Merging(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, plane: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H / 2, W / 2, 2 C)."""
        # Down first, then right.
        four = [plane[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        answer: Tensor = self.reduction(self.norm(torch.cat(four, -1)))
        return answer


class _Stage(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, side: int, window: int, last: bool, ratio: float) -> None:
        super().__init__()
        # A window as large as the plane has nothing to be shifted against.
        window = min(window, side)
        shift = window // 2 if side > window else 0
        self.blocks = nn.ModuleList(
            _Block(width, heads, window, shift if index % 2 else 0, ratio) for index in range(depth)
        )
        self.downsample = None if last else _Merging(width)

    def forward(self, plane: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H / 2, W / 2, 2 C), or at the last stage to the same."""
        for block in self.blocks:
            plane = block(plane)
        return plane if self.downsample is None else self.downsample(plane)


class _Patches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, H / 4, W / 4, C)."""
        answer: Tensor = self.norm(self.proj(picture).permute(0, 2, 3, 1))
        return answer


class Swin(nn.Module):
    """The network.

    Args:
        side: rows and columns of the picture.
        width: of the first stage's tokens; each further stage doubles it.
        depths: blocks of the stages.
        heads: of the stages.
        window: tokens of a window's side.
        ratio: how much wider the perceptrons are inside.
    """

    def __init__(
        self, side: int, width: int, depths: Sequence[int], heads: Sequence[int], window: int, ratio: float = 4.0
    ) -> None:
        super().__init__()
        self.patch_embed = _Patches(width)
        last = len(depths) - 1
        self.layers = nn.ModuleList(
            _Stage(width << stage, depth, heads[stage], side // PATCH >> stage, window, stage == last, ratio)
            for stage, depth in enumerate(depths)
        )
        self.norm = nn.LayerNorm(width << last)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, side, side) to tokens (B, 1 + T, C): their mean first, then all, row by row."""
        plane = self.patch_embed(picture)
        for layer in self.layers:
            plane = layer(plane)
        tokens = self.norm(plane).flatten(1, 2)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)


def offsets(window: int) -> Tensor:
    """Row of the table for every two places of a window, (T, T): by how far the second lies above and left."""
    steps = torch.arange(window)
    rows, columns = (each.reshape(-1) for each in torch.meshgrid(steps, steps, indexing="ij"))
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return down * (2 * window - 1) + right


def parted(plane: Tensor, window: int) -> Tensor:
    """(B, H, W, C) to windows (B * N, window * window, C)."""
    batch, height, width, channels = plane.shape
    cells = plane.view(batch, height // window, window, width // window, window, channels)
    return cells.transpose(2, 3).reshape(-1, window * window, channels)


def joined(windows: Tensor, window: int, shape: Sequence[int]) -> Tensor:
    """The plane (B, H, W, C) that :func:`parted` parted."""
    batch, height, width, channels = shape
    cells = windows.view(batch, height // window, width // window, window, window, channels)
    return cells.transpose(2, 3).reshape(batch, height, width, channels)


def _apart(height: int, width: int, window: int, shift: int, like: Tensor) -> Tensor:
    """What keeps places apart that the shift brought together from opposite borders, (N, T, T)."""
    areas = like.new_zeros(1, height, width, 1)
    edges: List[Tuple[int, int]] = [(0, -window), (-window, -shift), (-shift, 0)]
    for row, (top, bottom) in enumerate(edges):
        for column, (left, right) in enumerate(edges):
            areas[:, top : bottom or None, left : right or None] = 3 * row + column
    numbers = parted(areas, window)[..., 0]
    return (numbers[:, None] != numbers[:, :, None]).to(like.dtype) * _APART
