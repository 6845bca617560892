"""What the steps scored, each against plain by `smart compare`, as JSON and as a section of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.ladder.ladder_steps import Stage, Step
from smartcli.home import Home
from smartcli.option_table import OPTION_OF
from smartcli.registry.registry import Registry
from smartcli.report.compare import Spread, markdown_table, spread
from smartcli.report.differences import Differences, points
from smartcli.visible import markdown as shown
from smartcli.workflows.scoring.comparison import compare
from smartcli.workflows.studies.cells import Finished
from smartcli.workflows.studies.results import OVERALL, scores_of


@dataclass(frozen=True)
class StepLine:
    """A step's scores over its seeds, and how it compares with the stage's first step; None for that."""

    label: str
    options: str
    seeds: int
    scores: dict[str, Spread | None]
    pattern: str
    differences: Differences | None

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "options": self.options,
            "seeds": self.seeds,
            "scores": {name: None if one is None else one.to_json() for name, one in self.scores.items()},
            "compare": None if self.differences is None else self.differences.to_json(),
        }


def lines_of(home: Home, stage: Stage, prefix: str, finished: Sequence[Finished]) -> list[StepLine]:
    """Return a line a step, in the stage's order; every step but the first is compared with it."""
    pattern = {step.id: f"{prefix}-{stage.cell_id(step)}-*" for step in stage.steps}
    lines, first = [], pattern[stage.steps[0].id]
    for step in stage.steps:
        cells = [one for one in finished if one.planned.cell.id == stage.cell_id(step)]
        tasks = cells[0].meta.task_names
        found = [scores_of(one.meta, (*tasks, OVERALL)) for one in cells]
        # Overall is of all the data set's tasks, so that a stage on some of them has none.
        names = [*tasks, OVERALL] if any(row[OVERALL] is not None for row in found) else tasks
        scores = {score: spread([row[score] for row in found]) for score in names}
        other = None if pattern[step.id] == first else compare(home, first, pattern[step.id])
        lines.append(StepLine(step.label, flags_of(step), len(cells), scores, pattern[step.id], other))
    return lines


def ensemble_line(home: Home, stage: Stage, prefix: str, argv: Sequence[str]) -> StepLine:
    """Return the line of the ensemble of `stage.members` seeds, which is made where it is not there yet."""
    from smartcli.workflows.scoring.ensembling import ensemble

    step = next(one for one in stage.steps if one.id == stage.ensemble_of)
    name, members = f"{prefix}-{stage.cell_id(step)}", f"{prefix}-{stage.cell_id(step)}-s*"
    name = f"ensemble-{name}"
    registry = Registry(home)
    if name not in registry.names():
        ensemble(home, [members], name=name, vote=stage.vote, argv=argv)
    meta = registry.open(name).meta
    assert meta.vote == stage.vote, f"{name} votes by {meta.vote}: remove it"
    scores = {score: spread([value]) for score, value in scores_of(meta, (*meta.task_names, OVERALL)).items()}
    differences = compare(home, members, name)
    return StepLine(
        f"ensemble of {stage.members}", f"members {members}, --vote {stage.vote}", 1, scores, name, differences
    )


def flags_of(step: Step) -> str:
    """Return a step's options as flags: what plain is given on top of the encoder's preset."""
    return " ".join(f"{OPTION_OF[key].flag} {_word(value)}" for key, value in step.options.items())


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{task}={_word(one)}" for task, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def markdown(
    title: str, facts: Sequence[str], notes: Sequence[str], lines: Sequence[StepLine], beside: Sequence[Differences]
) -> str:
    """Return the section: facts, notes, a table with a row a step, and the compare call and sentence of each."""
    scores = list(lines[0].scores)
    header = ["step", "options", "seeds", *scores, f"{scores[-1]} − {lines[0].label}", "95 % interval"]
    rows = [[one.label, one.options, str(one.seeds), *_scores(one, scores), *_gap(one, scores[-1])] for one in lines]
    calls = [_call(one) for one in (*(line.differences for line in lines), *beside) if one is not None]
    text = [f"## {shown(title)}", "; ".join(map(shown, facts)) + ".", *map(shown, notes)]
    text += [markdown_table(header, rows), "\n".join(calls)]
    return "\n\n".join(text) + "\n"


def _scores(line: StepLine, scores: Sequence[str]) -> list[str]:
    return ["–" if (one := line.scores[name]) is None else one.text() for name in scores]


def _call(found: Differences) -> str:
    return f"- `smart compare '{found.a.label}' '{found.b.label}'`: {shown(found.sentence())}"


def _gap(line: StepLine, score: str) -> list[str]:
    if line.differences is None:
        return ["", ""]
    test = next(one for one in line.differences.tests if one.score == score)
    return [f"{points(test.difference)}", f"{points(test.interval[0])} to {points(test.interval[1])}"]
