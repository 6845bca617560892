"""The head for masked words: transformers' own outputs from its own files, a fresh head, and an untied output layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny_encoder, tiny_config, tiny_tokenizer

from smartcli.config import Settings
from smartcli.data.joining import join_single
from smartcli.data.ragged import Ragged
from smartcli.engine.model.build import build_model
from smartcli.engine.model.mlm_head import MlmHead, count_words, read_mlm_head
from smartcli.engine.model.packing import pack
from smartcli.families.mlm_names import find_mlm_head
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.tasks import TaskTable

HEADS = {
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "mpnet": "MPNetForMaskedLM",
    "distilbert": "DistilBertForMaskedLM",
    "electra": "ElectraForMaskedLM",
    "modernbert": "ModernBertForMaskedLM",
}


def saved(folder: Path, model_type: str, **config: Any) -> object:
    """A masked language model of transformers, saved to `folder` with the tiny tokenizer."""
    import json

    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(1)
    model = getattr(transformers, HEADS[model_type])(
        transformers.AutoConfig.for_model(**tiny_config(model_type, **config))
    )
    for name, parameter in model.named_parameters():
        # Fresh biases are 0, which would hide one that is read from the wrong place.
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tiny_tokenizer(model_type)))
    return model.eval()


@pytest.mark.parametrize(
    ("model_type", "config"),
    [*((model_type, {}) for model_type in HEADS), ("modernbert", {"classifier_bias": True, "norm_bias": True})],
)
def test_a_files_own_head_gives_the_logits_of_transformers(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    reference = saved(tmp_path, model_type, **config)
    spec = read_spec(tmp_path)
    model = build_model(tmp_path, spec, TaskTable(()), Settings(dropout=0.0))
    head, found = MlmHead(spec), find_mlm_head(tmp_path, spec)
    assert found is not None
    # What files lack must be 0, whatever the head had.
    torch.nn.init.normal_(head.dense.bias)
    torch.nn.init.normal_(head.norm.bias)
    assert read_mlm_head(head, found, model.encoder.words.weight)
    tokenizer = SentenceTokenizer.from_folder(tmp_path, spec)
    side = Ragged.of(tokenizer.encode(["the film was good and the plot was dull"]))
    batch = pack({"text": [join_single(tokenizer.template, side, np.zeros(1, np.int64), 32)]})
    with torch.no_grad():
        rows = model.encoder(model.encoder.look_up(batch), batch, pooling="tokens")
        ours = head(rows, model.encoder.words.weight)
        theirs = reference(input_ids=batch.ids[None]).logits[0]  # type: ignore[operator]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_an_output_layer_of_its_own_is_not_taken_for_the_embeddings(tmp_path: Path) -> None:
    saved(tmp_path, "bert")
    spec = read_spec(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    table = tensors["bert.embeddings.word_embeddings.weight"]
    head = MlmHead(spec)
    before = head.bias.detach().clone()
    for change, taken in ((0.0, True), (1.0, False)):
        save_file({**tensors, "cls.predictions.decoder.weight": table + change}, tmp_path / "model.safetensors")
        found = find_mlm_head(tmp_path, spec)
        assert found is not None
        own = MlmHead(spec)
        assert read_mlm_head(own, found, table) is taken
        assert torch.equal(own.bias, before) is not taken


def test_files_without_a_whole_head_have_none(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "plain")
    assert find_mlm_head(folder, read_spec(folder)) is None
    saved(tmp_path, "bert")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["cls.predictions.transform.dense.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    assert find_mlm_head(tmp_path, read_spec(tmp_path)) is None


def test_a_fresh_head_starts_at_the_words_shares_of_the_text(tmp_path: Path) -> None:
    spec = read_spec(make_tiny_encoder(tmp_path / "plain"))
    sentences = Ragged.of([np.array([7, 9, 9], np.int32), np.array([9], np.int32)])
    counts = count_words(sentences, spec.vocab_size)
    assert (counts.sum(), counts[7], counts[9]) == (4, 1, 3)
    head, other = MlmHead(spec), MlmHead(spec)
    head.start(3, counts)
    other.start(3, counts)
    assert torch.equal(head.dense.weight, other.dense.weight)
    # Each word has one more, so that those that the text lacks stay possible: 4 of V + 4.
    assert head.bias[9].item() == pytest.approx(np.log(4 / (spec.vocab_size + 4)), abs=1e-6)
    assert head.bias.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
