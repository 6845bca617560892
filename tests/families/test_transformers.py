"""transformers as reference: its files are read, our names load in it, its tokenizers agree with ours."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.weights import expected_shapes, hf_names, open_weights
from tests.tiny import make_tiny_encoder, tiny_config, vocabulary

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
TYPES = list(FAMILIES)
SENTENCES = ["The film was good!", "a Dull plot, slow ending", "é 電影 🧿 x1", ""]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def model_of(model_type: str, head: str | None = None, **config: Any) -> Any:
    torch.manual_seed(1)
    values = tiny_config(model_type, **config)
    made = transformers.AutoConfig.for_model(**values)
    return getattr(transformers, head)(made) if head else transformers.AutoModel.from_config(made)


@pytest.mark.parametrize("model_type", TYPES)
def test_saved_models_are_read_whole(tmp_path: Path, model_type: str) -> None:
    model = model_of(model_type)
    model.save_pretrained(tmp_path)
    spec = read_spec(tmp_path)
    assert spec == read_spec(make_tiny_encoder(tmp_path / "ours", model_type))
    weights = open_weights(tmp_path, spec)
    assert weights.has_pooler == spec.family.pooler
    assert set(weights.name_of.values()) == set(model.state_dict())
    for name, shape in expected_shapes(spec, pooler=weights.has_pooler).items():
        assert tuple(model.state_dict()[weights.name_of[name]].shape) == shape


@pytest.mark.parametrize(
    ("model_type", "head"),
    [
        ("bert", "BertForPreTraining"),
        ("bert", "BertForSequenceClassification"),
        ("roberta", "RobertaForMaskedLM"),
        ("mpnet", "MPNetForMaskedLM"),
        ("distilbert", "DistilBertForMaskedLM"),
        ("electra", "ElectraForPreTraining"),
        ("electra", "ElectraForMaskedLM"),
        ("xlm-roberta", "XLMRobertaForMaskedLM"),
        ("camembert", "CamembertForMaskedLM"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("modernbert", "ModernBertForSequenceClassification"),
        ("deberta-v2", "DebertaV2ForMaskedLM"),
        ("deberta-v2", "DebertaV2ForSequenceClassification"),
    ],
)
def test_models_with_heads_are_read_and_the_heads_ignored(tmp_path: Path, model_type: str, head: str) -> None:
    model_of(model_type, head).save_pretrained(tmp_path)
    weights = open_weights(tmp_path, read_spec(tmp_path))
    prefix = FAMILIES[model_type].prefix
    assert all(own.startswith(prefix) for own in weights.name_of.values())
    assert len(weights.ignored) > 0
    assert not any(name.startswith(prefix) for name in weights.ignored)


@pytest.mark.parametrize("model_type", TYPES)
def test_our_names_load_in_transformers_without_a_rest(tmp_path: Path, model_type: str) -> None:
    folder = make_tiny_encoder(tmp_path, model_type, seed=3)
    model, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ours = load_file(folder / "model.safetensors")
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), ours[name])


def test_prefixed_names_load_below_a_head(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, "distilbert")
    tensors = load_file(folder / "model.safetensors")
    plain, prefixed = (hf_names(read_spec(folder), prefix=prefix) for prefix in (False, True))
    save_file({prefixed[n]: tensors[plain[n]] for n in plain}, folder / "model.safetensors", {"format": "pt"})
    head = transformers.DistilBertForSequenceClassification
    _, report = head.from_pretrained(folder, output_loading_info=True)
    assert all("classifier" in name for name in report["missing_keys"])
    assert not report["unexpected_keys"]


@pytest.mark.parametrize("model_type", ["roberta", "mpnet", "xlm-roberta", "camembert"])
def test_the_first_token_takes_the_row_after_the_offset(tmp_path: Path, model_type: str) -> None:
    folder = make_tiny_encoder(tmp_path, model_type)
    spec = read_spec(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = torch.tensor([[0, 50, 60, 2]])
    with torch.no_grad():
        table = model.embeddings.position_embeddings.weight
        before = model(ids).last_hidden_state
        table[: spec.position_offset] += 1
        table[spec.position_offset + 4 :] += 1
        assert torch.equal(model(ids).last_hidden_state, before)  # other rows do not matter
        table[spec.position_offset] += 1
        assert not torch.equal(model(ids).last_hidden_state, before)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_template_joins_as_transformers_does(tmp_path: Path, model_type: str) -> None:
    folder = make_tiny_encoder(tmp_path, model_type)
    ours = SentenceTokenizer.from_folder(folder, read_spec(folder))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for first, second in itertools.permutations(SENTENCES[:3], 2):
        a, b = (tuple(ids.tolist()) for ids in ours.encode([first, second]))
        assert list(ours.template.single(a)[0]) == fast(first, padding=False)["input_ids"]
        assert list(ours.template.pair(a, b)[0]) == fast(first, second, padding=False)["input_ids"]


@pytest.mark.parametrize(
    "config", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}]
)
def test_vocab_txt_alone_reads_as_in_transformers(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = make_tiny_encoder(tmp_path)
    (folder / "tokenizer.json").unlink()
    extra = ["The", "É", "é", "電", "電影"]
    tokens = [*vocabulary(), *extra]
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "vocab_size": len(tokens)}))
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **config}))
    ours = SentenceTokenizer.from_folder(folder, read_spec(folder))
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    for text in [*SENTENCES, "The É é 電影 the", "[SEP] [MASK] x"]:
        a = tuple(ours.encode([text])[0].tolist())
        assert list(ours.template.single(a)[0]) == theirs(text)["input_ids"]
    pair = theirs("the film", "good")
    a, b = (tuple(ids.tolist()) for ids in ours.encode(["the film", "good"]))
    assert tuple(map(list, ours.template.pair(a, b))) == (pair["input_ids"], pair["token_type_ids"])


PIECES = ["▁", "▁the", "▁film", "▁was", "▁good", "▁a", "▁du", "ll", "▁plot", "!", ",", *"adefghilmnoprstuw"]
SENTENCE_PIECE: dict[str, tuple[str, list[str]]] = {
    "xlm-roberta": ("XLMRobertaTokenizer", ["<s>", "<pad>", "</s>", "<unk>"]),
    "camembert": ("CamembertTokenizer", ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]),
    "deberta-v2": ("DebertaV2Tokenizer", ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]),
}
"""By type: transformers' tokenizer, and the special tokens at the start of its public vocabulary."""


