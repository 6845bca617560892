"""Disentangled attention and convolution over padded batches, in operations that a graph for other tools has.

Same weights as model/disentangled.py and model/convolution.py, same numbers. Axes: n sentences, L tokens, W tokens that
the graph takes at most, D width, H heads, d = D / H, B rows of the table of relative positions that W tokens use.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smartcli.engine.model.convolution import ConvolutionPart
from smartcli.engine.model.dual_linear import dual_linear
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.feed_forward import activation
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.relative_table import Distances


class PaddedRelative(nn.Module):
    """A layer's projections of relative positions, which do not depend on the input, and the row of each offset."""

    index: Tensor
    """(W, W) the row of each query and key."""

    def __init__(
        self, distances: Distances, weights: tuple[Tensor, Tensor | None], terms: tuple[str, ...], heads: int
    ) -> None:
        super().__init__()
        self.terms = terms
        rows = dual_linear(distances.rows, *weights).detach()
        for term, part in zip(terms, rows.chunk(len(terms), dim=1), strict=True):
            # (H, d, B), as a product with contents wants it.
            self.register_buffer(term, part.view(len(part), heads, -1).permute(1, 2, 0).clone())
        index = torch.arange(len(rows)) if distances.index is None else distances.index
        place = torch.arange((len(index) + 1) // 2)
        self.register_buffer("index", index[place[:, None] - place + len(place) - 1])

    def forward(self, query: Tensor, key: Tensor, scores: Tensor) -> Tensor:
        """Return all terms' scores, divided (n, H, L, L), of query and key (n, H, L, d) and their products."""
        n, heads, length, d = query.shape
        for term in self.terms:
            contents, index = (query, self.index) if term == "c2p" else (key, self.index.t())
            index = index[:length, :length].expand(n, heads, length, length)
            found = torch.gather(contents @ self.get_buffer(term), 3, index)
            scores = scores + (found if term == "c2p" else found.transpose(2, 3))
        return scores / math.sqrt(d * (1 + len(self.terms)))


class PlainScores(nn.Module):
    """Scores of contents alone."""

    def forward(self, query: Tensor, key: Tensor, scores: Tensor) -> Tensor:
        """Return the products divided (n, H, L, L), of query and key (n, H, L, d) and their products."""
        return scores / math.sqrt(query.shape[3])


def padded_relatives(encoder: Encoder, longest: int) -> nn.ModuleList:
    """Return each layer's part for inputs of up to `longest` tokens."""
    if encoder.distances is None:
        return nn.ModuleList(PlainScores() for _ in encoder.layers)
    distances, out = encoder.distances.distances(longest), nn.ModuleList()
    for layer in encoder.layers:
        assert isinstance(layer, Layer)
        assert layer.disentangled is not None
        weights = layer.disentangled.weights(*layer.qkv.used())
        out.append(PaddedRelative(distances, weights, layer.disentangled.terms, layer.heads))
    return out


def padded_convolution(part: ConvolutionPart, x: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
    """Return (n, L, D) of the embeddings `x` and the first layer's output `rows` (n, L, D); `mask` (n, L) is 1 or 0."""
    inside = (x * mask[:, :, None].to(x.dtype)).transpose(1, 2)
    found = F.conv1d(inside, part.kernel_weight(), part.linear.bias, padding=part.kernel // 2).transpose(1, 2)
    out: Tensor = part.norm(rows + activation(part.act, found))
    return out
