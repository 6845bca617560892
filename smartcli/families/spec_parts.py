"""Facts of an encoder that come as a group: what a part needs that only some types have."""

from __future__ import annotations

from dataclasses import dataclass

TERMS = ("p2c", "c2p")
"""Terms of disentangled attention beside content to content, in the order in which their weights lie."""
CONVOLUTION_ACTIVATIONS = ("tanh", "gelu", "gelu_new", "relu")


@dataclass(frozen=True, kw_only=True)
class Disentangled:
    """Attention by content and by relative position apart (He et al. 2021, DeBERTa, arXiv 2006.03654)."""

    terms: tuple[str, ...]
    """Of `TERMS`, in their order: position to content, content to position."""
    span: int
    """Half the rows of the table of relative positions."""
    reach: int
    """The distance at which logarithmic buckets end."""
    buckets: bool
    """Whether far distances share rows; else each has its own, up to `span`."""
    normed: bool
    """Whether the table goes through a LayerNorm."""
    shared: bool
    """Whether the table goes through the projections of the contents; else each layer has further ones."""


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution over the embeddings whose result is added to the first layer's."""

    kernel: int
    """Tokens that it sees, an odd number."""
    activation: str
    """Of `CONVOLUTION_ACTIVATIONS`."""
