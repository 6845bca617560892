"""Losses and gradients that are not finite: the step is named, the state before it kept, and a few may be skipped.

A label of 3e19 squares to more than fp32 holds; one of 1.2e19 has a finite loss, but a gradient norm that overflows.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training import DEV, Shop, assert_same_training, comparable, log_of, save_small, weights

from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.run_folders import Runs


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def odd_labels(value: float) -> Any:
    """Give sts-train-8 this label and sts-train-3 its negative, so that the train mean stays small."""

    def change(rows: dict[str, dict[str, list[Any]]]) -> None:
        train = rows["sts"]["train"]
        train[8], train[3] = (*train[8][:2], value), (*train[3][:2], -value)

    return change


@pytest.mark.parametrize(
    ("label", "what", "options"),
    [
        (3e19, "loss", {"lambda": "1", "mu": "1"}),
        (1.2e19, "gradient", {}),
        (3e19, "loss", {"surgery": "pcgrad"}),
        (1.2e19, "gradient", {"surgery": "pcgrad"}),
    ],
)
def test_a_bad_step_stops_before_its_update_and_can_be_skipped_afterwards(
    shop: Shop, label: float, what: str, options: dict[str, str]
) -> None:
    save_small(shop.home, "odd", change=odd_labels(label))
    options = options | {"data": "odd", "epochs": "1", "keep": "last", "tasks": "sst,sts"}
    with pytest.raises(SmartCliError, match=rf"step (\d+): the {what} of .*sts.* is not finite") as caught:
        shop.train("stopped", **options)
    message = str(caught.value)
    assert "sts-train-8" in message
    assert "--skip-bad-steps N" in message
    assert caught.value.exit_code == 1
    step = int(message.removeprefix("step ").partition(":")[0])
    run = Runs(shop.home).open("stopped")
    assert run.position()["total"] == step - 1 == 1
    with pytest.raises(SmartCliError, match=f"step {step}: the {what}"):
        shop.train(None, resume="stopped", **options)
    shop.train(None, resume="stopped", skip_bad_steps="1", **options)
    shop.train("skipped", skip_bad_steps="1", **options)
    warnings = [event["message"] for event in shop.of_kind("warning")]
    assert f"step {step}: the {what}" in warnings[0]
    assert "skipped (1 so far)" in warnings[0]
    one, other = (shop.open_checkpoint(name) for name in ("stopped", "skipped"))
    assert one.read("model.safetensors") == other.read("model.safetensors")
    assert one.read("heads.safetensors") == other.read("heads.safetensors")
    logs = [comparable(log_of(checkpoint))[1:] for checkpoint in (one, other)]
    assert logs[0] == logs[1]
    assert log_of(other)[-1]["bad_steps"] == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(one).values())


def test_no_more_steps_are_skipped_than_allowed(shop: Shop) -> None:
    save_small(shop.home, "odd", change=odd_labels(3e19))
    options = {"data": "odd", "tasks": "sts", "epochs": "3", "save_every": "1"}
    with pytest.raises(SmartCliError, match="after 2 skipped steps; nothing was updated"):
        shop.train("mine", skip_bad_steps="2", **options)
    assert Runs(shop.home).open("mine").position()["bad_steps"] == 2
    shop.train("mine", resume="auto", skip_bad_steps="4", **options)
    assert shop.events[-1]["bad_steps"] == 4


def test_a_skipped_first_step_leaves_a_run_that_goes_on(shop: Shop) -> None:
    """AdamW has no state yet then."""

    def all_odd(rows: dict[str, dict[str, list[Any]]]) -> None:
        rows["sts"]["train"] = [(n, t, 3e19 * (-1) ** i) for i, (n, t, _) in enumerate(rows["sts"]["train"])]

    save_small(shop.home, "odd", change=all_odd)
    options = {"data": "odd", "tasks": "sts", "skip_bad_steps": "99"}
    shop.train("whole", **options)
    shop.stopped("parts", stop=1, **options)
    shop.train("parts", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))
    assert shop.events[-1]["bad_steps"] == 8


def test_weights_that_overflowed_are_named_by_the_next_step(shop: Shop) -> None:
    with pytest.raises(SmartCliError, match=r"step 2: .* an update before it made weights infinite or NaN"):
        shop.train("mine", lr="1e39", epochs="1")
    assert Runs(shop.home).open("mine").position() is None


def test_weights_that_overflowed_are_never_saved(shop: Shop) -> None:
    """Warm-up makes the first step's rate finite: its state is the last good one."""
    options = {"save_every": "1", "epochs": "1", "lr": "3e38", "warmup": "1"}
    with pytest.raises(SmartCliError, match=r"step (\d): its update, .* made weights infinite or NaN") as caught:
        shop.train("mine", listener=None, **options)
    step = int(str(caught.value).removeprefix("step ")[0])
    run = Runs(shop.home).open("mine")
    found = run.load()
    assert (found[1]["total"] if found else 0) == step - 1
    if found is not None:
        assert all(bool(torch.isfinite(t).all()) for t in load_file(found[0] / "model.safetensors").values())


def test_a_stop_after_an_overflow_keeps_the_save_before_it(shop: Shop) -> None:
    error = "made weights infinite or NaN; they are not saved"
    with pytest.raises(SmartCliError, match=error):
        shop.train("mine", stop=1, lr="1e39", epochs="1")
    assert Runs(shop.home).open("mine").position() is None


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_coarse_numbers_end_in_finite_weights_and_scores_or_in_an_error_that_names_the_step(
    shop: Shop, precision: str
) -> None:
    options = {"ascent_steps": "5", "epsilon": "1e-2", "lr": "1e-2", "lambda": "5", "mu": "1", "precision": precision}
    try:
        meta = shop.train("mine", **options).meta
    except SmartCliError as error:
        if re.search(r"step \d+", str(error)):
            return
        raise
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(shop.open_checkpoint("mine")).values())
    for event in shop.of_kind("step"):
        assert all(value is not None for key in ("loss", "r_s", "bregman") for value in event.get(key, {}).values())
        assert event["grad_norm"] is not None
        assert all(value >= 0 for key in ("loss", "r_s", "bregman") for value in event.get(key, {}).values())
    found = shop.open_checkpoint("mine").predictions()
    for task, metric in (("sst", "accuracy"), ("qqp", "accuracy"), ("sts", "pearson")):
        value = meta.metrics[task][metric]
        constant = len(set(found[task].predictions)) == 1
        assert (value is None) == (metric == "pearson" and constant), task
        if value is None:
            assert any(task in event["message"] for event in shop.of_kind("warning"))
        assert value is None or math.isfinite(value)


def test_a_constant_prediction_gives_null_and_a_warning_and_the_last_epoch(shop: Shop) -> None:
    """At 1e15, the train mean, no head's weight moves a score by one unit in the last place."""

    def large(rows: dict[str, dict[str, list[Any]]]) -> None:
        rows["sts"]["train"] = [(name, texts, 1e15 + value) for name, texts, value in rows["sts"]["train"]]

    save_small(shop.home, "large", change=large)
    meta = shop.train("mine", data="large", tasks="sts").meta
    assert meta.metrics["sts"] == {"pearson": None, "n": DEV}
    assert meta.best_epoch == 2
    assert any("the last one is kept" in event["message"] for event in shop.of_kind("warning"))
