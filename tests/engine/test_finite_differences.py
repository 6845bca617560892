"""The whole loss's gradient against finite differences, in float64, with δ and the teacher frozen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_model import (
    MODES,
    NAMES,
    gradients_of,
    moved_teacher,
    phase_state,
    settings,
    small_model,
    small_step,
    teacher_of,
    watch,
)
from torch import Tensor
from torch.testing import assert_close

from smartcli.config import PerTask, Settings
from smartcli.engine.streams import Streams
from smartcli.engine.terms import ascent, mtdnn
from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.phase_state import PhaseState
from smartcli.families.family_table import FAMILIES

KEY = "+".join(NAMES)
STRENGTH = {"epsilon": 0.1, "sigma": 0.05, "step_size": 0.1, "lam": 10.0, "mu": 20.0}


def quiet(chosen: Settings) -> Settings:
    """With `--smart-dropout off` the clean pass has none either: R is δ's part alone."""
    return replace(chosen, dropout=0.0, attention_dropout=0.0) if chosen.smart_dropout == "off" else chosen


def made(chosen: Settings, model_type: str = "bert") -> PhaseState:
    state = phase_state(chosen, model=small_model(chosen, model_type=model_type))
    if teacher_of(state.updater.objective) is not None:
        moved_teacher(state.updater.objective, 0.02)
    return state


@torch.no_grad()
def total(state: PhaseState, prepared: Prepared) -> Tensor:
    """The step's total loss, with the masks and noise of a fresh run of the same streams."""
    objective = state.updater.objective
    streams = Streams(state.updater.settings.seed, KEY)
    parts = [objective.loss(e, objective.model.encoder.look_up(e.batch), streams).total for e in prepared.batches]
    return torch.stack(parts).sum()


def norm(gradients: dict[str, Tensor]) -> float:
    return torch.cat([g.flatten() for g in gradients.values()]).norm().item()


def freeze(monkeypatch: pytest.MonkeyPatch, deltas: list[Tensor]) -> None:
    """Hold δ at what the first ascent found."""
    delta = deltas[0]
    monkeypatch.setattr(ascent, "find_perturbation", lambda *_, **__: delta)
    monkeypatch.setattr(mtdnn, "find_perturbation", lambda *_, **__: delta)


def slopes(monkeypatch: pytest.MonkeyPatch, chosen: Settings, apart: bool, model_type: str = "bert") -> None:
    """Compare the gradient with central differences along random directions: one a parameter, or one for all."""
    state, step = made(chosen, model_type), small_step(chosen, model_type=model_type)
    deltas = watch(monkeypatch, ascent, "find_perturbation")
    found = gradients_of(state, step)
    freeze(monkeypatch, deltas)
    assert deltas[0].abs().max().item() == pytest.approx(0.1)
    generator = torch.Generator().manual_seed(0)
    unit = {name: torch.randn(p.shape, dtype=p.dtype, generator=generator) for name, p in state.named}
    unit = {name: d / d.norm() for name, d in unit.items()}
    start = {name: p.data.clone() for name, p in state.named}
    h = 1e-5
    for names in [[name] for name in unit] if apart else [list(unit)]:
        ends = []
        for sign in (1, -1):
            for name, p in state.named:
                p.data.copy_(start[name] + sign * h * unit[name] if name in names else start[name])
            ends.append(total(state, step))
        slope = (ends[0] - ends[1]) / (2 * h)
        expected = torch.stack([(found[name] * unit[name]).sum() for name in names]).sum()
        # Central differences err by h²·f'''/6 and by rounding, 1e-16·f/h ≈ 1e-10.
        assert_close(slope, expected, rtol=1e-5, atol=1e-6, msg=lambda text, at=names[0]: f"{at}: {text}")


def test_the_gradient_of_every_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    slopes(monkeypatch, settings(smart_dropout="same", **STRENGTH), apart=True)


def test_the_gradient_of_every_parameter_where_layers_have_other_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    slopes(monkeypatch, settings(smart_dropout="same", **STRENGTH), apart=True, model_type="modernbert")


@pytest.mark.parametrize("model_type", [model_type for model_type in FAMILIES if model_type != "bert"])
def test_the_gradient_along_one_direction_of_every_type(monkeypatch: pytest.MonkeyPatch, model_type: str) -> None:
    slopes(monkeypatch, settings(smart_dropout="same", **STRENGTH), apart=False, model_type=model_type)


@pytest.mark.parametrize("smart_dropout", ["on", "off", "same"])
@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_the_gradient_along_one_direction_in_every_mode(
    monkeypatch: pytest.MonkeyPatch, smart_dropout: str, pair_mode: str, pooling: str
) -> None:
    slopes(
        monkeypatch,
        quiet(settings(smart_dropout=smart_dropout, pair_mode=pair_mode, pooling=pooling, **STRENGTH)),
        apart=False,
    )


@pytest.mark.parametrize("pair_mode", MODES)
@pytest.mark.parametrize("smart_dropout", ["on", "off", "same"])
def test_both_penalties_make_up_more_than_a_tenth_of_that_gradient(pair_mode: str, smart_dropout: str) -> None:
    chosen = quiet(settings(smart_dropout=smart_dropout, pair_mode=pair_mode, **STRENGTH))
    step = small_step(chosen)
    whole = gradients_of(made(chosen), step)
    for left_out in ({"lam": PerTask(0.0)}, {"mu": PerTask(0.0)}):
        less = replace(chosen, **left_out)  # type: ignore[arg-type]
        rest = gradients_of(made(less), small_step(less))
        share = norm({name: whole[name] - rest[name] for name in whole}) / norm(whole)
        assert share > 0.1
        for task in NAMES:
            heads = [name for name in whole if name.startswith(f"heads.{task}")]
            if heads:
                own = norm({name: whole[name] - rest[name] for name in heads})
                assert own > 0.1 * norm({name: whole[name] for name in heads}), task


def test_weights_of_tasks_lambda_and_mu_enter_by_task(monkeypatch: pytest.MonkeyPatch) -> None:
    lam, mu = PerTask(0.0, (("same", 7.0), ("near", 2.0))), PerTask(0.0, (("mood", 3.0), ("near", 4.0)))
    chosen = settings(**{**STRENGTH, "lam": lam, "mu": mu})
    state, step = made(chosen), small_step(chosen)
    objective, example = state.updater.objective, step.batches[0]
    losses = objective.loss(example, objective.model.encoder.look_up(example.batch), Streams(0, KEY))
    assert set(losses.found["r_s"].values) == {"same", "near"}
    assert set(losses.found["bregman"].values) == {"mood", "near"}
    expected = (
        losses.found["loss"].values["mood"]
        + 3 * losses.found["bregman"].values["mood"]
        + losses.found["loss"].values["same"]
        + 7 * losses.found["r_s"].values["same"]
    )
    expected = expected + 0.5 * (
        losses.found["loss"].values["near"]
        + 2 * losses.found["r_s"].values["near"]
        + 4 * losses.found["bregman"].values["near"]
    )
    assert_close(losses.total, expected)
