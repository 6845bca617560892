"""Which of several processes of one training this is, as torchrun says in the environment; no torch."""

from __future__ import annotations

import os
import time

from smartcli.errors import SaidElsewhere, UserError

NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
SAY_SECONDS = 5
"""How long a process waits for the first one to meet the same error."""
TRAININGS = ("finetune", "pretrain-qqp", "distill")
"""The commands that run in several processes."""


def _of_torchrun() -> bool:
    return "MASTER_ADDR" in os.environ and all(os.environ.get(name, "").isdecimal() for name in NUMBERS)


def size() -> int:
    """Return how many processes train together; 1 where torchrun did not start this one."""
    return int(os.environ["WORLD_SIZE"]) if _of_torchrun() else 1


def rank() -> int:
    """Return this process's number, from 0; the first one alone writes and prints."""
    return int(os.environ["RANK"]) if size() > 1 else 0


def local_rank() -> int:
    """Return this process's number among those of its machine, from 0: which GPU it uses."""
    return int(os.environ["LOCAL_RANK"]) if size() > 1 else 0


def local_size() -> int:
    """Return how many of the processes run on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if size() > 1 else 1


def threads() -> int | None:
    """Return this process's share of the machine's cores; None where it is alone, or OMP_NUM_THREADS is more than 1.

    torchrun sets that variable to 1 where nobody did, so that a user's own 1 cannot be told from it (--threads 1 can).
    """
    if local_size() == 1 or os.environ.get("OMP_NUM_THREADS", "1") != "1":
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_size())


def is_main_process() -> bool:
    """Return whether this process is the first one, which alone writes and reports."""
    return rank() == 0


def wait_for_first_report() -> None:
    """Let the first process say an error that all have: torchrun ends them all as soon as one ends."""
    time.sleep(SAY_SECONDS)


def refuse(what: str) -> None:
    """Raise a UserError, in the first process alone, where several run `what`, which is no training."""
    if size() == 1:
        return
    if not is_main_process():
        wait_for_first_report()
        raise SaidElsewhere(UserError.exit_code)
    trainings = " and ".join(f"smart {name}" for name in TRAININGS)
    raise UserError(f"{what} runs in one process, and torchrun started {size()}; only {trainings} share the work")
