"""Parts of a step: every row goes to one process, masks are the whole's, and losses and gradients add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_model import (
    CPU,
    NAMES,
    _template,
    gradients_of,
    phase_state,
    settings,
    small_model,
    small_splits,
    teacher_of,
)
from torch import Tensor
from torch.testing import assert_close

from smartcli.config import PerTask, Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.streams import Streams, stream
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.training.batches import Batcher, Prepared
from smartcli.engine.training.division import split_by_tokens, take_part
from smartcli.engine.training.objective import StepLoss
from smartcli.engine.training.schedule import Step

ROWS = {"mood": 1, "same": 5, "near": 3}
"""Rows of each task; in three processes one has none of `mood`."""


def test_every_example_goes_to_one_process_and_the_tokens_are_balanced() -> None:
    draw = np.random.default_rng(0)
    tokens = {"a": draw.integers(2, 100, 24), "b": draw.integers(2, 30, 8)}
    parts = split_by_tokens(tokens, 3)
    for task, each in tokens.items():
        assert np.array_equal(np.sort(np.concatenate([part[task] for part in parts])), np.arange(len(each)))
    loads = [sum(int(each[part[task]].sum()) for task, each in tokens.items()) for part in parts]
    # The largest share of such a split is above the smallest by one example at most.
    assert max(loads) - min(loads) <= 100
    assert [list(part["a"]) for part in split_by_tokens({"a": np.array([1, 5, 3])}, 2)] == [[1], [0, 2]]


def test_of_more_processes_than_examples_some_have_none() -> None:
    parts = split_by_tokens({"a": np.array([4]), "b": np.array([], np.int64)}, 3)
    assert [list(part["a"]) for part in parts] == [[0], [], []]


def parts_of(chosen: Settings, size: int, model_type: str = "bert") -> list[Prepared]:
    """The same step as each of `size` processes gets it, in float64."""
    step = Step(1, 1, {task: np.arange(n) for task, n in ROWS.items()}, False)
    out = []
    for rank in range(size):
        processes = Processes(rank, size) if size > 1 else ALONE
        prepared = Batcher(small_splits(), _template(model_type), chosen, 64, CPU, processes)(step)
        batches = [
            replace(example, labels={task: labels.double() for task, labels in example.labels.items()})
            for example in prepared.batches
        ]
        out.append(replace(prepared, batches=tuple(batches)))
    return out


@pytest.mark.parametrize("size", [2, 3, 12])
def test_the_masks_of_a_part_are_those_of_the_whole(size: int) -> None:
    chosen = settings()
    (whole,) = (part.batches[0].batch for part in parts_of(chosen, 1))
    shape = {"token": (whole.tokens, 8), "sentence": (whole.sentences, 3)}
    shape |= {f"attention{group.key}": (len(group), 2, 5, group.width) for group in whole.groups}
    shape |= {f"example:{task}": (n, 4) for task, n in ROWS.items()}
    seen: dict[str, Tensor] = {axis: torch.full(full, -1.0) for axis, full in shape.items()}
    for part in parts_of(chosen, size):
        here = part.batches[0].batch.part
        assert here is not None
        dropout = FreshDropout(stream(0, "dropout"), part=here)
        for axis, full in shape.items():
            rows = here.rows[axis]
            assert bool((seen[axis][rows] == -1).all())
            seen[axis][rows] = dropout(torch.ones(len(rows), *full[1:]), 0.4, axis, "here")
    fresh = FreshDropout(stream(0, "dropout"))
    for axis, full in shape.items():
        assert torch.equal(seen[axis], fresh(torch.ones(full), 0.4, axis, "here")), axis


def losses_of(chosen: Settings, example: TrainingBatch, model_type: str = "bert") -> tuple[StepLoss, dict[str, Tensor]]:
    """The losses of an example, and the gradients of their sum; teacher and weights are always the same."""
    model = small_model(chosen, torch.float64, model_type=model_type)
    state = phase_state(chosen, torch.float64, model=model)
    teacher = teacher_of(state.updater.objective)
    if teacher is not None:
        for tensor in teacher.tensors().values():
            tensor.add_(0.01 * torch.sin(torch.arange(tensor.numel(), dtype=tensor.dtype)).view(tensor.shape))
    words = model.encoder.look_up(example.batch)
    losses = state.updater.objective.loss(example, words, Streams(0, "p"), probe=True)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(losses.total, list(named.values()), allow_unused=True)
    pairs = zip(named.items(), found, strict=True)
    return losses, {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}


def added(parts: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {key: torch.stack([part[key].detach() for part in parts]).sum(0) for key in parts[0]}


VARIANTS: list[dict[str, Any]] = [
    {"lam": 0.0},
    {"mu": 1.0, "epsilon": 0.1, "sigma": 0.01, "step_size": 0.1},
    {"lam": PerTask(0.0, (("near", 2.0),)), "mu": PerTask(0.0, (("mood", 1.0),)), "epsilon": 0.1, "sigma": 0.1},
    {"smart_dropout": "same", "norm": "2", "ascent_steps": 2, "epsilon": 0.1, "sigma": 0.01, "step_size": 0.1},
    {"smart_variant": "mtdnn"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: ",".join(changes))
@pytest.mark.parametrize(("pair_mode", "pooling"), [("concat", "cls"), ("separate", "mean"), ("cosine", "pooler")])
def test_losses_and_gradients_of_the_parts_add_up_to_the_wholes(
    changes: dict[str, Any], pair_mode: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parts are computed one after the other in this process: there is nobody to ask.
    monkeypatch.setattr(Processes, "any", lambda self, value: value)
    chosen = settings(pair_mode=pair_mode, pooling=pooling, dropout=0.3, attention_dropout=0.2, **changes)
    ((whole, gradients),) = (losses_of(chosen, part.batches[0]) for part in parts_of(chosen, 1))
    for size in (3, 12):
        parts = [losses_of(chosen, part.batches[0]) for part in parts_of(chosen, size)]
        expected = {name: value.detach() for name, value in whole.numbers().items()}
        assert_close(added([losses.numbers() for losses, _ in parts]), expected, rtol=1e-9, atol=1e-13)
        assert_close(added([found for _, found in parts]), gradients, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("model_type", ["deberta-v2", "deberta-v2, convolution"])
def test_what_is_dropped_beside_the_rows_is_the_same_in_every_part(model_type: str) -> None:
    """Of a table that all sentences share each part drops what the whole does."""
    chosen = settings(dropout=0.3, attention_dropout=0.2, epsilon=0.1, sigma=0.01, step_size=0.1)
    ((_, gradients),) = (losses_of(chosen, p.batches[0], model_type) for p in parts_of(chosen, 1, model_type))
    found = [losses_of(chosen, part.batches[0], model_type)[1] for part in parts_of(chosen, 12, model_type)]
    assert_close(added(found), gradients, rtol=1e-7, atol=1e-12)


def test_a_part_counts_the_tokens_and_examples_of_the_whole() -> None:
    chosen = settings()
    (whole,) = parts_of(chosen, 1)
    for part in parts_of(chosen, 3):
        assert (part.tokens, part.count) == (whole.tokens, whole.count)
        assert [part.batches[0].batch.count(task) for task in NAMES] == list(ROWS.values())
        assert torch.equal(part.batches[0].batch.whole_vocabulary, whole.batches[0].batch.vocabulary)


def test_a_part_is_packed_as_the_whole_is() -> None:
    (whole,) = (part.batches[0].batch for part in parts_of(settings(), 1))
    own = take_part(whole, {task: np.arange(n) for task, n in ROWS.items()})
    for name in ("ids", "types", "positions", "sentence", "starts", "lengths", "word"):
        assert torch.equal(getattr(own, name), getattr(whole, name)), name
    assert [(g.start, g.stop, g.first, g.last, g.width) for g in own.groups] == [
        (g.start, g.stop, g.first, g.last, g.width) for g in whole.groups
    ]
    assert own.count("same") == ROWS["same"]


def test_gradients_of_a_step_are_widened_to_the_words_of_the_whole() -> None:
    chosen = settings(lam=0.0)
    state = phase_state(chosen)
    (whole,), parts = parts_of(chosen, 1), parts_of(chosen, 2)
    expected = gradients_of(state, whole)
    vocabulary = whole.batches[0].batch.vocabulary
    sums: list[Tensor] = []
    for part in parts:
        single = phase_state(chosen)
        single.updater.differentiate(part.batches[0])
        found = single.updater.gradients.widened(vocabulary)
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    state.updater.gradients.replace(sums, vocabulary)
    state.updater.gradients.finish(state.updater.gradients.norm(), 0.0)
    for name, p in state.named:
        assert p.grad is not None
        assert_close(p.grad, expected[name], rtol=1e-7, atol=1e-12)
