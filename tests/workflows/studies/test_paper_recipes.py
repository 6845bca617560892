"""The paper's recipes are complete, change one thing a row, and hold no number that contradicts another."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from smartcli.config import Settings
from smartcli.data.paper import paper
from smartcli.errors import UserError
from smartcli.report.compare import Line, judge, spread
from smartcli.workflows.studies.paper_recipes import (
    TARGETS,
    cell_id,
    cell_label,
    encoder_notes,
    grid_rows,
    paper_scores,
    read_recipe,
)

PAPER = tomllib.loads((files("smartcli.recipes") / "paper.toml").read_text(encoding="utf-8"))


def test_table_2_has_the_papers_seven_rows_in_its_order_and_under_its_names():
    rows = read_recipe("table2").rows
    assert [row.label for row in rows] == [
        "Baseline",
        "Cos-Sim",
        "Concat",
        "Concat+SMART",
        "Concat+SMART*",
        "Concat+SMART+Pretrain",
        "Concat+SMART+Surgery+Pretrain",
    ]
    assert {row.options["dropout"] for row in rows} == {0.3}
    assert [row.options["schedule"] for row in rows] == ["sequential"] * 4 + ["simultaneous"] * 3
    assert [row.options["lambda"] for row in rows] == [0, 0, 0, 1, 1, 1, 1]
    assert [row.pretrain for row in rows] == [False] * 5 + [True] * 2
    numbers = [entry for entry in PAPER["row"] if entry["table"] == "table2"]
    assert [(e["row"], e["label"], e["schedule"], e["lambda"], e["dropout"]) for e in numbers] == [
        (r.id, r.label, r.options["schedule"], r.options["lambda"], r.options["dropout"]) for r in rows
    ]


def test_each_row_of_table_2_changes_one_thing_of_the_row_it_names():
    entries = tomllib.loads((files("smartcli.recipes") / "paper-table2.toml").read_text(encoding="utf-8"))["row"]
    by_id = {entry["id"]: entry for entry in entries}
    for entry in entries[1:]:
        before = by_id[entry["from"]]
        keys = set(entry["options"]) | set(before["options"])
        changed = [key for key in keys if entry["options"].get(key) != before["options"].get(key)]
        changed += ["pretrain"] if entry.get("pretrain", False) != before.get("pretrain", False) else []
        assert len(changed) == 1, (entry["id"], changed)


def test_table_3_is_the_papers_grid_and_table_4_takes_its_cells():
    rows = read_recipe("table3").rows
    grid = [(row.options["lambda"], row.options["dropout"]) for row in rows]
    assert grid == [(lam, drop) for lam in (1, 5) for drop in (0.1, 0.2, 0.3, 0.4, 0.5)]
    four = read_recipe("table4")
    assert (four.rows, four.pretrain, four.top) == (rows, read_recipe("table3").pretrain, 5)


def test_figure_3_trains_sst_alone_at_the_papers_five_weights():
    recipe = read_recipe("figure3")
    assert [row.options["lambda"] for row in recipe.rows] == [0, 0.5, 1, 5, 10]
    assert {row.options["tasks"] for row in recipe.rows} == {recipe.curve} == {"sst"}


@pytest.mark.parametrize("target", TARGETS)
def test_orderings_and_known_numbers_name_rows_that_are_run(target):
    recipe = read_recipe(target)
    ids = {row.id for row in recipe.rows} | {
        "ensemble",
        "best-member",
        "median-member",
        "ensemble-half",
        "best-member-half",
    }
    named = {row for claim in recipe.orderings for row in (*claim.better, *claim.worse)} | set(paper_scores(target))
    assert named | set(recipe.elsewhere) <= ids
    assert set(recipe.pretrain) <= {"lambda", "dropout"}


@pytest.mark.parametrize(("target", "count"), [("table2", 7), ("table3", 10), ("table4", 1)])
def test_every_cell_of_the_papers_tables_is_known(target, count):
    found = paper_scores(target)
    assert len(found) == count
    assert all(set(scores) == {"sst", "qqp", "sts", "overall"} for scores in found.values())
    if target != "table4":
        assert list(found) == [row.id for row in read_recipe(target).rows]


def test_the_overall_formula_gives_the_papers_overall_in_every_row():
    assert len(PAPER["row"]) == 7 + 10 + 2
    for entry in PAPER["row"]:
        formula = (entry["sst"] + entry["qqp"] + (entry["sts"] + 1) / 2) / 3
        assert formula == pytest.approx(entry["overall"], abs=1e-3), entry


@pytest.mark.parametrize("target", ["table2", "table3"])
def test_the_papers_own_numbers_have_the_orderings_that_are_checked(target):
    lines = {
        row: Line(row, row, {score: spread([value]) for score, value in scores.items()}, {})
        for row, scores in paper_scores(target).items()
    }
    for claim in read_recipe(target).orderings:
        better, worse = ([lines[row] for row in rows] for rows in (claim.better, claim.worse))
        assert judge(claim.says, better, worse, claim.score, claim.within).holds, claim.says


def test_the_best_member_of_table_4_is_the_papers_best_cell_by_the_formula():
    cells = paper_scores("table3")
    best = max(cells, key=lambda row: (cells[row]["sst"] + cells[row]["qqp"] + (cells[row]["sts"] + 1) / 2) / 3)
    assert read_recipe("table4").elsewhere == {"best-member": best}


def test_the_papers_settings_are_the_defaults():
    told, default = PAPER["settings"], Settings()
    assert (told["lr"], told["batch_size"], told["epochs"]) == (
        default.lr,
        default.batch_size.default,
        default.epochs.default,
    )
    assert told["lambda"] == default.lam.default
    assert paper().sequential_epochs == {"qqp": told["epochs_of_qqp_in_a_sequential_run"]}
    assert {row.options["dropout"] for row in read_recipe("table2").rows} == {told["dropout"]}
    assert read_recipe("table3").pretrain["dropout"] == told["dropout"]


def test_an_unknown_target_gets_the_near_one():
    with pytest.raises(UserError, match='did you mean "table2"'):
        read_recipe("tabel2")


def test_names_and_labels_of_cells():
    assert cell_id({"lambda": 5.0, "dropout": 0.1, "smart_variant": "mtdnn"}) == "lambda5-dropout0.1-smartvariantmtdnn"
    assert (
        cell_label({"lambda": 5.0, "dropout": 0.1, "smart_variant": "mtdnn"}) == "λ 5, dropout .1, smart variant mtdnn"
    )


def test_the_last_option_of_a_grid_runs_fastest():
    rows = grid_rows({"lambda": [0, 1], "mu": [2, 3]})
    assert [tuple(row.options.values()) for row in rows] == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_an_encoder_that_saw_quora_is_named_beside_that_task_alone():
    (note,) = encoder_notes("sentence-transformers/all-MiniLM-L6-v2", ["sst", "qqp"])
    assert "Quora" in note
    assert encoder_notes("minilm", ["sst"]) == []
    assert encoder_notes("bert-base-uncased", ["qqp"]) == []


def test_the_methods_table_says_that_it_is_ours_and_each_row_changes_one_thing_of_plain_training() -> None:
    recipe = read_recipe("methods")
    plain, *others = recipe.rows
    assert "ours" in recipe.title
    assert (plain.id, plain.options["lambda"]) == ("plain", 0)
    asked = {"lambda", "mu", "surgery"}
    for row in others:
        changed = {key for key, value in row.options.items() if plain.options.get(key) != value}
        assert len(changed & asked) == 1, row
        assert changed <= asked | {"smart_variant"}, row
    ids = {row.id for row in recipe.rows}
    assert all({*claim.better, *claim.worse} <= ids for claim in recipe.orderings)
    assert paper_scores("methods") == {}
