"""A worker is dead when its process is gone, or when its heartbeat stands still on the watcher's own clock."""

from __future__ import annotations

import subprocess
import sys

from smartcli.processes import Process, this_process
from smartcli.workflows.search.liveness import BEAT, BEAT_SECONDS, GRACE_SECONDS, WORKER, Watch
from smartcli.workflows.search.slots import Attempt


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def running(token: str | None, beat: int | None = None) -> Attempt:
    notes = {key: value for key, value in ((WORKER, token), (BEAT, beat)) if value is not None}
    return Attempt(3, "running", {}, notes)


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = Process(child.pid, "0", this_process().machine).token
    watch = Watch()
    assert not watch.dead(running(token))
    child.kill()
    child.wait()
    assert watch.dead(running(token))
    assert not watch.dead(running(this_process().token))


def test_elsewhere_a_heartbeat_that_stands_still_for_the_grace_is_dead_and_one_that_counts_is_not() -> None:
    clock = Clock()
    watch, token = Watch(60, clock), Process(1, "7", "0123abcd").token
    assert not watch.dead(running(token, 1))
    clock.now = 59
    assert not watch.dead(running(token, 1))
    assert not watch.dead(running(token, 2)), "it counted on"
    clock.now = 119
    assert not watch.dead(running(token, 2))
    clock.now = 120
    assert watch.dead(running(token, 2))


def test_an_attempt_that_nobody_signed_is_dead_after_the_grace() -> None:
    clock = Clock()
    watch = Watch(60, clock)
    assert not watch.dead(running(None))
    clock.now = 61
    assert watch.dead(running(None))


def test_after_an_outage_the_watch_begins_anew() -> None:
    clock = Clock()
    watch, other = Watch(60, clock), running(Process(1, "7", "0123abcd").token, 1)
    watch.dead(other)
    clock.now = 1000
    watch.forget()
    assert not watch.dead(other)


def test_several_heartbeats_may_be_missed() -> None:
    assert GRACE_SECONDS >= 4 * BEAT_SECONDS
