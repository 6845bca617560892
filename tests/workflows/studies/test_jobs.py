"""Cells in processes of their own: the same bits, nothing lost by a kill, no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smartcli.errors import SmartCliError, Stopped, UserError
from smartcli.home import Home
from smartcli.log_events import Event, StepEvent
from smartcli.registry.locks import owner_of
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.studies.cell_process import from_line, to_line
from smartcli.workflows.studies.cells import Base, Cell, Planned, plan
from smartcli.workflows.studies.jobs import share_threads, work_off
from tests.hand_made import make_data
from tests.tiny import make_tiny_encoder
from tests.workflows.studies.test_grid import Silent

WEIGHTS = ("model.safetensors", "heads.safetensors", "predictions-dev.csv")
Hear = Callable[[Planned, Event], None]


class Hearing(Silent):
    """Passes every record of a cell on."""

    def __init__(self, hear: Hear = lambda planned, record: None) -> None:
        super().__init__()
        self.hear = hear

    def record(self, planned: Planned, event: Event) -> None:
        self.hear(planned, event)


@pytest.fixture
def base(home: Home, tmp_path: Path) -> Base:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    flags = {"encoder": str(make_tiny_encoder(tmp_path / "tiny")), "batch_size": 2, "epochs": 10, "save_every": 3}
    return Base(home, "try", {**flags, "precision": "fp32", "threads": 1}, pretrain={"lambda": 0})


def cells(base: Base, *, pretrain: bool = False) -> list[Planned]:
    return plan(base, [Cell(f"lambda{lam}", f"λ {lam}", {"lambda": lam}, 0, pretrain) for lam in (0, 1)])


def weights(base: Base, planned: list[Planned]) -> list[list[bytes]]:
    registry = Registry(base.home)
    return [[registry.open(one.name).read(file) for file in WEIGHTS] for one in planned]


def one_after_the_other(base: Base, planned: list[Planned]) -> list[list[bytes]]:
    """What the cells are without jobs; their checkpoints go again."""
    work_off(base, planned, ["smart"], Silent())
    found = weights(base, planned)
    for one in reversed(planned):
        Registry(base.home).remove(one.name)
    return found


def test_two_at_a_time_have_the_bits_of_one_after_the_other_and_wait_for_what_they_start_from(base: Base) -> None:
    planned = cells(base, pretrain=True)
    expected = one_after_the_other(base, planned)
    watcher = Hearing()
    finished = work_off(base, planned, ["smart", "sweep"], watcher, jobs=2)
    assert [one.planned for one in finished] == planned
    assert watcher.trained[0] == planned[0].name, "the pre-training ends before the cells that start from it"
    assert weights(base, planned) == expected
    assert finished[1].meta.command == ["smart", "sweep"]
    again = Silent()
    work_off(base, planned, ["smart"], again, jobs=2)
    assert (again.trained, again.reused) == ([], [one.name for one in planned])


def test_a_killed_cell_leaves_the_other_alone_and_the_same_command_goes_on(base: Base) -> None:
    planned = cells(base)
    expected = one_after_the_other(base, planned)

    def kill_second(one: Planned, event: Event) -> None:
        if one == planned[1] and isinstance(event, StepEvent) and event.step == 10:
            owner = owner_of(base.home, one.name)
            assert owner is not None
            os.kill(owner.pid, signal.SIGKILL)

    watcher = Hearing(kill_second)
    with pytest.raises(SmartCliError, match=f"1 cell of 2 not finished: {planned[1].name}: killed by SIGKILL"):
        work_off(base, planned, ["smart"], watcher, jobs=2)
    assert watcher.trained == [planned[0].name]
    assert watcher.failed == [(planned[1].name, "killed by SIGKILL")]
    assert Runs(base.home).open(planned[1].name).position()["total"] >= 6, "what was saved is there"  # type: ignore[index]
    again = Silent()
    work_off(base, planned, ["smart"], again, jobs=2)
    assert (again.reused, again.trained) == ([planned[0].name], [planned[1].name])
    assert weights(base, planned) == expected


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)])
def test_a_signal_stops_all_cells_after_a_save_and_the_same_command_goes_on(
    base: Base, sighup_heard: None, number: int, exit_code: int
) -> None:
    planned = cells(base)
    expected = one_after_the_other(base, planned)
    started: set[str] = set()

    def stop_when_both_run(one: Planned, event: Event) -> None:
        if isinstance(event, StepEvent):
            started.add(one.name)
            if len(started) == 2:
                signal.raise_signal(number)

    # Enough steps that the first is still running when the second begins.
    slow = Base(base.home, "try", {**base.flags, "epochs": 400}, pretrain=base.pretrain)
    long = cells(slow)
    with pytest.raises(Stopped, match="finished cells are kept: run the same command again to go on") as end:
        work_off(slow, long, ["smart"], Hearing(stop_when_both_run), jobs=2)
    assert end.value.exit_code == exit_code
    assert {run.name for run in Runs(base.home).interrupted()} == {one.name for one in long}
    assert all(owner_of(base.home, one.name) is None for one in long), "no process is left"
    work_off(base, planned, ["smart"], Silent(), jobs=2)
    assert weights(base, planned) == expected


def test_what_starts_from_a_failed_cell_is_not_begun_and_the_users_mistake_is_exit_2(base: Base) -> None:
    planned = cells(base, pretrain=True)
    folder = Path(str(base.flags["encoder"]))
    (folder / "model.safetensors").write_bytes(b"no weights")
    watcher = Silent()
    with pytest.raises(SmartCliError, match="3 cells of 3 not finished") as error:
        work_off(base, planned, ["smart"], watcher, jobs=2)
    assert "model.safetensors" in str(error.value)
    assert [name for name, _ in watcher.failed] == [one.name for one in planned]
    assert watcher.failed[1][1] == f"it starts from {planned[0].name}, which is not finished"


def test_cores_are_divided_and_named_threads_are_each_cells_own(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        free = Base(base.home, "try", {key: value for key, value in base.flags.items() if key != "threads"})
        assert share_threads(free, cells(free), 2) == 2
        torch.set_num_threads(1)
        assert share_threads(free, cells(free), 3) == 1
    finally:
        torch.set_num_threads(before)


def test_a_cell_is_told_and_read_back_whole(base: Base) -> None:
    told = Base(base.home, "try", {"lambda": "sst=1,qqp=0"}, Path("x.toml"), "paper", {"lambda": 0})
    (one,) = plan(base, [Cell("a", "λ 1", {"lambda": 1, "dropout": 0.1}, 3)])
    assert from_line(to_line(told, one, ["smart", "ü\n"])) == (told, one, ["smart", "ü\n"])


def test_fewer_than_one_job_is_refused(base: Base) -> None:
    with pytest.raises(UserError, match="--jobs must be at least 1, found 0"):
        work_off(base, cells(base), ["smart"], Silent(), jobs=0)


@pytest.mark.faults
def test_when_the_command_is_killed_its_cells_save_and_end(base: Base) -> None:
    command = [sys.executable, "-m", "smartcli", "--home", str(base.home.root), "sweep", "--jobs", "2"]
    command += ["--grid", "lambda=0,1", "--encoder", str(base.flags["encoder"]), "--epochs", "100000", "--name", "x"]
    parent = subprocess.Popen([*command, "--threads", "1", "--precision", "fp32"], stderr=subprocess.DEVNULL)
    runs = Runs(base.home)

    def wait(until: Callable[[], bool]) -> None:
        for _ in range(600):
            if until():
                return
            time.sleep(0.1)
        raise AssertionError("waited for a minute")

    try:
        wait(lambda: sum(b'"dev"' in run.log_path.read_bytes() for run in runs.list()) == 2)
        owners = [run.owner() for run in runs.list()]
    finally:
        parent.kill()
        parent.wait()
    wait(lambda: not any(owner is not None and owner.alive() for owner in owners))
    assert len(runs.interrupted()) == 2
    assert all(run.position() is not None for run in runs.list())
