"""What a sweep or a reproduction found, and its section in a results file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import write_output
from smartcli.config import Settings
from smartcli.counts import counted
from smartcli.errors import UserError
from smartcli.registry.meta import CheckpointMeta
from smartcli.report.compare import (
    Line,
    Verdict,
    comparison_table,
    markdown_table,
    plain_table,
    spread,
    to_json,
)
from smartcli.report.history import score_of
from smartcli.visible import markdown as shown
from smartcli.workflows.studies.cells import Finished

if TYPE_CHECKING:
    from smartcli.data.store import DataSet

OVERALL = "overall"


@dataclass(frozen=True)
class Results:
    """A table of ours beside the paper's: `scores` are its columns, `facts` what it was made with."""

    id: str
    title: str
    scores: tuple[str, ...]
    lines: tuple[Line, ...]
    facts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    checkpoints: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def compared(self) -> bool:
        """Whether the paper has numbers to stand beside any of ours."""
        return any(line.paper for line in self.lines)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows: with the paper's numbers where it is a comparison."""
        return (comparison_table if self.compared else plain_table)(self.lines, self.scores)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "facts": list(self.facts),
            "notes": list(self.notes),
            "rows": to_json(self.lines, self.scores),
            "orderings": [verdict.to_json() for verdict in self.verdicts],
            "checkpoints": list(self.checkpoints),
            **self.extra,
        }


def scores_of(meta: CheckpointMeta, scores: Sequence[str]) -> dict[str, float | None]:
    """Return a checkpoint's dev scores by name (a task, or overall)."""
    return {score: score_of(meta.metrics.get(score)) for score in scores}


def lines_of(
    finished: Sequence[Finished], scores: Sequence[str], paper: Mapping[str, Mapping[str, float]] | None = None
) -> list[Line]:
    """Return a line a cell, its seeds taken together, in the order of the plan."""
    groups: dict[str, list[Finished]] = {}
    for one in finished:
        if one.planned.command == "finetune":
            groups.setdefault(one.planned.cell.id, []).append(one)
    lines = []
    for name, cells in groups.items():
        found = [scores_of(one.meta, scores) for one in cells]
        ours = {score: spread([row[score] for row in found]) for score in scores}
        lines.append(Line(name, cells[0].planned.cell.label, ours, dict((paper or {}).get(name, {}))))
    return lines


def facts_of(data_set: DataSet, finished: Sequence[Finished], seeds: Sequence[int]) -> list[str]:
    """Return data, encoder, rows, seeds and date, as a results file must name them; of the tasks that were trained."""
    settings = finished[-1].meta.settings
    rows = settings.get("rows")
    counts = ", ".join(f"{task} {data_set.count(task, 'train'):,}" for task in _trained(data_set, finished))
    used = f"{counted(rows, 'training row')} a task" if rows else "all training rows"
    word = "seed" if len(seeds) == 1 else "seeds"
    return [
        f"data: {data_set.title} ({counts} training rows), {used}, scores on dev",
        f"encoder: {finished[-1].meta.encoder_ids[0]}",
        f"{word}: {', '.join(str(seed) for seed in seeds)}"
        + ("" if len(seeds) == 1 else " (mean ± standard deviation)"),
        *_training_facts(finished),
        f"date: {date.today().isoformat()}",
    ]


def _training_facts(finished: Sequence[Finished]) -> list[str]:
    """Return what all trainings share of learning rate, epochs, number format and choice of the checkpoint."""
    metas = [one.meta for one in finished if one.planned.command == "finetune"]

    def shared(parts: Sequence[Mapping[str, Any]], key: str) -> Any:
        values = [part.get(key) for part in parts]
        return values[0] if all(value == values[0] for value in values) else None

    settings = [meta.settings for meta in metas]
    lr, keep = shared(settings, "lr"), shared(settings, "keep")
    out = [] if lr is None else [f"lr: {lr:g}"]
    epochs = [Settings.from_json(meta.settings).epochs for meta in metas]
    usual = {value.default for value in epochs}
    others = sorted({f"{task} {n}" for value in epochs for task, n in value.by_task})
    if (most := shared(settings, "max_steps")) is not None:
        out.append(f"at most {counted(most, 'step')}")
    if len(usual) == 1:
        out.append(f"epochs: {usual.pop()}" + (f" ({', '.join(others)} where sequential)" if others else ""))
    precision = shared([meta.machine if isinstance(meta.machine, dict) else {} for meta in metas], "precision")
    out += [] if precision is None else [f"precision: {precision}"]
    chosen = {"best": "each row's best epoch by dev overall", "last": "each row's last epoch"}
    return [*out, f"checkpoint: {chosen[keep]}"] if keep in chosen else out


