"""Exported folders give our predictions in transformers, sentence-transformers and onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import Shop
from typer.testing import Result

from smartcli.data.predictions import TaskPredictions
from smartcli.families.family_table import FAMILIES
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import TaskTable, parse_task
from smartcli.workflows.scoring.model_outputs import label_rows
from tests.saved_rows import save_rows
from tests.tiny import WORDS, make_tiny_encoder

Smart = Callable[..., Result]
Rows = list[list[str]]


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def rows(sides: int) -> Rows:
    """Nine rows of one to forty words, so that some are padded and some are cut, longer side first and second."""
    draw = np.random.default_rng(3)
    counts = [(1, 1), (3, 9), (40, 2), (2, 40), (30, 31), (8, 8), (1, 25), (12, 5), (20, 20)]
    return [[" ".join(draw.choice(WORDS, count)) + "!" for count in pair[:sides]] for pair in counts]


def exported(smart: Smart, shop: Shop, tmp_path: Path, file_format: str, **options: str) -> tuple[Path, Result]:
    shop.train("mine", **{"max_steps": "2", "max_length": "32", "epochs": "1"} | options)
    result = smart("checkpoints", "export", "mine", "--format", file_format, "--output", tmp_path / "out")
    return tmp_path / "out", result


def ours(shop: Shop, task: str) -> tuple[Rows, TaskPredictions]:
    texts = rows(1 if task == "sst" else 2)
    return texts, label_rows(shop.home, shop.open_checkpoint("mine"), task, texts)


def values(found: TaskPredictions) -> np.ndarray[Any, Any]:
    """Class probabilities, or scores in one column."""
    return found.predictions[:, None] if found.probabilities is None else found.probabilities


@pytest.fixture
def transformers() -> Iterator[Any]:
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library


def in_transformers(library: Any, folder: Path, texts: Rows) -> np.ndarray[Any, Any]:
    import torch

    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model, info = library.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    sides = [list(side) for side in zip(*texts, strict=True)]
    with torch.inference_mode():
        logits = model.eval()(**tokenizer(*sides, padding=True, truncation=True, return_tensors="pt")).logits
    if logits.shape[1] > 1:
        return np.asarray(torch.softmax(logits, dim=1))
    if model.config.problem_type == "regression":
        return np.asarray(logits)
    positive = torch.sigmoid(logits)
    return np.asarray(torch.cat([1 - positive, positive], dim=1))


OTHER_HEAD = {"pooler_hidden_act": "tanh"}
"""A key of DeBERTa's config.json, about a head other than the exported one."""


