"""`smart bench-serve`: how many answers a second a server gives, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete, inference_precision
from smartcli.cli.inference_precision import in_int8
from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import state_of
from smartcli.counts import counted

_HERE = "Server of a checkpoint"


def bench_serve(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="URL|CKPT",
            help="A running server, or a checkpoint that is served for the time of the measurement.",
            autocompletion=complete.checkpoints,
        ),
    ],
    clients: Annotated[
        int, typer.Option("--clients", metavar="N", min=2, max=4096, help="Clients that ask at the same time.")
    ] = 64,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Time for each side.")] = 20.0,
    texts: Annotated[int, typer.Option("--texts", metavar="N", min=1, help="Rows of a request.")] = 1,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="T",
            help="Task to ask for (default: the first).",
            autocompletion=complete.task,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Rows to ask with, with the task's text columns (default: invented sentences).",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="CPU threads of the server (default: all).",
            show_default=False,
            rich_help_panel=_HERE,
        ),
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            "--batch-tokens",
            metavar="N",
            min=1,
            help="Most tokens of a batch (default: that of smart serve).",
            show_default=False,
            rich_help_panel=_HERE,
        ),
    ] = None,
    wait_ms: Annotated[
        float | None,
        typer.Option(
            "--wait-ms",
            metavar="MS",
            min=0,
            help="Longest wait for others (default: that of smart serve).",
            show_default=False,
            rich_help_panel=_HERE,
        ),
    ] = None,
    precision: Annotated[str | None, inference_precision.option(_HERE)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a server: many clients at once, against one that asks for one thing after another, in turn.

    Exits with 1 where a request got no answer.

    Example: smart bench-serve ckpt1 --clients 64 --seconds 20
    """
    from smartcli.workflows.serving.serve_bench import Plan, bench

    state = state_of(ctx)
    given: dict[str, object] = {"--threads": threads, "--batch-tokens": batch_tokens, "--wait-ms": wait_ms}
    given["--precision"] = "int8" if in_int8(precision) else None
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    found = bench(state.home, target, Plan(clients, seconds, texts, task, source), options, say=state.say)
    if as_json:
        print_json(found.to_json())
    else:
        from rich import box
        from rich.table import Table

        from smartcli.report.tables import print_table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("clients", "answers", "a second", "median", "95 %", "99 %", "errors"):
            table.add_column(heading, justify="right")
        for side in (found.one, found.many):
            times = (side.percentile(share) for share in (50, 95, 99))
            shown = ("–" if taken is None else f"{1000 * taken:.1f} ms" for taken in times)
            errors = f"{side.errors.total():,}"
            table.add_row(str(side.clients), f"{len(side.latencies):,}", f"{side.throughput:.1f}", *shown, errors)
        print_table(state.out, table)
        if found.ratio is not None:
            said = (
                f"{found.many.clients} clients get {found.ratio:.2f} times as many answers as one (median of the turns)"
            )
            print_line(state.out, said)
    for said, count in (found.one.errors + found.many.errors).most_common(5):
        state.warn(f"{counted(count, 'request')}: {said}")
    if found.errors:
        raise typer.Exit(1)
