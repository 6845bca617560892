"""The ascent on a real encoder: inside its radius, with the clean pass's masks, and uphill on every task."""

from __future__ import annotations

import pytest
import torch
from small_model import (
    MODES,
    NAMES,
    moved_teacher,
    objective_of,
    phase_state,
    settings,
    small_batch,
    small_model,
    small_step,
    teacher_of,
    watch,
    words_of,
)
from torch import Tensor
from torch.testing import assert_close

from smartcli.config import PerTask, Settings
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import Streams
from smartcli.engine.terms import ascent, mtdnn
from smartcli.engine.terms.ascent import Ball, sentence_norm
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.terms.losses import divergence
from smartcli.engine.training.objective import Objective
from smartcli.families.family_table import FAMILIES

DOUBLE = torch.float64
OTHERS = [model_type for model_type in FAMILIES if model_type != "bert"]
"""Types that have each claim's plainest case; all cases are tried with the first type."""


def run(chosen: Settings, example: TrainingBatch, model: MultiTaskModel | None = None) -> Objective:
    """One step's losses, for the watched ascent inside."""
    objective = objective_of(model or small_model(chosen), chosen)
    objective.loss(example, words_of(objective.model, example), Streams(0, "p"))
    return objective


RADII = [(1e-5, 1e-3, 1), (1e-5, 1e-3, 3), (0.05, 0.03, 4), (0.0, 1, 1)]


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize(
    ("model_type", "epsilon", "step", "steps"),
    [*(("bert", *radius) for radius in RADII), *((other, 0.05, 0.03, 2) for other in OTHERS)],
)
def test_every_sentence_ends_inside_the_radius(
    monkeypatch: pytest.MonkeyPatch, norm: str, model_type: str, epsilon: float, step: float, steps: int
) -> None:
    chosen = settings(epsilon=epsilon, step_size=step, ascent_steps=steps, norm=norm)
    example = small_batch(chosen, model_type=model_type)
    deltas = watch(monkeypatch, ascent, "find_perturbation")
    run(chosen, example, small_model(chosen, model_type=model_type))
    size = sentence_norm(deltas[0], example.batch.sentence, example.batch.sentences, norm)
    assert bool((size <= epsilon * (1 + 1e-12)).all())
    assert bool((size > 0.5 * epsilon).all()) or epsilon == 0.0


@pytest.mark.parametrize(
    ("model_type", "pair_mode", "norm"),
    [*(("bert", mode, norm) for mode in MODES for norm in ("inf", "2")), *((other, "concat", "2") for other in OTHERS)],
)
def test_a_sentence_has_the_same_perturbation_alone_and_packed(
    monkeypatch: pytest.MonkeyPatch, model_type: str, pair_mode: str, norm: str
) -> None:
    chosen = settings(pair_mode=pair_mode, norm=norm, dropout=0.0, attention_dropout=0.0, epsilon=1e-3, ascent_steps=2)
    # Noise as a function of the word vector is the same for a sentence wherever it stands.
    monkeypatch.setattr(ascent, "start_noise", lambda like, sigma, generator: sigma * torch.sin(1000 * like))
    deltas = watch(monkeypatch, ascent, "find_perturbation")
    model = small_model(chosen, model_type=model_type)
    together = small_batch(chosen, model_type=model_type)
    run(chosen, together, model)
    packed = deltas.pop()
    assert len(together.batch.groups) > 1 or together.batch.lengths.unique().numel() > 1
    for task in NAMES:
        for row in range(2):
            alone = small_batch(chosen, rows={task: [row]}, model_type=model_type)
            run(chosen, alone, model)
            delta = deltas.pop()
            sides = zip(together.batch.outputs[task], alone.batch.outputs[task], strict=True)
            for here, there in ((a[row], b[0]) for a, b in sides):
                mine = packed[together.batch.sentence == here]
                assert_close(mine, delta[alone.batch.sentence == there], rtol=1e-8, atol=1e-14)


