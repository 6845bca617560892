"""A small BERT in plain torch over packed batches; other encoder types differ by facts in the spec alone.

Axes: T tokens, S sentences, D width, E embedding size, F feed-forward size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from smartcli.engine.model.attention import attend, relative_buckets
from smartcli.engine.model.distinct_rows import pick, read_grid
from smartcli.engine.model.dropout import Dropout, no_dropout
from smartcli.engine.model.dual_linear import DualLinear, dual_linear
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.residual import add_and_norm
from smartcli.families.spec import EncoderSpec

Pooling = Literal["cls", "pooler", "mean"]


def activation(name: str, x: Tensor) -> Tensor:
    """Apply `gelu`, `gelu_new` (tanh form) or `relu`; a tangent of `x` gets no graph."""
    value, tangent = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    form = "tanh" if name == "gelu_new" else "none"
    out: Tensor = F.relu(value) if name == "relu" else F.gelu(value, approximate=form)
    if tangent is None:
        return out
    # torch would record the tangent's graph, which nobody reads; without it a tangent pass keeps no activation.
    with torch.no_grad():
        if name == "relu":
            moved = tangent * (value > 0)
        else:
            # GELU acts on each number alone, so that its backward is its forward-mode derivative too.
            moved = torch.ops.aten.gelu_backward(tangent, value, approximate=form)
    dual: Tensor = forward_ad.make_dual(out, moved)  # type: ignore[no-untyped-call]
    return dual


def feed_forward(
    x: Tensor, weight_in: Tensor, bias_in: Tensor, weight_out: Tensor, bias_out: Tensor, act: str
) -> Tensor:
    """Return the feed-forward part's output (T, D) for `x` (T, D), through width F."""
    return dual_linear(activation(act, dual_linear(x, weight_in, bias_in)), weight_out, bias_out)