@pytest.mark.parametrize("model_type", list(SENTENCE_PIECE))
def test_a_sentence_piece_vocabulary_reads_as_in_transformers(tmp_path: Path, model_type: str) -> None:
    name, special = SENTENCE_PIECE[model_type]
    vocab = [(token, 0.0) for token in special]
    vocab += [(piece, -1.0 - number / 8) for number, piece in enumerate(PIECES)]
    theirs = getattr(transformers, name)(vocab=vocab)
    folder = make_tiny_encoder(tmp_path, model_type, vocab_size=len(theirs))
    theirs.save_pretrained(folder)
    ours = SentenceTokenizer.from_folder(folder, read_spec(folder))
    for first, second in itertools.product(["the film was good!", "  a  dull plot", "unseen ☃ signs"], repeat=2):
        a, b = (tuple(ids.tolist()) for ids in ours.encode([first, second]))
        assert list(ours.template.single(a)[0]) == theirs(first)["input_ids"]
        assert list(ours.template.pair(a, b)[0]) == theirs(first, second)["input_ids"]
    assert ours.encode(["the dull film"])[0].tolist() == theirs.convert_tokens_to_ids(["▁the", "▁du", "ll", "▁film"])
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"not read")
    with pytest.raises(UserError, match=r"no tokenizer\.json\. Make one once, elsewhere"):
        SentenceTokenizer.from_folder(folder, read_spec(folder))
