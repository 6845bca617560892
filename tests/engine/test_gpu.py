"""On a GPU the numbers are the CPU's: ≤ 1e-4 in fp32, ≤ 2e-2 in bf16. `pytest -m gpu`, where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_model import NAMES, gradients_of, moved_teacher, settings, small_model, small_step, teacher_of
from torch import Tensor
from training import Shop

from smartcli.engine.terms import ascent
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.schedule import Phase
from smartcli.home import Home

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DEVICE = torch.device("cuda")
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": 0.0},
    "smart": {"lam": 1.0},
    "smart, two steps": {"lam": 1.0, "ascent_steps": 2},
    "mtdnn": {"lam": 1.0, "smart_variant": "mtdnn"},
    "bregman": {"lam": 0.0, "mu": 1.0},
    "surgery": {"lam": 1.0, "surgery": "pcgrad"},
}


@pytest.fixture(autouse=True)
def _noise_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same δ₀ on both devices, whose generators differ."""
    monkeypatch.setattr(ascent, "start_noise", lambda like, sigma, generator: sigma * torch.sin(1000 * like))


def gradients_on(device: torch.device, method: dict[str, Any], *, bf16: bool, model_type: str) -> dict[str, Tensor]:
    chosen = settings(dropout=0.0, attention_dropout=0.0, **method)
    model = small_model(chosen, torch.float32, model_type=model_type).to(device)
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, device, bf16)
    if teacher_of(state.updater.objective) is not None:
        moved_teacher(state.updater.objective)
    step = small_step(chosen, torch.float32, model_type=model_type)
    batches = tuple(
        replace(
            example,
            batch=example.batch.to(device),
            labels={task: labels.to(device) for task, labels in example.labels.items()},
            smart=None if example.smart is None else example.of_term["r_s"].to(device),
            bregman=None if example.bregman is None else example.bregman.to(device),
        )
        for example in step.batches
    )
    return {name: g.cpu() for name, g in gradients_of(state, replace(step, batches=batches)).items()}


@pytest.mark.parametrize("model_type", ["bert", "mpnet"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-4), (True, 2e-2)])
def test_gradients_are_the_cpus(method: str, model_type: str, bf16: bool, tolerance: float) -> None:
    expected = gradients_on(torch.device("cpu"), METHODS[method], bf16=False, model_type=model_type)
    found = gradients_on(DEVICE, METHODS[method], bf16=bf16, model_type=model_type)
    assert set(found) == set(expected)
    total = torch.cat([g.flatten() for g in expected.values()]).norm()
    error = torch.cat([(found[name] - expected[name]).flatten() for name in expected]).norm()
    assert error <= tolerance * total


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_runs_to_its_end_and_is_scored(home: Home, tmp_path: Path, precision: str) -> None:
    shop = Shop.open(home, tmp_path)
    shop.train("on-gpu", device=DEVICE.type, precision=precision, epochs="1", **{"lambda": "1"})
    meta = shop.open_checkpoint("on-gpu").meta
    assert meta.machine["device"] == DEVICE.type
    assert meta.machine["precision"] == precision
    assert set(meta.metrics) >= {"sst", "qqp", "sts"}
