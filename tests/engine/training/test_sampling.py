"""Balanced sampling: what a pass holds, counted; the same on every call; resumed bit for bit; and what it is for."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from training import Shop, assert_same_training

from smartcli.config import Settings
from smartcli.engine.training.batches import Split
from smartcli.engine.training.sampling import balanced_order, groups_of
from smartcli.engine.training.schedule import steps
from smartcli.home import Home
from smartcli.metrics import by_class
from smartcli.tasks import Task, TaskTable
from tests.saved_rows import save_rows

GROUPS = np.array([0] * 30 + [1] * 8 + [4] * 2)
RARE = Task(name="rare", kind="binary", text=("m",), label="r", labels=("no", "yes"))
NEAR = Task(name="near", kind="regression", text=("m",), label="r", range=(0.0, 1.0), metric="pearson")
SETS = Task(name="sets", kind="multilabel", text=("m",), label="a, b", label_columns=("a", "b"), labels=("a", "b"))


def test_a_pass_takes_each_group_equally_often_and_goes_round_its_rows() -> None:
    order = balanced_order(3, "t", "epoch1.0", GROUPS)
    assert len(order) == 40
    counts = Counter(GROUPS[order].tolist())
    assert sorted(counts.values()) == [13, 13, 14]
    rows = Counter(order.tolist())
    for group, members in ((1, range(30, 38)), (4, range(38, 40))):
        times = [rows[row] for row in members]
        assert max(times) - min(times) <= 1, f"each row of group {group} comes equally often"
    assert max(rows[row] for row in range(30)) == 1


def test_a_pass_is_a_function_of_seed_task_and_pass() -> None:
    again = [balanced_order(3, "t", "epoch1.0", GROUPS) for _ in range(2)]
    assert np.array_equal(*again)
    for other in ((4, "t", "epoch1.0"), (3, "u", "epoch1.0"), (3, "t", "epoch2.0")):
        assert not np.array_equal(again[0], balanced_order(*other, GROUPS))


def test_over_the_passes_every_row_of_a_frequent_group_comes() -> None:
    seen = {int(row) for number in range(12) for row in balanced_order(0, "t", f"pass{number}", GROUPS)}
    assert seen == set(range(40))


def test_steps_have_the_sizes_of_ever_and_other_tasks_their_own_rows() -> None:
    sizes, batch = {"rare": 40, "near": 10}, {"rare": 8, "near": 8}
    plain = list(steps(0, sizes, batch, ("rare", "near"), 2))
    drawn = list(steps(0, sizes, batch, ("rare", "near"), 2, {"rare": GROUPS}))
    assert [len(step.rows["rare"]) for step in drawn] == [len(step.rows["rare"]) for step in plain]
    assert all(np.array_equal(a.rows["near"], b.rows["near"]) for a, b in zip(plain, drawn, strict=True))
    assert [(s.number, s.epoch, s.ends_epoch) for s in plain] == [(s.number, s.epoch, s.ends_epoch) for s in drawn]


def test_groups_are_classes_and_rarest_labels_and_scores_have_none() -> None:
    tasks = TaskTable((RARE, NEAR, SETS))
    train = {
        "rare": Split((), np.array([0.0, 1.0, 0.0]), str),
        "near": Split((), np.array([0.1, 0.2, 0.3]), str),
        "sets": Split((), np.array([[1, 0], [1, 1], [0, 0]], np.int8), str),  # type: ignore[arg-type]
    }
    found = groups_of(Settings(sampling="balanced"), tasks, train, tasks.names)
    assert {name: own.tolist() for name, own in found.items()} == {"rare": [0, 1, 0], "sets": [0, 1, 2]}
    assert groups_of(Settings(), tasks, train, tasks.names) == {}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


@pytest.mark.parametrize("more", [{"schedule": "simultaneous"}, {"schedule": "sequential", "epochs": "3"}])
def test_a_stopped_training_goes_on_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", sampling="balanced", **more)
    shop.stopped("cut", stop=4, sampling="balanced", **more)
    shop.train("cut", resume="auto", sampling="balanced", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def planted(count: int, seed: int) -> list[tuple[str, tuple[str, ...], float]]:
    """Five rows of a hundred are "yes", told by words that others have too, but less often."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        yes = i % 20 == 0
        words = [("bad" if draw.random() < (0.6 if yes else 0.25) else "good") for _ in range(6)]
        rows.append((f"{seed}-{i}", (" ".join(["the", *words]),), float(yes)))
    return rows


def test_it_lifts_the_recall_of_a_rare_class_on_three_seeds(shop: Shop, home: Home) -> None:
    save_rows(home, "planted", TaskTable((RARE,)), {"rare": {"train": planted(400, 1), "dev": planted(200, 2)}})
    recalls: dict[str, list[float]] = {"once": [], "balanced": []}
    for how, found in recalls.items():
        for seed in ("0", "1", "2"):
            options = {"epochs": "3", "batch_size": "16", "lr": "3e-3", "seed": seed, "keep": "last"}
            shop.train(f"{how}-{seed}", data="planted", sampling=how, **options)
            rows = shop.open_checkpoint(f"{how}-{seed}").predictions()["rare"]
            assert rows.labels is not None
            found.append(by_class(RARE, rows.labels, rows.predictions)[1].recall)
    means = {how: statistics.mean(found) for how, found in recalls.items()}
    assert means["balanced"] - means["once"] > max(0.3, 2 * statistics.pstdev(recalls["balanced"])), recalls
