"""The table of a search, the same from every machine, since all of it comes from the storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from smartcli.counts import counted
from smartcli.errors import SmartCliError, UserError
from smartcli.registry.registry import Registry
from smartcli.report.compare import Line, spread
from smartcli.workflows.search.search_plan import Search
from smartcli.workflows.search.search_storage import Patience
from smartcli.workflows.search.search_watcher import SearchWatcher
from smartcli.workflows.search.slots import Slot, ranked
from smartcli.workflows.studies.paper_recipes import OVERALL, cell_label
from smartcli.workflows.studies.results import Results

ENSEMBLE_SECONDS = 5.0


def run_search(
    search: Search, argv: list[str], watcher: SearchWatcher, jobs: int = 1, top: int | None = None
) -> Results:
    """Do this worker's part of the search, wait for the others', and return the table of all trials.

    With `top` the ensemble of the best is registered too, where their checkpoints are in this registry.
    """
    from smartcli.atomic import DISK
    from smartcli.workflows.search.study import Study
    from smartcli.workflows.search.worker import Worker

    argv = search.place.hide_in(argv)
    if search.place.path is not None:
        DISK.make_folder(search.place.path.parent)
    patience = Patience(search.place, watcher.tell)
    study = Study(patience, search.name, search.bounds, search.about, search.seed, search.prune)
    results = results_of(search, Worker(search, study, argv, watcher, jobs).run())
    return results if top is None else _add_ensemble(search, results, top, argv)


def results_of(search: Search, slots: Sequence[Slot]) -> Results:
    """Return a row for each completed trial, best first; SmartCliError where there is none."""
    done = ranked(slots)
    if not done:
        why = "; ".join(dict.fromkeys(slot.failure for slot in slots if slot.failure))
        raise SmartCliError(f"none of the {len(slots)} trials was completed: {why}")
    scores = (*search.tasks, OVERALL) if _has_overall(done) else search.tasks
    varied = " × ".join(search.bounds).replace("_", " ")
    return Results(
        id="-".join([search.name, "search", *search.bounds]).replace("_", "-"),
        title=f"Search over {varied}",
        scores=scores,
        lines=tuple(_line(slot, scores) for slot in done),
        facts=tuple(_facts(search)),
        notes=tuple(_notes(done, slots)),
        checkpoints=tuple(str(_note(slot, "checkpoint")) for slot in done),
        extra={
            "best": {"trial": done[0].root, "options": dict(done[0].params), "score": _value(done[0])},
            "study": search.name,
            "storage": search.place.shown,
            "trials": [_trial(slot) for slot in slots],
        },
    )


def _line(slot: Slot, scores: Sequence[str]) -> Line:
    found = _note(slot, "scores") or {}
    return Line(
        f"trial{slot.root}",
        f"trial {slot.root}: {cell_label(slot.params)}",
        {score: spread([found.get(score)]) for score in scores},
        {},
    )


def _has_overall(done: Sequence[Slot]) -> bool:
    return all((_note(slot, "scores") or {}).get(OVERALL) is not None for slot in done)


def _facts(search: Search) -> list[str]:
    data, most = search.data_set, search.about["settings"].get("max_steps")
    rows = search.about["settings"].get("rows")
    counts = ", ".join(f"{task} {data.count(task, 'train'):,}" for task in search.tasks)
    used = f"{counted(rows, 'training row')} a task" if rows else "all training rows"
    return [
        f"data: {data.title} ({counts} training rows), {used}, scores on dev",
        f"encoder: {search.encoder}",
        f"seed: {search.seed}",
        "searched: " + "; ".join(f"{key.replace('_', ' ')} {bound.text()}" for key, bound in search.bounds.items()),
        *([f"at most {counted(most, 'step')} a training (--max-steps)"] if most else []),
        f"date: {date.today().isoformat()}",
    ]


def _notes(done: Sequence[Slot], slots: Sequence[Slot]) -> list[str]:
    pruned = sum(slot.result is not None and slot.result.state == "pruned" for slot in slots)
    failed = [slot for slot in slots if slot.failure]
    counts = f"{counted(len(slots), 'trial')}: {len(done)} completed, {pruned} pruned below the median"
    out = [f"{counts}, {len(failed)} failed." if failed else f"{counts}."]
    out += [f"trial {slot.root} failed: {slot.failure}" for slot in failed]
    best = f"trial {done[0].root} is the best: {cell_label(done[0].params)}. "
    return [*out, best + "It was chosen on the split that scores it, among all of them."]


def _trial(slot: Slot) -> dict[str, Any]:
    result = slot.result
    return {
        "trial": slot.root,
        "state": "failed" if result is None else result.state,
        "options": dict(slot.params),
        "score": _value(slot),
        "epochs": {} if result is None else {str(epoch): value for epoch, value in sorted(result.reports.items())},
        "checkpoint": _note(slot, "checkpoint"),
        "scores": _note(slot, "scores"),
        "host": _note(slot, "host"),
        "attempts": len(slot.attempts),
    }


def _value(slot: Slot) -> float | None:
    return None if slot.result is None else slot.result.value


def _note(slot: Slot, key: str) -> Any:
    return None if slot.result is None else slot.result.notes.get(key)


def _add_ensemble(search: Search, results: Results, top: int, argv: list[str]) -> Results:
    """Add the ensemble of the `top` best trials, or a note of what keeps it from being made here."""
    from smartcli.workflows.studies.best_members import select_members

    here = set(Registry(search.base.home).names())
    missing = [name for name in results.checkpoints[:top] if name not in here]
    if missing or len(results.checkpoints) < top:
        why = (
            f"these checkpoints are in the registry of another machine: {', '.join(missing)}"
            if missing
            else f"only {counted(len(results.checkpoints), 'trial')} of the {top} were completed"
        )
        return replace(results, notes=(*results.notes, f"no ensemble was made: {why}"))
    names = [name for name in results.checkpoints if name in here]
    try:
        chosen = select_members(search.base.home, names, top, results.id, argv)
    except UserError:
        # Another worker of this search was just registering the same ensemble; then it is there now.
        time.sleep(ENSEMBLE_SECONDS)
        chosen = select_members(search.base.home, names, top, results.id, argv)
    return replace(
        results,
        lines=(*results.lines, *chosen.lines(results.scores)),
        notes=(*results.notes, chosen.note),
        extra={**results.extra, "ensemble": chosen.name, "members": list(chosen.members)},
    )
