"""A training in several processes, as torchrun starts them: the first one decides and writes, the others follow."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from smartcli import ranks
from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.run_folders import Run

if TYPE_CHECKING:
    from smartcli.engine.distributed import Processes


@contextmanager
def joined() -> Iterator[Processes | None]:
    """Yield the processes that train together, None where this one is alone; torch is loaded only for several."""
    if ranks.size() == 1:
        yield None
        return
    from smartcli.engine.distributed import join

    with join() as processes:
        yield processes


def broadcast(processes: Processes | None, value: Any) -> None:
    """Send a JSON value from the first process to the others; they receive it."""
    if processes is not None:
        processes.broadcast(value)


def barrier(processes: Processes | None) -> None:
    """Wait for all processes to be ready to train: what is wrong in one must be said before anything is written."""
    if processes is not None:
        processes.any(False)


def facts_of_first(processes: Processes | None) -> dict[str, Any] | None:
    """Return the facts of the first process, once it has read everything; None in that process itself.

    It alone makes tokens, asks a hub and times bf16; afterwards the others find all that ready.
    """
    if processes is None or processes.is_main_process:
        return None
    facts: dict[str, Any] = processes.broadcast()
    return facts


def with_first_ones_choices(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """Return `settings` with the precision and the threads that the first process sent."""
    return replace(settings, precision=facts["precision"], threads=facts["threads"])


def check_same_facts(processes: Processes | None, first_ones: Mapping[str, Any] | None, facts: dict[str, Any]) -> None:
    """Send the first process's `facts` to the others; in these raise a UserError where their own are not the same."""
    if first_ones is None:
        broadcast(processes, facts)
        return
    other = [key for key, value in facts.items() if first_ones.get(key) != value and key != "threads"]
    if other:
        raise UserError(
            f"not the same as in the first process: {', '.join(other)}; every machine needs the same command line, "
            "data set, encoder and torch"
        )


def shared_run(home: Home, name: str) -> Run:
    """Return the run that the first process goes on with; a UserError where this machine does not have it."""
    run = Run(home, name)
    if not run.folder.is_dir():
        raise UserError(
            f'the run "{name}" is not on this machine; to go on with it on several, put --home or $SMART_HOME on a '
            "file system that all of them share"
        )
    return run


def resume_command(words: list[str]) -> str:
    """Return the command line `smart WORDS` as it goes on with as many processes as there are now."""
    if ranks.size() == 1:
        return shlex.join(["smart", *words])
    start = ["torchrun", "--nproc-per-node", str(ranks.local_size())]
    more = "" if ranks.size() == ranks.local_size() else " (with the options for the machines as before)"
    return shlex.join([*start, "-m", "smartcli", *words]) + more