def by_hand(
    model: MultiTaskModel, example: TrainingBatch, chosen: Settings, start: Tensor, tasks: tuple[str, ...]
) -> Tensor:
    """δ from whole-batch passes that draw the clean pass's masks afresh from the same seed."""
    words = model.encoder.look_up(example.batch).detach()

    def forward(x: Tensor) -> dict[str, Tensor]:
        return model(x, example.batch, FreshDropout(Streams(0, "p")["dropout"]))

    with torch.no_grad():
        clean = forward(words)
    delta = start.clone().requires_grad_(True)
    moved = forward(words + delta)
    cost = sum(divergence(model.tasks.get(t).kind, moved[t], clean[t]).sum() for t in tasks)
    (gradient,) = torch.autograd.grad(torch.as_tensor(cost), delta)
    out = torch.zeros_like(start)
    for sentence in range(example.batch.sentences):
        at = example.batch.sentence == sentence
        if gradient[at].abs().max() > 0:
            unit = gradient[at] / gradient[at].abs().max()
            out[at] = (start[at] + chosen.step_size * unit).clamp(-chosen.epsilon, chosen.epsilon)
    return out


MASKED = [
    ("bert", mode, tasks, use)
    for mode in ("concat", "cosine")
    for tasks in (NAMES, ("mood",), ("same", "near"), ("near",))
    for use in ("on", "off", "same")
]


@pytest.mark.parametrize(
    ("model_type", "pair_mode", "tasks", "smart_dropout"),
    [*MASKED, *((other, "concat", ("same", "near"), "on") for other in OTHERS)],
)
def test_the_ascent_uses_the_clean_passs_masks(
    monkeypatch: pytest.MonkeyPatch, model_type: str, pair_mode: str, tasks: tuple[str, ...], smart_dropout: str
) -> None:
    chosen = settings(
        dropout=0.5,
        attention_dropout=0.5,
        smart_dropout=smart_dropout,
        pair_mode=pair_mode,
        lam=PerTask(0.0, tuple((task, 2.0) for task in tasks)),
        epsilon=1.0,
        sigma=1e-2,
        step_size=0.1,
    )
    model, example = small_model(chosen, model_type=model_type), small_batch(chosen, model_type=model_type)
    assert "r_s" in example.of_term
    starts, deltas = watch(monkeypatch, ascent, "start_noise"), watch(monkeypatch, ascent, "find_perturbation")
    run(chosen, example, model)
    whole = torch.zeros(example.batch.tokens, starts[0].shape[1], dtype=DOUBLE)
    whole[example.of_term["r_s"].tokens] = starts[0]
    expected = by_hand(model, example, chosen, whole, tasks)[example.of_term["r_s"].tokens]
    assert_close(deltas[0], expected, rtol=1e-9, atol=1e-12)
    assert (expected - starts[0]).abs().max().item() > 0.05


@pytest.mark.parametrize(
    ("model_type", "norm", "steps", "pair_mode"),
    [
        *(("bert", norm, steps, mode) for norm in ("inf", "2") for steps in (1, 3) for mode in MODES),
        *((other, "inf", 1, "concat") for other in OTHERS),
    ],
)
def test_the_ascent_beats_random_perturbations_of_the_same_norm_on_every_task(
    monkeypatch: pytest.MonkeyPatch, model_type: str, norm: str, steps: int, pair_mode: str
) -> None:
    chosen = settings(
        norm=norm, ascent_steps=steps, pair_mode=pair_mode, dropout=0.0, attention_dropout=0.0, smart_dropout="off"
    )
    model = small_model(chosen, model_type=model_type)
    example = small_batch(chosen, rows={task: range(8) for task in NAMES}, model_type=model_type)
    deltas = watch(monkeypatch, ascent, "find_perturbation")
    run(chosen, example, model)
    batch, words = example.batch, model.encoder.look_up(example.batch).detach()
    generator = torch.Generator().manual_seed(1)
    size = sentence_norm(deltas[0], batch.sentence, batch.sentences, norm)
    with torch.no_grad():
        clean = model(words, batch)

        def cost(delta: Tensor) -> dict[str, float]:
            moved = model(words + delta, batch)
            return {t: divergence(model.tasks.get(t).kind, moved[t], clean[t]).mean().item() for t in NAMES}

        found = cost(deltas[0])
        for _ in range(5):
            noise = torch.randn(words.shape, dtype=DOUBLE, generator=generator)
            noise = noise.sign() if norm == "inf" else noise
            scale = size / sentence_norm(noise, batch.sentence, batch.sentences, norm)
            other = cost(noise * scale[batch.sentence][:, None])
            assert all(found[task] > other[task] for task in NAMES)


