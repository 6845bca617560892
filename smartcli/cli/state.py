"""What the global options say, handed to every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from smartcli import ranks
from smartcli.cli.output import print_line
from smartcli.home import Home

if TYPE_CHECKING:
    import typer
    from rich.console import Console


@dataclass(frozen=True)
class CliState:
    """Home, verbosity and the two consoles: data go to `out`, progress and messages to `err`."""

    home: Home
    quiet: bool
    debug: bool
    out: Console
    err: Console

    def say(self, message: str) -> None:
        """Print a line of progress or comment on stderr, unless `--quiet`."""
        if not self.quiet:
            print_line(self.err, message)

    def warn(self, message: str) -> None:
        """Print a warning on stderr, also with `--quiet`."""
        print_line(self.err, f"warning: {message}", style="yellow")


def make_state(home: Home, *, quiet: bool, debug: bool) -> CliState:
    """Return the state with consoles on the process's own stdout and stderr; of several only the first one prints."""
    from rich.console import Console

    mute = not ranks.is_main_process()
    return CliState(home, quiet or mute, debug, Console(quiet=mute), Console(stderr=True, quiet=mute))


def state_of(ctx: typer.Context) -> CliState:
    """Return the state that the global options left in the context."""
    return cast(CliState, ctx.find_root().obj)
