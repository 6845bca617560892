"""The mt-dnn variant: its objective, normalisation and outer loss by hand, and the step it skips."""

from __future__ import annotations

import math

import pytest
import torch
from small_model import NAMES, phase_state, settings, small_step, watch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from smartcli.engine.terms import mtdnn
from smartcli.engine.terms.losses import symmetric_kl
from smartcli.engine.terms.mtdnn import find_perturbation, inner_divergence, normalise, outer_divergence

DOUBLE = torch.float64


def test_the_inner_objective_by_hand() -> None:
    # p = (3/4, 1/4) against y = (1/2, 1/2): r is near log(p / (1 − p)), so 2 Σ p (r_p − r_y) is near log 3.
    p, y = torch.tensor([[math.log(3.0), 0.0]], dtype=DOUBLE), torch.zeros(1, 2, dtype=DOUBLE)

    def r(x: float) -> float:
        return -math.log(1 / (x + 1e-6) - 1 + 1e-6)

    expected = 2 * (0.75 * (r(0.75) - r(0.5)) + 0.25 * (r(0.25) - r(0.5)))
    assert inner_divergence("classification", p, y).item() == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(math.log(3.0), abs=1e-4)
    assert inner_divergence("binary", torch.tensor([-math.log(3.0)], dtype=DOUBLE), y[:, 0]).item() == pytest.approx(
        expected, abs=1e-12
    )
    three = inner_divergence("classification", p.expand(3, 2), y.expand(3, 2))
    assert three.item() == pytest.approx(3 * expected, abs=1e-12)


def test_the_inner_gradient_holds_r_constant() -> None:
    z = torch.tensor([[0.4, -0.3, 0.1]], dtype=DOUBLE, requires_grad=True)
    y = torch.tensor([[0.0, 0.2, -0.5]], dtype=DOUBLE)
    (found,) = torch.autograd.grad(inner_divergence("classification", z, y), z)
    p, q = torch.softmax(z.detach(), -1), torch.softmax(y, -1)
    weight = 2 * (-(1 / (p + 1e-6) - 1 + 1e-6).log() + (1 / (q + 1e-6) - 1 + 1e-6).log())
    assert_close(found, p * (weight - (p * weight).sum()))


def test_regression_takes_the_summed_squared_error() -> None:
    a, b = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0])
    assert inner_divergence("regression", a, b).item() == 10.0
    assert outer_divergence("regression", a, b).tolist() == [1.0, 9.0]


@pytest.mark.parametrize("kind", ["classification", "binary"])
def test_the_outer_loss_has_the_value_of_both_kls_and_half_the_gradient_each(kind: str) -> None:
    shape = (4, 3) if kind == "classification" else (4,)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(shape, dtype=DOUBLE, generator=generator, requires_grad=True)
    b = torch.randn(shape, dtype=DOUBLE, generator=generator, requires_grad=True)
    cost = outer_divergence(kind, a, b)  # type: ignore[arg-type]
    rows_a, rows_b = mtdnn.two_logits("binary", a), mtdnn.two_logits("binary", b)
    assert_close(cost, symmetric_kl(rows_a, rows_b))
    found = torch.autograd.grad(cost.sum(), (a, b))
    forth = F.kl_div(F.log_softmax(rows_a, -1), F.softmax(rows_b, -1).detach(), reduction="sum")
    back = F.kl_div(F.log_softmax(rows_b, -1), F.softmax(rows_a, -1).detach(), reduction="sum")
    assert_close(found, torch.autograd.grad(forth + back, (a, b)))


def test_noise_is_divided_by_each_tokens_norm() -> None:
    noise = torch.tensor([[3.0, -4.0], [0.0, 0.0], [1e-3, 0.0]], dtype=DOUBLE)
    by_max = torch.tensor([[3 / 4.000001, -4 / 4.000001], [0, 0], [1e-3 / 1.001e-3, 0]], dtype=DOUBLE)
    assert_close(normalise(noise, None, 0, "inf"), by_max)
    assert_close(normalise(noise, None, 0, "2")[0], noise[0] / 5.000001)
    whole = normalise(noise, torch.tensor([0, 0, 0]), 1, "2")
    assert_close(whole, noise / (noise.norm() + 1e-6))


def test_one_step_by_hand_with_the_raw_gradient() -> None:
    start = torch.tensor([[1e-5, -2e-5], [0.0, 1e-5]], dtype=DOUBLE)
    slope = torch.tensor([[0.02, 0.0], [0.0, -0.5]], dtype=DOUBLE)
    found, holds = find_perturbation(lambda d: (d * slope).sum(), start, step_size=1e-3, norm="inf", steps=1)
    expected = torch.tensor([[3e-5, -2e-5], [0.0, -4.9e-4]], dtype=DOUBLE)
    assert bool(holds)
    assert_close(found, expected / torch.tensor([[3e-5 + 1e-6], [4.9e-4 + 1e-6]], dtype=DOUBLE))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_gives_no_perturbation(value: float) -> None:
    def cost(delta: Tensor) -> Tensor:
        return (delta[0] * value).sum() + delta[1:].sum()

    start = torch.full((3, 2), 1e-5)
    found, holds = find_perturbation(cost, start, step_size=1e-3, norm="inf", steps=2)
    assert not bool(holds)
    assert torch.equal(found, torch.zeros(3, 2))


def test_the_perturbation_has_size_one_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(smart_variant="mtdnn", lam=1.0, epsilon=1e-5)
    deltas = watch(monkeypatch, mtdnn, "find_perturbation")
    outcome = phase_state(chosen).updater.run(small_step(chosen), probe=True)
    largest = deltas[0][0].abs().amax(dim=1)
    assert bool((largest > 0.5).all())
    assert bool((largest < 1.0).all())
    assert all(outcome.found["r_s"].values[task] > 10 * 1e-5 for task in NAMES)
    assert not outcome.skipped


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_step_whose_ascent_is_not_finite_goes_without_the_penalty(surgery: str) -> None:
    # Noise of 1e38 overflows in the first LayerNorm, so the ascent's gradient is NaN.
    chosen = settings(smart_variant="mtdnn", lam=1.0, sigma=1e38, surgery=surgery)
    plain = settings(lam=0.0, surgery=surgery)
    with_penalty, without = phase_state(chosen, torch.float32), phase_state(plain, torch.float32)
    outcome = with_penalty.updater.run(small_step(chosen, torch.float32), probe=True)
    without.updater.run(small_step(plain, torch.float32), probe=False)
    assert outcome.skipped
    assert outcome.bad is None
    assert outcome.found["r_s"].values == {}
    for (name, a), (_, b) in zip(with_penalty.named, without.named, strict=True):
        assert torch.equal(a, b), name
