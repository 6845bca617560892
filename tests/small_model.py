"""A tiny multitask model with its batches, in float64 by default, for tests of the engine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import make_tiny_encoder
from torch import Tensor

from smartcli.config import PerTask, Settings
from smartcli.data.ragged import Ragged
from smartcli.engine.model.build import build_model, start_heads
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import stream
from smartcli.engine.terms.base import Context, TrainingBatch
from smartcli.engine.terms.bregman import Bregman, Teacher
from smartcli.engine.terms.term_table import make_terms
from smartcli.engine.training.batches import Batcher, Prepared, Split
from smartcli.engine.training.objective import Objective
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.schedule import Phase, Step
from smartcli.families.spec import read_spec
from smartcli.families.template import JoinTemplate
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.tasks import Task, TaskTable

PAIR = ("first", "second")
TASKS = TaskTable(
    (
        Task(name="mood", kind="classification", text=("text",), label="label", labels=tuple("01234")),
        Task(name="same", kind="binary", text=PAIR, label="label", labels=("0", "1")),
        Task(name="near", kind="regression", text=PAIR, label="label", range=(0.0, 5.0), metric="pearson", weight=0.5),
    )
)
NAMES = TASKS.names
MODES = ("concat", "separate", "cosine")
ROWS = 24
CPU = torch.device("cpu")
_FOLDERS = tempfile.TemporaryDirectory(prefix="small-model-")


def settings(**changes: Any) -> Settings:
    """Settings with dropout .1 everywhere, on one CPU; numbers for lam and mu count for every task."""
    for key in ("lam", "mu"):
        if isinstance(changes.get(key), int | float):
            changes[key] = PerTask(float(changes[key]))
    return replace(Settings(dropout=0.1, attention_dropout=0.1, device="cpu", precision="fp32"), **changes)


VERSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "deberta-v2, convolution": (
        "deberta-v2",
        {"conv_kernel_size": 3, "conv_act": "gelu", "type_vocab_size": 2, "share_att_key": False, "embedding_size": 16},
    ),
}
"""Names that stand for a type with other keys in its config.json."""


@cache
def _folder(model_type: str) -> Path:
    kind, config = VERSIONS.get(model_type, (model_type, {}))
    return make_tiny_encoder(Path(_FOLDERS.name) / model_type, kind, **config)


@cache
def _template(model_type: str) -> JoinTemplate:
    folder = _folder(model_type)
    return SentenceTokenizer.from_folder(folder, read_spec(folder)).template


def small_model(
    chosen: Settings, dtype: torch.dtype = torch.float64, *, model_type: str = "bert", tasks: TaskTable = TASKS
) -> MultiTaskModel:
    """The tiny encoder with fresh heads; their weights are larger than a real start's, so that outputs differ."""
    folder = _folder(model_type)
    model = build_model(folder, read_spec(folder), tasks, chosen)
    start_heads(model, chosen.seed, {"near": 2.5})
    for name in tasks.names:
        linear = model.head(name).linear
        if linear is not None:
            linear.weight.data.mul_(10.0)
    return model.to(dtype)


def small_splits(seed: int = 0) -> dict[str, Split]:
    """24 rows a task of 2 to 14 words from the first few dozen, so that words repeat within a batch."""
    draw = np.random.default_rng(seed)
    out = {}
    for task in TASKS:
        sides = [
            Ragged.of([draw.integers(70, 130, draw.integers(2, 15)).astype(np.int32) for _ in range(ROWS)])
            for _ in task.text
        ]
        labels = draw.uniform(0, 5, ROWS) if task.range else draw.integers(0, task.classes, ROWS).astype(np.float64)
        out[task.name] = Split(sides, labels, lambda row, name=task.name: f"{name}{row}")
    return out


def small_step(
    chosen: Settings,
    dtype: torch.dtype = torch.float64,
    *,
    rows: Mapping[str, Sequence[int]] | None = None,
    model_type: str = "bert",
    number: int = 1,
    seed: int = 0,
) -> Prepared:
    """One step's packed examples, four rows a task unless told otherwise, with labels of `dtype`."""
    wanted = rows or {name: range(4) for name in NAMES}
    step = Step(number, 1, {task: np.array(part, np.int64) for task, part in wanted.items()}, False)
    prepared = Batcher(small_splits(seed), _template(model_type), chosen, 64, CPU)(step)
    batches = [
        replace(example, labels={task: labels.to(dtype) for task, labels in example.labels.items()})
        for example in prepared.batches
    ]
    return replace(prepared, batches=tuple(batches))


def small_batch(chosen: Settings, dtype: torch.dtype = torch.float64, **where: Any) -> TrainingBatch:
    """The one example of a step without surgery."""
    (example,) = small_step(chosen, dtype, **where).batches
    return example


def words_of(model: MultiTaskModel, example: TrainingBatch) -> Tensor:
    """Looked-up word vectors that a gradient can be taken for."""
    return model.encoder.look_up(example.batch).detach().requires_grad_(True)


def objective_of(model: MultiTaskModel, chosen: Settings, *, bf16: bool = False) -> Objective:
    """The objective of a phase of all tasks, with the terms that `chosen` turns on."""
    return Objective(model, make_terms(Context(model, chosen, NAMES, bf16)), bf16)


def teacher_of(objective: Objective) -> Teacher | None:
    """The teacher of Bregman's term; None where that is off."""
    return next((term.teacher for term in objective.terms if isinstance(term, Bregman)), None)


def phase_state(
    chosen: Settings,
    dtype: torch.dtype = torch.float64,
    *,
    tasks: Sequence[str] = NAMES,
    steps: int = 10,
    bf16: bool = False,
    model: MultiTaskModel | None = None,
) -> PhaseState:
    """Model, optimizer, streams and teacher of a phase, as training builds them."""
    module = small_model(chosen, dtype) if model is None else model
    return PhaseState(module, Phase(tuple(tasks), 1, steps, steps), chosen, CPU, bf16)


def gradients_of(state: PhaseState, prepared: Prepared) -> dict[str, Tensor]:
    """Gradients of the step's total loss by parameter name, as the optimizer would see them without clipping."""
    updater = state.updater
    if len(prepared.gradients) == 1:
        updater.differentiate(*prepared.batches)
    else:
        updater.differentiate_apart(prepared.gradients)
    updater.gradients.finish(updater.gradients.norm(), 0.0)
    named = {name: p for name, p in state.named if p.grad is not None}
    found = {name: p.grad.clone() for name, p in named.items() if p.grad is not None}
    updater.gradients.clear()
    return found


def moved_teacher(objective: Objective, size: float = 0.05) -> None:
    """Move the teacher away from the student by seeded noise, so that D is not 0."""
    teacher = teacher_of(objective)
    assert teacher is not None
    generator = stream(0, "moved teacher")
    for tensor in teacher.tensors().values():
        noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
        tensor.add_(noise.to(tensor.device), alpha=size)


def watch(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Collect what a function of the engine returns while it does its work."""
    real, found = getattr(module, name), []

    def watched(*arguments: Any, **named: Any) -> Any:
        out = real(*arguments, **named)
        found.append(out)
        return out

    monkeypatch.setattr(module, name, watched)
    return found
