"""An encoder's weights under canonical names: BERT's, as Hugging Face calls them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.layer import Layer
from smartcli.families.part_shapes import own_positions


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
    out |= _beside_layers(encoder)
    for number, module in enumerate(encoder.layers):
        assert isinstance(module, Layer)
        at = f"encoder.layer.{number}"
        out |= _asked(f"{at}.attention.self", module.qkv, joined=encoder.spec.family.joined_qkv)
        if module.disentangled is not None and module.disentangled.project is not None:
            out |= _parts(f"{at}.attention.self", module.disentangled.project, own_positions(encoder.spec))
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
    return _named(f"{at}.qkv", qkv) if joined else _parts(at, qkv, ("query", "key", "value"))


def _parts(at: str, joint: nn.Linear, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the square parts, end to end, of a joint layer, each under its name."""
    width, out = joint.in_features, {}
    for part, name in enumerate(names):
        for kind, tensor in _named("", joint).items():
            out[f"{at}.{name}{kind}"] = tensor[part * width : (part + 1) * width]
    return out


def _beside_layers(encoder: Encoder) -> dict[str, Tensor]:
    """Return what stands beside the layers in disentangled attention and convolution."""
    out: dict[str, Tensor] = {}
    if encoder.distances is not None:
        out["encoder.rel_embeddings.weight"] = encoder.distances.rows.weight.data
        if encoder.distances.norm is not None:
            out |= _named("encoder.LayerNorm", encoder.distances.norm)
    if encoder.convolution is not None:
        out["encoder.conv.conv.weight"] = encoder.convolution.kernel_weight()
        out["encoder.conv.conv.bias"] = encoder.convolution.linear.bias.data
        out |= _named("encoder.conv.LayerNorm", encoder.convolution.norm)
    return out


@torch.no_grad()
def fill(encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors under canonical names into the encoder; every name must be there, with its shape."""
    for name, target in canonical_tensors(encoder).items():
        target.copy_(tensors[name])
