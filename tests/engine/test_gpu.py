"""On a GPU the numbers are the CPU's, and a recorded step is the step itself. `pytest -m gpu`, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import (
    NAMES,
    _template,
    gradients_of,
    moved_teacher,
    settings,
    small_model,
    small_splits,
    small_step,
    teacher_of,
)
from torch import Tensor
from training import Shop, assert_same_training, log_of, spoil

from smartcli.config import PerTask
from smartcli.engine.terms import ascent
from smartcli.engine.terms.base import TrainingBatch
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.fixed_step import FixedUpdater
from smartcli.engine.training.outcome import Outcome
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import CudaGraphs, EachTime
from smartcli.engine.training.schedule import Phase, Step
from smartcli.errors import SmartCliError
from smartcli.home import Home

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CPU, DEVICE = torch.device("cpu"), torch.device("cuda")
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": 0.0},
    "smart": {"lam": 1.0},
    "smart, two steps": {"lam": 1.0, "ascent_steps": 2},
    "smart on one task": {"lam": PerTask(0.0, (("near", 2.0),))},
    "mtdnn": {"lam": 1.0, "smart_variant": "mtdnn"},
    "bregman": {"lam": 0.0, "mu": 1.0},
    "fgm": {"lam": 0.0, "fgm": 0.1},
    "surgery": {"lam": 1.0, "surgery": "pcgrad"},
}


@pytest.fixture
def noise_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same δ₀ on both devices, whose generators differ."""

    def noise(like: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        wave = torch.sin(torch.arange(1.0, like.shape[1] + 1, dtype=torch.float64))
        return (sigma * wave).to(like).expand(like.shape)

    monkeypatch.setattr(ascent, "start_noise", noise)


def on_device(given: TrainingBatch, device: torch.device) -> TrainingBatch:
    batch = given.batch.to(device)
    subs = {t: s.to(device, batch=batch if s.batch is given.batch else None) for t, s in given.of_term.items()}
    return TrainingBatch(batch, {task: labels.to(device) for task, labels in given.labels.items()}, subs)


def gradients_on(
    device: torch.device,
    method: dict[str, Any],
    *,
    bf16: bool = False,
    model_type: str,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    chosen = settings(dropout=0.0, attention_dropout=0.0, **method)
    model = small_model(chosen, dtype, model_type=model_type).to(device)
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, device, bf16)
    if teacher_of(state.updater.objective) is not None:
        moved_teacher(state.updater.objective)
    step = small_step(chosen, dtype, model_type=model_type)
    step = replace(step, batches=tuple(on_device(given, device) for given in step.batches))
    found = gradients_of(state, step)
    return torch.cat([found[name].double().cpu().flatten() for name in sorted(found)])


@pytest.mark.usefixtures("noise_by_value")
@pytest.mark.parametrize("model_type", ["bert", "mpnet", "modernbert", "deberta-v2", "deberta-v2, convolution"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-4), (True, 2e-2)])
def test_gradients_are_the_cpus(method: str, model_type: str, bf16: bool, tolerance: float) -> None:
    expected = gradients_on(CPU, METHODS[method], model_type=model_type)
    found = gradients_on(DEVICE, METHODS[method], bf16=bf16, model_type=model_type)
    allowed = tolerance * expected.norm()
    if method == "mtdnn":
        # Its ascent subtracts two outputs that are close, so that fp32 itself is far from float64 on either device:
        # 2e-4 of the norm on BERT, 4e-4 on MPNet.
        exact = gradients_on(CPU, METHODS[method], model_type=model_type, dtype=torch.float64)
        allowed += 2 * (expected - exact).norm()
    assert (found - expected).norm() <= allowed


def trained(
    method: dict[str, Any], graphs: bool, *, bf16: bool, model_type: str = "bert", count: int = 12
) -> tuple[list[Outcome], PhaseState]:
    """Twelve steps over two batches with dropout: the first use of each is done, the second recorded, then replayed."""
    chosen = settings(batch_size=PerTask(4), lr=1e-3, clip_norm=1.0, **method)
    model = small_model(chosen, torch.float32, model_type=model_type).to(DEVICE)
    make: Callable[[Any], Any] = (lambda g: CudaGraphs(DEVICE, g)) if graphs else (lambda g: EachTime())
    state = PhaseState(model, Phase(NAMES, 1, count, count), chosen, DEVICE, bf16, recorder=make)
    words = len(model.encoder.words.weight)
    batcher = Batcher(small_splits(), _template(model_type), chosen, 64, DEVICE, vocabulary=words)
    out = []
    for number in range(1, count + 1):
        rows = np.arange(4) + 5 * (number % 2)
        step = Step(number, 1, dict.fromkeys(NAMES, rows[: 2 if number % 2 else 4]), False)
        out.append(state.updater.run(batcher(step), probe=number % 5 == 0))
    return out, state


