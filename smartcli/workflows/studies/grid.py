"""`smart sweep`: a grid over training options, with seeds, resumable, and the best cells as an ensemble."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartcli.config import read_number
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.option_table import OPTION_OF
from smartcli.workflows.studies.cells import (
    Base,
    Cell,
    Finished,
    Planned,
    Watcher,
    check_top,
    plan,
    resolve_cell,
    seeds_from,
    shared_flags,
)
from smartcli.workflows.studies.jobs import work_off
from smartcli.workflows.studies.paper_recipes import OVERALL, grid_rows, read_recipe
from smartcli.workflows.studies.results import Results, facts_of, lines_of, notes_of

PREFIX = "sweep"


@dataclass(frozen=True)
class Sweep:
    """A planned sweep: its trainings in order, the options they vary, and its seeds."""

    base: Base
    planned: tuple[Planned, ...]
    seeds: tuple[int, ...]


def read_grid(entries: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each `OPTION=V1,V2,…`, in order; values that hold commas are parted by `|` instead.

    UserErrors name the entry: no `=`, an unknown option, an option or value given twice.
    """
    grid: dict[str, list[str]] = {}
    for entry in entries:
        raw, sign, listed = entry.partition("=")
        key = raw.strip().lstrip("-").replace("-", "_")
        values = [value.strip() for value in listed.split("|" if "|" in listed else ",")]
        if not sign or not all(values):
            raise UserError(f"--grid must be OPTION=V1,V2,…, such as lambda=1,5; found {entry!r}")
        if key not in OPTION_OF:
            raise UserError(f'--grid: there is no training option "{raw.strip()}"{suggest(key, OPTION_OF)}')
        if key in grid:
            raise UserError(f"--grid: {key} is given twice; write all its values in one, as in {key}=1,5")
        if len(set(values)) != len(values):
            raise UserError(f"--grid: {entry!r} has a value twice")
        grid[key] = values
    return grid


def default_grid() -> dict[str, list[Any]]:
    """Return the paper's Table 3: λ against dropout."""
    rows = read_recipe("table3").rows
    return {key: list(dict.fromkeys(row.options[key] for row in rows)) for key in ("lambda", "dropout")}


def plan_sweep(
    home: Home,
    grid: Mapping[str, Sequence[Any]],
    flags: Mapping[str, Any],
    *,
    seeds: int = 1,
    sample: int | None = None,
    top: int | None = None,
    config: Path | None = None,
    recipe: str | None = None,
) -> Sweep:
    """Plan every combination of the grid's values (or `sample` of them, drawn by the first seed) times `seeds`.

    `top` is only checked here: so many cells there must be.
    """
    if "seed" in grid and seeds > 1:
        raise UserError("--seeds and --grid seed=… both set the seeds; give one of them")
    shared = shared_flags(flags, grid, "this grid")
    base = Base(home, str(flags.get("name") or PREFIX), shared, config, recipe)
    first = seeds_from(base, seeds)
    rows = list(
        grid_rows({key: [grid_value(key, value, f"--grid {key}") for value in values] for key, values in grid.items()})
    )
    if sample is not None:
        if not 1 <= sample <= len(rows):
            raise UserError(f"--sample must be from 1 to the {len(rows)} cells of the grid, found {sample}")
        chosen = sorted(random.Random(first[0]).sample(range(len(rows)), sample))
        rows = [rows[i] for i in chosen]
    cells = [
        Cell(row.id, row.label, {k: v for k, v in row.options.items() if k != "seed"}, row.options.get("seed", seed))
        for seed in first
        for row in rows
    ]
    if top is not None and not 2 <= top <= len(cells):
        raise UserError(f"--top must be from 2 to the {len(cells)} cells of the sweep, found {top}")
    planned = plan(base, cells)
    if top is not None:
        check_top(resolve_cell(base, "finetune", planned[0].flags))
    return Sweep(base, tuple(planned), tuple(dict.fromkeys(one.cell.seed for one in planned)))


def grid_value(key: str, value: Any, where: str) -> Any:
    """Return a value as its option takes it: a number is checked, a switch becomes true or false."""
    option = OPTION_OF[key]
    if option.type == "bool":
        if value not in ("on", "off", "true", "false"):
            raise UserError(f"{where}: expected on or off, found {value!r}")
        return value in ("on", "true")
    if option.type.endswith(("int", "float")) and "=" not in str(value):
        return read_number(option, value, where)
    return value


def run_sweep(sweep: Sweep, argv: list[str], watcher: Watcher, jobs: int = 1) -> tuple[Results, list[Finished]]:
    """Train what is not there yet, `jobs` at a time; return the table over seeds and the cells, best overall first."""
    from smartcli.data.store import open_data

    finished = work_off(sweep.base, sweep.planned, argv, watcher, jobs)
    data_set = open_data(sweep.base.home, finished[0].meta.settings["data"])
    scores = (*_tasks_of(finished), OVERALL)
    lines = lines_of(finished, scores)
    ranked = sorted(finished, key=lambda one: -_overall(one))
    best = max((line for line in lines if line.ours[OVERALL]), key=lambda line: _mean(line), default=None)
    notes = notes_of(data_set, finished)
    if best is not None and len(lines) > 1:
        notes.append(f"best cell by mean dev overall: {best.label}. It was chosen on the split that scores it.")
    varied = list(dict.fromkeys(key for one in sweep.planned for key in one.cell.options))
    results = Results(
        id="-".join([sweep.base.prefix, *varied]).replace("_", "-"),
        title=f"Sweep over {' × '.join(varied).replace('_', ' ')}",
        scores=scores,
        lines=tuple(lines),
        facts=tuple(facts_of(data_set, finished, sweep.seeds)),
        notes=tuple(notes),
        checkpoints=tuple(one.planned.name for one in ranked),
        extra={"best": best.id if best is not None else None},
    )
    return results, ranked


def add_ensemble(home: Home, results: Results, ranked: Sequence[Finished], top: int, argv: list[str]) -> Results:
    """Register the ensemble of the `top` best cells, and add its lines: chosen on dev, and chosen on half of it."""
    from smartcli.workflows.studies.best_members import select_members

    chosen = select_members(home, [one.planned.name for one in ranked], top, results.id, argv)
    return replace(
        results,
        lines=(*results.lines, *chosen.lines(results.scores)),
        notes=(*results.notes, chosen.note),
        extra={**results.extra, "ensemble": chosen.name, "members": list(chosen.members)},
    )


def _overall(one: Finished) -> float:
    value = one.meta.metrics.get(OVERALL)
    return -1.0 if value is None else float(value)


def _mean(line: Any) -> float:
    found = line.ours[OVERALL]
    return float("-inf") if found is None else float(found.mean)


def _tasks_of(finished: Sequence[Finished]) -> list[str]:
    tasks: dict[str, None] = {}
    for one in finished:
        tasks |= dict.fromkeys(task["name"] for task in one.meta.all_tasks)
    return list(tasks)
