"""A transformer layer over packed tokens: attention, then the feed-forward part, each with a LayerNorm after its sum.

Its parts are those that the spec names: feed-forward plain or gated, positions turned into queries and keys or not,
biases or none. `pre_norm_layer` goes on from the sums. Axes: T tokens, S sentences, D width, F feed-forward size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smartcli.engine.model.attention import attend
from smartcli.engine.model.disentangled import DisentangledAttention
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import Dropout
from smartcli.engine.model.dual_linear import DualLinear, dual_linear
from smartcli.engine.model.feed_forward import FeedForward, feed_forward, gated_feed_forward
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.relative_table import Distances
from smartcli.engine.model.residual import add_and_norm
from smartcli.engine.model.rotary import rotate
from smartcli.families.spec import EncoderSpec


class Layer(nn.Module):
    """One post-norm transformer layer; query, key and value share one matrix multiply."""

    def __init__(self, spec: EncoderSpec, *, last: bool) -> None:
        """Make a layer without weights worth keeping; `last` is the encoder's last."""
        super().__init__()
        width, eps = spec.hidden_size, spec.layer_norm_eps
        self.qkv = DualLinear(width, 3 * width, bias=spec.attention_biases)
        self.attention_out = DualLinear(width, width, bias=spec.attention_biases)
        self.attention_norm = nn.LayerNorm(width, eps=eps, bias=spec.norm_biases)
        self.feed_in = DualLinear(width, spec.ffn_size * (2 if spec.gated else 1), bias=spec.feed_biases)
        self.feed_out = DualLinear(spec.ffn_size, width, bias=spec.feed_biases)
        self.feed_norm = nn.LayerNorm(width, eps=eps, bias=spec.norm_biases)
        self.disentangled = None if spec.disentangled is None else DisentangledAttention(spec, spec.disentangled)
        self.heads, self.act, self.last = spec.heads, spec.activation, last
        self.plain_feed: FeedForward = gated_feed_forward if spec.gated else feed_forward
        self.feed: FeedForward = self.plain_feed
        """`plain_feed`, or with `--compile` the same compiled."""

    def feed_weights(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return weight and bias of the feed-forward part's first and second half."""
        # Read here and not by calling the layers: `feed` may be compiled, and calls dual_linear itself.
        return *self.feed_in.used(), *self.feed_out.used()

    def ask_first(self, read: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return key and value (T, 2D) of all tokens, and the query (S, D) of each sentence's first token."""
        (weight, bias), width = self.qkv.used(), read.shape[1]
        ahead, behind = (None, None) if bias is None else (bias[:width], bias[width:])
        return dual_linear(read, weight[width:], behind), dual_linear(first, weight[:width], ahead)

    def first_rows(self, x: Tensor, read: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return each sentence's first row (S, D) of `x`, and the same as linear layers read it."""
        rows = pick(x, starts)
        return rows, rows

    def join(
        self, part: Tensor, mask: Tensor | None, rows: Tensor, norm: nn.LayerNorm, *, read: bool, final: bool
    ) -> tuple[Tensor, Tensor]:
        """Return what the next half goes on from, and the same as its linear layers read it; each as `rows`.

        `part` · `mask` is what this half adds to `rows`. `read` says whether linear layers follow, `final` that nothing
        follows.
        """
        return add_and_norm(part, mask, rows, norm, read=read)

    def forward(
        self,
        x: Tensor,
        read: Tensor,
        batch: PackedBatch,
        *,
        bias: Tensor | None,
        turn: Tensor | None,
        distances: Distances | None,
        dropout: Dropout,
        p: float,
        attention_p: float,
        place: str,
        first_only: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return (T, D), or with `first_only` the first token's row of each sentence, (S, D); each also as it is read.

        `read` is `x` as linear layers read it (residual.py); `turn` (rotary.py) turns queries and keys; `distances`
        (relative_table.py) are for disentangled attention.
        """
        # With `first_only` all that follows the keys and values is computed for one row a sentence.
        rows, packed, query = x, None, None
        if first_only:
            rows, first = self.first_rows(x, read, batch.starts)
            packed, query = self.ask_first(read, first)
        else:
            packed = self.qkv(read)
        axis = "sentence" if first_only else "token"
        if turn is not None:
            # A first token's query is not turned: its angle is 0.
            packed = rotate(packed, turn, heads=self.heads, parts=2 if first_only else 3)
        if self.disentangled is not None and distances is not None:
            mixed = self.disentangled(
                packed,
                query,
                batch,
                distances,
                self.qkv.used(),
                dropout=dropout,
                p=p,
                attention_p=attention_p,
                place=place,
            )
        else:
            mixed = attend(
                packed,
                query,
                batch,
                heads=self.heads,
                bias=bias,
                dropout=dropout,
                p=attention_p,
                place=f"{place}.attention",
            )
        mixed = self.attention_out(mixed)
        mask = dropout.mask(mixed.shape, mixed.device, p, axis, f"{place}.attention_out")
        rows, read = self.join(mixed, mask, rows, self.attention_norm, read=True, final=False)
        # Scoring is never compiled: it would compile a second time, for less than that costs.
        feed = self.feed if torch.is_grad_enabled() else self.plain_feed
        fed = feed(read, *self.feed_weights(), self.act)
        mask = dropout.mask(fed.shape, fed.device, p, axis, f"{place}.feed_out")
        return self.join(fed, mask, rows, self.feed_norm, read=not first_only, final=self.last)
