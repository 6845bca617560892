"""kill -9 during real trainings: whatever the moment, `--resume auto` goes on and ends with the same bits."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from forked import Child, Ended, in_child, kill_at
from training import Shop, assert_same_training

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs

OPTIONS = {"lambda": "1", "mu": "1", "dropout": "0.2", "save_every": "1", "lr_schedule": "linear", "warmup": "0.3"}
SEQUENTIAL = {"schedule": "sequential", "epochs": "1", "lambda": "1", "save_every": "2"}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    opened = Shop.open(home, tmp_path)
    opened.train("whole", **OPTIONS)
    return opened


def again(shop: Shop, name: str, options: dict[str, str] = OPTIONS) -> str:
    return shop.train(name, resume="auto", **options).name


def check_whole(shop: Shop) -> None:
    assert Registry(shop.home).verify() == []
    for run in Runs(shop.home).interrupted():
        run.load()


def check_ended(shop: Shop, ended: Ended, name: str, whole: str = "whole") -> None:
    assert ended.value == name, ended
    assert_same_training(shop.open_checkpoint(whole), shop.open_checkpoint(name))
    assert Runs(shop.home).names() == []
    Registry(shop.home).remove(name)


def kill_randomly(shop: Shop, kills: int, seed: int) -> int:
    """Kill one training after the other, each until it ends; return how many ended."""
    started = time.monotonic()
    check_ended(shop, in_child(lambda: again(shop, "r0")), "r0")
    # Of a whole training; a busy machine's time is corrected whenever one ends sooner.
    longest = time.monotonic() - started
    draw, killed, ended_well = random.Random(seed), 0, 1
    while killed < kills:
        name = f"r{ended_well}"
        child = Child(lambda name=name: again(shop, name))
        wait = draw.uniform(0, longest)
        time.sleep(wait)
        child.kill()
        ended = child.wait()
        check_whole(shop)
        killed += ended.killed
        if not ended.killed:
            check_ended(shop, ended, name)
            ended_well += 1
            longest = min(longest, 1.2 * wait)
    name = f"r{ended_well}"
    check_ended(shop, in_child(lambda: again(shop, name)), name)
    return ended_well + 1


def test_kills_at_random_moments_of_a_training_change_no_bit(shop: Shop) -> None:
    assert kill_randomly(shop, 2, seed=1) > 1


@pytest.mark.faults
def test_a_hundred_kills_at_random_moments_of_a_training_change_no_bit(shop: Shop) -> None:
    assert kill_randomly(shop, 100, seed=0) > 1


def kill_at_calls(shop: Shop, first: int, stride: int, options: dict[str, str], whole: str) -> int:
    """Kill a training just before its file-system call number first, first + stride, …; return the last number."""
    call = first
    while True:
        name = f"k{call}"

        def work(name: str = name, call: int = call) -> str:
            kill_at(call)
            return again(shop, name, options)

        ended = in_child(work)
        assert ended.crash is None
        assert ended.error is None
        check_whole(shop)
        check_ended(shop, in_child(lambda name=name: again(shop, name, options)), name, whole)
        if not ended.killed:
            return call
        call += stride


def test_a_kill_at_a_few_calls_of_a_training_changes_no_bit(shop: Shop) -> None:
    assert kill_at_calls(shop, 31, 90, OPTIONS, "whole") > 60


@pytest.mark.faults
def test_a_kill_at_every_call_of_a_training_changes_no_bit(shop: Shop) -> None:
    assert kill_at_calls(shop, 0, 1, OPTIONS, "whole") > 60


@pytest.mark.faults
def test_a_kill_at_many_calls_of_a_sequential_training_changes_no_bit(shop: Shop) -> None:
    shop.train("phases", **SEQUENTIAL)
    assert kill_at_calls(shop, 3, 7, SEQUENTIAL, "phases") > 60
