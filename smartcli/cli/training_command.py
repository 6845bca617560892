"""What finetune, pretrain-qqp and distill share: settings in force, progress, and the result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import typer

from smartcli import ranks
from smartcli.cli.options import TrainingOptions
from smartcli.cli.state import CliState, state_of
from smartcli.log_events import Event, NoteEvent, WarningEvent
from smartcli.registry.meta import CheckpointMeta

if TYPE_CHECKING:
    from rich.console import Console

    from smartcli.engine.distributed import Processes
    from smartcli.workflows.training.settings import Resolved

Command = Literal["finetune", "pretrain-qqp", "distill"]


def run_training(ctx: typer.Context, command: Command, options: TrainingOptions) -> None:
    """Resolve the settings, train, and print the result; `--dry-run` stops before training."""
    from smartcli.workflows.training.scale_out import joined

    with joined() as processes:
        _run_training(state_of(ctx), command, options, processes)


def _run_training(state: CliState, command: Command, options: TrainingOptions, processes: Processes | None) -> None:
    from smartcli.workflows.training.resume import settle
    from smartcli.workflows.training.settings import resolve

    follows = processes is not None and not processes.is_main_process
    resolved = resolve(state.home, command, options.flags, options.config, options.recipe)
    settled = None
    if not follows:
        settled = settle(state.home, command, resolved, resolved.name, resolved.resume)
        print_settings(state, settled.resolved)
    if resolved.dry_run:
        ranks.refuse("--dry-run")
        from smartcli.workflows.training.dry_run import dry_run

        state.say("measuring a few steps; nothing of them is kept")
        rows = dry_run(state.home, command, resolved, _say_events(state))
        print_rows(state, f"{command}: what would be trained", rows, to=state.out)
        return
    from smartcli.cli.progress import TrainingView
    from smartcli.workflows.training.train import train

    with TrainingView(state.err, quiet=state.quiet) as view:
        outcome = train(
            state.home,
            command,
            resolved,
            name=resolved.name,
            resume=resolved.resume,
            argv=["smart", *sys.argv[1:]],
            listener=view.record,
            processes=processes,
            settled=settled,
        )
    if outcome.meta is None:
        return
    if outcome.already:
        state.say(f'"{outcome.name}" is finished already, with these settings; nothing to do')
    print_result(state, outcome.name, outcome.meta)


def _say_events(state: CliState) -> Callable[[Event], None]:
    def hear(event: Event) -> None:
        if isinstance(event, NoteEvent):
            (state.warn if isinstance(event, WarningEvent) else state.say)(event.message)

    return hear


def print_settings(state: CliState, resolved: Resolved) -> None:
    """Print the values in force on stderr: those that somebody set with their source, the defaults in one line."""
    if state.quiet:
        return
    from smartcli.workflows.training.settings import in_force

    data, origin = resolved.data_set, " (the one prepared last)" if resolved.latest_data else ""
    state.say(f"data set: {data.name}{origin}, encoder: {resolved.encoder} ({resolved.sources['encoder']})")
    rows = in_force(resolved)
    chosen = [
        row for row in rows if row[2] not in ("default", "prepared last") and row[0] not in ("--data", "--encoder")
    ]
    defaults = [f"{flag} {value}" for flag, value, source in rows if source == "default" and value not in ("–", "off")]
    print_rows(state, "settings in force", chosen, headings=("option", "value", "from"))
    state.say("by default: " + ", ".join(defaults))


def print_rows(
    state: CliState,
    title: str,
    rows: Sequence[Sequence[str]],
    headings: Sequence[str] = ("what", "value"),
    to: Console | None = None,
) -> None:
    """Print a small table, on stderr unless told otherwise."""
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import print_table
    from smartcli.visible import plain

    table = Table(*headings, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    if rows:
        print_table(to or state.err, table)


def print_result(state: CliState, name: str, meta: CheckpointMeta) -> None:
    """Print the checkpoint's dev scores on stdout, and what to do next on stderr."""
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import three
    from smartcli.visible import plain

    table = Table(title=f"{name}: dev scores", title_justify="left", box=box.SIMPLE_HEAD)
    cells = []
    for task, scores in meta.metrics.items():
        if not isinstance(scores, dict):
            continue
        metric = next(key for key in scores if key != "n")
        table.add_column(f"{task} {metric}", justify="right")
        cells.append(three(scores[metric]))
    table.add_column("overall", justify="right")
    cells.append(three(meta.overall))
    table.add_row(*(plain(cell) for cell in cells))
    state.out.print(table)
    state.say(f"registered as {name} in {meta.seconds or 0:.0f} s; next: smart evaluate, or smart show {name}")
