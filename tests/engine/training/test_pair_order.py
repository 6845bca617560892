"""Pairs whose sentences change places: draws, rows by hand, batches, chunks, resume, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import CPU, _template, settings, small_splits
from training import Shop, assert_same_training, log_of

from smartcli.config import PerTask
from smartcli.data.ragged import Ragged
from smartcli.engine.training.batches import Batcher, Split
from smartcli.engine.training.pair_order import drawn_swaps, exchanged
from smartcli.engine.training.schedule import Step
from smartcli.errors import UserError
from smartcli.home import Home


def ragged(*rows: list[int]) -> Ragged:
    return Ragged.of([np.array(row, np.int32) for row in rows])


def test_rows_exchanged_by_hand() -> None:
    sides = [ragged([1], [2, 3], [], [4, 5, 6]), ragged([10, 11], [12], [13], [14])]
    first, second = exchanged(sides, np.array([3, 0, 2]), np.array([True, False, True]))
    assert [row.tolist() for row in first] == [[14], [1], [13]]
    assert [row.tolist() for row in second] == [[4, 5, 6], [10, 11], []]


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_draws_follow_the_chance_and_are_those_of_seed_task_and_step(chance: float) -> None:
    drawn = drawn_swaps(3, "qqp", 7, 10_000, chance)
    # Four standard deviations of a binomial share; none and all are exact.
    assert drawn.mean() == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 10_000) ** 0.5)
    assert np.array_equal(drawn, drawn_swaps(3, "qqp", 7, 10_000, chance))
    if 0 < chance < 1:
        others = [drawn_swaps(4, "qqp", 7, 10_000, chance), drawn_swaps(3, "sts", 7, 10_000, chance)]
        others.append(drawn_swaps(3, "qqp", 8, 10_000, chance))
        assert not any(np.array_equal(drawn, other) for other in others)


def turned(splits: dict[str, Split]) -> dict[str, Split]:
    """The same rows with their sentences the other way round."""
    return {task: replace(split, sides=tuple(reversed(split.sides))) for task, split in splits.items()}


def batcher(splits: dict[str, Split], chance: PerTask[float], pair_mode: str = "concat") -> Batcher:
    chosen = settings(lam=0, swap_pairs=chance, pair_mode=pair_mode)
    return Batcher(splits, _template("bert"), chosen, 64, CPU)


STEPS = [
    Step(number, 1, {task: np.arange(4) + number for task in ("mood", "same", "near")}, False) for number in (1, 2)
]


@pytest.mark.parametrize("pair_mode", ["concat", "cosine"])
def test_with_chance_1_a_batch_is_that_of_rows_turned_round_and_labels_stay(pair_mode: str) -> None:
    ours = batcher(small_splits(), PerTask(1.0), pair_mode)(STEPS[0])
    theirs = batcher(turned(small_splits()), PerTask(0.0), pair_mode)(STEPS[0])
    straight = batcher(small_splits(), PerTask(0.0), pair_mode)(STEPS[0])
    assert torch.equal(ours.batches[0].batch.ids, theirs.batches[0].batch.ids)
    assert not torch.equal(ours.batches[0].batch.ids, straight.batches[0].batch.ids)
    for task, labels in ours.batches[0].labels.items():
        assert torch.equal(labels, straight.batches[0].labels[task])


def test_a_task_that_is_not_named_keeps_its_order() -> None:
    ours = batcher(small_splits(), PerTask(0.0, (("same", 1.0),)))(STEPS[0])
    splits = small_splits()
    theirs = batcher({**splits, "same": turned(splits)["same"]}, PerTask(0.0))(STEPS[0])
    assert torch.equal(ours.batches[0].batch.ids, theirs.batches[0].batch.ids)


def test_steps_are_the_same_packed_together_or_apart() -> None:
    make = batcher(small_splits(), PerTask(0.5))
    steps = [Step(number, 1, STEPS[0].rows, False) for number in range(1, 40)]
    for step, prepared in zip(steps, make.over(steps), strict=True):
        assert torch.equal(prepared.batches[0].batch.ids, make(step).batches[0].batch.ids)


def test_a_training_that_is_stopped_and_resumed_has_the_same_bits(home: Home, tmp_path: Path) -> None:
    shop = Shop.open(home, tmp_path)
    options = {"lambda": "1", "swap_pairs": "qqp=0.5,sts=0.5"}
    shop.train("whole", **options)
    shop.stopped("parts", stop=3, resume="auto", **options)
    shop.train("parts", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))
    shop.train("straight", **{"lambda": "1"})
    ours, theirs = (
        [e["loss"] for e in log_of(shop.open_checkpoint(n)) if e["event"] == "step"] for n in ("whole", "straight")
    )
    assert ours != theirs


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "sst=0.5",
            r'--swap-pairs: the rows of "sst" have one text; expected a task of sentence pairs \(qqp, sts\)',
        ),
        ("1.5", "--swap-pairs must be a number at least 0 and at most 1"),
        ("0.5", "--swap-pairs: no task that is trained has pairs"),
        ("nli=0.5", '--swap-pairs: there is no task "nli"'),
    ],
)
def test_what_is_refused(home: Home, tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Shop.open(home, tmp_path).resolve(swap_pairs=value, **({"tasks": "sst"} if value == "0.5" else {}))
