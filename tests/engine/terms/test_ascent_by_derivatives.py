"""The ascent by derivatives: the same direction as the exact one, and only where that is so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_model import (
    MODES,
    NAMES,
    objective_of,
    phase_state,
    settings,
    small_batch,
    small_model,
    small_step,
    watch,
    words_of,
)
from torch import Tensor
from torch.testing import assert_close

from smartcli.config import PerTask, Settings
from smartcli.engine.model.dropout import FreshDropout, ReplayDropout
from smartcli.engine.model.layer import Layer
from smartcli.engine.streams import Streams, stream
from smartcli.engine.terms import ascent, ascent_by_derivatives
from smartcli.engine.terms.ascent_by_derivatives import (
    Gradient,
    direction_cosine,
    is_small,
    output_change,
    outputs_and_change,
    slope,
)
from smartcli.engine.terms.losses import divergence
from smartcli.families.family_table import FAMILIES

DOUBLE = torch.float64


def linear_gradient(chosen: Settings, model_type: str = "bert") -> Gradient:
    """The gradient's function after a clean pass in float64, with that pass's masks."""
    model, example = small_model(chosen, model_type=model_type), small_batch(chosen, model_type=model_type)
    words = words_of(model, example)
    clean = FreshDropout(Streams(0, "p")["dropout"], record=True)
    logits = model(words, example.batch, clean)
    assert clean.masks is not None
    return Gradient(model, example.batch, words, logits, ReplayDropout(clean.masks))


def noise(like: Tensor, size: float) -> Tensor:
    return torch.randn(like.shape, dtype=like.dtype, generator=stream(0, "test")) * size


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("model_type", ["bert", "mpnet", "deberta-v2", "deberta-v2, convolution"])
def test_output_changes_are_central_differences_with_the_same_masks(pair_mode: str, model_type: str) -> None:
    work = linear_gradient(settings(pair_mode=pair_mode, dropout=0.5), model_type)
    delta, h = noise(work.words, 1.0), 1e-6
    with torch.no_grad():
        up, down = (work.model(work.words + s * h * delta, work.batch, work.dropout) for s in (1, -1))
    found = output_change(work.model, work.words, delta, work.batch, work.dropout)
    for task in NAMES:
        assert_close(found[task], (up[task] - down[task]) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_for_a_small_delta_the_gradient_is_the_exact_one(pair_mode: str, pooling: str) -> None:
    work = linear_gradient(settings(pair_mode=pair_mode, pooling=pooling, dropout=0.5))
    delta = noise(work.words, 1e-6)

    def exact(at: Tensor) -> Tensor:
        moved = work.model(work.words.detach() + at, work.batch, work.dropout)
        costs = [divergence(work.model.tasks.get(t).kind, moved[t], work.logits[t].detach()).sum() for t in NAMES]
        return torch.stack(costs).sum()

    found, expected = work(delta), ascent.gradient_of(exact, delta)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert direction_cosine(found, expected, work.batch.sentence, work.batch.sentences).min() > 1 - 1e-8


def test_the_slope_by_hand() -> None:
    change = torch.tensor([1e-6, -2e-6, 0.0])
    assert_close(slope("regression", torch.tensor([3.0, 1.0, 2.0]), change), 2 * change)
    # (σ(a) − σ(b))(a − b) has slope 2·σ'(b)·(a − b) near b; σ'(0) = 1/4.
    assert_close(slope("binary", torch.zeros(3), change), change / 2, rtol=1e-4, atol=0.0)
    # Σ (p − q)(log p − log q) has slope 2·(diag q − q qᵀ)·(a − b); for two equal classes that is ±(d₁ − d₂)/2.
    rows = torch.tensor([[2e-6, -1e-6]])
    assert_close(slope("classification", torch.zeros(1, 2), rows), torch.tensor([[1.5e-6, -1.5e-6]]), rtol=1e-4, atol=0)


def test_the_cosine_is_taken_by_sentence() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 0.0], [100.0, 0.0]])
    b = torch.tensor([[1.0, 1.0], [0.0, 0.0], [50.0, 0.0]])
    found = direction_cosine(a, b, torch.tensor([0, 0, 1]), 2)
    assert found.tolist() == pytest.approx([2**-0.5, 1.0])


@pytest.mark.parametrize(
    ("changes", "small"),
    [
        ({}, True),
        ({"epsilon": 0.1}, True),
        ({"epsilon": 0.1, "ascent_steps": 2}, False),
        ({"epsilon": 1e-4, "ascent_steps": 5}, True),
        ({"sigma": 0.01}, False),
        ({"smart_variant": "mtdnn"}, False),
    ],
)
def test_it_is_used_only_where_the_outputs_are_linear(changes: dict[str, Any], small: bool) -> None:
    assert is_small(settings(**changes)) is small


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_in_bf16_its_direction_is_the_exact_ones_and_the_log_says_so(norm: str) -> None:
    chosen = settings(norm=norm)
    updater = phase_state(chosen, torch.float32, bf16=True).updater
    outcome = updater.run(small_step(chosen, torch.float32), probe=True, check=True)
    assert outcome.found["r_s"].scalars["ascent_cosine"] is not None
    assert 0.97 < outcome.found["r_s"].scalars["ascent_cosine"] <= 1.0
    assert updater.run(small_step(chosen, torch.float32, number=2), probe=True).found["r_s"].scalars == {}
    exact = phase_state(chosen, torch.float32).updater
    assert exact.run(small_step(chosen, torch.float32), probe=True, check=True).found["r_s"].scalars == {}


@pytest.mark.parametrize("model_type", list(FAMILIES))
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_in_bf16_every_encoder_type_trains_and_climbs_the_exact_way(model_type: str, pooling: str) -> None:
    chosen = settings(pooling=pooling)
    model = small_model(chosen, torch.float32, model_type=model_type)
    updater = phase_state(chosen, torch.float32, bf16=True, model=model).updater
    outcome = updater.run(small_step(chosen, torch.float32, model_type=model_type), probe=True, check=True)
    assert outcome.bad is None
    assert outcome.found["r_s"].scalars["ascent_cosine"] is not None
    assert outcome.found["r_s"].scalars["ascent_cosine"] > 0.95


def test_comparing_it_changes_nothing_of_the_training() -> None:
    chosen = settings()
    found = []
    for check in (False, True):
        state = phase_state(chosen, torch.float32, bf16=True)
        for number in (1, 2):
            state.updater.run(small_step(chosen, torch.float32, number=number), probe=False, check=check)
        found.append([p.clone() for _, p in state.named])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_no_parameter_gets_a_gradient_and_training_goes_on_through_the_same_graph() -> None:
    chosen = settings()
    model, example = small_model(chosen, torch.float32), small_batch(chosen, torch.float32)
    words = words_of(model, example)
    losses = objective_of(model, chosen, bf16=True).loss(example, words, Streams(0, "p"))
    assert all(p.grad is None for p in model.parameters())
    assert words.grad is None
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert words.grad is not None
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.encoder.layers.parameters())


@pytest.mark.parametrize("why", ["some tasks", "frozen encoder", "fp32"])
def test_elsewhere_the_ascent_is_exact(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    chosen = settings(lam=PerTask(0.0, (("near", 1.0),))) if why == "some tasks" else settings()
    model, example = small_model(chosen, torch.float32), small_batch(chosen, torch.float32)
    words = words_of(model, example)
    if why == "frozen encoder":
        model.encoder.requires_grad_(False)
        words = words.detach()
    used = watch(monkeypatch, ascent_by_derivatives, "output_change")
    exact = watch(monkeypatch, ascent, "gradient_of")
    objective_of(model, chosen, bf16=why != "fp32").loss(example, words, Streams(0, "p"))
    assert (len(used), len(exact)) == (0, 1)


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("model_type", ["bert", "mpnet", "deberta-v2, convolution"])
@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_the_change_found_within_the_clean_pass_is_that_of_a_pass_of_its_own(
    pair_mode: str, model_type: str, act: str
) -> None:
    work = linear_gradient(settings(pair_mode=pair_mode, dropout=0.5, attention_dropout=0.2), model_type)
    for layer in work.model.encoder.layers:
        assert isinstance(layer, Layer)
        layer.act = act
    delta = noise(work.words, 1.0)
    plain = work.model(work.words, work.batch, work.dropout)
    outputs, changes = outputs_and_change(work.model, work.words, delta, work.batch, work.dropout)
    apart = output_change(work.model, work.words, delta, work.batch, work.dropout)
    for task in NAMES:
        assert torch.equal(outputs[task], plain[task])
        assert not changes[task].requires_grad
        assert_close(changes[task], apart[task], rtol=1e-12, atol=1e-12)
    total, expected = (sum(out.square().sum() for out in found.values()) for found in (outputs, plain))
    wanted = [work.words, *(p for p in work.model.parameters() if p.requires_grad)]
    for mine, theirs in zip(
        torch.autograd.grad(total, wanted, allow_unused=True),  # type: ignore[arg-type]
        torch.autograd.grad(expected, wanted, allow_unused=True),  # type: ignore[arg-type]
        strict=True,
    ):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert torch.equal(mine, theirs)
