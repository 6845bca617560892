"""`smart reproduce`: the paper's rows run on the chosen data and encoder, beside the paper's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.home import Home
from smartcli.report.compare import Line, Verdict, judge, spread
from smartcli.workflows.studies.cells import Base, Cell, Finished, Planned, Watcher, plan, seeds_from, shared_flags
from smartcli.workflows.studies.jobs import work_off
from smartcli.workflows.studies.paper_recipes import OVERALL, PaperRecipe, paper_scores, read_recipe
from smartcli.workflows.studies.results import Results, facts_of, lines_of, notes_of

if TYPE_CHECKING:
    from smartcli.data.store import DataSet
    from smartcli.report.curves import EpochCurve


_OURS_ALONE = (
    "The paper's numbers beside a member are those of the same cell of its Table 3; a row without a paper line is not "
    "in the paper."
)


@dataclass(frozen=True)
class Reproduction:
    """A planned table or figure: its trainings in order, and its seeds."""

    recipe: PaperRecipe
    base: Base
    planned: tuple[Planned, ...]
    seeds: tuple[int, ...]


def plan_reproduction(
    home: Home,
    target: str,
    flags: Mapping[str, Any],
    *,
    seeds: int = 1,
    config: Path | None = None,
    recipe: str | None = None,
) -> Reproduction:
    """Plan the rows of `target` for each seed; a flag that the rows differ in is refused.

    What the rows have in common (such as Table 2's dropout) may be set otherwise.
    """
    wanted = read_recipe(target)
    shared = shared_flags(flags, sorted(wanted.varying), target)
    # Table 4 takes Table 3's cells, so they share names.
    prefix = str(flags.get("name") or ("table3" if wanted.top else target))
    pretrain = {key: value for key, value in wanted.pretrain.items() if key not in shared}
    base = Base(home, prefix, shared, config, recipe, pretrain)
    first = seeds_from(base, seeds)
    cells = [
        Cell(row.id, row.label, {k: v for k, v in row.options.items() if k not in shared}, seed, row.pretrain)
        for seed in first
        for row in wanted.rows
    ]
    return Reproduction(wanted, base, tuple(plan(base, cells)), tuple(first))


def run_reproduction(work: Reproduction, argv: list[str], watcher: Watcher, jobs: int = 1) -> Results:
    """Run or reuse the rows, `jobs` at a time, and return them beside the paper's, with each ordering judged."""
    from smartcli.data.store import open_data

    finished = work_off(work.base, work.planned, argv, watcher, jobs)
    data_set = open_data(work.base.home, finished[-1].meta.settings["data"])
    # Figure 3 trains one task alone, so an overall would be missing.
    scores = (*data_set.tasks.names, OVERALL) if work.recipe.curve is None else (work.recipe.curve,)
    lines, extra, notes = _lines(work, finished, scores, data_set, argv)
    by_id = {line.id: line for line in lines}
    return Results(
        id=work.recipe.target,
        title=work.recipe.title,
        scores=scores,
        lines=tuple(lines),
        facts=tuple(facts_of(data_set, finished, work.seeds)),
        notes=(*notes_of(data_set, finished), *notes),
        verdicts=tuple(_judge(work.recipe, by_id)),
        checkpoints=tuple(one.planned.name for one in finished),
        extra=extra,
    )


def _judge(recipe: PaperRecipe, by_id: Mapping[str, Line]) -> list[Verdict]:
    verdicts = []
    for claim in recipe.orderings:
        better, worse = ([by_id.get(row) for row in rows] for rows in (claim.better, claim.worse))
        verdicts.append(judge(claim.says, better, worse, claim.score, claim.within))
    return verdicts


def _lines(
    work: Reproduction, finished: Sequence[Finished], scores: Sequence[str], data_set: DataSet, argv: list[str]
) -> tuple[list[Line], dict[str, Any], list[str]]:
    """Return the lines of the table, what only JSON shows, and notes."""
    target = work.recipe.target
    if work.recipe.top is None:
        return lines_of(finished, scores, paper_scores(target)), {}, []
    from smartcli.workflows.studies.best_members import select_members

    names = [one.planned.name for one in finished if one.planned.command == "finetune"]
    chosen = select_members(work.base.home, names, work.recipe.top, target, argv)
    members = {name: one for one in finished for name in [one.planned.name] if name in chosen.members}
    lines, known, cells = [], paper_scores(target), paper_scores(work.recipe.cells or target)
    for name in chosen.members:
        cell = members[name].planned.cell
        (line,) = lines_of([members[name]], scores, cells)
        lines.append(Line(name, f"member: {cell.label}, seed {cell.seed}", line.ours, line.paper))
    known |= {row: cells[cell] for row, cell in work.recipe.elsewhere.items()}
    lines += chosen.lines(scores, known)
    assert chosen.name is not None
    lines.append(_test_line(work.base.home, chosen.name, scores, data_set))
    return lines, {"ensemble": chosen.name, "members": list(chosen.members)}, [chosen.note, _OURS_ALONE]


def _test_line(home: Home, name: str, scores: Sequence[str], data_set: DataSet) -> Line:
    """Return the ensemble's row on the test split; no scores where that has no labels."""
    paper = paper_scores("table4", "test").get("ensemble", {})
    tasks = data_set.tasks
    if not all(data_set.labelled(task, "test") for task in tasks.names):
        return Line("ensemble-test", "ensemble on test (no labels here)", dict.fromkeys(scores), paper)
    from smartcli.registry.registry import Registry
    from smartcli.workflows.scoring.sources import predictions_on, subject_of_data
    from smartcli.workflows.studies.best_members import scores_on

    registry = Registry(home)
    found = predictions_on(home, registry, registry.open(name), subject_of_data(data_set), "test")
    values = scores_on(tuple(tasks), found)
    return Line("ensemble-test", "ensemble on test", {score: spread([values.get(score)]) for score in scores}, paper)


def figure3_curves(home: Home, work: Reproduction) -> tuple[str, list[EpochCurve]]:
    """Return the figure's score by name, and that score by epoch, a curve a row, seeds taken together."""
    from smartcli.log_events import read_log
    from smartcli.registry.registry import Registry
    from smartcli.report.curves import mean_curve
    from smartcli.report.history import dev_curves

    assert work.recipe.curve is not None
    registry, curves = Registry(home), []
    tasks = registry.open(work.planned[-1].name).all_tasks
    for row in work.recipe.rows:
        found = []
        for one in work.planned:
            if one.command == "finetune" and one.cell.id == row.id:
                records = read_log(registry.open(one.name).read("log.jsonl"), f"{one.name}/log.jsonl")
                found.append(dev_curves(records, [work.recipe.curve])[work.recipe.curve])
        curves.append(mean_curve(f"{row.options['lambda']:g}", found))
    return f"{work.recipe.curve} dev {tasks.get(work.recipe.curve).metric}", curves


def draw_figure3(home: Home, results: Results, work: Reproduction, folder: Path) -> tuple[Path, ...]:
    """Draw Fig. 3 into `folder` as figure3.png and figure3.svg; return their paths."""
    from smartcli.report.curves import epoch_curves
    from smartcli.report.style import render

    score, curves = figure3_curves(home, work)
    figure = epoch_curves(curves, score=score, legend="λ", title=results.title.partition(": ")[2])
    return render(figure, "figure3", results.title, results.title).write(folder)
