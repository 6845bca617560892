"""`smart serve`: predictions over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.inference_precision import Precision, in_int8
from smartcli.cli.state import state_of

_LIMITS, _BATCHES = "Limits", "Batches"


def serve(
    ctx: typer.Context,
    checkpoint: Annotated[
        str, typer.Argument(metavar="CKPT", help="Checkpoint or ensemble.", autocompletion=complete.checkpoints)
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="auto|cpu|cuda",
            help="Where the model runs.",
            autocompletion=complete.choices("auto", "cpu", "cuda"),
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, help="CPU threads (default: all).", show_default=False),
    ] = None,
    precision: Precision = None,
    batch_tokens: Annotated[
        int,
        typer.Option(
            "--batch-tokens", metavar="N", help="Most tokens of a batch, one long text aside.", rich_help_panel=_BATCHES
        ),
    ] = 4096,
    wait_ms: Annotated[
        float,
        typer.Option(
            "--wait-ms",
            metavar="MS",
            help="Longest wait of an idle model for requests that are likely to come; one client alone never waits.",
            rich_help_panel=_BATCHES,
        ),
    ] = 5.0,
    queue: Annotated[
        int,
        typer.Option(
            "--queue",
            metavar="N",
            help="Most requests under way at a time; others get 503 and when to try again.",
            rich_help_panel=_LIMITS,
        ),
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="S",
            help="Seconds after which a request without answer gets 503.",
            rich_help_panel=_LIMITS,
        ),
    ] = 30.0,
    max_body: Annotated[
        int,
        typer.Option("--max-body", metavar="BYTES", help="Most bytes of a request's body.", rich_help_panel=_LIMITS),
    ] = 1_000_000,
    max_texts: Annotated[
        int, typer.Option("--max-texts", metavar="N", help="Most rows of a request.", rich_help_panel=_LIMITS)
    ] = 256,
    max_chars: Annotated[
        int, typer.Option("--max-chars", metavar="N", help="Most characters of a text.", rich_help_panel=_LIMITS)
    ] = 20_000,
    body_timeout: Annotated[
        float,
        typer.Option(
            "--body-timeout", metavar="S", help="Seconds in which a body must arrive.", rich_help_panel=_LIMITS
        ),
    ] = 10.0,
) -> None:
    """Answer predictions over HTTP, until Ctrl-C or SIGTERM; what is under way then is still answered.

    Requests that arrive together share a batch. POST /predict takes {"task": …, "texts": […]}; /health, /metrics (for
    Prometheus) and /docs (every field) are beside it. A token in $SMART_SERVE_TOKEN is asked of every client.

    Example: smart serve ckpt1 --port 8000
    """
    from smartcli.errors import UserError, suggest
    from smartcli.option_table import OPTION_OF
    from smartcli.workflows.serving.http_server import Address
    from smartcli.workflows.serving.http_server import serve as run
    from smartcli.workflows.serving.limits import Limits

    state = state_of(ctx)
    known = OPTION_OF["device"].choices
    if device not in known:
        raise UserError(f"--device must be one of {', '.join(known)}; found {device!r}{suggest(device, known)}")
    limits = Limits(batch_tokens, wait_ms, queue, timeout, max_body, max_texts, max_chars, body_timeout)
    run(
        state.home,
        checkpoint,
        Address(host, port),
        limits,
        device=device,
        threads=threads,
        int8=in_int8(precision),
        say=state.say,
        warn=state.warn,
        ready=state.say,
    )
