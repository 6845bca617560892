"""Reproducing a table: every row runs, is reused, stands beside the paper's numbers, and is written down once."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.report.compare import Line, Verdict, spread
from smartcli.workflows.studies.reproduction import draw_figure3, plan_reproduction, run_reproduction
from smartcli.workflows.studies.results import Results, markdown, write_section
from tests.hand_made import make_data
from tests.tiny import make_tiny_encoder
from tests.workflows.studies.test_grid import Silent


@pytest.fixture
def flags(home: Home, tmp_path: Path) -> dict[str, object]:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    return {"encoder": encoder, "max_steps": 1, "epochs": 1, "precision": "fp32", "rows": 8, "threads": 1}


def test_all_rows_of_table_2_run_are_reused_and_judged(home: Home, flags: dict[str, object]) -> None:
    work = plan_reproduction(home, "table2", {**flags, "max_steps": 3})
    first, second = Silent(), Silent()
    results = run_reproduction(work, ["smart"], first)
    assert len(first.trained) == 8, "seven rows and the pre-training"
    assert run_reproduction(work, ["smart"], second).lines == results.lines
    assert (second.trained, second.reused) == ([], first.trained)

    assert len(results.lines) == 7
    assert all(line.ours["overall"] is not None for line in results.lines)
    assert len(results.verdicts) == 11
    assert any("8 training rows a task" in fact for fact in results.facts)
    assert "at most 3 steps" in results.facts
    assert any("--max-steps ends each training after 3 steps" in note for note in results.notes)
    assert {"epochs: 1", "precision: fp32", "checkpoint: each row's best epoch by dev overall"} <= set(results.facts)
    assert any("sst 8 (8,544)" in note for note in results.notes)

    registry = Registry(home)
    settings = {one.cell.id: registry.open(one.name).meta.settings for one in work.planned}
    assert settings["baseline"]["pair_mode"] == "separate"
    assert settings["baseline"]["schedule"] == "sequential"
    assert settings["concat-smart-surgery-pretrain"]["surgery"] == "pcgrad"
    first = next(one.name for one in work.planned if one.command == "pretrain-qqp")
    assert [cell for cell, entry in settings.items() if entry["init"] == first] == [
        *("concat-smart-pretrain", "concat-smart-surgery-pretrain")
    ]
    assert {entry["dropout"] for entry in settings.values()} == {0.3}
    header, rows = results.table()
    assert [row[1] for row in rows] == ["paper", "ours", "difference"] * 7
    assert all("–" not in row for row in rows), (header, rows)


def test_an_option_that_the_rows_vary_is_refused_and_a_common_one_may_be_set(
    home: Home, flags: dict[str, object]
) -> None:
    with pytest.raises(UserError, match="--lambda is what table2 varies"):
        plan_reproduction(home, "table2", {**flags, "lambda": "3"})
    planned = plan_reproduction(home, "table2", {**flags, "dropout": "0.2"}).planned
    assert {str(one.flags["dropout"]) for one in planned} == {"0.2"}


def test_table_4_shares_the_cells_of_table_3(home: Home, flags: dict[str, object]) -> None:
    names = [[one.name for one in plan_reproduction(home, target, flags).planned] for target in ("table3", "table4")]
    assert names[0] == names[1]
    assert len(names[0]) == 11


def test_the_pretraining_follows_a_dropout_that_all_rows_share(home: Home, flags: dict[str, object]) -> None:
    first = [
        {
            str(one.flags["dropout"])
            for one in plan_reproduction(home, "table2", more).planned
            if one.command != "finetune"
        }
        for more in (flags, {**flags, "dropout": "0.2"})
    ]
    assert first == [{"0.3"}, {"0.2"}]
    # The cells of Table 3 differ in dropout, and share one pre-training all the same.
    planned = plan_reproduction(home, "table3", flags).planned
    assert [one.flags["dropout"] for one in planned if one.command == "pretrain-qqp"] == [0.3]


def test_table_4_has_the_papers_numbers_beside_members_and_ensemble_and_says_which_rows_are_ours(
    home: Home, flags: dict[str, object]
) -> None:
    results = run_reproduction(plan_reproduction(home, "table4", flags), ["smart"], Silent())
    lines = {line.id: line for line in results.lines}
    assert [bool(line.paper) for line in results.lines] == [True] * 5 + [True, False, True, False, False] + [True]
    assert lines["ensemble"].paper == {"sst": 0.545, "qqp": 0.908, "sts": 0.894, "overall": 0.8}
    assert lines["ensemble-test"].paper == {"sst": 0.54, "qqp": 0.908, "sts": 0.893, "overall": 0.798}
    assert lines["best-member"].paper["overall"] == 0.798
    _, rows = results.table()
    assert all("–" not in row for row in rows if row[1] == "paper")
    assert any("a row without a paper line is not in the paper" in note for note in results.notes)


def test_figure_3_draws_a_curve_a_lambda(home: Home, flags: dict[str, object], tmp_path: Path) -> None:
    work = plan_reproduction(home, "figure3", flags)
    results = run_reproduction(work, ["smart"], Silent())
    png, svg = draw_figure3(home, results, work, tmp_path / "out")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in svg.read_bytes()
    assert [line.label for line in results.lines] == ["λ 0", "λ .5", "λ 1", "λ 5", "λ 10"]
    assert results.scores == ("sst",)
    assert not results.compared
    assert [verdict.holds is None for verdict in results.verdicts] == [False]
    assert not any("qqp" in text for text in (*results.facts, *results.notes))


def small_results(value: float) -> Results:
    line = Line("concat", "Concat", {"sst": spread([value]), "overall": None}, {"sst": 0.545})
    verdict = Verdict("SMART beats plain on SST", False, ".5 against .6")
    return Results("table2", "Table 2", ("sst", "overall"), (line,), ("data: demo", "seed: 0"), ("a note",), (verdict,))


def test_a_section_is_replaced_and_what_stands_around_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    write_section(path, small_results(0.5))
    path.write_text(path.read_text() + "\nWhy: too few rows.\n")
    write_section(path, small_results(0.51))
    text = path.read_text()
    assert text.count("## Table 2") == 1
    assert "| Concat | paper | .545 | – |" in text
    assert "|  | ours | .510 | – |" in text
    assert "|  | difference | -.035 | – |" in text
    assert "- does not hold: SMART beats plain on SST" in text
    assert "data: demo; seed: 0." in text
    assert "a note" in text
    assert text.endswith("Why: too few rows.\n")


def test_a_results_file_that_is_no_text_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="expected a Markdown file"):
        write_section(path, small_results(0.5))
    assert path.read_bytes() == b"\xff\xfe\x00"


def test_pictures_are_linked_relative_to_the_file(tmp_path: Path) -> None:
    from dataclasses import replace

    results = replace(small_results(0.5), pictures=(tmp_path / "figure3.png", tmp_path / "figure3.svg"))
    assert "![Table 2](figure3.png)" in markdown(results, tmp_path)