def notes_of(data_set: DataSet, finished: Sequence[Finished]) -> list[str]:
    """Return what keeps our scores from being compared with the paper's: fewer rows, an encoder that saw the data."""
    from smartcli.data.paper import paper
    from smartcli.workflows.studies.paper_recipes import encoder_notes

    meta, other = finished[-1].meta, []
    for task, counts in paper().rows.items():
        if task in _trained(data_set, finished):
            used = min(data_set.count(task, "train"), meta.settings.get("rows") or counts[0])
            if used != counts[0]:
                other.append(f"{task} {used:,} ({counts[0]:,})")
    notes = (
        [f"Training rows here (in the paper): {', '.join(other)}; these scores are not comparable."] if other else []
    )
    cut = sorted({int(one.meta.settings["max_steps"]) for one in finished if one.meta.settings.get("max_steps")})
    if cut:
        most = " or ".join(f"{n:,}" for n in cut)
        notes.append(
            f"--max-steps ends each training after {most} {'step' if cut == [1] else 'steps'}, before its epochs are "
            "done; these scores are not comparable."
        )
    return notes + encoder_notes(meta.encoder_ids[0], _trained(data_set, finished))


def _trained(data_set: DataSet, finished: Sequence[Finished]) -> list[str]:
    """Return the tasks that any of the trainings had, in table order."""
    names = {name for one in finished for name in one.meta.task_names}
    return [task for task in data_set.tasks.names if task in names]


def markdown(results: Results, beside: Path | None = None) -> str:
    """Return the section as Markdown; pictures are linked relative to the folder `beside`."""
    parts = [f"## {shown(results.title)}", "; ".join(map(shown, results.facts)) + ".", *map(shown, results.notes)]
    parts.append(markdown_table(*results.table()))
    if results.verdicts:
        parts.append("\n".join(f"- {shown(verdict.text())}" for verdict in results.verdicts))
    for picture in results.pictures:
        if picture.suffix == ".png":
            at = picture.relative_to(beside) if beside and picture.is_relative_to(beside) else picture
            parts.append(f"![{results.title}]({at.as_posix()})")
    return "\n\n".join(parts) + "\n"


def check_output(path: Path) -> None:
    """Raise a UserError where `write_section` could not put its section, before hours of training."""
    folder = next(one for one in (path.absolute().parent, *path.absolute().parents) if one.exists())
    if not folder.is_dir():
        raise UserError(f"--output {path}: {folder} is a file; expected a folder")
    if path.is_dir() or path.is_file():
        _read_section_file(path)
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"--output {path}: expected a file that can be written; it or its folder may only be read")


def _read_section_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--output {path}: expected a Markdown file that can be read: {error}") from error


def write_section(path: Path, results: Results) -> None:
    """Put the results into the file `path`, in place of earlier ones of the same id, and keep all else."""
    put_section(path, results.id, markdown(results, path.parent))


def put_section(path: Path, name: str, text: str) -> None:
    """Put the section `name` into the Markdown file `path`, in place of an earlier one, and keep all else.

    Text outside the section's marks, such as why an ordering does not hold, stays as it is.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{text}{end}\n"
    old = _read_section_file(path)
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end) + r"\n?", re.DOTALL)
    new = pattern.sub(lambda _: section, old, count=1) if pattern.search(old) else old.rstrip("\n") + "\n\n" + section
    write_output(path, new)
