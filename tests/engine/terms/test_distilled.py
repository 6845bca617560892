"""The loss against a teacher by hand-worked numbers, its gradient, and rows without a label."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_model import (
    CPU,
    NAMES,
    TASKS,
    _template,
    objective_of,
    settings,
    small_batch,
    small_model,
    small_splits,
    words_of,
)

from smartcli.engine.model.fixed_shape import read
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.terms.distilled import Distilled, tempered
from smartcli.engine.training.batches import Batcher, Split
from smartcli.engine.training.row_sets import joined
from smartcli.engine.training.schedule import Step

TWO = Distilled(2.0, 0.5)
SHARES = torch.tensor([[0.64, 0.36]], dtype=torch.float64)
"""At T = 2 their roots .8 and .6, normed: 4/7 and 3/7."""
KL = 4 / 7 * math.log(8 / 7) + 3 / 7 * math.log(6 / 7)
"""Of these from one half each."""


def test_two_classes_at_temperature_2() -> None:
    torch.testing.assert_close(tempered(SHARES, 2.0), torch.tensor([[4 / 7, 3 / 7]], dtype=torch.float64))
    logits = torch.zeros(1, 2, dtype=torch.float64)
    assert TWO.loss("classification", logits, SHARES).item() == pytest.approx(4 * KL, abs=1e-15)


def test_one_logit_is_two_classes() -> None:
    assert TWO.loss("binary", torch.zeros(1, dtype=torch.float64), SHARES).item() == pytest.approx(4 * KL, abs=1e-15)
    z = torch.tensor([1.3, -0.4, 3.0], dtype=torch.float64)
    shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    both = TWO.loss("binary", torch.stack([torch.zeros_like(z), z], dim=1), shares)
    torch.testing.assert_close(TWO.loss("binary", z, shares), both)


def test_several_labels_are_summed_each_as_two_classes() -> None:
    teacher = torch.tensor([[0.36, 0.64]], dtype=torch.float64)
    logits = torch.zeros(1, 2, dtype=torch.float64)
    assert TWO.loss("multilabel", logits, teacher).item() == pytest.approx(2 * 4 * KL, abs=1e-15)


def test_scores_have_their_squared_difference_whatever_the_temperature() -> None:
    found = TWO.loss("regression", torch.tensor([1.0, 4.0]), torch.tensor([[3.0], [3.5]]))
    assert found.tolist() == [4.0, 0.25]


def test_a_tempered_distribution_is_the_softmax_of_the_divided_logits() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tempered(F.softmax(logits, dim=1), 3.0), F.softmax(logits / 3.0, dim=1))


def test_a_low_temperature_leaves_the_likeliest_class_and_a_high_one_all_alike() -> None:
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    cold, hot = tempered(shares, 0.05), tempered(shares, 1000.0)
    torch.testing.assert_close(cold, torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(hot, torch.full((2, 3), 1 / 3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("heat", [0.5, 1.0, 4.0])
def test_it_is_torchs_kl_and_0_where_both_agree(heat: float) -> None:
    draw = torch.Generator().manual_seed(1)
    logits, other = (torch.randn(6, 3, dtype=torch.float64, generator=draw) for _ in range(2))
    how, shares = Distilled(heat, 0.0), F.softmax(other, dim=1)
    expected = F.kl_div(
        F.log_softmax(logits / heat, 1), F.log_softmax(other / heat, 1), reduction="none", log_target=True
    )
    torch.testing.assert_close(how.loss("classification", logits, shares), heat**2 * expected.sum(dim=1))
    assert how.loss("classification", other, shares).abs().max() < 1e-14


def test_the_gradient_is_t_times_the_difference_of_the_probabilities() -> None:
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=draw, requires_grad=True)
    shares = F.softmax(torch.randn(4, 3, dtype=torch.float64, generator=draw), dim=1)
    TWO.loss("classification", logits, shares).sum().backward()
    torch.testing.assert_close(logits.grad, 2 * (F.softmax(logits.detach() / 2, dim=1) - tempered(shares, 2.0)))
    for kind, inputs in (("multilabel", logits), ("binary", logits[:, 0])):
        free = inputs.detach().requires_grad_(True)
        teacher = shares if kind == "multilabel" else shares[:, :2]
        assert torch.autograd.gradcheck(lambda z, k=kind, t=teacher: TWO.loss(k, z, t), (free,))  # type: ignore[misc]


def test_certain_teachers_and_rows_of_padding_stay_finite() -> None:
    for kind, logits, teacher in (
        ("classification", torch.tensor([[50.0, -50.0]] * 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])),
        ("binary", torch.tensor([90.0, 90.0]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])),
        ("multilabel", torch.tensor([[90.0, -90.0]] * 2), torch.tensor([[0.0, 1.0], [0.0, 0.0]])),
    ):
        logits.requires_grad_(True)
        found = TWO.loss(kind, logits, teacher)  # type: ignore[arg-type]
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


def test_without_a_teacher_there_is_none_and_its_defaults_are_said() -> None:
    assert Distilled.of(settings()) is None
    assert Distilled.of(settings(teacher="five")) == Distilled(2.0, 0.5)
    assert Distilled.of(settings(teacher="five", temperature=4.0, label_share=0.0)) == Distilled(4.0, 0.0)


def taught(batch: TrainingBatch, seed: int = 0, unknown: tuple[int, ...] = ()) -> TrainingBatch:
    """The batch with a teacher's word beside its labels; those of the rows `unknown` are NaN."""
    draw = np.random.default_rng(seed)
    labels = {}
    for task in TASKS:
        own = batch.labels[task.name][:, None].clone()
        own[list(unknown)] = math.nan
        n = len(own)
        shares = draw.dirichlet(np.ones(task.classes), n) if task.classes else draw.uniform(0, 5, (n, 1))
        labels[task.name] = torch.cat([own, torch.from_numpy(shares).to(own.dtype)], dim=1)
    return replace(batch, labels=labels)


