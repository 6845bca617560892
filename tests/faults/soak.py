"""Finetune, evaluate, combine and remove in a loop in one process, and watch memory and open files.

Run: python -m tests.faults.soak [MINUTES]. Prints a line every half minute; exits 1 where either grows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from smartcli.data.store import open_data
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.scoring.ensembling import ensemble
from smartcli.workflows.scoring.evaluation import evaluate
from smartcli.workflows.scoring.model_outputs import run_model
from tests.training import Shop

OPTIONS = {"lambda": "1", "mu": "1", "save_every": "2"}
WARM_UP = 0.25
"""Share of the time in which caches may still fill."""
GROWTH = 1.05


def resident() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def one_round(shop: Shop, number: int) -> None:
    """Two trainings, one of them stopped and resumed, scored, combined, run on a split, and removed."""
    registry = Registry(shop.home)
    shop.train("one", seed=str(number), **OPTIONS)
    shop.stopped("two", stop=3, seed=str(number + 1), surgery="pcgrad", **OPTIONS)
    shop.train("two", resume="auto", seed=str(number + 1), surgery="pcgrad", **OPTIONS)
    ensemble(shop.home, ["one", "two"], name="both")
    evaluate(shop.home, ["one", "two", "both"])
    run_model(shop.home, registry.open("one"), open_data(shop.home, "small"), "dev")
    assert registry.verify() == []
    for name in ("both", "one", "two"):
        registry.remove(name)
    assert Runs(shop.home).names() == []


def soak(minutes: float) -> bool:
    """Run for `minutes`; return whether memory and open files stayed where they were after the warm-up."""
    with tempfile.TemporaryDirectory(prefix="smartcli-soak-") as folder:
        shop = Shop.open(Home(Path(folder) / "home"), Path(folder))
        started = said = time.monotonic()
        points: list[tuple[float, float, int]] = []
        number = 0
        while (passed := time.monotonic() - started) < 60 * minutes:
            one_round(shop, number)
            number += 1
            points.append((passed / 60, resident(), open_files()))
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(
                    f"{passed / 60:5.1f} min, round {number}, {points[-1][1]:.0f} MB, {points[-1][2]} files", flush=True
                )
        files_left = sum(1 for path in Path(folder).rglob("*") if path.is_file())
    settled = points[int(WARM_UP * len(points)) :]
    half = len(settled) // 2
    first, last = (np.median([p[1] for p in part]) for part in (settled[:half], settled[half:]))
    most_files = {p[2] for p in settled}
    print(f"{number} rounds ({2 * number} trainings) in {minutes:g} min; {files_left} files in the home at the end")
    print(f"memory: median {first:.1f} MB, then {last:.1f} MB; peak {max(p[1] for p in points):.1f} MB")
    print(f"open files: {min(most_files)} to {max(most_files)}")
    return bool(last <= GROWTH * first and settled[-1][2] <= settled[0][2])


if __name__ == "__main__":
    sys.exit(not soak(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0))
