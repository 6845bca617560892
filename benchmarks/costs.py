"""What each method adds to a plain step: all of them on the same rows, one step of each in turn, in one process."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from smartcli.config import PerTask, Settings
from smartcli.data.store import DataSet
from smartcli.engine.batches import Batcher
from smartcli.engine.phase import PhaseState
from smartcli.engine.phases import Phase
from smartcli.engine.schedule import steps
from smartcli.home import Home
from smartcli.workflows.inputs import read_inputs

WARM = 3
ON, OFF = PerTask(1.0), PerTask(0.0)
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": OFF},
    "SMART, K = 1": {"lam": ON},
    "SMART, K = 2": {"lam": ON, "ascent_steps": 2},
    "SMART, K = 3": {"lam": ON, "ascent_steps": 3},
    "Bregman's teacher": {"lam": OFF, "mu": ON},
    "surgery": {"lam": OFF, "surgery": "pcgrad"},
}


@dataclass(frozen=True)
class Runner:
    """One method's model, optimizer and batches."""

    state: PhaseState
    batcher: Batcher


def measure(home: Home, data_set: DataSet, base: Settings, *, bf16: bool, count: int) -> list[dict[str, Any]]:
    """Return for each method the median seconds of a step, and the median ratio to the plain step on the same rows."""
    device = torch.device("cpu")
    runners: dict[str, Runner] = {}
    for name, changes in METHODS.items():
        settings = replace(base, **changes)
        inputs = read_inputs(home, data_set, settings, lambda _: None)
        tasks = inputs.trained.names
        state = PhaseState(inputs.model, Phase(tasks, 1, 10_000, 10_000), settings, device, bf16)
        batcher = Batcher(inputs.train, inputs.reader.template, settings, settings.max_length, device)
        runners[name] = Runner(state, batcher)
    sizes = {task: len(inputs.train[task]) for task in tasks}
    times: dict[str, list[float]] = {name: [] for name in METHODS}
    for step in islice(steps(0, sizes, dict.fromkeys(sizes, 8), tasks, 1), count + WARM):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner.state.updater.run(runner.batcher(step), probe=False)
            times[name].append(time.perf_counter() - start)
    plain = times["plain"][WARM:]
    return [
        {
            "method": name,
            "precision": "bf16" if bf16 else "fp32",
            "steps": count,
            "seconds": round(statistics.median(found[WARM:]), 4),
            "times_plain": round(statistics.median(t / p for t, p in zip(found[WARM:], plain, strict=True)), 2),
        }
        for name, found in times.items()
    ]
