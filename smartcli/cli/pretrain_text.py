"""`smart pretrain-text`: an encoder learns the tasks' own language before it is fine-tuned."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from smartcli.cli.options import TrainingOptions, options_among
from smartcli.cli.state import state_of
from smartcli.option_table import TEXT_DEFAULTS, TEXT_OPTIONS


@options_among((*TEXT_OPTIONS, "name", "resume"), TEXT_DEFAULTS)
def pretrain_text(
    ctx: typer.Context,
    options: TrainingOptions,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            metavar="SPLIT,…",
            help="Whose sentences to train on; dev and test text only where they are named here, which is recorded "
            "(default: train).",
            rich_help_panel="Data and encoder",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train an encoder to guess masked words of the tasks' own sentences, to start from with --init.

    15 % of the tokens are masked, by whole words; a twentieth of the train sentences is held out, and the loss on them
    is printed before and after. An encoder's preset does not count here.

    Example: smart pretrain-text --tasks sst --name text, then smart finetune --init text
    """
    from smartcli.cli.progress import TrainingView
    from smartcli.workflows.training.settings import resolve
    from smartcli.workflows.training.text_training import COMMAND
    from smartcli.workflows.training.text_training import pretrain_text as train

    state = state_of(ctx)
    resolved = resolve(state.home, COMMAND, options.flags)
    data = resolved.data_set.name
    state.say(f"data set: {data}, encoder: {resolved.encoder} ({resolved.sources['encoder']})")
    with TrainingView(state.err, quiet=state.quiet) as view:
        outcome = train(state.home, resolved, splits, ["smart", *sys.argv[1:]], view.record)
    meta = outcome.meta
    assert meta is not None, "one process trains"
    text = meta.lineage.text or {}
    if outcome.already:
        state.say(f'"{outcome.name}" is finished already, with these settings; nothing to do')
    state.out.print(
        f"held-out loss on masked words: {text['before']:.4f} before, {text['after']:.4f} after "
        f"({text['masked']:,} tokens of {text['held_out']:,} sentences)"
    )
    state.say(f"registered as {outcome.name} in {meta.seconds or 0:.0f} s; next: smart finetune --init {outcome.name}")
