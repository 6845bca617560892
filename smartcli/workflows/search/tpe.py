"""The sampler: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded for each trial by itself.

One stream for all trials would begin anew with each worker: two that start together would draw the same values, and a
search that goes on would draw its first values again. So each trial has a stream of its own, from the seed and the
count of the trials begun before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from smartcli.workflows.search.slots import ROOT

STARTUP_TRIALS = 10
"""Trials that are drawn at random, before the estimator has something to go by."""


class SeededTPE(BaseSampler):
    """TPE over all options together; running trials count as bad ones, so that workers keep apart."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._of: tuple[int, TPESampler] | None = None

    def _sampler(self, study: Study, trial: FrozenTrial) -> TPESampler:
        if self._of is None or self._of[0] != trial.number:
            known = study.get_trials(deepcopy=False)
            place = sum(one.number < trial.number and ROOT not in one.user_attrs for one in known)
            stream = int(np.random.SeedSequence([self.seed, place]).generate_state(1)[0])
            self._of = (
                trial.number,
                TPESampler(n_startup_trials=STARTUP_TRIALS, seed=stream, multivariate=True, constant_liar=True),
            )
        return self._of[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler(study, trial).sample_independent(study, trial, param_name, param_distribution)
