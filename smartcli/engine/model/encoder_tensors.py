"""An encoder's weights under canonical names: BERT's, as Hugging Face calls them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.layer import Layer


def canonical_tensors(encoder: Encoder) -> dict[str, Tensor]:
    """Return the encoder's tensors under BERT's Hugging Face names without prefix (views, not copies).

    Where the type's files hold query, key and value as one tensor, that is `attention.self.qkv`.
    """
    out = {"embeddings.word_embeddings.weight": encoder.words.weight.data}
    if encoder.positions is not None:
        out["embeddings.position_embeddings.weight"] = encoder.positions.weight.data
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
        out |= _asked(f"{at}.attention.self", module.qkv, joined=encoder.spec.family.joined_qkv)
        out |= _named(f"{at}.attention.output.dense", module.attention_out)
        out |= _named(f"{at}.attention.output.LayerNorm", module.attention_norm)
        out |= _named(f"{at}.intermediate.dense", module.feed_in)
        out |= _named(f"{at}.output.dense", module.feed_out)
        out |= _named(f"{at}.output.LayerNorm", module.feed_norm)
    if encoder.pooler is not None:
        out |= _named("pooler.dense", encoder.pooler)
    return out


def _named(name: str, module: nn.Linear | nn.LayerNorm) -> dict[str, Tensor]:
    bias: Tensor | None = module.bias
    return {f"{name}.weight": module.weight.data} | ({} if bias is None else {f"{name}.bias": bias.data})


def _asked(at: str, qkv: nn.Linear, *, joined: bool) -> dict[str, Tensor]:
    whole = _named(f"{at}.qkv", qkv)
    if joined:
        return whole
    width, out = qkv.in_features, {}
    for part, name in enumerate(("query", "key", "value")):
        for tensor in whole:
            out[tensor.replace(".qkv.", f".{name}.")] = whole[tensor][part * width : (part + 1) * width]
    return out


@torch.no_grad()
def fill(encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors under canonical names into the encoder; every name must be there, with its shape."""
    for name, target in canonical_tensors(encoder).items():
        target.copy_(tensors[name])
