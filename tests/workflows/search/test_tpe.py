"""The sampler draws the same trials again, also in a search that goes on, and other ones for each worker."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from smartcli.workflows.search.slots import ROOT
from smartcli.workflows.search.tpe import STARTUP_TRIALS, SeededTPE

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
SPACE = {"x": FloatDistribution(-3, 3), "y": FloatDistribution(1e-5, 1, log=True), "z": CategoricalDistribution([0, 1])}


def score(params: dict[str, float]) -> float:
    return -((params["x"] - 1) ** 2) - (math.log10(params["y"]) + 2) ** 2 - params["z"]


def drawn(count: int, seed: int = 0, cut: tuple[int, ...] = ()) -> list[dict[str, float]]:
    """The values of `count` trials one after the other; before those in `cut` the sampler begins anew."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize", sampler=SeededTPE(seed))
    found = []
    for number in range(count):
        if number in cut:
            study = optuna.load_study(
                storage=storage, study_name=storage.get_all_studies()[0].study_name, sampler=SeededTPE(seed)
            )
        trial = study.ask(SPACE)
        found.append(trial.params)
        study.tell(trial, score(trial.params))
    return found


def test_the_same_seed_draws_the_same_trials_and_another_seed_others() -> None:
    first = drawn(14)
    assert drawn(14) == first
    assert drawn(14, cut=(3, 12)) == first, "a search that goes on draws what it would have drawn"
    assert drawn(3, seed=1) != first[:3]
    assert len({one["x"] for one in first}) == 14


def test_two_workers_that_ask_at_the_same_moment_draw_other_values() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=SeededTPE(0))
    other = optuna.load_study(storage=storage, study_name=storage.get_all_studies()[0].study_name, sampler=SeededTPE(0))
    assert study.ask(SPACE).params != other.ask(SPACE).params


def test_a_trial_that_is_begun_again_changes_nothing_of_what_is_drawn_after_it() -> None:
    study = optuna.create_study(sampler=SeededTPE(0))
    first = study.ask(SPACE)
    study.tell(first, state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial(first.params, user_attrs={ROOT: first.number})
    assert study.ask(SPACE).params == first.params
    assert study.ask(SPACE).params == drawn(2)[1]


@pytest.mark.parametrize("seed", range(2))
def test_after_the_random_trials_it_draws_better_ones(seed: int) -> None:
    found = [score(one) for one in drawn(30, seed)]
    assert sum(found[-10:]) / 10 > sum(found[:STARTUP_TRIALS]) / STARTUP_TRIALS + 1
