"""An encoder in plain torch over packed batches; encoder types differ by facts in the spec alone.

Axes: T tokens, S sentences, D width, E embedding size.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from smartcli.engine.model.attention import relative_buckets
from smartcli.engine.model.convolution import ConvolutionPart
from smartcli.engine.model.distinct_rows import read_grid
from smartcli.engine.model.dropout import Dropout, no_dropout
from smartcli.engine.model.dual_linear import DualLinear
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.local_attention import window_bias
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.pre_norm_layer import PreNormLayer
from smartcli.engine.model.relative_table import RelativeTable
from smartcli.engine.model.residual import add_and_norm
from smartcli.engine.model.rotary import turns
from smartcli.families.spec import EncoderSpec

Pooling = Literal["cls", "pooler", "mean", "tokens"]


def _table(rows: int, width: int) -> nn.Embedding:
    """Return an embedding; on the meta device without initial values, whose draw there loads torch's compiler."""
    if torch.get_default_device().type == "meta":
        return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)  # type: ignore[no-untyped-call, no-any-return]
    return nn.Embedding(rows, width)


class Encoder(nn.Module):
    """Packed sentences in, one vector a sentence out."""

    def __init__(self, spec: EncoderSpec, *, pooler: bool) -> None:
        super().__init__()
        self.spec = spec
        self.words = _table(spec.vocab_size, spec.embedding_size)
        self.positions = _table(spec.positions, spec.embedding_size) if spec.position_table else None
        self.types = _table(spec.token_types, spec.embedding_size) if spec.token_types else None
        narrow, width = spec.embedding_size, spec.hidden_size
        normed = width if spec.project_first else narrow
        self.norm = nn.LayerNorm(normed, eps=spec.layer_norm_eps, bias=spec.norm_biases)
        self.project = DualLinear(narrow, width, bias=not spec.project_first) if narrow != width else None
        form = PreNormLayer if spec.pre_norm else Layer
        self.layers = nn.ModuleList(form(spec, last=number == spec.layers - 1) for number in range(spec.layers))
        self.relative = _table(spec.relative_buckets, spec.heads) if spec.relative_buckets else None
        self.distances: RelativeTable | None = None
        if spec.disentangled is not None:
            self.distances = RelativeTable(spec, spec.disentangled, _table(2 * spec.disentangled.span, width))
        self.convolution = None if spec.convolution is None else ConvolutionPart(spec, spec.convolution)
        self.pooler = nn.Linear(width, width) if pooler else None
        self.dropout = spec.hidden_dropout
        self.attention_dropout = spec.attention_dropout

    def look_up(self, batch: PackedBatch) -> Tensor:
        """Return the word vectors (T, E) that SMART perturbs, before position, type and LayerNorm."""
        out: Tensor = self.words(batch.ids)
        return out

    def forward(
        self, words: Tensor, batch: PackedBatch, *, pooling: Pooling = "cls", dropout: Dropout = no_dropout
    ) -> Tensor:
        """Return one vector a sentence, (S, D): the first token's, the pooler's, or the tokens' mean.

        With "tokens" each token's own, (T, D).
        """
        # Word vectors are an argument and not looked up here: SMART perturbs them, and reads their gradient.
        x = self._embed(words, batch, dropout)
        biases, turning = self._biases(batch), self._turns(batch)
        distances = None if self.distances is None else self.distances(batch)
        last, read, embedded = len(self.layers) - 1, x, x
        for number, layer in enumerate(self.layers):
            # Nothing after the last layer's attention is read but the first rows, unless all of them are pooled.
            first_only = number == last and pooling not in ("mean", "tokens")
            x, read = layer(
                x,
                read,
                batch,
                bias=biases[number],
                turn=turning[number],
                distances=distances,
                dropout=dropout,
                p=self.dropout,
                attention_p=self.attention_dropout,
                place=f"layer{number}",
                first_only=first_only,
            )
            if number == 0 and self.convolution is not None:
                x, read = self.convolution(embedded, x, batch, dropout=dropout, p=self.dropout, first_only=first_only)
        if pooling == "mean":
            return mean_rows(x, batch)
        if pooling == "pooler":
            assert self.pooler is not None
            return torch.tanh(self.pooler(x))
        return x

    def _embed(self, words: Tensor, batch: PackedBatch, dropout: Dropout) -> Tensor:
        """Return what the first layer reads, (T, D)."""
        place = self._places(words, batch)
        first = self.project if self.spec.project_first else None
        if first is not None:
            # The sums between layers stay as wide as the embeddings, as in encoders without a projection.
            words = first(words + place).to(words.dtype)
            place = torch.zeros_like(words)
        x = dropout(add_and_norm(words, None, place, self.norm)[0], self.dropout, "token", "embeddings")
        if self.project is not None and first is None:
            x = self.project(x).to(x.dtype)
        return x

    def _places(self, words: Tensor, batch: PackedBatch) -> Tensor:
        """Return what is added to the word vectors, (T, E)."""
        if self.positions is None and self.types is None:
            return torch.zeros_like(words)
        place: Tensor | None = None
        if self.positions is not None:
            place = self.positions(batch.positions + self.spec.position_offset)
        if self.types is not None:
            types = self.types(batch.types)
            place = types if place is None else place + types
        assert place is not None
        return place

    def _biases(self, batch: PackedBatch) -> list[Tensor | None]:
        """Return what each layer adds to its scores, (H or 1, W, W) with W the longest sentence or more, or None."""
        spec, device = self.spec, batch.ids.device
        width = max((group.width for group in batch.groups), default=1)
        shared: Tensor | None = None
        if self.relative is not None:
            # Once for all layers, as MPNet shares its table of distances.
            buckets = relative_buckets(width, spec.relative_buckets, spec.relative_distance, device)
            shared = self.relative(buckets).permute(2, 0, 1)
        if not spec.reach:
            return [shared] * spec.layers
        windows = {reach: window_bias(width, reach, device) for reach in set(spec.reach)}
        return [_both(shared, windows[reach], width) for reach in spec.reach]

    def _turns(self, batch: PackedBatch) -> list[Tensor | None]:
        """Return what turns each layer's queries and keys (rotary.py), or None."""
        spec = self.spec
        if not spec.rotary:
            return [None] * spec.layers
        made = {base: turns(batch, spec.hidden_size // spec.heads, base) for base in set(spec.rotary)}
        return [made[base] for base in spec.rotary]


def _both(first: Tensor | None, second: Tensor | None, width: int) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second[:, :width, :width]


def mean_rows(x: Tensor, batch: PackedBatch) -> Tensor:
    """Return the mean (S, D) of each sentence's rows of `x` (T, D), by group, without scattered adds."""
    if batch.padding is not None:
        inside = batch.padding.inside[:, :, None].to(x.dtype)
        rows = read_grid(x, batch.padding.source, batch.slots).view(*batch.padding.inside.shape, -1)
        return (rows * inside).sum(dim=1) / inside.sum(dim=1)
    parts: list[Tensor] = []
    for group in batch.groups:
        lengths = batch.lengths[group.start : group.stop].tolist()
        parts.extend(part.mean(dim=0) for part in torch.split(x[group.first : group.last], lengths))
    return torch.stack(parts) if parts else x
