"""Class weights in the loss: by hand-worked numbers, off they change no bit, and a rare class is found more often."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from training import Shop, assert_same_training, weights

from smartcli.engine.terms.losses import task_loss
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.metrics import by_class
from smartcli.tasks import Task, TaskTable, parse_task
from smartcli.workflows.training.training_inputs import class_weights
from tests.saved_rows import save_rows

TOPIC = Task(name="topic", kind="classification", text=("m",), label="t", labels=("a", "b", "c"))


def test_the_weighted_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0.0, 1.0], dtype=torch.float64)
    # −log ¼ · 2 and −log ½ · ½, over two rows.
    expected = (2 * math.log(4) + 0.5 * math.log(2)) / 2
    found = task_loss("classification", logits, labels, weights=(2.0, 0.5))
    assert float(found) == pytest.approx(expected, abs=1e-12)
    one = task_loss("binary", torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]), weights=(1.0, 3.0))
    assert float(one) == pytest.approx(2 * math.log(2))


def test_parts_of_a_batch_add_up_and_weights_of_one_are_none() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 3, generator=generator), torch.tensor([0.0, 1, 2, 0, 0, 1])
    whole = task_loss("classification", logits, labels, weights=(1.0, 2.0, 4.0))
    parts = [task_loss("classification", logits[s], labels[s], 6, (1.0, 2.0, 4.0)) for s in (slice(2), slice(2, 6))]
    assert torch.allclose(sum(parts), whole)  # type: ignore[arg-type]
    assert torch.allclose(task_loss("classification", logits, labels, weights=(1.0,) * 3),
                          task_loss("classification", logits, labels))  # fmt: skip


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    labels = np.array([0.0] * 6 + [1.0] * 3)
    assert class_weights(TOPIC, "balanced", labels) == (0.5, 1.0, 1.0), "n / (C · n_c); a class without a row counts 1"
    assert class_weights(TOPIC, "table", labels) is None
    declared = parse_task({**TOPIC.to_json(), "class_weights": [1, 2, 3]}, "t")
    assert class_weights(declared, "table", labels) == (1.0, 2.0, 3.0)
    assert class_weights(declared, "off", labels) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("heavy", 'must be "balanced" or a number above 0 a label'),
        ([1, 2], "one number for each of the 3"),
        ([1, 2, 0], "a number above 0 a label"),
        ([1, 2, True], "a number above 0 a label"),
    ],
)
def test_wrong_weights_are_named(value: object, said: str) -> None:
    with pytest.raises(UserError, match="class_weights") as caught:
        parse_task({**TOPIC.to_json(), "class_weights": value}, "tasks.toml")
    assert said in str(caught.value)
    score = {"name": "s", "kind": "regression", "text": "a", "label": "b", "range": [0, 1], "class_weights": "balanced"}
    with pytest.raises(UserError, match="are for classes"):
        parse_task(score, "tasks.toml")


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


@pytest.mark.parametrize("more", [{"lambda": "1"}, {"surgery": "pcgrad"}, {"schedule": "sequential"}, {"fgm": "0.5"}])
def test_weights_work_with_every_method_and_resume_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", class_weights="balanced", **more)
    shop.stopped("cut", stop=3, class_weights="balanced", **more)
    shop.train("cut", resume="auto", class_weights="balanced", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_changes_no_bit(shop: Shop) -> None:
    shop.train("off", class_weights="off")
    shop.train("never")
    off, never = (weights(shop.open_checkpoint(name)) for name in ("off", "never"))
    assert all(torch.equal(off[name], tensor) for name, tensor in never.items())


RARE = TaskTable((Task(name="rare", kind="binary", text=("m",), label="r", labels=("no", "yes")),))


def planted(count: int, seed: int) -> list[tuple[str, tuple[str, ...], float]]:
    """Five rows of a hundred are "yes", told by words that others have too, but less often."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        yes = i % 20 == 0
        words = [("bad" if draw.random() < (0.6 if yes else 0.25) else "good") for _ in range(6)]
        rows.append((f"{seed}-{i}", (" ".join(["the", *words]),), float(yes)))
    return rows


def test_balanced_weights_lift_the_recall_of_a_rare_class_on_three_seeds(shop: Shop, home: Home) -> None:
    save_rows(home, "planted", RARE, {"rare": {"train": planted(400, 1), "dev": planted(200, 2)}})
    recalls: dict[str, list[float]] = {"off": [], "balanced": []}
    for how, found in recalls.items():
        for seed in ("0", "1", "2"):
            options = {"epochs": "3", "batch_size": "16", "lr": "3e-3", "seed": seed, "keep": "last"}
            shop.train(f"{how}-{seed}", data="planted", class_weights=how, **options)
            rows = shop.open_checkpoint(f"{how}-{seed}").predictions()["rare"]
            assert rows.labels is not None
            found.append(by_class(RARE.first, rows.labels, rows.predictions)[1].recall)
    means = {how: statistics.mean(found) for how, found in recalls.items()}
    spread = statistics.pstdev(recalls["balanced"])
    assert means["balanced"] - means["off"] > max(0.3, 2 * spread), recalls
