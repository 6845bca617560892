"""Layers that norm before their halves: torch's own in float64, the first-token shortcut, and the bf16 type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from smartcli.data.joining import Sequences
from smartcli.engine.model import encoder as encoder_module
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.model.pre_norm_layer import PreNormLayer
from smartcli.families.spec import EncoderSpec

LENGTHS = (4, 11)


def made(**changes: Any) -> Encoder:
    values: dict[str, Any] = {
        "model_type": "bert", "hidden_size": 8, "layers": 3, "heads": 2, "ffn_size": 12, "vocab_size": 40,
        "positions": 16, "embedding_size": 8, "pre_norm": True,
    }  # fmt: skip
    torch.manual_seed(0)
    encoder = Encoder(EncoderSpec(**values | changes), pooler=False).double()
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.data.normal_(1.0, 0.3)
    return encoder


def batch() -> PackedBatch:
    ids = np.random.default_rng(0).integers(0, 40, sum(LENGTHS))
    return pack({"t": [Sequences(ids, np.zeros_like(ids), np.array(LENGTHS, np.int64), 0)]}, most_groups=1)


def torch_layer(layer: Layer, before: nn.Module, width: int) -> nn.TransformerEncoderLayer:
    """torch's own layer with the same weights, which norms by `before` first."""
    theirs = nn.TransformerEncoderLayer(
        width, layer.heads, layer.feed_in.out_features, dropout=0.0, activation="gelu", batch_first=True,
        norm_first=True, dtype=torch.float64,
    )  # fmt: skip
    theirs.norm1, theirs.norm2 = before, layer.attention_norm  # type: ignore[assignment]
    theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias = layer.qkv.weight, layer.qkv.bias
    theirs.self_attn.out_proj, theirs.linear1, theirs.linear2 = layer.attention_out, layer.feed_in, layer.feed_out  # type: ignore[assignment]
    return theirs


def test_layers_equal_torchs_own_in_float64() -> None:
    encoder, packed = made(), batch()
    assert encoder.positions is not None
    with torch.no_grad():
        found = encoder(encoder.look_up(packed), packed, pooling="mean")
        for at, length in enumerate(LENGTHS):
            ids = packed.ids[packed.starts[at] : packed.starts[at] + length]
            x = encoder.norm(encoder.words(ids) + encoder.positions(torch.arange(length)))[None]
            before: nn.Module = nn.Identity()
            for layer in encoder.layers:
                assert isinstance(layer, PreNormLayer)
                x = torch_layer(layer, before, 8)(x)
                before = layer.feed_norm
            torch.testing.assert_close(before(x)[0].mean(dim=0), found[at], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "changes", [{}, {"rotary": (100.0, 10.0, 10.0), "reach": (0, 3, 2), "gated": True, "norm_biases": False}]
)
def test_the_first_token_shortcut_has_the_numbers_and_gradients_of_the_whole_last_layer(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    encoder, packed = made(**changes), batch()
    monkeypatch.setattr(encoder_module, "mean_rows", lambda x, batch: pick(x, batch.starts))
    found: list[tuple[Tensor, ...]] = []
    for pooling in ("cls", "mean"):
        words = encoder.look_up(packed).detach().requires_grad_(True)
        out = encoder(words, packed, pooling=pooling)
        found.append((out, *torch.autograd.grad(out.sin().sum(), [words, *encoder.layers.parameters()])))
    for shortcut, whole in zip(*found, strict=True):
        torch.testing.assert_close(shortcut, whole, atol=1e-12, rtol=1e-10)


def test_gradients_by_words_are_finite_differences_with_every_part() -> None:
    encoder = made(rotary=(100.0, 10.0, 10.0), reach=(0, 3, 2), gated=True, feed_biases=False, position_table=False)
    encoder.requires_grad_(False)
    packed = batch()
    words = encoder.look_up(packed).detach().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda w: encoder(w, packed), (words,), check_forward_ad=True, fast_mode=True)


def test_under_autocast_the_sums_between_layers_stay_in_fp32() -> None:
    encoder, packed = made(gated=True).float(), batch()
    first = encoder.layers[0]
    assert isinstance(first, PreNormLayer)
    seen: list[Tensor] = []
    first.register_forward_hook(lambda _, __, out: seen.extend(out))
    exact = encoder(encoder.look_up(packed), packed)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(encoder.look_up(packed), packed)
    assert {x.dtype for x in seen} == {torch.float32}
    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0.05)
