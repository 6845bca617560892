"""Averaged weights: the average by hand, what is scored and kept, resume, bad steps, fixed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from small_model import CPU, NAMES, _template, phase_state, settings, small_model, small_splits, small_step
from torch import Tensor
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of, spoil, weights

from smartcli.engine.training.averaged_weights import AveragedWeights, momentum
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.loop import Trainer
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import EachTime
from smartcli.engine.training.schedule import Phase, Step
from smartcli.errors import UserError
from smartcli.home import Home


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def averages(state: PhaseState) -> Mapping[str, Tensor]:
    assert state.average is not None
    return state.average.state()["average"]


def test_the_momentum_rises_to_the_decay() -> None:
    assert momentum(1, 0.99) == 2 / 11
    assert momentum(8, 0.99) == 0.5
    assert momentum(10**6, 0.99) == 0.99
    assert momentum(1, 0.1) == 0.1


def test_the_average_of_a_number_by_hand() -> None:
    p = torch.nn.Parameter(torch.tensor([8.0], dtype=torch.float64))
    average = AveragedWeights([("p", p)], 0.25)
    p.data.fill_(0.0)
    average.follow(1, 10)  # 2/11 · 8
    p.data.fill_(4.0)
    average.follow(2, 10)  # 1/4 · 16/11 + 3/4 · 4
    assert_close(average.state()["average"]["p"], torch.tensor([4 / 11 + 3], dtype=torch.float64))
    with average.in_place():
        assert p.item() == pytest.approx(4 / 11 + 3)
    assert p.item() == 4.0


def test_the_weights_come_back_after_an_error_inside() -> None:
    p = torch.nn.Parameter(torch.tensor([0.1]))
    average = AveragedWeights([("p", p)], 0.9)
    p.data.fill_(0.3)
    before = p.detach().clone()
    with pytest.raises(ValueError, match="inside"), average.in_place():
        raise ValueError("inside")
    assert torch.equal(p, before)


def test_updates_leave_the_training_as_it_is_and_move_the_average() -> None:
    chosen = settings(lam=0.0, ema=0.9, lr=1e-2)
    plain, state = phase_state(settings(lam=0.0, lr=1e-2)), phase_state(chosen)
    expected = {name: p.detach().clone() for name, p in state.named}
    for number in (1, 2, 3):
        for each in (plain, state):
            each.updater.run(small_step(chosen, number=number), probe=False)
        d = momentum(number, 0.9)
        expected = {name: d * expected[name] + (1 - d) * p.detach() for name, p in state.named}
    found = averages(state)
    for (name, p), (_, q) in zip(state.named, plain.named, strict=True):
        assert torch.equal(p, q), name
        assert_close(found[name], expected[name], rtol=1e-12, atol=1e-12)


def test_fixed_shapes_move_it_as_unpadded_batches_do_and_not_in_a_bad_step() -> None:
    chosen = settings(lam=0.0, ema=0.9, lr=1e-3, dropout=0.0, attention_dropout=0.0)
    model = small_model(chosen, torch.float32)
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, CPU, False, recorder=lambda _: EachTime())
    batcher = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, vocabulary=len(model.encoder.words.weight))
    expected = {name: p.detach().clone() for name, p in state.named}
    for number in (1, 2):
        assert (
            state.updater.run(
                batcher(Step(number, 1, {t: np.arange(4) + number for t in NAMES}, False)), probe=False
            ).bad
            is None
        )
        d = momentum(number, 0.9)
        expected = {name: d * expected[name] + (1 - d) * p.detach() for name, p in state.named}
    for name, value in averages(state).items():
        assert_close(value, expected[name], rtol=1e-5, atol=1e-6, msg=name)
    before = {name: value.clone() for name, value in averages(state).items()}
    splits = small_splits()
    assert splits["near"].labels is not None
    splits["near"].labels[:] = np.nan
    bad = Batcher(splits, _template("bert"), chosen, 64, CPU, vocabulary=len(model.encoder.words.weight))
    assert state.updater.run(bad(Step(3, 1, {t: np.arange(4) for t in NAMES}, False)), probe=False).bad is not None
    assert all(torch.equal(before[name], value) for name, value in averages(state).items())


def test_the_checkpoint_holds_the_average_and_its_own_scores(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[dict[str, Tensor]] = []
    real = Trainer._end_phase

    def end(self: Trainer, state: PhaseState, phase: Phase) -> None:
        kept.append({name: value.clone() for name, value in averages(state).items()})
        real(self, state, phase)

    monkeypatch.setattr(Trainer, "_end_phase", end)
    shop.train("average", ema="0.9", keep="last")
    monkeypatch.undo()
    shop.train("plain", keep="last")
    found, plain = weights(shop.open_checkpoint("average")), weights(shop.open_checkpoint("plain"))
    assert torch.equal(found["sst.weight"], kept[-1]["heads.sst.linear.weight"])
    assert not torch.equal(found["sst.weight"], plain["sst.weight"])
    # The steps are those of plain training; the scores are not.
    steps = [[e for e in log_of(shop.open_checkpoint(n)) if e["event"] == "step"] for n in ("average", "plain")]
    assert [e["loss"] for e in steps[0]] == [e["loss"] for e in steps[1]]


@pytest.mark.parametrize(
    "more",
    [{}, {"surgery": "pcgrad"}, {"schedule": "sequential", "epochs": "1"}, {"mu": "1"}, {"freeze_encoder": True}],
    ids=lambda more: ",".join(more) or "plain",
)
@pytest.mark.parametrize("stop", [2, 3])
def test_it_resumes_bit_for_bit(shop: Shop, more: dict[str, Any], stop: int) -> None:
    shop.train("whole", ema="0.9", **more)
    shop.stopped("cut", stop=stop, ema="0.9", **more)
    shop.train("cut", resume="auto", ema="0.9", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_a_skipped_step_does_not_count(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 2)
    shop.train("skipped", ema="0.9", skip_bad_steps="1")
    heads = load(shop.open_checkpoint("skipped").read("heads.safetensors"))
    assert all(bool(torch.isfinite(value).all()) for value in heads.values())


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", ema="0")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))


@pytest.mark.parametrize("value", ["-0.1", "1", "2", "nan", "much"])
def test_a_wrong_decay_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--ema must be a number"):
        shop.resolve(ema=value)
