"""The paper's recipes are complete, change one thing a row, and hold no number that contradicts another."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from smartcli.errors import UserError
from smartcli.workflows.paper_recipes import (
    TARGETS,
    cell_id,
    cell_label,
    encoder_notes,
    grid_rows,
    paper_scores,
    read_recipe,
)


def test_table_2_has_seven_rows_from_the_baseline_to_the_best():
    rows = {row.id: row for row in read_recipe("table2").rows}
    assert list(rows) == ["baseline", "cosine", "concat", "simultaneous", "smart", "surgery", "pretrained"]
    assert {row.options["dropout"] for row in rows.values()} == {0.3}
    assert [row.id for row in rows.values() if row.pretrain] == ["pretrained"]


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
    named = {row for claim in recipe.orderings for row in (claim.better, *claim.worse)} | set(paper_scores(target))
    assert named <= ids
    assert set(recipe.pretrain) <= {"lambda"}


def test_the_overall_formula_gives_the_papers_overall():
    entries = tomllib.loads((files("smartcli.recipes") / "paper.toml").read_text(encoding="utf-8"))["row"]
    whole = [entry for entry in entries if {"sst", "qqp", "sts", "overall"} <= set(entry)]
    assert len(whole) == 2
    for entry in whole:
        assert (entry["sst"] + entry["qqp"] + (entry["sts"] + 1) / 2) / 3 == pytest.approx(entry["overall"], abs=6e-4)
    assert all(entry["source"].startswith(("summary", "derived")) for entry in entries)


def test_unknown_cells_are_absent():
    assert paper_scores("table2") == {}
    assert paper_scores("table3") == {
        "lambda5-dropout0.1": {"overall": 0.798},
        "lambda5-dropout0.4": {"overall": 0.798},
    }
    assert paper_scores("table4", "test") == {"ensemble": {"overall": 0.798}}


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


def test_the_methods_table_is_ours_and_each_row_changes_one_thing_of_plain_training() -> None:
    recipe = read_recipe("methods")
    plain, *others = recipe.rows
    assert recipe.own
    assert (plain.id, plain.options["lambda"]) == ("plain", 0)
    asked = {"lambda", "mu", "surgery"}
    for row in others:
        changed = {key for key, value in row.options.items() if plain.options.get(key) != value}
        assert len(changed & asked) == 1, row
        assert changed <= asked | {"smart_variant"}, row
    ids = {row.id for row in recipe.rows}
    assert all({claim.better, *claim.worse} <= ids for claim in recipe.orderings)
    assert paper_scores("methods") == {}
