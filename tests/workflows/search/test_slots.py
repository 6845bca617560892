"""The trials of a study, from its attempts: each counts once, whoever ended it and however often it was begun."""

from __future__ import annotations

import pytest

from smartcli.workflows.search.slots import (
    FAILURE,
    KILLED,
    MOST_ATTEMPTS,
    RELEASED,
    ROOT,
    Attempt,
    State,
    best,
    holds,
    ranked,
    slots_of,
)

LR = {"lr": 0.1}


def attempt(number: int, state: State, root: int | None = None, value: float | None = None, **notes: object) -> Attempt:
    return Attempt(number, state, LR, notes if root is None else {ROOT: root, **notes}, value)


def test_an_attempt_again_is_no_further_trial() -> None:
    found = slots_of([attempt(0, "fail"), attempt(1, "complete", value=0.5), attempt(2, "running", root=0)])
    assert [slot.root for slot in found] == [0, 1]
    assert (found[0].current.number, found[0].ended, found[1].ended) == (2, False, True)  # type: ignore[union-attr]


def test_a_trial_that_two_workers_ended_has_the_result_of_the_first() -> None:
    (slot,) = slots_of(
        [
            attempt(0, "fail"),
            attempt(1, "complete", root=0, value=0.5),
            attempt(2, "complete", root=0, value=0.6),
        ]
    )
    assert slot.result is not None
    assert (slot.result.number, slot.result.value) == (1, 0.5)
    assert best([slot]) is slot


def test_killed_before_anything_was_drawn_it_is_no_trial_but_running_it_is_one() -> None:
    assert slots_of([Attempt(0, "fail")]) == []
    assert len(slots_of([Attempt(0, "running")])) == 1
    (slot,) = slots_of([attempt(0, "fail"), Attempt(1, "fail", {}, {ROOT: 0})])
    assert slot.params == LR, "an attempt again that was killed at once has its values from before"
    assert slot.orphaned


def test_a_dead_workers_trial_is_orphaned_until_it_is_queued_again() -> None:
    (slot,) = slots_of([attempt(0, "fail")])
    assert slot.orphaned
    (slot,) = slots_of([attempt(0, "fail"), attempt(1, "waiting", root=0)])
    assert not slot.orphaned
    assert slot.current is not None


def test_a_trial_fails_for_good_by_its_own_error_or_when_it_was_killed_too_often() -> None:
    (slot,) = slots_of([attempt(0, "fail", **{FAILURE: "not finite"})])
    assert (slot.failure, slot.ended, slot.orphaned) == ("not finite", True, False)
    killed = [attempt(0, "fail"), *(attempt(i, "fail", root=0) for i in range(1, MOST_ATTEMPTS - 1))]
    (slot,) = slots_of(killed)
    assert slot.orphaned
    (slot,) = slots_of([*killed, attempt(9, "fail", root=0, **{KILLED: "killed by SIGKILL"})])
    assert (slot.failure, slot.ended) == (f"killed by SIGKILL, {MOST_ATTEMPTS} times", True)


def test_a_trial_that_was_given_back_does_not_count_as_killed() -> None:
    (slot,) = slots_of([attempt(0, "fail", **{RELEASED: True}), *(attempt(i, "fail", root=0) for i in (1, 2))])
    assert slot.orphaned


def test_only_the_first_n_trials_and_the_lowest_attempt_of_each_go_on() -> None:
    found = slots_of([attempt(0, "fail"), attempt(1, "running"), attempt(2, "waiting", root=0), attempt(3, "running")])
    assert [holds(found, number, 2) for number in (0, 1, 2, 3)] == [False, True, True, False]
    twice = slots_of([attempt(0, "fail"), attempt(1, "running", root=0), attempt(2, "running", root=0)])
    assert [holds(twice, number, 1) for number in (1, 2)] == [True, False]
    done = slots_of([attempt(0, "complete", value=0.1), attempt(1, "running", root=0)])
    assert not holds(done, 1, 1)


def test_a_trial_too_many_takes_the_place_of_one_that_was_never_drawn() -> None:
    found = slots_of([attempt(0, "complete", value=0.1), Attempt(1, "running"), attempt(2, "fail")])
    assert len(found[:2]) == 2
    assert not found[1].ended
    found = slots_of([attempt(0, "complete", value=0.1), Attempt(1, "fail"), attempt(2, "fail")])
    assert [slot.root for slot in found[:2]] == [0, 2]
    assert found[1].orphaned


def test_the_best_of_equals_is_the_first_and_pruned_ones_have_no_rank() -> None:
    found = slots_of(
        [
            attempt(0, "pruned", value=0.9),
            attempt(1, "complete", value=0.5),
            attempt(2, "complete", value=0.7),
            attempt(3, "complete", value=0.7),
        ]
    )
    assert [slot.root for slot in ranked(found)] == [2, 3, 1]
    assert best(found[:1]) is None


@pytest.mark.parametrize("state", ["complete", "pruned"])
def test_what_ended_has_no_failure(state: State) -> None:
    (slot,) = slots_of([attempt(0, "fail", **{FAILURE: "x"}), attempt(1, state, root=0, value=0.5)])
    assert (slot.failure, slot.ended) == (None, True)
