"""Counted work: plain lines off a terminal, a bar on one, nothing with --quiet."""

from __future__ import annotations

import io

from rich.console import Console

from smartcli.cli.counting import CountingView


def printed(*, terminal: bool = False, quiet: bool = False, total: int = 10) -> str:
    out = io.StringIO()
    with CountingView(Console(file=out, force_terminal=terminal, width=100), quiet=quiet) as view:
        for done in range(total + 1):
            view.count("rows [red]read[/red]", done, total)
    return out.getvalue()


def test_off_a_terminal_the_first_and_last_count_are_lines_of_their_own() -> None:
    assert printed() == "rows [red]read[/red]: 0 of 10\nrows [red]read[/red]: 10 of 10\n"


def test_on_a_terminal_it_is_a_bar_that_goes() -> None:
    shown = printed(terminal=True)
    assert "rows [red]read[/red]" in shown
    assert "10/10" in shown


def test_quiet_says_nothing_and_so_does_nothing_to_count() -> None:
    assert printed(quiet=True) == ""
    assert printed(total=0) == ""
