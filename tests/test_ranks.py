"""Which process this is comes from torchrun's variables alone, and only trainings run in several."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smartcli import ranks

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_variables(**changes: str) -> None:
        for name, value in (TORCHRUN | changes).items():
            monkeypatch.setenv(name, value)

    for name in (*TORCHRUN, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ranks, "SAY_SECONDS", 0)
    return set_variables


def test_without_torchrun_a_process_is_alone(torchrun: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ranks.size(), ranks.rank(), ranks.local_size(), ranks.local_rank(), ranks.threads()) == (1, 0, 1, 0, None)
    torchrun()
    for name in TORCHRUN:
        with monkeypatch.context() as less:
            less.delenv(name)
            assert (ranks.size(), ranks.rank(), ranks.threads()) == (1, 0, None), name
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert ranks.size() == 1


def test_torchruns_variables_say_which_process_this_is(torchrun: Callable[..., None]) -> None:
    torchrun()
    assert (ranks.size(), ranks.rank(), ranks.local_size(), ranks.local_rank()) == (4, 3, 2, 1)


def test_processes_share_the_cores_unless_the_user_said_otherwise(
    torchrun: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    torchrun()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(9)), raising=False)
    assert ranks.threads() == 4
    torchrun(OMP_NUM_THREADS="1")
    assert ranks.threads() == 4
    torchrun(OMP_NUM_THREADS="3")
    assert ranks.threads() is None
    torchrun(OMP_NUM_THREADS="1", LOCAL_WORLD_SIZE="32")
    assert ranks.threads() == 1


@pytest.mark.parametrize("words", [(), ("evaluate",), ("sweep",), ("data", "list"), ("doctor",)])
def test_the_first_process_refuses_what_is_no_training_and_the_others_are_silent(
    torchrun: Callable[..., None], smart: Callable[..., object], words: tuple[str | Path, ...]
) -> None:
    torchrun(RANK="0")
    found = smart(*words)
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr.startswith(
        f"error: {' '.join(('smart', *words[:1]))} runs in one process, and torchrun started 4"
    )
    torchrun()
    found = smart(*words)
    assert (found.exit_code, found.stdout, found.stderr) == (2, "", "")


def test_a_mistyped_option_is_said_by_the_first_process_alone(
    torchrun: Callable[..., None], smart: Callable[..., object]
) -> None:
    torchrun(RANK="0")
    assert "no option --lamda" in smart("finetune", "--lamda", "5").stderr
    torchrun()
    found = smart("finetune", "--lamda", "5")
    assert (found.exit_code, found.stderr) == (2, "")
