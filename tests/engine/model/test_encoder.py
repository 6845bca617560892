"""The encoder against transformers, against torch's own layer in float64, and against itself packed otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import settings, small_batch, small_model
from tiny import make_tiny_encoder, tiny_config
from torch import Tensor, nn

from smartcli.data.joining import Sequences
from smartcli.engine.model import encoder as encoder_module
from smartcli.engine.model.build import build_model
from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.encoder_tensors import canonical_tensors
from smartcli.engine.model.layer import Layer
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.streams import stream
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import read_spec
from smartcli.tasks import TaskTable

TOLERANCE = 1e-5
"""fp32: outputs are of size 1 after a LayerNorm, rounding is about 1e-7 a layer and operation."""
TYPES = list(FAMILIES)
LENGTHS = (3, 30, 8, 1, 15, 3, 60, 8)


def rows(vocab: int, types: int, lengths: tuple[int, ...] = LENGTHS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token ids and type ids of sentences; the second half of each has the last type."""
    draw = np.random.default_rng(5)
    out = []
    for length in lengths:
        ids = draw.integers(5, vocab, length)
        out.append((ids, (np.arange(length) >= length // 2).astype(np.int64) * max(0, types - 1)))
    return out


def packed(sentences: list[tuple[np.ndarray, np.ndarray]], most_groups: int = 4) -> PackedBatch:
    ids, types = (np.concatenate([one[part] for one in sentences]) for part in (0, 1))
    lengths = np.array([len(one[0]) for one in sentences], np.int64)
    return pack({"t": [Sequences(ids, types, lengths, 0)]}, most_groups=most_groups)


def vectors(encoder: Encoder, batch: PackedBatch, pooling: Any) -> Tensor:
    """One vector a sentence, in the order in which the sentences were given."""
    return encoder(encoder.look_up(batch), batch, pooling=pooling)[batch.outputs["t"][0]]


@torch.no_grad()
def reference(model: Any, ids: np.ndarray, types: np.ndarray, typed: bool) -> dict[str, Tensor]:
    extra = {"token_type_ids": torch.tensor(types)[None]} if typed else {}
    found = model(torch.tensor(ids)[None], attention_mask=torch.ones(1, len(ids), dtype=torch.long), **extra)
    state = found.last_hidden_state[0]
    pooled = getattr(found, "pooler_output", None)
    return {"cls": state[0], "mean": state.mean(dim=0)} | ({} if pooled is None else {"pooler": pooled[0]})


@pytest.mark.parametrize("model_type", TYPES)
def test_outputs_equal_those_of_transformers(tmp_path: Path, model_type: str) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model(**tiny_config(model_type, initializer_range=0.3))
    theirs = transformers.AutoModel.from_config(config).eval()
    theirs.save_pretrained(tmp_path)
    spec = read_spec(tmp_path)
    pooling = "pooler" if spec.family.pooler else "cls"
    ours = build_model(tmp_path, spec, TaskTable(()), settings(pooling=pooling)).encoder
    sentences = rows(spec.vocab_size, spec.token_types)
    typed = spec.token_types > 0
    wanted = [reference(theirs, *one, typed) for one in sentences]
    with torch.no_grad():
        for name in wanted[0]:
            found = vectors(ours, packed(sentences), name)
            expected = torch.stack([one[name] for one in wanted])
            assert expected.std() > 0.1  # differences would show
            torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_sentence_scores_the_same_alone_padded_and_packed(tmp_path: Path, model_type: str, pooling: str) -> None:
    spec = read_spec(make_tiny_encoder(tmp_path, model_type))
    encoder = build_model(tmp_path, spec, TaskTable(()), settings(pooling=pooling)).encoder
    sentences = rows(spec.vocab_size, spec.token_types)
    with torch.no_grad():
        together = vectors(encoder, packed(sentences), pooling)
        padded = vectors(encoder, packed(sentences, most_groups=1), pooling)
        alone = torch.cat([vectors(encoder, packed([one]), pooling) for one in sentences])
    assert len(packed(sentences).groups) > 1
    torch.testing.assert_close(together, padded, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(together, alone, atol=TOLERANCE, rtol=0)


def torch_layer(layer: Layer, width: int, heads: int) -> nn.TransformerEncoderLayer:
    """torch's own layer with the same weights, in float64."""
    made = nn.TransformerEncoderLayer(
        width, heads, layer.feed_in.out_features, dropout=0.0, activation="gelu", batch_first=True,
        norm_first=False, layer_norm_eps=layer.attention_norm.eps, dtype=torch.float64,
    ).eval()  # fmt: skip
    copies = [
        (made.self_attn.in_proj_weight, layer.qkv.weight),
        (made.self_attn.in_proj_bias, layer.qkv.bias),
    ]
    for theirs, ours in (
        (made.self_attn.out_proj, layer.attention_out),
        (made.norm1, layer.attention_norm),
        (made.linear1, layer.feed_in),
        (made.linear2, layer.feed_out),
        (made.norm2, layer.feed_norm),
    ):
        copies += [(theirs.weight, ours.weight), (theirs.bias, ours.bias)]
    with torch.no_grad():
        for target, source in copies:
            target.copy_(source)
    return made


def test_layers_equal_torchs_own_in_float64() -> None:
    model = small_model(settings())
    encoder, spec = model.encoder, model.encoder.spec
    sentences = rows(spec.vocab_size, 2, (4, 11))
    with torch.no_grad():
        found = vectors(encoder, packed(sentences), "mean")
        for (ids, types), ours in zip(sentences, found, strict=True):
            assert encoder.types is not None
            at = torch.arange(len(ids))
            x = encoder.words(torch.tensor(ids)) + encoder.positions(at) + encoder.types(torch.tensor(types))
            x = encoder.norm(x)[None]
            for layer in encoder.layers:
                assert isinstance(layer, Layer)
                x = torch_layer(layer, spec.hidden_size, spec.heads)(x)
            torch.testing.assert_close(x[0].mean(dim=0), ours, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dropped", [False, True])
def test_the_first_token_shortcut_has_the_numbers_and_gradients_of_the_whole_last_layer(
    monkeypatch: pytest.MonkeyPatch, dropped: bool
) -> None:
    """With dropout the shortcut's last layer has masks of another shape, so there only earlier layers drop."""
    model = small_model(settings())
    encoder = model.encoder
    batch = small_batch(settings()).batch
    monkeypatch.setattr(encoder_module, "mean_rows", lambda x, batch: pick(x, batch.starts))

    class EarlyDropout(FreshDropout):
        def mask(self, shape: Sequence[int], device: torch.device, p: float, axis: str, key: str) -> Tensor | None:
            return None if key.startswith("layer1.") else super().mask(shape, device, p, axis, key)

    found = {}
    for pooling in ("cls", "mean"):
        words = encoder.look_up(batch).detach().requires_grad_(True)
        dropout = EarlyDropout(stream(0, "x")) if dropped else encoder_module.no_dropout
        out = encoder(words, batch, pooling=pooling, dropout=dropout)
        gradients = torch.autograd.grad(out.square().sum(), [words, *encoder.layers.parameters()])
        found[pooling] = (out, *gradients)
    for shortcut, whole in zip(found["cls"], found["mean"], strict=True):
        torch.testing.assert_close(shortcut, whole, atol=1e-11, rtol=1e-11)


def test_canonical_tensors_are_views_of_the_weights() -> None:
    encoder = small_model(settings()).encoder
    tensors = canonical_tensors(encoder)
    names = ("encoder.layer.0.attention.self.key.weight", "encoder.layer.1.attention.self.value.bias")
    for name in names:
        tensors[name].fill_(7.0)
    first, second = encoder.layers
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    assert bool((first.qkv.weight[32:64] == 7).all())
    assert bool((second.qkv.bias[64:] == 7).all())
    assert not bool((first.qkv.weight[:32] == 7).any())
    assert not bool((first.qkv.weight[64:] == 7).any())
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in encoder.parameters())
