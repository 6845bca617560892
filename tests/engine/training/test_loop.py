"""The loop itself: which epoch is kept, when it saves, and what it says when memory runs out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_model import CPU, TASKS, _template, settings, small_model, small_splits

from smartcli.config import PerTask
from smartcli.engine.inference.split_outputs import Reader
from smartcli.engine.training.job import Callbacks, Job, Result
from smartcli.engine.training.loop import Interrupted, train
from smartcli.engine.training.snapshot import Snapshot
from smartcli.engine.training.update import Updater
from smartcli.errors import SmartCliError
from smartcli.metrics import Score
from smartcli.tasks import Task

DEV = 5


class Heard:
    """Records what the loop reports; `scores` are the dev values of the epochs, in order."""

    def __init__(self, scores: list[float | None] | None = None, tasks: tuple[str, ...] = ("mood",)) -> None:
        self.records: list[dict[str, Any]] = []
        self.ticks: list[dict[str, Any]] = []
        self.saves: list[tuple[dict[str, Any], dict[str, torch.Tensor]]] = []
        self.scores = scores or [0.5]
        self.tasks = tasks
        self.stop = False

    def save(self, state: Snapshot) -> None:
        model = {name: tensor.clone() for name, tensor in state.tensors["model"].items()}
        self.saves.append((state.position.to_json() | {"groups": sorted(state.tensors)}, model))

    def score(self, task: Task, labels: np.ndarray | None, predictions: np.ndarray) -> Score:
        epoch = sum(record["event"] == "dev" for record in self.records)
        value = self.scores[epoch] if len(predictions) == DEV else 0.25
        return Score(task.metric, value, len(predictions))

    def run(self, **changes: Any) -> tuple[Result, dict[str, torch.Tensor]]:
        plain = {"epochs": PerTask(len(self.scores)), "batch_size": PerTask(12), "lam": 0.0, "lr": 1e-3}
        chosen = settings(**plain | changes)
        tasks = TASKS.select(self.tasks)
        model = small_model(chosen, torch.float32, tasks=tasks)
        splits = small_splits()
        dev = {name: type(split)([side_of(s) for s in split.sides], split.labels[:DEV], split.row_id)
               for name, split in splits.items()}  # fmt: skip
        job = Job(model, tasks, tasks, chosen, splits, dev, Reader(_template("bert"), 64), False, CPU, self.score)
        callbacks = Callbacks(
            lambda event: self.records.append(event.to_json()),
            lambda event: self.ticks.append(event.to_json()),
            self.save,
            lambda: self.stop,
        )
        result = train(job, callbacks)
        return result, {name: p.detach().clone() for name, p in model.named_parameters()}

    def after_epoch(self, epoch: int) -> dict[str, torch.Tensor]:
        """The weights that were saved at an epoch's end; the last epoch's save holds the kept ones already."""
        return self.saves[epoch - 1][1]


def side_of(side: Any) -> Any:
    return type(side)(side.ids, side.offsets[: DEV + 1])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.3, 0.6, 0.5], 2),
        ([0.3, 0.6, 0.6], 2),  # of equals the earlier one
        ([0.6, 0.5, 0.4], 1),
        ([0.1, 0.2, 0.3], 3),
        ([None, 0.2, None], 2),  # null never wins over a number
        ([0.2, None, None], 1),
        ([None, 0.0, 0.0], 2),
        ([None, None, None], 3),  # nothing to choose by: the last
    ],
)
def test_the_best_epoch_by_dev_score_is_kept(scores: list[float | None], kept: int) -> None:
    heard = Heard(scores)
    result, weights = heard.run()
    assert result.best_epoch == kept
    assert [record["mood"]["accuracy"] for record in heard.records if record["event"] == "dev"] == scores
    assert result.scores.scores["mood"].value == scores[kept - 1]
    if kept < len(scores):
        assert same(weights, heard.after_epoch(kept))
        assert not same(weights, heard.after_epoch(2 if kept == 1 else 1))
    else:
        assert not any(same(weights, heard.after_epoch(epoch)) for epoch in range(1, len(scores)))
    assert bool(result.warnings) == all(score is None for score in scores)


def test_keep_last_keeps_the_last_epoch_whatever_its_score() -> None:
    heard = Heard([0.9, 0.5, 0.1])
    result, weights = heard.run(keep="last")
    assert result.best_epoch == 3
    assert result.scores.scores["mood"].value == 0.1
    assert not any(same(weights, heard.after_epoch(epoch)) for epoch in (1, 2))


def test_each_phase_hands_on_its_own_best_epoch() -> None:
    # Phases: same, near, mood; two epochs each. Dev scores in the order in which they are asked for.
    heard = Heard([0.9, 0.1] * 3, tasks=("mood", "same", "near"))
    result, weights = heard.run(schedule="sequential", epochs=PerTask(2))
    assert result.best_epoch == 1
    ends = [save for save in heard.saves if save[0]["step"] == 0]
    assert [position["phase"] for position, _ in ends] == [1, 2, 3]
    assert all(position["groups"] == ["model"] for position, _ in ends)
    for (_, handed), (_, first_epoch) in zip(ends, heard.saves[::2], strict=True):
        assert same(handed, first_epoch)
    assert same(weights, ends[-1][1])


def test_it_saves_at_each_epochs_end_and_every_n_steps() -> None:
    heard = Heard([0.5, 0.5])
    heard.run()
    assert [(position["total"], position["step"]) for position, _ in heard.saves] == [(2, 2), (4, 0)]
    heard = Heard([0.5, 0.5])
    heard.run(save_every=1)
    assert [position["total"] for position, _ in heard.saves] == [1, 2, 3, 4]
    assert heard.saves[0][0]["groups"] == ["best", "model", "optimizer", "streams"]


def test_asked_to_stop_it_saves_after_the_step() -> None:
    heard = Heard([0.5, 0.5])
    heard.stop = True
    with pytest.raises(Interrupted):
        heard.run()
    assert [position["total"] for position, _ in heard.saves] == [1]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_out_of_memory_names_the_step_its_size_and_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Updater, prepared: Any, *, probe: bool, check: bool) -> None:
        raise error

    monkeypatch.setattr(Updater, "run", fail)
    said = r"out of memory in step 1 with 12 examples and \d+ tokens \(.*\); .*--batch-size"
    with pytest.raises(SmartCliError, match=said):
        Heard().run()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("could not create a primitive")])
def test_out_of_memory_while_dev_is_scored_names_the_batch_and_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(parts: Any) -> None:
        raise error

    monkeypatch.setattr("smartcli.engine.inference.split_outputs.pack", fail)
    said = r'out of memory while predicting task "mood", in a batch of \d+ rows .*--resume.*--max-length'
    with pytest.raises(SmartCliError, match=said):
        Heard().run()


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Updater, prepared: Any, *, probe: bool, check: bool) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Updater, "run", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        Heard().run()


def test_dev_outputs_that_are_not_finite_stop_with_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights overflow in the last update of an epoch, so that no loss shows it."""
    update = Updater.run

    def run(self: Updater, prepared: Any, *, probe: bool, check: bool) -> Any:
        outcome = update(self, prepared, probe=probe)
        if prepared.step.ends_epoch:
            self.objective.model.head("mood").linear.bias.data.fill_(float("inf"))
        return outcome

    monkeypatch.setattr(Updater, "run", run)
    with pytest.raises(SmartCliError, match='step 2: outputs of task "mood" are not finite; lower --lr'):
        Heard().run()