@pytest.mark.parametrize(
    ("model_type", "variant"), [("bert", "paper"), ("bert", "mtdnn"), *((other, "paper") for other in OTHERS)]
)
def test_the_ascent_leaves_no_parameter_gradient(model_type: str, variant: str) -> None:
    chosen = settings(smart_variant=variant, ascent_steps=2, mu=1)
    objective = phase_state(chosen, model=small_model(chosen, model_type=model_type)).updater.objective
    moved_teacher(objective)
    for p in objective.model.parameters():
        p.grad = None
    example = small_batch(chosen, model_type=model_type)
    losses = objective.loss(example, words_of(objective.model, example), Streams(0, "p"), probe=True)
    assert set(losses.found["r_s"].values) == set(NAMES)
    assert all(p.grad is None for p in objective.model.parameters())
    assert teacher_of(objective) is not None
    assert all(p.grad is None and not p.requires_grad for p in teacher_of(objective).module.parameters())


def test_saturated_rows_have_no_gradient_and_a_batch_with_them_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(lam=1.0, dropout=0.0, attention_dropout=0.0, lr=1e-3)
    state = phase_state(chosen, torch.float32)
    linear = state.model.head("mood").linear
    assert linear is not None
    linear.bias.data[2] = 1e4
    step = small_step(chosen, torch.float32)
    batch = step.batches[0].batch
    starts, deltas = watch(monkeypatch, ascent, "start_noise"), watch(monkeypatch, ascent, "find_perturbation")
    before = {name: p.detach().clone() for name, p in state.named}
    outcome = state.updater.run(step, probe=True)
    ball = Ball.of(chosen)
    saturated = torch.isin(batch.sentence, batch.outputs["mood"][0])
    kept = ascent.project(starts[0], batch.sentence, batch.sentences, ball)
    assert torch.equal(deltas[0][saturated], kept[saturated])
    assert not torch.equal(deltas[0][~saturated], kept[~saturated])
    assert bool(torch.isfinite(deltas[0]).all())
    assert outcome.bad is None
    assert outcome.found["r_s"].values["mood"] == 0.0
    after = dict(state.named)
    assert all(bool(torch.isfinite(p).all()) for p in after.values())
    changed = [name for name, p in after.items() if not torch.equal(before[name], p)]
    assert "encoder.layers.0.feed_in.weight" in changed


def test_bf16_ascends_in_fp32_with_like_against_like(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(dropout=0.3, attention_dropout=0.3)
    example = small_batch(chosen, torch.float32)
    for variant, module in (("paper", ascent), ("mtdnn", mtdnn)):
        deltas = watch(monkeypatch, module, "find_perturbation")
        logits = []
        for bf16 in (False, True):
            # At this radius the paper's variant is not ascended by derivatives.
            large = settings(smart_variant=variant, epsilon=0.01, ascent_steps=2)
            objective = objective_of(small_model(chosen, torch.float32), large, bf16=bf16)
            losses = objective.loss(example, words_of(objective.model, example), Streams(0, "p"))
            logits.append(losses.found["loss"].values["near"].item())
        assert logits[0] != logits[1], "the bf16 pass must round"
        deltas = [found[0] if isinstance(found, tuple) else found for found in deltas]
        assert deltas[1].dtype == torch.float32
        assert torch.equal(deltas[0], deltas[1])
