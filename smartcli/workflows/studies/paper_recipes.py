"""The paper's tables and figures as rows to run, and the numbers that it reports for them."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.resources import files
from typing import Any

from smartcli.data.paper import paper
from smartcli.errors import UserError, suggest
from smartcli.metrics import Score
from smartcli.option_table import OPTION_OF
from smartcli.report.tables import ScoreRow
from smartcli.tasks import SPLITS, Task, TaskTable

TARGETS = ("table2", "table3", "table4", "figure3", "methods")
OVERALL = "overall"


@dataclass(frozen=True)
class RecipeRow:
    """A row to run: training options over the recipe's common ones; `pretrain` starts from a QQP checkpoint."""

    id: str
    label: str
    options: Mapping[str, Any]
    pretrain: bool = False


@dataclass(frozen=True)
class Ordering:
    """A claim of the paper: the best row of `better` scores above each of `worse` on `score` (a task, or overall).

    With `within` the claim is that they do not differ by more than that.
    """

    says: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    score: str
    within: float | None = None


@dataclass(frozen=True)
class PaperRecipe:
    """A table or figure of the paper."""

    target: str
    title: str
    rows: tuple[RecipeRow, ...]
    pretrain: Mapping[str, Any]
    orderings: tuple[Ordering, ...]
    cells: str | None = None
    """Table 4: the table whose rows these are."""
    top: int | None = None
    """Table 4: how many of the rows, by dev score, make the ensemble."""
    curve: str | None = None
    """Figure 3: the task whose dev score is drawn."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Table 4: rows whose number in the paper is that of a cell, row id to cell id."""

    @property
    def varying(self) -> frozenset[str]:
        """The options in which the rows differ."""
        keys = {key for row in self.rows for key in row.options}
        return frozenset(key for key in keys if len({repr(row.options.get(key)) for row in self.rows}) > 1)


def read_recipe(target: str) -> PaperRecipe:
    """Return the recipe of `target` (one of TARGETS)."""
    if target not in TARGETS:
        raise UserError(f'there is no "{target}"; expected one of {", ".join(TARGETS)}{suggest(target, TARGETS)}')
    value = _packaged(f"paper-{target}.toml")
    cells = read_recipe(value["cells"]) if "cells" in value else None
    return PaperRecipe(
        target=target,
        title=value["title"],
        rows=cells.rows if cells else _rows(value),
        pretrain=cells.pretrain if cells else value.get("pretrain", {}),
        orderings=tuple(_ordering(entry) for entry in value.get("ordering", [])),
        cells=value.get("cells"),
        top=value.get("top"),
        curve=value.get("curve"),
        elsewhere=value.get("paper", {}),
    )


def paper_scores(target: str, split: str = "dev") -> dict[str, dict[str, float]]:
    """Return the paper's scores on `split` (a task's, and overall) by row id of `target`."""
    from smartcli.data.paper import paper

    scores = (*paper().table.names, OVERALL)
    return {
        entry["row"]: {score: float(entry[score]) for score in scores}
        for entry in _packaged("paper.toml")["row"]
        if entry["table"] == target and entry["split"] == split
    }


def encoder_notes(encoder: str, tasks: Sequence[str]) -> list[str]:
    """Return what must be said beside the scores of `tasks` for this encoder (an id or folder)."""
    name = encoder.rstrip("/").rsplit("/", 1)[-1].lower()
    return [
        note["says"]
        for note in _packaged("paper.toml").get("encoder_note", [])
        if note["task"] in tasks and any(fnmatch(name, pattern) for pattern in note["encoders"])
    ]


def grid_rows(grid: Mapping[str, Sequence[Any]], *, pretrain: bool = False) -> tuple[RecipeRow, ...]:
    """Return a row for every combination of the grid's values, the last key running fastest."""
    rows = []
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        rows.append(RecipeRow(cell_id(options), cell_label(options), options, pretrain))
    return tuple(rows)


def cell_id(options: Mapping[str, Any]) -> str:
    """Return a name such as `lambda5-dropout0.1`."""
    return "-".join(key.replace("_", "") + _word(value) for key, value in options.items())


def cell_label(options: Mapping[str, Any]) -> str:
    """Return a label such as `λ 5, dropout .1`."""
    signs = {"lambda": "λ", "mu": "μ", "beta": "β", "epsilon": "ε", "sigma": "σ"}
    return ", ".join(f"{signs.get(key, key.replace('_', ' '))} {_short(value)}" for key, value in options.items())


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _short(value: Any) -> str:
    text = _word(value)
    return text[1:] if text.startswith("0.") else text


def _rows(value: Mapping[str, Any]) -> tuple[RecipeRow, ...]:
    common = value.get("common", {})
    if "grid" in value:
        grid = dict(value["grid"])
        rows = grid_rows({k: v for k, v in grid.items() if k != "pretrain"}, pretrain=grid.get("pretrain", False))
    else:
        rows = tuple(
            RecipeRow(entry["id"], entry["label"], entry["options"], entry.get("pretrain", False))
            for entry in value["row"]
        )
    return tuple(RecipeRow(row.id, row.label, _known({**common, **row.options}), row.pretrain) for row in rows)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    assert set(options) <= set(OPTION_OF), options
    return options


def _ordering(entry: Mapping[str, Any]) -> Ordering:
    better, worse = ((rows,) if isinstance(rows, str) else tuple(rows) for rows in (entry["better"], entry["worse"]))
    return Ordering(entry["says"], better, worse, entry["score"], entry.get("within"))


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads((files("smartcli.recipes") / name).read_text(encoding="utf-8"))


def paper_lines(tasks: TaskTable, split: str) -> list[ScoreRow]:
    """Return the paper's rows for a split; a UserError when the tasks are not the paper's."""
    known = paper().table
    if set(tasks.names) != set(known.names):
        raise UserError(
            f"--paper: the paper's tasks are {', '.join(known.names)}, but this data set has {', '.join(tasks.names)}; "
            "leave --paper out"
        )
    value = tomllib.loads((files("smartcli.recipes") / "paper.toml").read_text(encoding="utf-8"))
    return [_line(entry, tasks, split) for entry in value["row"] if entry["split"] == split]


def _line(entry: Mapping[str, Any], tasks: TaskTable, split: str) -> ScoreRow:
    return ScoreRow(
        checkpoint=f"paper: {entry['label']}",
        kind="paper",
        method=entry.get("table", ""),
        lam=entry.get("lambda"),
        dropout=entry.get("dropout"),
        seed=None,
        scores={task.name: _score(entry, task, split) for task in tasks},
        overall=entry.get("overall"),
    )


def _score(entry: Mapping[str, Any], task: Task, split: str) -> Score | None:
    if task.name not in entry:
        return None
    rows = dict(zip(map(str, SPLITS), paper().rows[task.name], strict=True))
    return Score(task.metric, float(entry[task.name]), rows[split])
