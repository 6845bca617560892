from __future__ import annotations

import io

import pytest
from rich.console import Console

from smartcli.data.paper import paper
from smartcli.metrics import Score
from smartcli.report.frames import score_frame
from smartcli.report.tables import ScoreRow, ScoreTable, print_table

TASKS = tuple(paper().table)


def table(*rows: ScoreRow) -> ScoreTable:
    return ScoreTable("demo", "f" * 64, "demo", "dev", TASKS, rows)


def row(name: str, overall: float | None, kind: str = "finetune") -> ScoreRow:
    scores = {task.name: Score(task.metric, 0.5, 1101) for task in TASKS}
    return ScoreRow(name, kind, "concat simultaneous smart init", 5.0, 0.1, 0, scores, overall)


def shown(found: ScoreTable, width: int, *, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    print_table(console, found.to_rich())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 200])
def test_no_word_or_number_is_broken_on_a_terminal(width: int) -> None:
    lines = shown(table(row("ckpt12", 0.7), row("ckpt13", 0.8)), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for word in ("checkpoint", "ckpt12", "simultaneous", "0.500", "0.800", "pearson", "overall"):
        assert word in words


def test_off_a_terminal_every_row_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    name = "sweep-lambda5-dropout0.1-with-a-name-as-long-as-names-may-be-0001"
    lines = shown(table(row(name, 0.7)), 80, terminal=False)
    assert sum("concat simultaneous smart init" in line for line in lines) == 1
    assert sum(name in line for line in lines) == 1


def test_best_overall_is_bold_and_the_paper_does_not_compete() -> None:
    found = table(row("low", 0.6), row("best", 0.7), row("paper", 0.8, "paper"), row("none", None)).to_rich()
    assert [bool(one.style) for one in found.rows] == [False, True, False, False]


def test_lambda_by_task_is_shown_as_the_option_takes_it() -> None:
    one = ScoreRow("a", "finetune", "concat", {"sst": 1.0, "sts": 0.5}, None, None, {}, None)
    assert "sst=1,sts=0.5" in table(one).to_csv()
    assert one.to_json()["lambda"] == {"sst": 1.0, "sts": 0.5}


def test_csv_with_safe_guards_text() -> None:
    one = ScoreRow("=a", "finetune", "concat", 1.0, 0.1, 0, {}, None)
    assert table(one).to_csv(safe=True).splitlines()[1].startswith("'=a,")
    assert table(one).to_csv().splitlines()[1].startswith("=a,")


def test_the_frame_has_numbers_with_nothing_where_there_is_none() -> None:
    missing = ScoreRow("both", "ensemble", "ensemble of 2", None, None, None, {TASKS[0].name: None}, None)
    frame = score_frame(table(row("ckpt1", 0.7), missing))
    assert list(frame["checkpoint"]) == ["ckpt1", "both"]
    assert (frame["sst_n"].dtype, frame["seed"].dtype, frame["overall"].dtype) == ("Int64", "Int64", "float64")
    assert frame["sst_accuracy"].isna().tolist() == [False, True]
    assert table(row("ckpt1", 0.7), missing).to_csv().splitlines() == [
        "checkpoint,kind,method,lambda,dropout,seed,sst_accuracy,sst_n,qqp_accuracy,qqp_n,sts_pearson,sts_n,overall",
        "ckpt1,finetune,concat simultaneous smart init,5,0.1,0,0.5,1101,0.5,1101,0.5,1101,0.7",
        "both,ensemble,ensemble of 2,,,,,,,,,,",
    ]


def test_csv_keeps_every_digit_of_a_score() -> None:
    assert table(row("a", 0.1 + 0.2)).to_csv().splitlines()[1].endswith(",0.30000000000000004")


def test_latex_escapes_names_and_leaves_row_counts_to_the_caption() -> None:
    text = table(row("50%_a&b", 0.7)).to_latex()
    assert r"50\%\_a\&b" in text
    assert "sst\\_accuracy" in text
    assert "sst\\_n" not in text
    assert r"\caption{dev of demo. rows: 1,101 sst, 1,101 qqp, 1,101 sts.}" in text
    assert r"\toprule" in text
