"""The report of real checkpoints: every part is there, and the data set may be gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json
from smartcli.workflows.reporting.report_figures import epoch_figure
from smartcli.workflows.reporting.report_page import report
from tests.hand_made import make_checkpoint, make_data, make_meta, predict, write_predictions

COUNTS = {"train": 4, "dev": 24, "test": 4}


def add_trained(home: Home, name: str, data: Any, **settings: Any) -> None:
    """Register a checkpoint with a log of two epochs under these settings."""
    values = {**Settings().to_json(), **settings}
    dev = {"sst": {"accuracy": 0.4, "n": 24}, "qqp": {"accuracy": 0.6, "n": 24}, "sts": {"pearson": 0.5, "n": 24}}
    log = [
        {
            "event": "step",
            "step": 1,
            "epoch": 1,
            "loss": {"sst": 1.6, "qqp": 0.7},
            "r_s": {"sst": 1e-6},
            "cosine": {"sst,qqp": -0.1},
        },
        {
            "event": "dev",
            "epoch": 1,
            "step": 1,
            **dev,
            "conflicts": {"sst,qqp": {"share": 1.0, "cosine": -0.1, "steps": 1}},
        },
        {"event": "dev", "epoch": 2, "step": 2, **dev, "sst": {"accuracy": 0.5, "n": 24}},
    ]

    def fill(folder: Path) -> None:
        meta = make_meta(name, data, data.tasks, settings=values)
        (folder / "smart.json").write_bytes(canonical_json(meta))
        (folder / "predictions-dev.csv").write_bytes(write_predictions(predict(data, wrong=[0, 5])))
        (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))

    with Registry(home).claim(name) as taken:
        Registry(home).commit(taken, fill)


def test_each_class_has_its_precision_recall_and_f1_on_the_page_and_in_json(home: Home, tmp_path: Path) -> None:
    data = make_data(home, counts=COUNTS)
    add_trained(home, "ckpt1", data)
    report(home, [], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h3>By class</h3>" in page
    (row,) = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))["rows"]
    assert set(row["by_class"]) == {"sst", "qqp"}
    for task, classes in row["by_class"].items():
        for one in classes:
            cells = [f'data-value="{one[key]}"' for key in ("precision", "recall", "f1", "support")]
            found = next(line for line in page.splitlines() if f"<td>{task}</td><td>{one['name']}</td>" in line)
            assert all(cell in found for cell in cells), found


def test_the_page_and_every_figure_are_written(home: Home, tmp_path: Path) -> None:
    data = make_data(home, counts=COUNTS, word="<b>$5 & more</b> ")
    add_trained(home, "ckpt1", data, **{"lambda": 0})
    done = report(home, [], tmp_path / "out")
    stems = {path.name for path in done.figures}
    parts = [
        "sst-confusion",
        "sst-reliability",
        "qqp-confusion",
        "qqp-reliability",
        "sts-scatter",
        "learning",
        "conflicts",
    ]
    names = ["sst-epochs", *(f"ckpt1-{part}" for part in parts)]
    assert stems == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    page = done.page.read_text(encoding="utf-8")
    assert page.count("<img ") == len(names)
    for said in (
        "2 of 24 rows wrong",
        "ECE",
        "smart finetune",
        "manifest",
        "&lt;b&gt;$5 &amp; more&lt;/b&gt;",
        "Quora",
    ):
        assert said in page
    assert "<b>" not in page


def test_an_ensemble_has_no_training_curves_and_names_its_members(home: Home, tmp_path: Path) -> None:
    from smartcli.workflows.scoring.ensembling import ensemble

    data = make_data(home, counts=COUNTS)
    for name in ("a", "b"):
        make_checkpoint(home, name, data, predict(data, wrong=[1]))
    ensemble(home, ["a", "b"], name="both")
    done = report(home, ["both"], tmp_path / "out")
    assert {path.stem for path in done.figures} == {
        f"both-{part}"
        for part in ("sst-confusion", "sst-reliability", "qqp-confusion", "qqp-reliability", "sts-scatter")
    }
    assert "member a (manifest" in done.page.read_text(encoding="utf-8")


def test_without_the_data_set_the_report_is_made_without_sentences(home: Home, tmp_path: Path) -> None:
    data = make_data(home, counts=COUNTS)
    make_checkpoint(home, "a", data, predict(data, wrong=[1], tasks=["sts"]))
    shutil.rmtree(home.data)
    page = report(home, ["a"], tmp_path / "out").page.read_text(encoding="utf-8")
    assert "its sentences are not shown" in page
    assert "sentence 0 number" not in page


def test_seeds_of_one_lambda_are_one_curve_unless_something_else_differs(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    for name, lam, seed in [("a", 0, 0), ("b", 5, 0), ("c", 5, 1)]:
        add_trained(home, name, data, **{"lambda": lam, "seed": seed})
    registry = Registry(home)
    drawn = epoch_figure([registry.open(name) for name in "abc"], data.tasks.first)
    assert drawn is not None
    assert drawn.alt.endswith("best .500 at λ 5.")
    add_trained(home, "d", data, **{"lambda": 1, "dropout": 0.4})
    mixed = epoch_figure([registry.open(name) for name in "abcd"], data.tasks.first)
    assert mixed is not None
    assert mixed.alt.endswith("best .500 at λ 5 (c).")


def test_only_the_best_are_detailed_where_nobody_named_any(home: Home, tmp_path: Path) -> None:
    data = make_data(home, counts=COUNTS)
    for number in range(6):
        make_checkpoint(home, f"c{number}", data, predict(data, wrong=range(number), tasks=["sts"]))
    page = report(home, [], tmp_path / "out").page.read_text(encoding="utf-8")
    assert "best 5 of 6" in page
    assert page.count('<h2 id="checkpoint-') == 5


def test_an_output_that_is_a_file_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError, match="is a file; expected a folder"):
        report(home, [], tmp_path / "out")


def test_the_worst_errors_are_explained_where_the_model_is_here(home: Home, tmp_path: Path) -> None:
    from tests.explaining import make_words_data
    from tests.hand_made import make_model
    from tests.tiny import make_tiny_encoder

    make_model(home, "a", make_words_data(home), make_tiny_encoder(tmp_path / "e"), tasks=["sts"])
    page = report(home, ["a"], tmp_path / "out", explain=2).page.read_text(encoding="utf-8")
    assert page.count('<article class="explained">') == 2
    assert "sts: the worst 2 explained" in page
    assert "Nearest training rows, among all 30 train rows of sts" in page
    assert "<small>+0." in page or "<small>-0." in page


def test_a_report_without_weights_says_why_nothing_is_explained(home: Home, tmp_path: Path) -> None:
    data = make_data(home, counts=COUNTS)
    make_checkpoint(home, "a", data, predict(data, wrong=[1], tasks=["sts"]))
    page = report(home, ["a"], tmp_path / "out", explain=3).page.read_text(encoding="utf-8")
    assert "nearest training rows are not all shown: " in page
    assert "config.json" in page
    shutil.rmtree(home.data)
    page = report(home, ["a"], tmp_path / "out", explain=3).page.read_text(encoding="utf-8")
    assert "Words that matter are not shown: the data set with the sentences is not on this machine." in page
