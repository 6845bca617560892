"""Several labels a row: loss and divergences by hand and as so many binary tasks, and every method on a training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import CPU, _template, settings
from training import Shop, assert_same_training

from smartcli.config import PerTask
from smartcli.data.ragged import Ragged
from smartcli.engine.model.fixed_shape import read
from smartcli.engine.terms import mtdnn
from smartcli.engine.terms.losses import divergence, task_loss
from smartcli.engine.training.batches import Batcher, Split
from smartcli.engine.training.schedule import Step
from smartcli.home import Home
from smartcli.metrics import by_class
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.training.training_inputs import class_weights
from tests.saved_rows import save_rows

TOPICS = Task(
    name="topics",
    kind="multilabel",
    text=("m",),
    label="t",
    labels=("bad", "good", "slow"),
    labels_separator="|",
    metric="micro_f1",
)
MOOD = Task(name="mood", kind="binary", text=("m",), label="l", labels=("0", "1"))
NEAR = Task(
    name="near",
    kind="multilabel",
    text=("a", "b"),
    label="x, y",
    label_columns=("x", "y"),
    labels=("x", "y"),
    metric="macro_f1",
)


def logits(rows: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_by_hand() -> None:
    z = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    # Row one: −log ½ − log ¼; row two: −2 log ½; their mean.
    assert float(task_loss("multilabel", z, y)) == pytest.approx((math.log(2) + math.log(4) + 2 * math.log(2)) / 2)
    # A weight of 3 for the first label counts where the row has it.
    weighted = task_loss("multilabel", z, y, weights=(3.0, 1.0))
    assert float(weighted) == pytest.approx((3 * math.log(2) + math.log(4) + 2 * math.log(2)) / 2)


def test_loss_and_divergences_are_the_sums_of_the_binary_ones() -> None:
    a, b = logits(seed=1), logits(seed=2)
    y = (logits(seed=3) > 0).double()
    columns = range(3)
    whole = task_loss("multilabel", a, y)
    assert torch.allclose(whole, sum(task_loss("binary", a[:, c], y[:, c]) for c in columns))  # type: ignore[arg-type]
    for one in (divergence, mtdnn.outer_divergence):
        found = one("multilabel", a, b)
        assert found.shape == (5,)
        assert torch.allclose(found, sum(one("binary", a[:, c], b[:, c]) for c in columns))  # type: ignore[arg-type]
    inner = mtdnn.inner_divergence("multilabel", a, b)
    assert torch.allclose(inner, sum(mtdnn.inner_divergence("binary", a[:, c], b[:, c]) for c in columns))  # type: ignore[arg-type]


def test_parts_of_a_batch_add_up() -> None:
    z, y = logits(6), (logits(6, seed=4) > 0).double()
    parts = [task_loss("multilabel", z[s], y[s], 6, (1.0, 2.0, 4.0)) for s in (slice(2), slice(2, 6))]
    assert torch.allclose(sum(parts), task_loss("multilabel", z, y, weights=(1.0, 2.0, 4.0)))  # type: ignore[arg-type]


def test_a_padded_batch_of_fixed_shape_has_the_same_labels_and_loss() -> None:
    chosen = settings(batch_size=PerTask(6))
    y = (logits(9, seed=5) > 0).numpy().astype(np.int8)
    sides = [Ragged.of([np.arange(70, 75 + i, dtype=np.int32) for i in range(9)])]
    train = {"topics": Split(sides, y, str)}  # type: ignore[arg-type]
    step = Step(1, 1, {"topics": np.array([7, 2, 4], np.int64)}, False)
    (plain,) = Batcher(train, _template("bert"), chosen, 64, CPU)(step).batches
    ((shape, flat),) = Batcher(train, _template("bert"), chosen, 64, CPU, vocabulary=400)(step).passes
    batch, labels, _ = read(flat, shape)
    assert labels["topics"].tolist() == [*plain.labels["topics"].tolist(), *[[0.0] * 3] * 3]
    assert batch.padding is not None
    z = logits(6).float()
    padded = task_loss(
        "multilabel",
        z,
        labels["topics"],
        batch.padding.counts["topics"],
        (1.0, 2.0, 3.0),
        batch.padding.present["topics"],
    )
    assert torch.allclose(padded, task_loss("multilabel", z[:3], plain.labels["topics"], weights=(1.0, 2.0, 3.0)))


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        task_loss("multilabel", logits(), torch.zeros(5, dtype=torch.float64))


def test_balanced_weights_are_negatives_by_positives() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.int8)
    assert class_weights(TOPICS, "balanced", labels) == (1 / 3, 3.0, 1.0)  # type: ignore[arg-type]


def rows_of(count: int, seed: int) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """Rows whose words say their labels; "slow" is rare, and its word stands in other rows too."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        has = [number for number, share in enumerate((0.5, 0.4, 0.06)) if draw.random() < share]
        words = [("bad", "good")[number] for number in has if number < 2] + ["film", "the"]
        words += ["slow" if draw.random() < (0.6 if 2 in has else 0.2) else "story" for _ in range(4)]
        rows.append((f"{seed}-{i}", (" ".join(draw.permutation(words)),), tuple(has)))
    return rows


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    shop = Shop.open(home, tmp_path)
    draw = np.random.default_rng(5)
    near = [(f"n{i}", ("a film", "the story"), tuple(np.flatnonzero(draw.random(2) < 0.5).tolist())) for i in range(10)]
    mood = [(f"m{i}", ("a good film" if i % 2 else "a bad film",), float(i % 2)) for i in range(10)]
    tasks = {"topics": rows_of(14, 3), "mood": mood, "near": near}
    save_rows(home, "several", TaskTable((TOPICS, MOOD, NEAR)),
              {task: {"train": rows, "dev": rows[:6]} for task, rows in tasks.items()})  # fmt: skip
    return shop


