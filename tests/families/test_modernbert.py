"""ModernBERT's config.json in both layouts, what it may not say, and parity with transformers at full window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make_tiny_encoder, tiny_config

from smartcli.errors import UserError
from smartcli.families.spec import EncoderSpec, parse_spec, read_spec
from smartcli.families.weights import expected_shapes, hf_names, map_weights

BASE: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
    "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False,
    "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
    "gradient_checkpointing": False, "hidden_activation": "gelu", "hidden_size": 768,
    "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152, "layer_norm_eps": 1e-05,
    "local_attention": 128, "local_rope_theta": 10000.0, "max_position_embeddings": 8192, "mlp_bias": False,
    "mlp_dropout": 0.0, "model_type": "modernbert", "norm_bias": False, "norm_eps": 1e-05,
    "num_attention_heads": 12, "num_hidden_layers": 22, "pad_token_id": 50283,
    "position_embedding_type": "absolute", "sep_token_id": 50282, "tie_word_embeddings": True,
    "torch_dtype": "float32", "transformers_version": "4.47.0.dev0", "vocab_size": 50368,
}  # fmt: skip
"""Keys and values as in the public file of the base size."""
OLD = ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")


def parsed(**changes: Any) -> EncoderSpec:
    """The base's spec; None drops a key."""
    return parse_spec({k: v for k, v in (BASE | changes).items() if v is not None}, "config.json")


def newer(**changes: Any) -> dict[str, Any]:
    """What transformers 5 writes in place of the older keys."""
    kinds = ["sliding_attention" if layer % 3 else "full_attention" for layer in range(22)]
    ropes = {
        "full_attention": {"rope_type": "default", "rope_theta": 160000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    return dict.fromkeys(OLD) | {"layer_types": kinds, "rope_parameters": ropes} | changes


def test_the_base_reads_as_published() -> None:
    spec = parsed()
    assert (spec.hidden_size, spec.layers, spec.heads, spec.ffn_size, spec.vocab_size) == (768, 22, 12, 1152, 50368)
    assert (spec.max_tokens, spec.position_table, spec.token_types, spec.layer_norm_eps) == (8192, False, 0, 1e-5)
    assert (spec.pre_norm, spec.gated, spec.activation) == (True, True, "gelu")
    assert (spec.attention_biases, spec.feed_biases, spec.norm_biases) == (False, False, False)
    # Each third layer, from the first on, reads all.
    assert spec.reach == (0, 64, 64) * 7 + (0,)
    assert spec.rotary == (160000.0, 10000.0, 10000.0) * 7 + (160000.0,)


def test_a_key_that_the_type_never_reads_is_no_reason_to_refuse() -> None:
    """mmBERT's files have it."""
    assert parsed(position_embedding_type="sans_pos") == parsed()


def test_both_layouts_and_none_say_the_same() -> None:
    assert parsed(**newer()) == parsed()
    assert parsed(**dict.fromkeys((*OLD, "local_attention"))) == parsed()
    ropes = {"full_attention": {"rope_type": "default"}, "sliding_attention": None}
    assert parsed(**newer(rope_parameters=ropes)) == parsed()


def test_the_list_of_layers_counts_before_the_rule() -> None:
    kinds = ["sliding_attention", "full_attention"] * 11
    spec = parsed(layer_types=kinds, local_rope_theta=500.0)
    assert spec.reach == (64, 0) * 11
    assert spec.rotary == (500.0, 160000.0) * 11


def test_without_a_base_of_their_own_local_layers_take_the_global_one() -> None:
    spec = parse_spec(BASE | {"local_rope_theta": None, "global_rope_theta": 80000.0}, "config.json")
    assert set(spec.rotary) == {80000.0}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_types", ["full_attention"] * 21),
        ("layer_types", ["full_attention"] * 21 + ["linear_attention"]),
        ("layer_types", "full_attention"),
        ("global_attn_every_n_layers", 0),
        ("global_attn_every_n_layers", 1.5),
        ("local_attention", 1),
        ("local_attention", "128"),
        ("local_rope_theta", 0.5),
        ("global_rope_theta", "1e4"),
        ("global_rope_theta", float("inf")),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 10000.0}),
        ("rope_parameters", {"full_attention": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}),
        ("rope_parameters", {"full_attention": {"rope_theta": -1.0}}),
        ("rope_parameters", {"full_attention": 10000.0}),
        ("rope_parameters", [1]),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("attention_bias", "no"),
        ("mlp_bias", 1),
        ("norm_bias", 0),
        ("norm_eps", 0),
        ("hidden_activation", "silu"),
        ("num_attention_heads", 256),
    ],
)
def test_what_is_not_implemented_is_refused_by_key(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f'config.json: .*"{key}"'):
        parsed(**{key: value})


