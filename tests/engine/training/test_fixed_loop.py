"""Whole trainings with steps of fixed shape, by the stand-in for CUDA graphs: here the loop runs a step ahead."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.testing import assert_close
from training import STEPS, Event, Shop, assert_same_training, log_of, spoil, weights

from smartcli.engine.terms import ascent
from smartcli.engine.training import loop
from smartcli.engine.training.fixed_step import FixedUpdater
from smartcli.engine.training.replay import FirstCallAgain
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.run_folders import Runs

METHODS: dict[str, dict[str, str]] = {
    "plain": {"dropout": "0.2", "warmup": "0.3", "lr_schedule": "linear", "clip_norm": "1"},
    "smart and bregman": {"lambda": "1", "mu": "1", "keep": "last"},
    "mtdnn": {"lambda": "1", "smart_variant": "mtdnn"},
    "surgery": {"lambda": "1", "surgery": "pcgrad", "clip_norm": "1"},
    "sequential": {"lambda": "1", "schedule": "sequential", "epochs": "1"},
}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "recorder_for", lambda *_: lambda generators: FirstCallAgain())


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_stopped_and_resumed_has_the_bits_of_one_that_is_not(shop: Shop, method: str) -> None:
    options = METHODS[method]
    shop.train("whole", **options)
    # A step runs when the one before it is heard of, and is finished before the run stops.
    for at in (1, 3, 5):
        shop.stopped("parts", stop=at, resume="auto", **options)
    shop.train("parts", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


@pytest.mark.parametrize("method", ["plain", "smart and bregman", "surgery"])
def test_a_training_is_that_with_batches_of_any_shape(shop: Shop, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dropout, whose draws depend on shapes; the log of every step, dev scores and weights."""
    monkeypatch.setattr(ascent, "start_noise", lambda like, sigma, generator: sigma * like.new_ones(like.shape))
    options = METHODS[method] | {"dropout": "0", "attention_dropout": "0", "lr": "1e-4"}
    shop.train("any", **options)
    monkeypatch.setattr(loop, "recorder_for", lambda *_: lambda generators: FirstCallAgain())
    shop.train("fixed", **options)
    one, other = shop.open_checkpoint("any"), shop.open_checkpoint("fixed")
    for name, tensor in weights(one).items():
        assert_close(weights(other)[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    for first, second in zip(log_of(one), log_of(other), strict=True):
        assert first["event"] == second["event"]
        if first["event"] == "step":
            counts = ("step", "epoch", "examples", "tokens", "lr")
            assert {key: first[key] for key in counts} == {key: second[key] for key in counts}
            assert second["loss"] == pytest.approx(first["loss"], rel=1e-3, abs=1e-4)
            assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-3)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("number", [1, 2, 3, 5, STEPS])
def test_a_planted_nan_stops_the_run_with_step_task_and_rows_and_the_state_before_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    options = METHODS["smart and bregman"]
    shop.train("whole", **options)
    with monkeypatch.context() as patch:
        spoil(patch, number)
        with pytest.raises(SmartCliError, match=rf"step {number}: the loss of sts is not finite.*sts-train-"):
            shop.train("parts", **options)
    assert Runs(shop.home).open("parts").position()["total"] == number - 1
    shop.train("parts", resume="parts", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("numbers", [(2,), (2, 3), (3, 4), (STEPS,)])
def test_bad_steps_that_are_skipped_are_the_only_ones_that_change_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...]
) -> None:
    """A run a step ahead and one that waits for each step: the same bits, whatever was asked for behind a bad step."""
    spoil(monkeypatch, *numbers)
    options = METHODS["smart and bregman"] | {"skip_bad_steps": "5"}
    shop.train("ahead", **options)
    monkeypatch.setattr(FixedUpdater, "runs_on", False)
    shop.train("waiting", **options)
    assert_same_training(shop.open_checkpoint("ahead"), shop.open_checkpoint("waiting"))
    steps: list[Event] = [event for event in shop.events if event["event"] == "step"]
    assert steps[-1]["bad_steps"] == len(numbers)
    assert steps[-1]["step"] == STEPS
