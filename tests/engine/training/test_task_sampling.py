"""One task a step: probabilities by hand, draws that follow them, whole passes, resume, processes, forecast."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scale_out import steps_of
from small_model import CPU, NAMES, _template, phase_state, settings, small_model, small_splits, small_step
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of

from smartcli.config import PerTask
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import FirstCallAgain
from smartcli.engine.training.schedule import Phase, epoch_steps, phase_steps, plan, sampled_steps
from smartcli.engine.training.task_sampling import drawn_tasks, exponent, shares
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.training.dry_run import dry_run

SIZES, BATCH, TASKS = {"a": 1000, "b": 160, "c": 40}, {"a": 10, "b": 10, "c": 10}, ("a", "b", "c")
WAYS = ("proportional", "sqrt", "annealed")


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_probabilities_by_hand() -> None:
    assert shares([100, 16, 4], "proportional", 1, 5) == pytest.approx([100 / 120, 16 / 120, 4 / 120])
    assert shares([100, 16, 4], "sqrt", 3, 5) == pytest.approx([10 / 16, 4 / 16, 2 / 16])
    # 1 − .8·(e − 1)/4: from proportional to a fifth.
    assert [exponent("annealed", epoch, 5) for epoch in range(1, 6)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    last = np.array([100.0, 16.0, 4.0]) ** 0.2
    assert shares([100, 16, 4], "annealed", 5, 5) == pytest.approx(list(last / last.sum()))
    assert exponent("annealed", 1, 1) == 1.0
    assert shares([1e300, 1e-300], "proportional", 1, 1) == [1.0, 0.0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("epoch", [1, 4])
def test_draws_follow_the_probabilities_and_are_those_of_seed_and_epoch(way: str, epoch: int) -> None:
    drawn = drawn_tasks(3, way, [100, 16, 4], 20_000, epoch, 4)
    found = Counter(drawn)
    for task, share in enumerate(shares([100, 16, 4], way, epoch, 4)):
        # Four standard deviations of a binomial share.
        assert found[task] / 20_000 == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)
    assert drawn == drawn_tasks(3, way, [100, 16, 4], 20_000, epoch, 4)
    assert drawn != drawn_tasks(4, way, [100, 16, 4], 20_000, epoch, 4)
    assert drawn != drawn_tasks(3, way, [100, 16, 4], 20_000, epoch + 1, 40)


@pytest.mark.parametrize("way", WAYS)
def test_each_step_has_one_task_and_each_pass_every_row_once(way: str) -> None:
    found = list(sampled_steps(7, SIZES, BATCH, TASKS, 3, way))
    assert [step.number for step in found] == list(range(1, 3 * 120 + 1))
    assert [step.number for step in found if step.ends_epoch] == [120, 240, 360]
    assert {step.epoch for step in found[120:240]} == {2}
    assert all(len(step.rows) == 1 for step in found)
    for task in TASKS:
        rows = np.concatenate([step.rows[task] for step in found if task in step.rows])
        passes = [rows[at : at + SIZES[task]] for at in range(0, len(rows), SIZES[task])]
        whole = [own for own in passes if len(own) == SIZES[task]]
        assert whole
        assert all(sorted(own) == list(range(SIZES[task])) for own in whole)
        assert len({tuple(own) for own in whole}) == len(whole)


def test_batches_count_and_not_rows() -> None:
    """Twice the rows in batches of twice the size: as many batches, so as often."""
    sizes, at_once = {"a": 2000, "b": 1000}, {"a": 20, "b": 10}
    drawn = sampled_steps(0, sizes, at_once, ("a", "b"), 20, "proportional")
    found = Counter(next(iter(step.rows)) for step in drawn)
    assert found["a"] / found["b"] == pytest.approx(1.0, abs=0.1)


def test_an_epoch_is_all_tasks_passes_and_accumulated_batches_count_once() -> None:
    names = TASKS
    chosen = settings(task_sampling="sqrt", batch_size=PerTask(10), accumulate=4)
    assert epoch_steps(chosen, names, SIZES) == 25 + 4 + 1
    assert epoch_steps(chosen, ("b",), SIZES) == 4
    phase = Phase(names, 2, 33, 60)
    assert len(list(phase_steps(chosen, phase, SIZES))) == 33


def test_a_plan_has_the_epochs_of_the_first_task(shop: Shop) -> None:
    chosen = shop.resolve(task_sampling="sqrt", max_steps="9").settings
    (phase,) = plan(shop.resolve().data_set.tasks, chosen, {"sst": 10, "qqp": 7, "sts": 13})
    assert (phase.epochs, phase.full_steps, phase.steps) == (2, 2 * (3 + 2 + 4), 9)


@pytest.mark.parametrize("more", [{"lambda": "1", "mu": "1"}, {"balance": "uncertainty", "ema": "0.9"}])
def test_it_resumes_bit_for_bit_and_heads_rest_while_others_train(shop: Shop, more: dict[str, str]) -> None:
    options = {"task_sampling": "annealed", **more}
    shop.train("whole", **options)
    shop.stopped("cut", stop=7, **options)
    shop.train("cut", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    steps = [event for event in log_of(shop.open_checkpoint("whole")) if event["event"] == "step"]
    assert all(len(event["loss"]) == 1 for event in steps)
    assert steps[-1]["step"] == 18


def test_a_head_moves_only_in_its_own_tasks_steps() -> None:
    chosen = settings(lam=0.0, lr=1e-2, task_sampling="sqrt")
    state = phase_state(chosen)
    for number, task in enumerate(("mood", "near", "mood"), 1):
        before = {name: p.detach().clone() for name, p in state.named}
        state.updater.run(small_step(chosen, rows={task: range(4)}, number=number), probe=False)
        for name, p in state.named:
            if name.startswith("heads."):
                assert p.equal(before[name]) is (not name.startswith(f"heads.{task}.")), (name, task)


def test_fixed_shapes_train_the_same() -> None:
    chosen = settings(lam=0.0, lr=1e-3, task_sampling="sqrt", dropout=0.0, attention_dropout=0.0, batch_size=PerTask(4))
    plain = phase_state(chosen, torch.float32)
    model = small_model(chosen, torch.float32)
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, CPU, False, recorder=lambda _: FirstCallAgain())
    batcher = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, vocabulary=len(model.encoder.words.weight))
    sizes = dict.fromkeys(NAMES, 24)
    for step in phase_steps(chosen, Phase(NAMES, 1, 6, 6), sizes):
        rows = {task: own.tolist() for task, own in step.rows.items()}
        given = small_step(chosen, torch.float32, rows=rows, number=step.number)
        one, other = plain.updater.run(given, probe=False), state.updater.run(batcher(step), probe=False)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-3)
    for (name, p), (_, q) in zip(plain.named, state.named, strict=True):
        assert_close(p, q, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_two_processes_train_what_one_does(shop: Shop, tmp_path: Path) -> None:
    """Also where a head has gradients in some steps only: AdamW leaves it alone in the others, as one process does."""
    jobs = {way: {"task_sampling": way, "epochs": "5", "max_steps": "20"} for way in ("sqrt", "annealed")}
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")
    for name, options in jobs.items():
        shop.train(f"{name}-alone", **options)
        alone, several = ([e for e in es if e["event"] == "step"] for es in (shop.events, found[name]))
        assert [set(e["loss"]) for e in alone] == [set(e["loss"]) for e in several]
        for one, other in zip(alone, several, strict=True):
            assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)


def test_a_dry_run_counts_what_is_drawn(shop: Shop) -> None:
    lines = dict(dry_run(shop.home, "finetune", shop.resolve(task_sampling="proportional"), lambda event: None))
    assert lines["steps"] == "18"
    assert lines["epochs"] == "2, each as many steps as one pass over every task has"
    shop.train("done", task_sampling="proportional")
    (end,) = shop.of_kind("end")
    assert lines["examples, tokens"] == f"{end['examples']:,}, {end['tokens']:,}"


def test_off_no_bit_changes(shop: Shop) -> None:
    shop.train("off", task_sampling="all")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task_sampling": "square"}, "--task-sampling must be one of all, proportional, sqrt, annealed"),
        ({"task_sampling": "sqrt", "tasks": "sst"}, "--task-sampling sqrt draws each step's task among several"),
        ({"task_sampling": "sqrt", "schedule": "sequential"}, "--schedule sequential trains one task at a time"),
        ({"task_sampling": "sqrt", "surgery": "pcgrad"}, "--surgery pcgrad compares the gradients"),
        ({"task_sampling": "sqrt", "balance": "gradnorm"}, "--balance gradnorm compares the gradients"),
    ],
)
def test_wrong_options_are_refused(shop: Shop, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        shop.resolve(**options)


def test_one_annealed_epoch_is_remarked_on(shop: Shop) -> None:
    heard: list[Any] = []
    shop.train("one", task_sampling="annealed", epochs="1", listener=heard.append)
    assert any("annealed is proportional" in str(event.get("message")) for event in heard)
