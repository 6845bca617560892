"""What each method adds to a plain step: all of them on the same rows, one step of each in turn, in one process."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import torch

from benchmarks.runner import CPU, WARM, make_runner
from smartcli.config import PerTask, Settings
from smartcli.data.store import DataSet
from smartcli.home import Home

ON, OFF = PerTask(1.0), PerTask(0.0)
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": OFF},
    "SMART, K = 1": {"lam": ON},
    "SMART, K = 2": {"lam": ON, "ascent_steps": 2},
    "SMART, K = 3": {"lam": ON, "ascent_steps": 3},
    "Bregman's teacher": {"lam": OFF, "mu": ON},
    "surgery": {"lam": OFF, "surgery": "pcgrad"},
}


def measure(
    home: Home, data_set: DataSet, base: Settings, *, bf16: bool, count: int, device: torch.device = CPU
) -> list[dict[str, Any]]:
    """Return for each method the median seconds of a step, and the median ratio to the plain step on the same rows."""
    runners = {
        name: make_runner(home, data_set, replace(base, **changes), bf16=bf16, device=device, say=lambda _: None)
        for name, changes in METHODS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in METHODS}
    for step in runners["plain"].steps(count):
        for name, runner in runners.items():
            prepared = runner.batcher(step)
            runner.warm(prepared)
            times[name].append(runner.seconds(prepared))
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