def total(batch: TrainingBatch, **options: object) -> float:
    chosen = settings(dropout=0.0, attention_dropout=0.0, lam=0.0, **options)
    model = small_model(chosen)
    objective = objective_of(model, chosen)
    return float(objective.loss(batch, words_of(model, batch), Streams(0, "all")).total.detach())


def test_label_share_1_is_the_task_loss_and_0_does_not_see_the_labels() -> None:
    plain = small_batch(settings(lam=0.0))
    batch = taught(plain)
    assert total(batch, teacher="t", label_share=1.0) == pytest.approx(total(plain), abs=1e-12)
    other = replace(plain, labels={name: 1.0 - labels.clamp(max=1) for name, labels in plain.labels.items()})
    assert total(taught(other), teacher="t", label_share=0.0) == total(batch, teacher="t", label_share=0.0)
    halves = (total(batch, teacher="t", label_share=share) for share in (0.0, 1.0))
    assert total(batch, teacher="t", label_share=0.25) == pytest.approx(
        sum(w * x for w, x in zip((0.75, 0.25), halves, strict=True))
    )


def test_a_row_without_a_label_has_the_teachers_part_in_full() -> None:
    plain = small_batch(settings(lam=0.0))
    batch = taught(plain, unknown=(1, 3))
    found = total(batch, teacher="t", label_share=0.25, temperature=3.0)
    chosen = settings(dropout=0.0, attention_dropout=0.0, lam=0.0)
    model = small_model(chosen)
    logits = model(model.encoder.look_up(plain.batch), plain.batch)
    how, expected = Distilled(3.0, 0.25), 0.0
    for task in TASKS:
        labels, z = plain.labels[task.name], logits[task.name].detach()
        soft = how.loss(task.kind, z, batch.labels[task.name][:, 1:])
        hard = {
            "classification": lambda: F.cross_entropy(z, labels.long(), reduction="none"),  # noqa: B023
            "binary": lambda: F.binary_cross_entropy_with_logits(z, labels, reduction="none"),  # noqa: B023
            "regression": lambda: (z - labels) ** 2,  # noqa: B023
        }[task.kind]()
        rows = [soft[i] if i in (1, 3) else 0.25 * hard[i] + 0.75 * soft[i] for i in range(4)]
        expected += task.weight * float(sum(rows)) / 4
    assert found == pytest.approx(expected, abs=1e-12)


def taught_splits() -> dict[str, Split]:
    draw = np.random.default_rng(3)
    out = {}
    for task in TASKS:
        split = small_splits()[task.name]
        whole = joined(split, replace(small_splits(1)[task.name], labels=None))
        shares = (
            draw.dirichlet(np.ones(task.classes), len(whole)) if task.classes else draw.uniform(0, 5, (len(whole), 1))
        )
        out[task.name] = replace(whole, teacher=shares)
    return out


def test_a_split_joined_to_another_keeps_its_rows_and_the_new_ones_have_no_label() -> None:
    first, second = small_splits()["same"], small_splits(1)["same"]
    whole = joined(first, replace(second, labels=None))
    assert (len(whole), whole.unlabelled) == (48, 24)
    for row in (0, 23):
        for side in range(2):
            np.testing.assert_array_equal(whole.sides[side][row], first.sides[side][row])
            np.testing.assert_array_equal(whole.sides[side][24 + row], second.sides[side][row])
    assert whole.labels is not None
    assert np.isnan(whole.labels[24:]).all()
    np.testing.assert_array_equal(whole.labels[:24], first.labels)


def test_a_batch_of_fixed_shape_holds_the_same_targets() -> None:
    chosen, splits = settings(teacher="t", lam=0.0), taught_splits()
    step = Step(1, 1, {name: np.array([0, 30, 5], np.int64) for name in NAMES}, False)
    plain = Batcher(splits, _template("bert"), chosen, 64, CPU)(step)
    fixed = Batcher(splits, _template("bert"), chosen, 64, CPU, vocabulary=300)(step)
    ((shape, flat),) = fixed.passes
    _, labels, _ = read(flat, shape)
    for name in NAMES:
        torch.testing.assert_close(labels[name][:3], plain.batches[0].labels[name], equal_nan=True)
        assert torch.isnan(labels[name][1, 0])
