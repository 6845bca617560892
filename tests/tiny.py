"""Small random encoder folders of every type, written in milliseconds and without transformers."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from smartcli.families.spec import read_spec
from smartcli.families.weights import expected_shapes, hf_names

WORD_LIST = """\
the a an and or but not no is are was were be been it its this that these those i you he she we they my your his
her our their me him us them what which who how why when where can could do does did will would should may might
must have has had to of in on at by for from with without about into over under after before between very really
quite rather so too more most less least some any all every each film movie story plot actor actress scene
script music song book play show director ending character dialogue camera acting good great fine nice lovely
brilliant superb wonderful charming moving funny clever bright warm bad poor dull weak slow boring awful
terrible dreadful tedious flat clumsy silly average ordinary plain watchable decent man woman boy girl child dog
cat bird horse person people group player student teacher doctor driver cook house street park garden river
beach road city town kitchen room field car bus train bike ball guitar piano food water bread soup run runs
running walk walks walking eat eats eating read reads reading write writes writing play plays playing sing sings
singing dance dances dancing sit sits sitting jump jumps jumping carry carries carrying cut cuts cutting learn
buy make get find start stop build use choose best way quick fast cheap easy hard small big large little old
young new red blue green black white one two three four five language money weight english language computer
phone job india time day week year home work school help better change first"""
WORDS = WORD_LIST.split()
LETTERS = string.ascii_lowercase + string.digits
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
BERT_LIKE = {"bert", "electra", "distilbert", "modernbert", "deberta-v2"}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
DISTILBERT = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
              "intermediate_size": "hidden_dim"}  # fmt: skip
DEBERTA_V3 = {
    "relative_attention": True, "pos_att_type": "p2c|c2p", "position_buckets": 8, "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
}  # fmt: skip
"""Keys of the public v3's config.json, with buckets so few that tiny sentences reach beyond them."""
POSITIONS = 128


def vocabulary(model_type: str = "bert") -> dict[str, int]:
    """Special tokens, letters with and without ##, punctuation, words; each once."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if model_type not in BERT_LIKE:
        special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS), *PUNCTUATION, "##s", "##ing", "##ed", "##er"]
    return {token: number for number, token in enumerate(dict.fromkeys([*special, *pieces, *WORDS]))}


def tiny_config(model_type: str = "bert", **config: Any) -> dict[str, Any]:
    """Return a config.json; keyword arguments (BERT's key names) replace or, when None, drop keys."""
    offset = 0 if model_type in BERT_LIKE else 2
    values: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": len(vocabulary(model_type)),
        **SIZES,
        "max_position_embeddings": POSITIONS + offset,
        "pad_token_id": 1 if offset else 0,
    }
    if model_type == "distilbert":
        values |= {"activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1}
    elif model_type == "modernbert":
        # So narrow a window that most test sentences are longer.
        values |= {
            "hidden_activation": "gelu",
            "attention_dropout": 0.1,
            "norm_eps": 1e-5,
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
        }
    else:
        values |= {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
        values["layer_norm_eps"] = 1e-5 if offset else 1e-12
    if model_type in {"bert", "electra", "roberta", "xlm-roberta", "camembert"}:
        values["type_vocab_size"] = 1 if offset else 2
    if model_type == "mpnet":
        values["relative_attention_num_buckets"] = 32
    if model_type == "electra":
        values["embedding_size"] = 16
    if model_type == "deberta-v2":
        values |= DEBERTA_V3
    values |= config
    if model_type == "distilbert":
        values = {DISTILBERT.get(key, key): value for key, value in values.items()}
    return {key: value for key, value in values.items() if value is not None}


def tiny_tokenizer(model_type: str = "bert") -> dict[str, Any]:
    """Return a tokenizer.json: lower-casing WordPiece, `[CLS] a [SEP] b [SEP]` or `<s> a </s></s> b </s>`."""
    vocab = vocabulary(model_type)
    first, last = ("[CLS]", "[SEP]") if model_type in BERT_LIKE else ("<s>", "</s>")

    def special(token: str, kind: int = 0) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def text(name: str, kind: int = 0) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    second = 1 if model_type in BERT_LIKE else 0
    middle = [special(last)] if model_type in BERT_LIKE else [special(last), special(last)]
    return {
        "version": "1.0",
        "truncation": {"max_length": 16, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [
            {"id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for token, number in list(vocab.items())[:5]
        ],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(first), text("A"), special(last)],
            "pair": [special(first), text("A"), *middle, text("B", second), special(last, second)],
            "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in (first, last)},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    }  # fmt: skip


def tiny_weights(folder: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random float32 tensors under the names of `folder`'s type, pooler included where it has one."""
    spec = read_spec(folder)
    draw = np.random.default_rng(seed)
    pooler = spec.family.pooler
    own = hf_names(spec, pooler=pooler)
    tensors = {}
    for name, shape in expected_shapes(spec, pooler=pooler).items():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        tensors[own[name]] = (centre + 0.1 * draw.standard_normal(shape)).astype(np.float32)
    return tensors


def make_tiny_encoder(folder: Path, model_type: str = "bert", seed: int = 0, **config: Any) -> Path:
    """Write a 2-layer random encoder of width 32 to `folder` and return it; `config` changes config.json's keys."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(tiny_config(model_type, **config), indent=2))
    (folder / "tokenizer.json").write_text(json.dumps(tiny_tokenizer(model_type)))
    save_file(tiny_weights(folder, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
