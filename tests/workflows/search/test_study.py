"""A study in a storage: what one worker writes the other reads, and of two that act at once one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from smartcli.errors import UserError
from smartcli.processes import this_process
from smartcli.workflows.search.bounds import Choice, Range
from smartcli.workflows.search.liveness import BEAT, WORKER
from smartcli.workflows.search.search_storage import Patience, read_place
from smartcli.workflows.search.slots import Slot
from smartcli.workflows.search.study import PRUNE_AFTER, Study

BOUNDS = {
    "lr": Range(1e-5, 1e-1, log=True),
    "epochs": Range(2, 6, step=2, whole=True),
    "pooling": Choice(("cls", "mean")),
}
Open = Callable[..., Study]


@pytest.fixture(params=["journal", pytest.param("database", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "s.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def worker(where: str) -> Open:
    """Opens the study as another worker does."""

    def begin(name: str = "try", about: dict[str, object] | None = None, prune: bool = True) -> Study:
        return Study(Patience(read_place(where), print), name, BOUNDS, about or {"bounds": 1}, 0, prune)

    return begin


def only(study: Study) -> Slot:
    (slot,) = study.slots()
    return slot


def test_what_one_worker_does_the_other_sees(worker: Open) -> None:
    one, other = worker(), worker()
    attempt = one.ask()
    assert set(attempt.params) == set(BOUNDS)
    assert attempt.params["epochs"] in (2, 4, 6)
    assert one.beat(attempt.number)
    assert one.report(attempt.number, 1, 0.4) is False
    seen = only(other).attempts[0]
    assert (seen.params, seen.state, dict(seen.reports)) == (attempt.params, "running", {1: 0.4})
    assert (seen.notes[WORKER], seen.notes[BEAT]) == (this_process().token, 1)
    assert one.complete(attempt.number, 0.5, {"checkpoint": "c"})
    result = only(other).result
    assert result is not None
    assert (result.value, result.notes["checkpoint"]) == (0.5, "c")


def test_of_two_that_bury_a_dead_workers_trial_one_does_and_its_values_go_on(worker: Open) -> None:
    one, other = worker(), worker()
    attempt = one.ask()
    dead = only(other).attempts[0]
    assert [other.bury(dead), one.bury(dead)] == [True, False]
    other.retry(only(other))
    again = one.ask()
    assert (again.root, again.number, again.params) == (0, 1, attempt.params)
    assert only(other).current is not None


def test_a_worker_whose_trial_was_taken_over_hears_it_and_its_result_does_not_count(worker: Open) -> None:
    one, other = worker(), worker()
    attempt = one.ask()
    assert other.bury(only(other).attempts[0])
    other.retry(only(other))
    again = other.ask()
    assert not one.beat(attempt.number)
    assert one.report(attempt.number, 1, 0.1) is False
    assert not one.complete(attempt.number, 0.9, {"checkpoint": "late"})
    assert other.complete(again.number, 0.5, {})
    result = only(one).result
    assert result is not None
    assert result.value == 0.5


def test_a_trial_that_was_given_back_waits_with_its_values(worker: Open) -> None:
    study = worker()
    attempt = study.ask()
    study.release(attempt.number)
    assert only(study).orphaned
    study.retry(only(study))
    assert study.ask().params == attempt.params


def test_below_the_median_of_the_same_epoch_a_trial_should_end_where_pruning_is_on(worker: Open) -> None:
    study, never = worker(), worker(prune=False)
    for number in range(PRUNE_AFTER):
        attempt = study.ask()
        assert study.report(attempt.number, 1, 0.1 * number) is False, "too few to have a median"
        study.complete(attempt.number, 0.1 * number, {})
    good, bad, kept = study.ask(), study.ask(), never.ask()
    assert study.report(good.number, 1, 0.21) is False
    assert study.report(bad.number, 1, 0.19) is True, "the median is .2"
    assert never.report(kept.number, 1, 0.0) is False
    study.prune(bad.number)
    result = study.slots()[bad.number].result
    assert result is not None
    assert (result.state, result.value) == ("pruned", 0.19)


def test_a_training_that_fails_ends_its_trial_and_one_that_is_killed_does_not(worker: Open) -> None:
    study = worker()
    study.fail(study.ask().number, "not finite")
    study.killed(study.ask().number, "killed by SIGKILL")
    failed, killed = study.slots()
    assert failed.failure == "not finite"
    assert killed.orphaned


def test_workers_that_search_something_else_are_refused(worker: Open) -> None:
    worker("try", {"bounds": 1, "encoder": "a"})
    with pytest.raises(UserError, match=r'the study "try" in .* searches something else: its encoder differ'):
        worker("try", {"bounds": 1, "encoder": "b"})
    worker("another", {"bounds": 1, "encoder": "b"})


def test_workers_that_begin_a_study_at_the_same_moment_agree(worker: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    worker().ask()
    looks = iter([None, {"bounds": 1}])
    monkeypatch.setattr(Study, "_about", lambda self: next(looks))
    assert len(worker().slots()) == 1, "the first look was before the other's first word"


def test_a_study_of_other_tools_is_refused(worker: Open, where: str) -> None:
    worker("mine")
    storage = read_place(where)
    from smartcli.workflows.search.search_storage import open_storage

    study = optuna.create_study(storage=open_storage(storage), study_name="theirs")
    study.ask()
    with pytest.raises(UserError, match="was not made by smart sweep"):
        worker("theirs")


def test_in_a_database_a_trial_is_taken_over_as_in_a_file(tmp_path: Path) -> None:
    place = read_place(f"sqlite:///{tmp_path}/s.db")
    one, other = (Study(Patience(place, print), "try", BOUNDS, {"bounds": 1}, 0, True) for _ in range(2))
    attempt = one.ask()
    assert other.bury(only(other).attempts[0])
    assert not one.beat(attempt.number)
    other.retry(only(other))
    again = other.ask()
    assert (again.root, again.params) == (0, attempt.params)
    assert not one.complete(attempt.number, 0.9, {})
    assert other.complete(again.number, 0.5, {"checkpoint": "c"})
    result = only(one).result
    assert result is not None
    assert (result.number, result.value, result.notes["checkpoint"]) == (1, 0.5, "c")
