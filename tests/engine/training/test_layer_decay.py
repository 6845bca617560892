"""Layer-wise learning-rate decay: rates by hand, what an update then does, resume, and fixed shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import CPU, NAMES, _template, phase_state, settings, small_model, small_splits, small_step
from torch.testing import assert_close
from training import Shop, assert_same_training

from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.layer_decay import depth_of, rates_of
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import EachTime
from smartcli.engine.training.schedule import Phase, Step
from smartcli.errors import UserError
from smartcli.home import Home

QUIET: dict[str, Any] = {"lam": 0.0, "dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_rates_by_hand() -> None:
    names = ("heads.layers.weight", "encoder.pooler.weight", "encoder.layers.1.qkv.weight", "encoder.layers.0.qkv.bias",
             "encoder.words.weight", "encoder.norm.bias", "encoder.relative.weight")  # fmt: skip
    assert [depth_of(name, 2) for name in names] == [0, 0, 1, 2, 3, 3, 3]
    assert list(rates_of(names, 0.5, 2).values()) == [1.0, 1.0, 0.5, 0.25, 0.125, 0.125, 0.125]
    # Numbers are compared as numbers: layer 10 stands above layer 9.
    assert depth_of("encoder.layers.10.qkv.weight", 12) < depth_of("encoder.layers.9.qkv.weight", 12)


@pytest.mark.parametrize(
    "model_type", ["bert", "roberta", "distilbert", "mpnet", "electra", "modernbert", "deberta-v2"]
)
def test_a_first_update_moves_every_weight_by_its_own_rate(model_type: str) -> None:
    chosen = settings(layer_decay=0.5, lr=1e-3, **QUIET)
    state = phase_state(chosen, model=small_model(chosen, model_type=model_type))
    layers = state.model.encoder.spec.layers
    before = {name: p.detach().clone() for name, p in state.named}
    state.updater.run(small_step(chosen, model_type=model_type), probe=False)
    for name, p in state.named:
        moved = (p.detach() - before[name]).abs().max().item()
        # AdamW's first step has the size of the learning rate wherever the gradient is well above its ε.
        expected = 1e-3 * 0.5 ** depth_of(name, layers)
        assert moved <= expected * 1.001, name
        if p.dim() > 1 and moved:
            assert moved == pytest.approx(expected, rel=0.05), name


def test_fixed_shapes_have_the_updates_of_unpadded_batches() -> None:
    chosen = settings(layer_decay=0.5, lr=1e-2, clip_norm=0.5, **QUIET)
    states = []
    for recorder in (None, EachTime()):
        make = None if recorder is None else lambda _, recorder=recorder: recorder
        model = small_model(chosen, torch.float32)
        state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, CPU, False, recorder=make)
        words = None if recorder is None else len(model.encoder.words.weight)
        batcher = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, vocabulary=words)
        for number in (1, 2):
            step = Step(number, 1, {task: np.arange(4) + number for task in NAMES}, False)
            assert state.updater.run(batcher(step), probe=False).bad is None
        states.append(dict(state.named))
    for name, p in states[0].items():
        # Adam's first steps amplify rounding where a gradient is near zero, so the mean counts.
        assert_close((states[1][name] - p).abs().mean().item(), 0.0, atol=2e-5, rtol=0.0, msg=name)


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"schedule": "sequential", "epochs": "1"}])
def test_it_resumes_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", layer_decay="0.8", **more)
    shop.stopped("cut", stop=3, layer_decay="0.8", **more)
    shop.train("cut", resume="auto", layer_decay="0.8", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", layer_decay="1")
    shop.train("never")
    shop.train("on", layer_decay="0.8")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert shop.open_checkpoint("on").read("model.safetensors") != shop.open_checkpoint("off").read("model.safetensors")


@pytest.mark.parametrize("value", ["0", "1.5", "-1", "nan", "much"])
def test_a_wrong_decay_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--layer-decay must be a number"):
        shop.resolve(layer_decay=value)
