"""The losses of a step: which passes run, which streams they draw from, and what each setting leaves out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_model import (
    MODES,
    NAMES,
    TASKS,
    objective_of,
    phase_state,
    settings,
    small_batch,
    small_model,
    small_step,
    watch,
    words_of,
)
from torch.testing import assert_close

from smartcli.config import PerTask, Settings
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import Streams
from smartcli.engine.terms import ascent
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.terms.losses import divergence, task_loss
from smartcli.engine.training.objective import StepLoss
from smartcli.engine.training.optimizer import make_optimizer
from smartcli.families.family_table import FAMILIES

KEY = "+".join(NAMES)
QUIET = {"dropout": 0.0, "attention_dropout": 0.0}


def losses_of(
    chosen: Settings, *, dtype: torch.dtype = torch.float64, probe: bool = False, bf16: bool = False, **where: Any
) -> tuple[StepLoss, Streams, MultiTaskModel, TrainingBatch]:
    model, example = small_model(chosen, dtype), small_batch(chosen, dtype, **where)
    streams = Streams(0, "p")
    losses = objective_of(model, chosen, bf16=bf16).loss(example, words_of(model, example), streams, probe=probe)
    return losses, streams, model, example


@pytest.mark.parametrize("model_type", list(FAMILIES))
@pytest.mark.parametrize("pair_mode", MODES)
def test_at_delta_zero_every_types_outputs_are_bit_for_bit_the_clean_passs(pair_mode: str, model_type: str) -> None:
    chosen = settings(pair_mode=pair_mode, epsilon=0.0, **QUIET)
    model = small_model(chosen, torch.float32, model_type=model_type)
    example = small_batch(chosen, torch.float32, model_type=model_type)
    losses = objective_of(model, chosen).loss(example, words_of(model, example), Streams(0, "p"))
    assert [losses.found["r_s"].values[task].item() for task in NAMES] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("tasks", [NAMES, ("same",)])
def test_at_delta_zero_the_outputs_are_bit_for_bit_the_clean_passs(pair_mode: str, tasks: tuple[str, ...]) -> None:
    lam = PerTask(0.0, tuple((task, 1.0) for task in tasks))
    chosen = settings(pair_mode=pair_mode, lam=lam, epsilon=0.0, **QUIET)
    model, example = small_model(chosen, torch.float32), small_batch(chosen, torch.float32)
    words = model.encoder.look_up(example.batch)
    with torch.no_grad():
        clean, again = model(words, example.batch), model(words + torch.zeros_like(words), example.batch)
        assert all(torch.equal(clean[task], again[task]) for task in NAMES)
    if tasks == NAMES:
        losses = losses_of(chosen, dtype=torch.float32)[0]
        assert all(value.item() == 0.0 for value in losses.found["r_s"].values.values())


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_with_the_same_masks_delta_zero_costs_exactly_nothing(pair_mode: str, rate: float) -> None:
    chosen = settings(pair_mode=pair_mode, smart_dropout="same", epsilon=0.0, dropout=rate, attention_dropout=rate)
    losses = losses_of(chosen, dtype=torch.float32)[0]
    assert [losses.found["r_s"].values[task].item() for task in NAMES] == [0.0, 0.0, 0.0]


def test_dropout_in_the_penaltys_pass_is_fresh_the_same_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas = watch(monkeypatch, ascent, "find_perturbation")
    found = {}
    for mode in ("on", "off", "same"):
        chosen = settings(smart_dropout=mode, dropout=0.3)
        losses, _, model, example = losses_of(chosen)
        found[mode] = losses.found["r_s"].values
        words, batch = model.encoder.look_up(example.batch).detach(), example.batch
        clean_masks = FreshDropout(Streams(0, "p")["dropout"], record=True)
        clean = model(words, batch, clean_masks)
        again = {
            "on": FreshDropout(Streams(0, "p")["smart dropout"]),
            "same": FreshDropout(Streams(0, "p")["dropout"]),
        }.get(mode)
        arguments = (words + deltas[-1], batch) if again is None else (words + deltas[-1], batch, again)
        moved = model(*arguments)
        for task in NAMES:
            expected = divergence(TASKS.get(task).kind, moved[task], clean[task]).mean()
            assert_close(losses.found["r_s"].values[task], expected, rtol=1e-9, atol=1e-15)
    assert torch.equal(deltas[0], deltas[1])
    assert torch.equal(deltas[0], deltas[2])
    assert all(found["on"][task] > 1e3 * found["same"][task] for task in NAMES)


def test_a_task_with_lambda_zero_is_left_out_of_both_adversarial_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = MultiTaskModel.forward

    def watched(self: MultiTaskModel, words: Any, batch: Any, *rest: Any, **named: Any) -> Any:
        seen.append(batch.tokens)
        return real(self, words, batch, *rest, **named)

    monkeypatch.setattr(MultiTaskModel, "forward", watched)
    losses, _, _, example = losses_of(settings(lam=PerTask(0.0, (("near", 1.0),))))
    assert "r_s" in example.of_term
    assert seen == [example.batch.tokens, example.of_term["r_s"].batch.tokens, example.of_term["r_s"].batch.tokens]
    assert seen[1] < seen[0]
    assert set(losses.found["r_s"].values) == {"near"}


@pytest.mark.parametrize(
    ("changes", "probe", "bf16", "passes"),
    [
        ({"lam": 0.0}, False, False, 1),
        ({"lam": 0.0}, True, False, 1),
        ({}, False, False, 3),
        ({"ascent_steps": 3}, False, False, 5),
        ({}, True, False, 4),
        ({}, False, True, 2),
        ({"compile": True}, False, True, 3),
        ({"smart_variant": "mtdnn"}, False, True, 4),
        ({"ascent_steps": 2}, False, True, 3),
        ({"ascent_steps": 2, "epsilon": 0.01}, False, True, 5),
        ({"mu": 1.0}, False, False, 4),
        ({"lam": 0.0, "mu": 1.0}, False, False, 2),
        ({"smart_variant": "mtdnn"}, False, False, 3),
    ],
)
def test_the_number_of_encoder_passes(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], probe: bool, bf16: bool, passes: int
) -> None:
    chosen = settings(**changes)
    objective = phase_state(chosen, torch.float32, bf16=bf16).updater.objective
    outputs = watch(monkeypatch, MultiTaskModel, "forward")
    example = small_batch(chosen, torch.float32)
    objective.loss(example, words_of(objective.model, example), Streams(0, "p"), probe=probe)
    assert len(outputs) == passes


@pytest.mark.parametrize(
    ("model_type", "dtype"), [("bert", torch.float64), *((model_type, torch.float32) for model_type in FAMILIES)]
)
def test_without_lambda_and_mu_training_is_bit_for_bit_a_plain_loop(model_type: str, dtype: torch.dtype) -> None:
    chosen = settings(lam=0.0, mu=0.0, lr=1e-3, weight_decay=0.01)
    state = phase_state(chosen, dtype, model=small_model(chosen, dtype, model_type=model_type))
    model = small_model(chosen, dtype, model_type=model_type)
    encoder = [(f"encoder.{n}", p) for n, p in model.encoder.named_parameters() if not n.startswith("pooler.")]
    heads = [(f"heads.{t}.{n}", p) for t in NAMES for n, p in model.head(t).named_parameters()]
    optimizer = make_optimizer([*encoder, *heads], chosen)
    generator = Streams(0, KEY)["dropout"]
    for number in (1, 2, 3):
        step = small_step(chosen, dtype, number=number, seed=number, model_type=model_type)
        state.updater.run(step, probe=True)
        (example,) = step.batches
        logits = model(model.encoder.words(example.batch.ids), example.batch, FreshDropout(generator))
        costs = [TASKS.get(t).weight * task_loss(TASKS.get(t).kind, logits[t], example.labels[t]) for t in NAMES]
        optimizer.zero_grad()
        (costs[0] + costs[1] + costs[2]).backward()
        optimizer.step()
    theirs = dict([*encoder, *heads])
    for name, p in state.named:
        assert torch.equal(p, theirs[name]), name
    assert set(state.streams.state()) == {"dropout"}


def test_penalties_draw_nothing_from_the_streams_of_plain_training() -> None:
    plain = losses_of(settings(lam=0.0))[1].state()
    full = losses_of(settings(), probe=True)[1].state()
    assert set(full) == {"dropout", "noise", "smart dropout", "probe"}
    assert torch.equal(plain["dropout"], full["dropout"])
    some = losses_of(settings(lam=PerTask(0.0, (("near", 1.0),))))
    assert torch.equal(plain["dropout"], some[1].state()["dropout"])
    for task in NAMES:
        assert torch.equal(
            some[0].found["loss"].values[task], losses_of(settings(lam=0.0))[0].found["loss"].values[task]
        )


def test_measuring_r_at_delta_zero_changes_no_weight() -> None:
    chosen = settings(lr=1e-3)
    quiet, probed = phase_state(chosen), phase_state(chosen)
    for number in (1, 2):
        step = small_step(chosen, number=number)
        assert quiet.updater.run(step, probe=False).found["r_s"].logged == {}
        outcome = probed.updater.run(step, probe=True)
        # At ε = 1e-5 with fresh masks R is dropout's alone.
        for task in NAMES:
            assert outcome.found["r_s"].logged["r_s_zero"][task] > 1e-3
    for (name, a), (_, b) in zip(quiet.named, probed.named, strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("variant", ["paper", "mtdnn"])
def test_r_is_a_mean_over_examples_and_no_sum(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same noise for equal sentences makes four equal examples, in R and in the ascent.
    monkeypatch.setattr(ascent, "start_noise", lambda like, sigma, generator: sigma * torch.sin(1000 * like))
    chosen = settings(smart_variant=variant, sigma=1e-3, step_size=0.05, epsilon=0.05, **QUIET)
    once = losses_of(chosen, rows={task: [0] for task in NAMES})[0]
    four = losses_of(chosen, rows={task: [0, 0, 0, 0] for task in NAMES})[0]
    for task in NAMES:
        assert once.found["r_s"].values[task].item() > 1e-6
        assert_close(four.found["r_s"].values[task], once.found["r_s"].values[task], rtol=1e-8, atol=1e-12)