class Layer(nn.Module):
    """One post-norm transformer layer; query, key and value share one matrix multiply."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        width = spec.hidden_size
        self.qkv = DualLinear(width, 3 * width)
        self.attention_out = DualLinear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=spec.layer_norm_eps)
        self.feed_in = DualLinear(width, spec.ffn_size)
        self.feed_out = DualLinear(spec.ffn_size, width)
        self.feed_norm = nn.LayerNorm(width, eps=spec.layer_norm_eps)
        self.heads, self.act = spec.heads, spec.activation
        self.feed: Callable[..., Tensor] = feed_forward
        """`feed_forward`, or with `--compile` the same compiled."""

    def feed_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return weight and bias of the feed-forward part's first and second half."""
        # Read here and not by calling the layers: `feed_forward` may be compiled, and calls dual_linear itself.
        return *self.feed_in.used(), *self.feed_out.used()

    def ask_first(self, x: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return key and value (T, 2D) of all tokens, and the query (S, D) of each sentence's first token."""
        (weight, bias), width = self.qkv.used(), x.shape[1]
        return dual_linear(x, weight[width:], bias[width:]), dual_linear(first, weight[:width], bias[:width])

    def forward(
        self,
        x: Tensor,
        read: Tensor,
        batch: PackedBatch,
        *,
        bias: Tensor | None,
        dropout: Dropout,
        p: float,
        attention_p: float,
        place: str,
        first_only: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return (T, D), or with `first_only` the first token's row of each sentence, (S, D); each also as it is read.

        `read` is `x` as linear layers read it (residual.py).
        """
        # With `first_only` all that follows the keys and values is computed for one row a sentence.
        rows = pick(x, batch.starts) if first_only else x
        axis = "sentence" if first_only else "token"
        packed, query = self.ask_first(read, rows) if first_only else (self.qkv(read), None)
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
        rows, read = add_and_norm(mixed, mask, rows, self.attention_norm, read=True)
        # Scoring is never compiled: it would compile a second time, for less than that costs.
        feed = self.feed if torch.is_grad_enabled() else feed_forward
        fed = feed(read, *self.feed_weights(), self.act)
        mask = dropout.mask(fed.shape, fed.device, p, axis, f"{place}.feed_out")
        return add_and_norm(fed, mask, rows, self.feed_norm, read=not first_only)


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
        self.positions = _table(spec.positions, spec.embedding_size)
        self.types = _table(spec.token_types, spec.embedding_size) if spec.token_types else None
        self.norm = nn.LayerNorm(spec.embedding_size, eps=spec.layer_norm_eps)
        self.project = (
            DualLinear(spec.embedding_size, spec.hidden_size) if spec.embedding_size != spec.hidden_size else None
        )
        self.layers = nn.ModuleList(Layer(spec) for _ in range(spec.layers))
        self.relative = _table(spec.relative_buckets, spec.heads) if spec.relative_buckets else None
        self.pooler = nn.Linear(spec.hidden_size, spec.hidden_size) if pooler else None
        self.dropout = spec.hidden_dropout
        self.attention_dropout = spec.attention_dropout

    def look_up(self, batch: PackedBatch) -> Tensor:
        """Return the word vectors (T, E) that SMART perturbs, before position, type and LayerNorm."""
        out: Tensor = self.words(batch.ids)
        return out

    def forward(
        self, words: Tensor, batch: PackedBatch, *, pooling: Pooling = "cls", dropout: Dropout = no_dropout
    ) -> Tensor:
        """Return one vector a sentence, (S, D): the first token's, the pooler's, or the tokens' mean."""
        # Word vectors are an argument and not looked up here: SMART perturbs them, and reads their gradient.
        place: Tensor = self.positions(batch.positions + self.spec.position_offset)
        if self.types is not None:
            place = place + self.types(batch.types)
        x = dropout(add_and_norm(words, None, place, self.norm)[0], self.dropout, "token", "embeddings")
        if self.project is not None:
            # The sums between layers stay as wide as the embeddings, as in encoders without a projection.
            x = self.project(x).to(x.dtype)
        # Once for all layers, as MPNet shares its table of distances.
        bias = self._bias(batch)
        last, read = len(self.layers) - 1, x
        for number, layer in enumerate(self.layers):
            x, read = layer(
                x,
                read,
                batch,
                bias=bias,
                dropout=dropout,
                p=self.dropout,
                attention_p=self.attention_dropout,
                place=f"layer{number}",
                # Nothing after the last layer's attention is read but the first rows, unless all of them are pooled.
                first_only=number == last and pooling != "mean",
            )
        if pooling == "mean":
            return mean_rows(x, batch)
        if pooling == "pooler":
            assert self.pooler is not None
            return torch.tanh(self.pooler(x))
        return x

    def _bias(self, batch: PackedBatch) -> Tensor | None:
        if self.relative is None:
            return None
        width = max(group.width for group in batch.groups)
        buckets = relative_buckets(width, self.spec.relative_buckets, self.spec.relative_distance, batch.ids.device)
        bias: Tensor = self.relative(buckets)
        return bias.permute(2, 0, 1)


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


def canonical_tensors(encoder: Encoder) -> dict[str, Tensor]:
    """Return the encoder's tensors under BERT's Hugging Face names without prefix (views, not copies)."""
    out = {
        "embeddings.word_embeddings.weight": encoder.words.weight.data,
        "embeddings.position_embeddings.weight": encoder.positions.weight.data,
    }
    if encoder.types is not None:
        out["embeddings.token_type_embeddings.weight"] = encoder.types.weight.data
    out |= _named("embeddings.LayerNorm", encoder.norm)
    if encoder.project is not None:
        out |= _named("embeddings_project", encoder.project)
    if encoder.relative is not None:
        out["encoder.relative_attention_bias.weight"] = encoder.relative.weight.data
    for number, module in enumerate(encoder.layers):
        assert isinstance(module, Layer)
        at = f"encoder.layer.{number}"
        width = module.qkv.weight.shape[1]
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * width, (part + 1) * width)
            out[f"{at}.attention.self.{name}.weight"] = module.qkv.weight.data[rows]
            out[f"{at}.attention.self.{name}.bias"] = module.qkv.bias.data[rows]
        out |= _named(f"{at}.attention.output.dense", module.attention_out)
        out |= _named(f"{at}.attention.output.LayerNorm", module.attention_norm)
        out |= _named(f"{at}.intermediate.dense", module.feed_in)
        out |= _named(f"{at}.output.dense", module.feed_out)
        out |= _named(f"{at}.output.LayerNorm", module.feed_norm)
    if encoder.pooler is not None:
        out |= _named("pooler.dense", encoder.pooler)
    return out


def _named(name: str, module: nn.Linear | nn.LayerNorm) -> dict[str, Tensor]:
    return {f"{name}.weight": module.weight.data, f"{name}.bias": module.bias.data}


@torch.no_grad()
def fill(encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors under canonical names into the encoder; every name must be there, with its shape."""
    for name, target in canonical_tensors(encoder).items():
        target.copy_(tensors[name])
