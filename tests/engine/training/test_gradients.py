"""The word table's gradient by rows, and norms and clipping, against plain autograd and torch's own clipping."""

from __future__ import annotations

import pytest
import torch
from small_model import (
    MODES,
    gradients_of,
    moved_teacher,
    phase_state,
    settings,
    small_batch,
    small_step,
)
from torch import Tensor
from torch.testing import assert_close

from smartcli.config import PerTask
from smartcli.engine.streams import Streams
from smartcli.engine.training.gradients import table_rows
from smartcli.engine.training.phase_state import PhaseState

TABLE = "encoder.words.weight"


def plain_gradients(state: PhaseState, example: object) -> dict[str, Tensor]:
    """Autograd's own gradients, the table's dense one included."""
    objective = state.updater.objective
    for _, p in state.named:
        p.grad = None
    losses = objective.loss(
        example,  # type: ignore[arg-type]
        objective.model.encoder.look_up(example.batch),  # type: ignore[attr-defined]
        Streams(state.updater.settings.seed, "mood+same+near"),
    )
    losses.total.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in state.named if p.grad is not None}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pair_mode", MODES)
def test_every_gradient_is_bit_for_bit_plain_autograds(dtype: torch.dtype, pair_mode: str) -> None:
    lam = PerTask(0.0, (("same", 5.0), ("near", 1.0)))
    chosen = settings(lam=lam, mu=1.0, pair_mode=pair_mode)
    ours, theirs = phase_state(chosen, dtype), phase_state(chosen, dtype)
    for state in (ours, theirs):
        moved_teacher(state.updater.objective)
    step = small_step(chosen, dtype)
    found, expected = gradients_of(ours, step), plain_gradients(theirs, step.batches[0])
    assert set(found) == set(expected)
    assert expected[TABLE].abs().sum().item() > 0
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


def test_rows_add_up_the_tokens_of_each_word() -> None:
    batch = small_batch(settings()).batch
    gradient = torch.randn(batch.tokens, 3, dtype=torch.float64)
    rows = table_rows(gradient, batch)
    assert batch.vocabulary.shape[0] < batch.tokens
    for place, word in enumerate(batch.vocabulary.tolist()):
        assert_close(rows[place], gradient[batch.ids == word].sum(dim=0))


@pytest.mark.parametrize("clip", [0.0, 0.5, 1e6])
def test_norm_and_clipping_are_torchs(clip: float) -> None:
    chosen = settings(lam=1.0)
    state, reference = phase_state(chosen), phase_state(chosen)
    step = small_step(chosen)
    plain = plain_gradients(reference, step.batches[0])
    norm = torch.nn.utils.clip_grad_norm_([p for _, p in reference.named], clip if clip > 0 else float("inf"))
    updater = state.updater
    updater.differentiate(step.batches[0])
    found = updater.gradients.norm()
    assert_close(found, norm)
    updater.gradients.finish(found, clip)
    for name, p in state.named:
        assert p.grad is not None
        assert_close(p.grad, plain[name], msg=name)


def test_a_steps_words_leave_nothing_for_the_next_step() -> None:
    chosen = settings(lam=0.0)
    state = phase_state(chosen)
    first, second = small_step(chosen, rows={"mood": [0]}), small_step(chosen, rows={"mood": [1]})
    found = gradients_of(state, first)[TABLE]
    table = state.model.encoder.words.weight
    assert table.grad is not None
    assert table.grad.abs().max().item() == 0.0
    touched = (found.abs().sum(dim=1) > 0).nonzero().flatten()
    assert set(touched.tolist()) == set(first.batches[0].batch.vocabulary.tolist())
    again = gradients_of(state, second)[TABLE]
    touched = (again.abs().sum(dim=1) > 0).nonzero().flatten()
    assert set(touched.tolist()) == set(second.batches[0].batch.vocabulary.tolist())


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_frozen_encoder_has_no_gradients_and_heads_keep_theirs(surgery: str) -> None:
    chosen = settings(freeze_encoder=True, lam=1.0, surgery=surgery)
    state = phase_state(chosen)
    found = gradients_of(state, small_step(chosen))
    assert set(found) == {name for name, _ in state.named}
    assert all(name.startswith("heads.") for name in found)
    free = phase_state(settings(lam=1.0, surgery=surgery))
    full = gradients_of(free, small_step(settings(lam=1.0, surgery=surgery)))
    for name, gradient in found.items():
        assert_close(gradient, full[name], rtol=1e-9, atol=1e-12)