@pytest.mark.parametrize(
    "more",
    [
        {"lambda": "1"},
        {"lambda": "1", "smart_variant": "mtdnn", "pair_mode": "separate"},
        {"lambda": "1", "precision": "bf16", "pair_mode": "cosine"},
        {"mu": "1", "surgery": "pcgrad"},
        {"fgm": "0.5", "schedule": "sequential", "class_weights": "balanced"},
    ],
)
def test_every_method_trains_it_and_resumes_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", data="several", **more)
    shop.stopped("cut", stop=3, data="several", **more)
    shop.train("cut", resume="auto", data="several", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    found = shop.open_checkpoint("whole").predictions()
    assert found["topics"].predictions.shape == (6, 3)
    assert found["near"].predictions.shape == (6, 2)
    assert found["mood"].predictions.shape == (6,)


def test_balanced_weights_lift_the_recall_of_a_rare_label_on_three_seeds(shop: Shop, home: Home) -> None:
    save_rows(home, "rare", TaskTable((TOPICS,)), {"topics": {"train": rows_of(400, 1), "dev": rows_of(200, 2)}})
    recalls: dict[str, list[float]] = {"off": [], "balanced": []}
    for how, recall in recalls.items():
        for seed in ("0", "1", "2"):
            options = {"epochs": "8", "batch_size": "16", "lr": "3e-3", "seed": seed, "keep": "last"}
            shop.train(f"{how}-{seed}", data="rare", class_weights=how, **options)
            rows = shop.open_checkpoint(f"{how}-{seed}").predictions()["topics"]
            assert rows.labels is not None
            scores = by_class(TOPICS, rows.labels, rows.predictions)
            assert scores[0].f1 > 0.9, "a frequent label is learnt all the same"
            recall.append(scores[2].recall)
    assert min(recalls["balanced"]) - max(recalls["off"]) > 0.2, recalls
