"""The table of scores as a pandas DataFrame, and from that as CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from smartcli.data.safe_csv import guard

if TYPE_CHECKING:
    import pandas as pd

    from smartcli.report.tables import ScoreTable


def score_frame(table: ScoreTable) -> pd.DataFrame:
    """Return a row a checkpoint: how it was made, `TASK_METRIC` and `TASK_n` for every task, and overall.

    Scores and dropout are float64, counts and seeds Int64, all with NA where there is none; `lambda` is text, as
    `--lambda` takes it.
    """
    import pandas as pd

    columns: dict[str, pd.Series] = {
        "checkpoint": pd.Series([row.checkpoint for row in table.rows], dtype="str"),
        "kind": pd.Series([row.kind for row in table.rows], dtype="str"),
        "method": pd.Series([row.method for row in table.rows], dtype="str"),
        "lambda": pd.Series([lambda_text(row.lam) for row in table.rows], dtype="str"),
        "dropout": pd.Series([row.dropout for row in table.rows], dtype="float64"),
        "seed": pd.Series([row.seed for row in table.rows], dtype="Int64"),
    }
    for task in table.tasks:
        found = [row.scores.get(task.name) for row in table.rows]
        columns[f"{task.name}_{task.metric}"] = pd.Series([one and one.value for one in found], dtype="float64")
        columns[f"{task.name}_n"] = pd.Series([one and one.n for one in found], dtype="Int64")
    columns["overall"] = pd.Series([row.overall for row in table.rows], dtype="float64")
    return pd.DataFrame(columns)


def lambda_text(lam: float | Mapping[str, float] | None) -> str:
    """Return λ as `--lambda` takes it: `5`, or `sst=1,sts=5`; empty for None."""
    if lam is None:
        return ""
    if isinstance(lam, Mapping):
        return ",".join(f"{task}={value:g}" for task, value in lam.items())
    return f"{lam:g}"


def frame_csv(frame: pd.DataFrame, *, safe: bool = False) -> str:
    """Return CSV, floats with all their digits, NA as nothing; `safe` guards text against spreadsheets."""
    if safe:
        frame = frame.map(lambda cell: guard(cell) if isinstance(cell, str) else cell)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def frame_latex(frame: pd.DataFrame, caption: str) -> str:
    """Return a booktabs table with three decimals; every mark that LaTeX reads is escaped.

    Counts of rows are left out: a caption has room for them, a column has not.
    """
    shown = frame[[name for name in frame.columns if not str(name).endswith("_n")]]
    text: str = shown.to_latex(index=False, float_format="%.3f", na_rep="--", escape=True, caption=_escaped(caption))
    return text


def _escaped(text: str) -> str:
    for mark in "\\{}":
        text = text.replace(mark, " ")
    for mark in "&%$#_":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}")
