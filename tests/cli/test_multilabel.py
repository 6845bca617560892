"""A task of several labels from its files to every output: predictions, scores by class, report, export, Python."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

import smartcli
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]

WORDS = {"bad": "boring", "good": "lovely", "slow": "tedious"}


def rows_of(count: int, seed: int) -> list[tuple[str, list[str]]]:
    draw = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        has = [name for name in WORDS if draw.random() < 0.4]
        words = ["the", "film", *(WORDS[name] for name in has), str(draw.choice(["is", "was", "story"]))]
        out.append((" ".join(draw.permutation(words)), has))
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file, divided, with names in one cell and a column a class beside them."""
    with (tmp_path / "films.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "tags", *WORDS])
        writer.writerows([text, ";".join(has), *(int(name in has) for name in WORDS)] for text, has in rows_of(120, 0))
    entry = 'text = "text"\ntrain = "films.csv"\nsplit = {dev = 0.2, test = 0.1}\nkind = "multilabel"\n'
    names = f'[[task]]\nname = "tags"\nlabel = "tags"\nlabels_separator = ";"\n{entry}'
    columns = f'[[task]]\nname = "columns"\nlabel = ["bad", "good", "slow"]\nmetric = "macro_f1"\n{entry}'
    (tmp_path / "tasks.toml").write_text(names + columns, encoding="utf-8")
    make_tiny_encoder(tmp_path / "encoder")
    return tmp_path


def test_from_files_to_every_output(smart: Smart, folder: Path) -> None:
    done = smart("prepare", folder, "--name", "films", "--encoder", folder / "encoder")
    assert done.exit_code == 0, done.stderr
    assert "films.csv was divided by label" in done.stdout + done.stderr
    for seed in ("1", "2"):
        options = ("--epochs", "4", "--batch-size", "8", "--lr", "3e-3", "--seed", seed, "--lambda", "1")
        done = smart("finetune", "--name", f"m{seed}", *options, "--surgery", "pcgrad", "--class-weights", "balanced")
        assert done.exit_code == 0, done.stderr
    assert smart("ensemble", "m1", "m2", "--name", "both").exit_code == 0
    _scores(smart)
    _predictions(smart, folder)
    _report_and_export(smart, folder)
    _python(folder)


def _scores(smart: Smart) -> None:
    found = json.loads(smart("evaluate", "--by-class", "--json").stdout)
    assert {row["checkpoint"] for row in found["rows"]} == {"m1", "m2", "both"}
    for row in found["rows"]:
        assert row["tags"]["micro_f1"] > 0.8
        assert row["columns"]["macro_f1"] > 0.8
        assert [one["name"] for one in row["by_class"]["tags"]] == ["bad", "good", "slow"]
    on_test = json.loads(smart("evaluate", "both", "--split", "test", "--json").stdout)
    assert on_test["rows"][0]["tags"]["n"] > 5


def _predictions(smart: Smart, folder: Path) -> None:
    (folder / "new.csv").write_text("text\nthe film is boring tedious\nthe story\n", encoding="utf-8")
    for name in ("m1", "both"):
        words = ("predict", name, "--task", "tags", "--input", folder / "new.csv", "--probabilities")
        out = list(csv.DictReader(io.StringIO(smart(*words).stdout)))
        assert list(out[0]) == ["text", "prediction", "p_bad", "p_good", "p_slow"]
        for row in out:
            has = [label for label in WORDS if float(row[f"p_{label}"]) >= 0.5]
            assert name == "both" or row["prediction"] == ";".join(has)
        all_of_them = list(csv.DictReader(io.StringIO(smart(*words, "--threshold", "0.0001").stdout)))
        assert {row["prediction"] for row in all_of_them} == {"bad;good;slow"}
    for words in (["--text", "the film"], ["--swap-file", "gender"]):
        refused = smart("explain", "m1", "--task", "tags", *words)
        assert refused.exit_code == 2
        assert "a multilabel row has several labels" in refused.stderr


def _report_and_export(smart: Smart, folder: Path) -> None:
    done = smart("report", "m1", "both", "--output", folder / "report")
    assert done.exit_code == 0, done.stderr
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "tags: worst errors" in page
    assert "<h3>By class</h3>" in page
    assert (folder / "report" / "figures" / "m1-tags-reliability.png").is_file()
    assert smart("checkpoints", "export", "m1", "--format", "hf", "--output", folder / "hf").exit_code == 0
    config = json.loads((folder / "hf" / "tags" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "bad", "1": "good", "2": "slow"}


def _python(folder: Path) -> None:
    model = smartcli.load("m1")
    texts = ["the film is boring tedious", "the story"]
    shares = model.predict_proba("tags", texts)
    assert shares.shape == (2, 3)
    assert model.predict("tags", texts).tolist() == (shares >= 0.5).astype(int).tolist()
    frame = model.predict("tags", pd.DataFrame({"text": texts}), top=1)
    assert list(frame.columns) == ["text", "prediction", "top1", "top1_probability"]
    transformers = pytest.importorskip("transformers")
    import torch

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "hf" / "tags")
    exported = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "hf" / "tags").eval()
    with torch.no_grad():
        outputs = exported(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(torch.sigmoid(outputs).numpy(), shares, atol=1e-5)