@pytest.mark.parametrize("model_type", list(FAMILIES))
@pytest.mark.parametrize("pooling", ["cls", "pooler"])
def test_transformers_gives_our_predictions(
    smart: Smart, shop: Shop, tmp_path: Path, transformers: Any, model_type: str, pooling: str
) -> None:
    if pooling == "pooler" and not FAMILIES[model_type].pooler:
        pytest.skip("the type has no pooler")
    encoder = make_tiny_encoder(
        tmp_path / model_type, model_type, torch_dtype="float16", auto_map={"x": "y"}, **OTHER_HEAD
    )
    folder, result = exported(smart, shop, tmp_path, "hf", encoder=str(encoder), pooling=pooling, lr="1e-2")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["qqp", "sst", "sts"]
    for task in ("sst", "qqp", "sts"):
        texts, mine = ours(shop, task)
        found = in_transformers(transformers, folder / task, texts)
        np.testing.assert_allclose(found, values(mine), rtol=0, atol=1e-5)
        assert float(np.ptp(found[:, -1])) > 1e-3, "the outputs must differ for the comparison to mean anything"


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert"])
def test_a_cross_encoder_gives_our_predictions(smart: Smart, shop: Shop, tmp_path: Path, model_type: str) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is the reference")
    encoder = make_tiny_encoder(tmp_path / model_type, model_type)
    folder, _ = exported(smart, shop, tmp_path, "hf", encoder=str(encoder))
    for task in ("qqp", "sts"):
        texts, mine = ours(shop, task)
        model = library.CrossEncoder(str(folder / task), device="cpu")
        found = model.predict([(one, other) for one, other in texts], show_progress_bar=False)
        np.testing.assert_allclose(found, values(mine)[:, -1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm_bias", [False, True])
def test_a_type_whose_classifier_may_read_the_mean_holds_it(
    smart: Smart, shop: Shop, tmp_path: Path, transformers: Any, norm_bias: bool
) -> None:
    # As in the public file, the encoder's own config names the other pooling and activation.
    encoder = make_tiny_encoder(
        tmp_path / "modernbert", "modernbert", classifier_pooling="cls", classifier_activation="gelu",
        norm_bias=norm_bias,
    )  # fmt: skip
    folder, result = exported(smart, shop, tmp_path, "hf", encoder=str(encoder), pooling="mean", lr="1e-2")
    assert result.exit_code == 0, result.stderr
    for task in ("sst", "qqp", "sts"):
        texts, mine = ours(shop, task)
        found = in_transformers(transformers, folder / task, texts)
        np.testing.assert_allclose(found, values(mine), rtol=0, atol=1e-5)
        assert float(np.ptp(found[:, -1])) > 1e-3


def test_labels_and_longest_input_are_in_the_folder(smart: Smart, shop: Shop, tmp_path: Path) -> None:
    folder, result = exported(smart, shop, tmp_path, "hf")
    config = json.loads((folder / "sst" / "config.json").read_text())
    assert list(config["id2label"].values()) == ["0", "1", "2", "3", "4"]
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert json.loads((folder / "sts" / "tokenizer_config.json").read_text())["model_max_length"] == 32
    assert "truncation=True" in result.stderr
    assert "What this folder does not hold:" in (folder / "qqp" / "README.md").read_text()
    assert result.stdout.split() == [str(folder / task) for task in ("sst", "qqp", "sts")]


def test_tasks_that_transformers_cannot_hold_are_left_out_by_name(smart: Smart, shop: Shop, tmp_path: Path) -> None:
    folder, result = exported(smart, shop, tmp_path, "hf", pair_mode="cosine")
    assert result.exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["sst"]
    words = " ".join(result.stderr.split())
    assert "qqp was left out: a sequence classifier reads both sentences as one input (--pair-mode is cosine)" in words


def test_mean_pooling_is_refused_and_leaves_nothing(smart: Smart, shop: Shop, tmp_path: Path) -> None:
    folder, result = exported(smart, shop, tmp_path, "hf", pooling="mean")
    assert result.exit_code == 2
    assert "--format onnx" in result.stderr
    assert not folder.exists()


@pytest.mark.parametrize(
    "options", [{}, {"pair_mode": "cosine", "pooling": "mean"}, {"pair_mode": "separate", "pooling": "pooler"}]
)
def test_onnxruntime_gives_our_predictions(smart: Smart, shop: Shop, tmp_path: Path, options: dict[str, str]) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    folder, result = exported(smart, shop, tmp_path, "onnx", **options)
    assert result.exit_code == 0, result.stderr
    for task in ("sst", "qqp", "sts"):
        texts, mine = ours(shop, task)
        apart = len(texts[0]) == 2 and options.get("pair_mode", "concat") != "concat"
        np.testing.assert_allclose(in_onnxruntime(folder / task, texts, apart), values(mine), rtol=0, atol=1e-4)


def in_onnxruntime(folder: Path, texts: Rows, apart: bool) -> np.ndarray[Any, Any]:
    """Use the folder as its README.md says, with truncation and padding by tokenizers alone."""
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    longest = json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"]
    tokenizer.enable_truncation(longest)
    tokenizer.enable_padding()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    feeds: dict[str, Any] = {}
    columns = [[row[side] for row in texts] for side in (0, 1)] if apart else [[r[0] if len(r) == 1 else tuple(r)
                                                                                for r in texts]]  # fmt: skip
    for suffix, column in zip(("_a", "_b") if apart else ("",), columns, strict=True):
        encoded = tokenizer.encode_batch(column)
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        for name, key in parts.items():
            feeds[name + suffix] = np.array([getattr(one, key) for one in encoded], np.int64)
    out = dict(zip([each.name for each in session.get_outputs()], session.run(None, feeds), strict=True))
    return out.get("probabilities", out["logits"][:, None] if out["logits"].ndim == 1 else out["logits"])


def test_an_export_needs_a_new_folder_and_a_known_format(smart: Smart, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    shop.train("mine", max_steps="1")
    for words, message in (
        (["--format", "hf", "--output", tmp_path / "full"], "expected a new or empty folder"),
        (["--format", "onxn", "--output", tmp_path / "new"], 'did you mean "onnx"?'),
    ):
        result = smart("checkpoints", "export", "mine", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in " ".join(result.stderr.split())
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "new").exists()


def test_an_ensemble_is_not_one_model(smart: Smart, shop: Shop, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shop.train(name, max_steps="1")
    assert smart("ensemble", "a", "b", "--name", "ab").exit_code == 0
    result = smart("checkpoints", "export", "ab", "--format", "hf", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "export its members: a, b" in " ".join(result.stderr.split())


def test_several_labels_have_the_same_probabilities_everywhere_and_after_import(
    smart: Smart, shop: Shop, tmp_path: Path, transformers: Any
) -> None:
    task = parse_task(
        {"name": "topics", "kind": "multilabel", "text": ["a", "b"], "label": ["x", "y", "z"], "metric": "macro_f1"},
        "t",
    )
    own = [(f"r{i}", tuple(texts), tuple({i % 3, i % 2})) for i, texts in enumerate(rows(2))]
    save_rows(shop.home, "several", TaskTable((task,)), {"topics": {"train": own, "dev": own}})
    folder, result = exported(smart, shop, tmp_path, "hf", data="several", lr="1e-2", epochs="4", max_steps="9")
    assert result.exit_code == 0, result.stderr
    texts = rows(2)
    mine = label_rows(shop.home, shop.open_checkpoint("mine"), "topics", texts)
    assert mine.probabilities is not None
    assert float(np.ptp(mine.probabilities[:, -1])) > 1e-3
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "topics")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "topics").eval()
    inputs = tokenizer(*map(list, zip(*texts, strict=True)), padding=True, truncation=True, return_tensors="pt")
    found = model(**inputs).logits.sigmoid().detach().numpy()
    np.testing.assert_allclose(found, mine.probabilities, rtol=0, atol=1e-5)
    assert model.config.problem_type == "multi_label_classification"
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is the reference")
    cross = library.CrossEncoder(str(folder / "topics"), device="cpu")
    np.testing.assert_allclose(cross.predict([tuple(row) for row in texts]), mine.probabilities, rtol=0, atol=1e-5)
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    assert smart("checkpoints", "export", "mine", "--format", "onnx", "--output", tmp_path / "onnx").exit_code == 0
    graph = in_onnxruntime(tmp_path / "onnx" / "topics", texts, False)
    np.testing.assert_allclose(graph, mine.probabilities, rtol=0, atol=1e-4)
    there = Home(tmp_path / "elsewhere")
    source = shop.open_checkpoint("mine").folder
    assert smart("--home", there.root, "checkpoints", "import", source).exit_code == 0
    again = label_rows(there, Registry(there).open("mine"), "topics", texts)
    np.testing.assert_array_equal(again.probabilities, mine.probabilities)
