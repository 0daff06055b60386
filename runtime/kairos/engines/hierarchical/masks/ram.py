"""RAM's path from a picture to tags (Zhang et al., "Recognize Anything", CVPR workshops 2024, arXiv 2306.03514).

Built from what is published about it: Swin features of a squashed picture; a query per tag, made of the tag's text
features; two layers in which the queries look at the picture and never at each other; a score per tag. The captioning
part of the published model has no say in tags and is absent here.
"""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.hierarchical.masks.swin import Swin

_EPSILON = 1e-12
"""Of BERT's norms."""


class _Look(nn.Module):
    """Where queries look in the picture, several heads side by side."""

    def __init__(self, hidden: int, seen: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(seen, hidden)
        self.value = nn.Linear(seen, hidden)

    def forward(self, queries: Tensor, picture: Tensor) -> Tensor:
        """(B, N, hidden) queries and (B, T, seen) tokens to (B, N, hidden)."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.query, queries), (self.key, picture), (self.value, picture))
        )
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class _Added(nn.Module):
    """A linear layer whose answer is added to what was, then normed."""

    def __init__(self, inner: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=_EPSILON)

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        """(B, N, inner) and (B, N, hidden) to (B, N, hidden)."""
        answer: Tensor = self.LayerNorm(self.dense(new) + old)
        return answer


class _Cross(nn.Module):
    def __init__(self, hidden: int, seen: int, heads: int) -> None:
        super().__init__()
        self.self = _Look(hidden, seen, heads)
        self.output = _Added(hidden, hidden)


class _Wide(nn.Module):
    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, inner)


class _Layer(nn.Module):
    """A layer of BERT without its attention among queries."""

    def __init__(self, hidden: int, seen: int, heads: int, inner: int) -> None:
        super().__init__()
        self.crossattention = _Cross(hidden, seen, heads)
        self.intermediate = _Wide(hidden, inner)
        self.output = _Added(inner, hidden)

    def forward(self, queries: Tensor, picture: Tensor) -> Tensor:
        """(B, N, hidden) queries and (B, T, seen) tokens to (B, N, hidden)."""
        looked = self.crossattention.output(self.crossattention.self(queries, picture), queries)
        answer: Tensor = self.output(F.gelu(self.intermediate.dense(looked)), looked)
        return answer


class _Layers(nn.Module):
    def __init__(self, count: int, hidden: int, seen: int, heads: int, inner: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(hidden, seen, heads, inner) for _ in range(count))


class _Head(nn.Module):
    def __init__(self, count: int, hidden: int, seen: int, heads: int, inner: int) -> None:
        super().__init__()
        self.encoder = _Layers(count, hidden, seen, heads, inner)


class Ram(nn.Module):
    """The network. The defaults are the published one's.

    Args:
        side: rows and columns of the picture.
        width, depths, stage_heads, window: of Swin.
        tags: how many.
        text: width of the tags' text features, and of the picture's tokens for the queries.
        hidden, layers, heads, inner: of the layers in which queries look at the picture.
    """

    def __init__(
        self,
        side: int = 384,
        width: int = 192,
        depths: Sequence[int] = (2, 2, 18, 2),
        stage_heads: Sequence[int] = (6, 12, 24, 48),
        window: int = 12,
        tags: int = 4585,
        text: int = 512,
        hidden: int = 768,
        layers: int = 2,
        heads: int = 4,
        inner: int = 3072,
    ) -> None:
        super().__init__()
        self.side = side
        self.visual_encoder = Swin(side, width, depths, stage_heads, window)
        self.image_proj = nn.Linear(width << len(depths) - 1, text)
        self.label_embed = nn.Parameter(torch.zeros(tags, text))
        self.wordvec_proj = nn.Linear(text, hidden)
        self.tagging_head = _Head(layers, hidden, text, heads, inner)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, side, side), normalised, to the probability of each tag, (B, tags)."""
        seen = self.image_proj(self.visual_encoder(picture))
        queries = F.relu(self.wordvec_proj(self.label_embed)).expand(len(picture), -1, -1)
        for layer in self.tagging_head.encoder.layer:
            queries = layer(queries, seen)
        answer: Tensor = self.fc(queries)[..., 0].sigmoid()
        return answer