def test_tensors_are_named_and_shaped_as_in_the_public_file() -> None:
    spec = parsed()
    names = hf_names(spec, prefix=True)
    shapes = {own: expected_shapes(spec)[name] for name, own in names.items()}
    assert len(shapes) == 2 + 22 * 6 - 1 + 1
    layer = {
        "attn.Wqkv": (2304, 768), "attn.Wo": (768, 768), "attn_norm": (768,),
        "mlp.Wi": (2304, 768), "mlp.Wo": (768, 1152), "mlp_norm": (768,),
    }  # fmt: skip
    expected = {f"model.layers.{n}.{part}.weight": shape for n in range(22) for part, shape in layer.items()}
    del expected["model.layers.0.attn_norm.weight"]
    outside = {"embeddings.tok_embeddings": (50368, 768), "embeddings.norm": (768,), "final_norm": (768,)}
    assert shapes == expected | {f"model.{part}.weight": shape for part, shape in outside.items()}
    # The public file also has the head of masked-language-model training.
    found = map_weights(spec, [*shapes, "head.dense.weight", "head.norm.weight", "decoder.bias"], "model.safetensors")
    assert found.ignored == ("decoder.bias", "head.dense.weight", "head.norm.weight")


@pytest.mark.parametrize("name", ["model.layers.0.attn_norm.weight", "layers.22.mlp.Wi.weight", "final_norm.bias"])
def test_a_tensor_without_a_place_in_the_layers_is_an_error(name: str) -> None:
    with pytest.raises(UserError, match="inside the encoder but no part of type modernbert"):
        map_weights(parsed(), [*hf_names(parsed()).values(), name], "model.safetensors")


def test_long_sentences_equal_transformers_with_the_real_window_and_bases(tmp_path: Path) -> None:
    """Beyond the window on both sides: 300 tokens, the middle one reads 129; both layouts of config.json."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from smartcli.data.joining import Sequences
    from smartcli.engine.model.build import build_model
    from smartcli.engine.model.packing import pack
    from smartcli.tasks import TaskTable
    from tests.small_model import settings

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    real = {key: BASE[key] for key in (*OLD, "local_attention")}
    folder = make_tiny_encoder(tmp_path, "modernbert", max_position_embeddings=512, num_hidden_layers=4, **real)
    spec = read_spec(folder)
    assert spec.reach == (0, 64, 64, 0)
    lengths = np.array([300, 7, 131, 129])
    ids = np.random.default_rng(0).integers(5, spec.vocab_size, int(lengths.sum()))
    encoder = build_model(folder, spec, TaskTable(()), settings()).encoder
    batches = [pack({"t": [Sequences(ids, np.zeros_like(ids), lengths, 0)]}, most_groups=most) for most in (1, 4)]
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = torch.split(torch.from_numpy(ids), lengths.tolist())
        states = [theirs(row[None]).last_hidden_state[0] for row in rows]
        for pooling in ("cls", "mean"):
            expected = torch.stack([state[0] if pooling == "cls" else state.mean(0) for state in states])
            for batch in batches:
                found = encoder(encoder.look_up(batch), batch, pooling=pooling)[batch.outputs["t"][0]]
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    theirs.save_pretrained(tmp_path / "saved")
    assert "layer_types" in json.loads((tmp_path / "saved" / "config.json").read_text())
    assert read_spec(tmp_path / "saved") == spec


@pytest.mark.parametrize("pair", ["[CLS] $A [SEP] $B [SEP]", "[CLS]:0 $A:0 [SEP]:0 [CLS]:1 $B:1 [SEP]:1"])
def test_a_byte_level_tokenizer_reads_as_in_transformers(tmp_path: Path, pair: str) -> None:
    """Laid out as the public file: NFC, byte-level BPE without an unknown token, special tokens behind the others."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    from smartcli.families.tokenizer import SentenceTokenizer

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["the film was good", "a dull film, the plot was slow"] * 3, trainer)
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True, special=True)])
    ids = {token: made.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=list(ids.items())
    )
    folder = make_tiny_encoder(tmp_path, "modernbert", vocab_size=made.get_vocab_size())
    made.save(str(folder / "tokenizer.json"))
    ours = SentenceTokenizer.from_folder(folder, read_spec(folder))
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    sentences = ["the film was good", " The  plot!", "cafe\u0301 \U0001f9ff x", "電影", ""]
    for first in sentences:
        # Without the empty one, which the other side takes for no second sentence.
        for second in sentences[:-1]:
            a, b = (tuple(part.tolist()) for part in ours.encode([first, second]))
            assert list(ours.template.single(a)[0]) == theirs(first)["input_ids"]
            assert list(ours.template.pair(a, b)[0]) == theirs(first, second)["input_ids"]
            assert set(ours.template.pair(a, b)[1]) <= {0}
    text = "the film, 電影"
    assert ours.ends(text)[-1] == len(text)
    assert ours.ends(text)[:2] == [3, 8]


def test_the_tiny_one_of_the_tests_has_a_global_and_a_local_layer() -> None:
    spec = parse_spec(tiny_config("modernbert"), "config.json")
    assert spec.reach == (0, 4)
