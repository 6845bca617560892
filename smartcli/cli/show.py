"""`smart show`: one checkpoint on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json, size_text
from smartcli.cli.state import state_of

if TYPE_CHECKING:
    from rich.table import Table

    from smartcli.workflows.checkpoints.listing import Card

_BARS = "▁▂▃▄▅▆▇█"
_ALWAYS = frozenset({"pair_mode", "schedule", "epochs", "batch_size", "lr", "dropout", "lambda", "seed"})
"""Settings that a card shows whatever they are; the others where they are not as by default."""
_ELSEWHERE = frozenset({"data", "encoder", "revision"})
"""Settings that have lines of their own."""


def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CKPT", help="Checkpoint.", autocompletion=complete.checkpoints)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Show a checkpoint's scores, dev curve, settings, lineage, size, and the command that made it.

    Example: smart show ckpt1
    """
    from smartcli.report.tables import print_table
    from smartcli.workflows.checkpoints.listing import show_checkpoint

    state = state_of(ctx)
    card = show_checkpoint(state.home, name)
    if json:
        print_json(card.to_json())
        return
    print_table(state.out, _facts(card))
    scores = _scores(card)
    if scores.row_count:
        print_table(state.out, scores)


def sparkline(values: Sequence[float]) -> str:
    """Return a bar a value, the lowest value the lowest bar; equal values are all in the middle."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high == low:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def _facts(card: Card) -> Table:
    from rich.table import Table

    from smartcli.visible import plain

    took = f", {card.seconds:,.0f} s of training" if card.seconds and card.seconds >= 1 else ""
    facts = {
        "checkpoint": f"{card.name}: {card.kind}, {card.method}" if card.method else f"{card.name}: {card.kind}",
        "data": f"{card.data} ({card.fingerprint[:12]})",
        "encoder": card.encoder,
        "settings": _settings(card.settings),
        "made from": ", ".join(card.made_from),
        "named by": ", ".join(card.named_by),
        "size": f"{size_text(card.size)}{took}",
        "created": card.created[:19].replace("T", " "),
        "content": card.manifest_hash[:16],
        "command": card.command,
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if value:
            table.add_row(key, plain(value))
    return table


def _scores(card: Card) -> Table:
    from rich import box
    from rich.table import Table

    from smartcli.report.history import score_of
    from smartcli.report.tables import three
    from smartcli.visible import plain

    best = f", best epoch {card.best_epoch}" if card.best_epoch is not None else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("dev", "metric"):
        table.add_column(title)
    table.add_column("score", justify="right")
    table.add_column("rows", justify="right")
    table.add_column(f"by epoch{best}")
    for task in dict.fromkeys([*card.scores, *card.curve]):
        entry = card.scores.get(task)
        metric = next((key for key in entry if key != "n"), "") if isinstance(entry, dict) else ""
        rows = f"{entry['n']:,}" if isinstance(entry, dict) and isinstance(entry.get("n"), int) else ""
        values = card.curve.get(task, [])
        ends = f" {three(values[0])} → {three(values[-1])}" if len(values) > 1 else ""
        curve = f"{sparkline(values)}{ends}" if len(values) > 1 else ""
        table.add_row(*map(plain, [task, metric, three(score_of(entry)), rows, curve]))
    return table


def _settings(settings: dict[str, Any]) -> str:
    """Return the settings as `key value`: those of `_ALWAYS`, and others that are not as by default."""
    from smartcli.config import Settings

    defaults = Settings().to_json()
    shown = []
    for key, value in settings.items():
        if key not in _ALWAYS and (value is None or value == defaults.get(key) or key in _ELSEWHERE):
            continue
        if isinstance(value, dict):
            shown.append(f"{key} {','.join(f'{task}={number}' for task, number in value.items())}")
        elif isinstance(value, list):
            shown.append(f"{key} {','.join(map(str, value))}")
        else:
            shown.append(key if value is True else f"{key} {value}")
    return ", ".join(shown) + (", the rest by default" if shown else "")
