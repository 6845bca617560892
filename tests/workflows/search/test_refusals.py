"""A refusal of training is of a trial's values, or of what this worker's trials share."""

from __future__ import annotations

from pathlib import Path

from smartcli.home import Home
from smartcli.workflows.search.refusals import Refusals
from smartcli.workflows.search.slots import MISTAKE, RELEASED, Attempt, Slot


def test_it_is_of_the_values_where_this_worker_got_another_trial_through() -> None:
    refusals, attempt = Refusals(Home(Path("here"))), Attempt(3, "running")
    refusals.look([Slot((Attempt(0, "complete"),)), Slot((attempt,))])
    assert not refusals.of_values(attempt, "too long"), "others may have what is missing here"
    refusals.got_through = True
    assert refusals.of_values(attempt, "too long")


def test_it_is_of_the_values_where_the_same_was_said_here_before_this_worker_began() -> None:
    here, again = Refusals(Home(Path("here"))), Attempt(5, "running", notes={"trial": 0})
    refused = Attempt(0, "fail", notes={RELEASED: True, MISTAKE: here.note("no such teacher")})
    here.look([Slot((refused, again))])
    assert here.of_values(again, "no such teacher")
    assert not here.of_values(again, "too long")
    elsewhere = Refusals(Home(Path("there")))
    elsewhere.look([Slot((refused, again))])
    assert not elsewhere.of_values(again, "no such teacher")


def test_what_another_worker_notes_while_this_one_runs_is_no_second_try() -> None:
    refusals, again = Refusals(Home(Path("here"))), Attempt(5, "running", notes={"trial": 0})
    refusals.look([])
    refused = Attempt(0, "fail", notes={RELEASED: True, MISTAKE: refusals.note("no such teacher")})
    refusals.look([Slot((refused, again))])
    assert not refusals.of_values(again, "no such teacher")
