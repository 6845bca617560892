"""kill -9 at every call and at random moments: the registry stays whole and the next process goes on."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from forked import Child, in_child, kill_at
from registry_fixtures import make_fill

from smartcli.home import Home
from smartcli.processes import this_process
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import RunHeader, Runs

STEPS = 3


def train(home: Home, name: str, pause: float = 0.0) -> str:
    """A whole life: claim or resume, save states, register, end the run. Returns the checkpoint's hash."""
    registry, runs = Registry(home), Runs(home)
    if name in registry.names():
        return registry.open(name).manifest_hash
    if runs.exists(name):
        return finish(home, name, pause)
    with registry.claim(name):
        runs.create(name, RunHeader(settings={"init": None}))
        return finish(home, name, pause)


def finish(home: Home, name: str, pause: float) -> str:
    run = Runs(home).open(name)
    with run.lock():
        found = run.load()
        done = found[1]["step"] if found else 0
        for step in range(done + 1, STEPS + 1):
            time.sleep(pause)
            run.save(lambda folder, step=step: write_step(folder, step), {"step": step})
        made = Registry(home).commit(name, make_fill(name))
        Runs(home).remove(name)
        return made.manifest_hash


def write_step(folder: Path, step: int) -> None:
    (folder / "weights").write_bytes(step.to_bytes(4, "big") * 1000)


def check_whole(home: Home) -> None:
    assert Registry(home).verify() == []
    for run in Runs(home).interrupted():
        found = run.load()
        if found is not None:
            folder, position = found
            assert (folder / "weights").read_bytes() == position["step"].to_bytes(4, "big") * 1000


def nothing_left(home: Home) -> list[str]:
    """Names besides the checkpoint, empty folders, lock files, and pids of dead owners, which nobody heeds."""
    with Registry(home).claim("next"):
        pass
    kept = {"checkpoints", "locks", "runs", "x", "x.lock", "x.pid", "next.lock", ".registry.lock", ".registry.pid"}
    parts = [*home.root.iterdir(), *home.checkpoints.iterdir(), *home.runs.iterdir(), *home.locks.iterdir()]
    return [path.name for path in parts if path.name not in kept]


def kill_everywhere(tmp_path: Path, stride: int) -> int:
    whole = train(Home(tmp_path / "whole"), "x")
    call = 0
    while True:
        home = Home(tmp_path / str(call))

        def work(home: Home = home, call: int = call) -> str:
            kill_at(call)
            return train(home, "x")

        ended = in_child(work)
        assert ended.crash is None
        check_whole(home)
        again = in_child(lambda home=home: train(home, "x"))
        assert again.value == whole, again
        assert Registry(home).names() == ["x"]
        assert Runs(home).names() == []
        assert nothing_left(home) == []
        if not ended.killed:
            return call
        call += stride


def test_kills_at_a_few_calls_lose_nothing(tmp_path: Path) -> None:
    assert kill_everywhere(tmp_path, stride=9) > 40


@pytest.mark.faults
def test_a_kill_at_every_call_loses_nothing(tmp_path: Path) -> None:
    assert kill_everywhere(tmp_path, stride=1) > 40


def kill_randomly(home: Home, kills: int) -> int:
    """Kill the same training at random moments until it was killed `kills` times; return how often it ended."""
    draw = random.Random(7)
    killed = ended_well = 0
    while killed < kills:
        name = f"r{ended_well}"
        child = Child(lambda name=name: train(home, name, pause=0.002))
        time.sleep(draw.uniform(0, 0.12))
        child.kill()
        ended = child.wait()
        assert ended.crash is None
        assert ended.error is None
        check_whole(home)
        killed += ended.killed
        ended_well += not ended.killed
    for name in Runs(home).names():
        assert in_child(lambda name=name: train(home, name)).value
    assert Registry(home).verify() == []
    return ended_well


def test_kills_at_random_moments_lose_nothing(home: Home) -> None:
    kill_randomly(home, 8)


@pytest.mark.faults
def test_a_hundred_kills_at_random_moments_lose_nothing(home: Home) -> None:
    kill_randomly(home, 100)


def test_a_removal_killed_at_any_call_shows_the_checkpoint_whole_or_not_at_all(home: Home) -> None:
    call = 0
    while True:
        if "x" not in Registry(home).names():
            Registry(home).commit("x", make_fill("x"))

        def work(call: int = call) -> None:
            kill_at(call)
            Registry(home).remove("x")

        ended = in_child(work)
        assert Registry(home).verify() == []
        with Registry(home).claim("other"):
            left = [path.name for path in home.checkpoints.iterdir()]
            assert left in ([], ["x"])
        if not ended.killed:
            break
        call += 1
    assert call == 3
    assert left == []


def test_numbers_given_before_a_kill_are_not_given_again(home: Home) -> None:
    given = []
    for call in range(8):

        def work(call: int = call) -> None:
            with Registry(home).claim(None) as name:
                (home.root / f"given-{this_process().pid}").write_text(name)
                kill_at(call)
                Registry(home).commit(name, make_fill(name))

        in_child(work)
        notes = list(home.root.glob("given-*"))
        given += [note.read_text() for note in notes]
        for note in notes:
            note.unlink()
    assert given == [f"ckpt{number}" for number in range(1, 9)]
