"""Climbs a ladder: trains its steps, compares each with the first, and writes what came out.

    python -m benchmarks.ladder minilm --data cs224n --jobs 2 --output docs/results.md
    python -m benchmarks.ladder base --encoder DIR --data cs224n --stage all --jobs 5 --output docs/results.md

Trainings are ordinary checkpoints of the registry ($SMART_HOME). Stopped or killed, the same command goes on: finished
ones are reused, a begun one is resumed. Each stage's scores and tests also go to benchmarks/ladder/results/ as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ladder import ladder_steps, ladder_table
from benchmarks.ladder.ladder_steps import Ladder, Stage
from smartcli.atomic import write_output
from smartcli.cli.cells_view import CellsView
from smartcli.errors import SmartCliError
from smartcli.home import find_home
from smartcli.workflows.studies.cells import Base, Finished, Planned, plan
from smartcli.workflows.studies.jobs import work_off


def climb(
    base: Base, ladder: Ladder, stage: Stage, planned: Sequence[Planned], finished: Sequence[Finished], argv: list[str]
) -> tuple[str, dict[str, object]]:
    """Return a finished stage as a Markdown section and as JSON."""
    from smartcli.data.store import open_data
    from smartcli.workflows.scoring.comparison import compare
    from smartcli.workflows.studies.results import facts_of, notes_of

    lines = ladder_table.lines_of(base.home, stage, base.prefix, finished)
    if stage.ensemble_of is not None:
        lines.append(ladder_table.ensemble_line(base.home, stage, base.prefix, argv))
    data_set = open_data(base.home, finished[-1].meta.settings["data"])
    seeds = sorted({one.cell.seed for one in planned})
    facts, notes = facts_of(data_set, finished, seeds), notes_of(data_set, finished)
    title = f"{ladder.title}: {stage.title}"
    beside = [compare(base.home, a, b) for a, b in stage.beside]
    stored = {"title": title, "facts": facts, "notes": notes, "lines": [one.to_json() for one in lines]}
    stored |= {"beside": [one.to_json() for one in beside]} if beside else {}
    return ladder_table.markdown(title, facts, notes, lines, beside), stored


def main(arguments: Sequence[str] | None = None) -> int:
    from rich.console import Console

    from smartcli.workflows.studies.results import put_section

    args = read_arguments(arguments)
    ladder = ladder_steps.read(args.ladder)
    flags = {**ladder.common, "data": args.data}
    flags |= {key: value for key in ("encoder", "precision", "threads") if (value := getattr(args, key)) is not None}
    base = Base(find_home(args.home), args.ladder, flags)
    argv = ["python", "-m", "benchmarks.ladder", *(sys.argv[1:] if arguments is None else arguments)]
    results = ladder_steps.FOLDER / "results"
    results.mkdir(exist_ok=True)
    try:
        for stage in ladder.stages:
            if args.stage not in (None, stage.id):
                continue
            planned = plan(base, stage.cells())
            with CellsView(Console(stderr=True), planned, several=args.jobs > 1) as view:
                finished = work_off(base, planned, argv, view, args.jobs)
            section, stored = climb(base, ladder, stage, planned, finished, argv)
            print(section)
            write_output(results / f"{args.ladder}-{stage.id}.json", json.dumps(stored, indent=1) + "\n")
            if args.output is not None:
                put_section(args.output, f"ladder-{args.ladder}-{stage.id}", section)
    except SmartCliError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ladder", choices=ladder_steps.names())
    parser.add_argument("--data", default="cs224n", help="name of a prepared data set")
    parser.add_argument("--encoder", help="encoder, as for smart finetune (default: the data set's)")
    parser.add_argument("--stage", help="one stage only (default: all, in order)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--precision", help="as for smart finetune")
    parser.add_argument("--threads", type=int, help="threads of each training")
    parser.add_argument("--output", type=Path, help="Markdown file whose sections of these stages are replaced")
    parser.add_argument("--home", type=Path, help="registry (default: $SMART_HOME, or the user's data folder)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
