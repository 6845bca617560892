"""Checkpoints that differ in nothing but the seed get a line with mean and standard deviation; others do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from smartcli.config import Settings, apply
from smartcli.home import Home
from tests.hand_made import make_checkpoint, make_data, predict

Smart = Callable[..., Result]


def seeded(seed: int, **options: Any) -> dict[str, Any]:
    return apply(Settings(), {"seed": seed, **options}, "test").to_json()


def below(smart: Smart, *names: str) -> list[str]:
    """Lines about seeds below the table."""
    shown = " ".join(smart("evaluate", *names).stdout.split())
    return ["mean ± sd" + part for part in shown.split("mean ± sd")[1:]]


def test_mean_and_sample_deviation_by_hand(home: Home, smart: Smart) -> None:
    data = make_data(home)
    # Six rows a task: none wrong scores 1, two wrong 2/3, four wrong 1/3.
    for seed, wrong in ((1, []), (2, [0, 1]), (3, [0, 1, 2, 3])):
        found = predict(data, wrong=wrong, tasks=["sst", "qqp"])
        make_checkpoint(home, f"s{seed}", data, found, settings=seeded(seed))
    (line,) = below(smart, "s1", "s2", "s3")
    # Mean 2/3, deviations 1/3, 0 and -1/3: sd = sqrt(2/9 / 2) = 1/3. STS is missing, and so is overall.
    assert line == "mean ± sd of s1, s2, s3 (seeds 1, 2, 3): sst .667 ± .333, qqp .667 ± .333"


def test_another_setting_or_the_same_seed_makes_no_group(home: Home, smart: Smart) -> None:
    data = make_data(home)
    for name, settings in {
        "a": seeded(1),
        "again": seeded(1),
        "dropout": seeded(2, dropout=0.3),
        "precision": seeded(3, precision="fp32"),
    }.items():
        make_checkpoint(home, name, data, predict(data), settings=settings)
    assert below(smart) == []
    make_checkpoint(home, "threads", data, predict(data), settings=seeded(4, threads=1))
    (line,) = below(smart)
    assert line.startswith("mean ± sd of a, threads (seeds 1, 4): sst 1.000 ± .000, ")


def test_many_seeds_are_counted_and_json_keeps_its_form(home: Home, smart: Smart) -> None:
    data = make_data(home)
    for seed in range(5):
        make_checkpoint(home, f"ckpt{seed + 1}", data, predict(data), settings=seeded(seed))
    (line,) = below(smart)
    assert line.startswith("mean ± sd of ckpt1 … ckpt5 (5 seeds): ")
    found = json.loads(smart("evaluate", "--json").stdout)
    assert list(found) == ["data", "split", "rows"]
    assert len(found["rows"]) == 5