@pytest.mark.parametrize("model_type", ["bert", "mpnet", "modernbert", "deberta-v2", "deberta-v2, convolution"])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_recorded_steps_are_those_done_one_by_one(method: str, bf16: bool, model_type: str) -> None:
    (one, first), (other, second) = (
        trained(METHODS[method], graphs, bf16=bf16, model_type=model_type) for graphs in (False, True)
    )
    assert isinstance(second.updater, FixedUpdater)
    assert second.updater.recorder.problem is None
    assert len(second.updater.recorder) >= 2  # type: ignore[arg-type]
    for found, expected in zip(other, one, strict=True):
        assert found == expected
    for (name, ours), (_, theirs) in zip(second.named, first.named, strict=True):
        assert torch.equal(ours, theirs), name


OPTIONS = {"lambda": "1", "mu": "1", "clip_norm": "1", "device": "cuda"}


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"precision": "bf16"}, {"cuda_graphs": "off"}])
def test_a_training_that_is_stopped_within_an_epoch_and_resumed_has_the_same_bits(
    home: Home, tmp_path: Path, more: dict[str, str]
) -> None:
    shop = Shop.open(home, tmp_path)
    options = OPTIONS | {"epochs": "4"} | more
    shop.train("whole", **options)
    for at in (1, 4, 8):
        shop.stopped("parts", stop=at, resume="auto", **options)
    shop.train("parts", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))
    assert shop.open_checkpoint("whole").meta.machine["device"] == torch.cuda.get_device_name()


def test_graphs_or_not_an_epochs_losses_are_the_same(home: Home, tmp_path: Path) -> None:
    shop = Shop.open(home, tmp_path)
    losses = []
    for graphs in ("auto", "off"):
        shop.train(f"graphs-{graphs}", **OPTIONS, epochs="4", cuda_graphs=graphs)
        losses.append([e["loss"] for e in log_of(shop.open_checkpoint(f"graphs-{graphs}")) if e["event"] == "step"])
    assert losses[0] == losses[1]


MEANS: dict[str, dict[str, str]] = {
    "mean pooling": {"pooling": "mean"},
    "averaged weights": {"ema": "0.9"},
    "layer-wise learning rates": {"layer_decay": "0.8"},
    "R-Drop": {"rdrop": "1"},
    "multi-sample dropout": {"dropout_samples": "4"},
    "label smoothing": {"label_smoothing": "0.1"},
    "ordinal targets": {"ordinal": "sst=2"},
    "unit range": {"regression_loss": "unit"},
    "task weights": {"task_weights": "sts=0.1"},
    "uncertainty weighting": {"balance": "uncertainty"},
    "GradNorm": {"balance": "gradnorm"},
    "sampled tasks": {"task_sampling": "sqrt"},
    "pairs exchanged": {"swap_pairs": "0.5"},
    "sizes of batches": {"batch_size": "qqp=4"},
    "accumulation": {"accumulate": "2"},
}


@pytest.mark.parametrize("means", MEANS)
def test_every_means_trains_alike_with_graphs_without_and_resumed(home: Home, tmp_path: Path, means: str) -> None:
    shop = Shop.open(home, tmp_path)
    options = {"lambda": "0", "clip_norm": "1", "device": "cuda", "epochs": "4"} | MEANS[means]
    shop.train("whole", **options)
    shop.train("graphless", **options, cuda_graphs="off")
    shop.stopped("parts", stop=5, resume="auto", **options)
    shop.train("parts", resume="auto", **options)
    whole = shop.open_checkpoint("whole")
    assert_same_training(whole, shop.open_checkpoint("parts"))
    ours, theirs = (
        [e["loss"] for e in log_of(one) if e["event"] == "step"] for one in (whole, shop.open_checkpoint("graphless"))
    )
    assert ours == theirs


@pytest.mark.parametrize("number", [1, 5])
def test_a_planted_nan_stops_with_step_task_and_rows_and_changes_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    shop = Shop.open(home, tmp_path)
    options = OPTIONS | {"epochs": "3"}
    shop.train("whole", **options)
    with monkeypatch.context() as patch:
        spoil(patch, number)
        with pytest.raises(SmartCliError, match=rf"step {number}: the loss of sts is not finite.*sts-train-"):
            shop.train("parts", **options)
    shop.train("parts", resume="parts", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "auto"])
def test_a_training_runs_to_its_end_and_is_scored(home: Home, tmp_path: Path, precision: str) -> None:
    shop = Shop.open(home, tmp_path)
    shop.train("on-gpu", device="cuda", precision=precision, epochs="1", **{"lambda": "1"})
    meta = shop.open_checkpoint("on-gpu").meta
    assert meta.machine["device"] == torch.cuda.get_device_name()
    assert meta.machine["precision"] in ((precision,) if precision != "auto" else ("fp32", "bf16"))
    assert set(meta.metrics) >= {"sst", "qqp", "sts"}
    torch.backends.cuda.matmul.allow_tf32 = False
