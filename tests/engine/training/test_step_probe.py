"""The timed steps of both formats: they leave the model alone, and the verdict is kept by encoder and method."""

from __future__ import annotations

import pytest
import torch
from small_model import CPU, TASKS, _template, settings, small_model, small_splits

from smartcli.config import PerTask
from smartcli.engine import device as device_module
from smartcli.engine.device import TimedSteps, choose
from smartcli.engine.inference.split_outputs import Reader
from smartcli.engine.training.step_probe import step_key, time_formats
from smartcli.home import Home


def test_both_formats_are_timed_and_the_model_stays_as_it_was() -> None:
    chosen = settings(lam=1.0, batch_size=PerTask(4))
    model = small_model(chosen, torch.float32)
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = time_formats(model, TASKS, small_splits(), Reader(_template("bert"), 64), chosen, CPU)
    assert found["fp32_ms"] > 0
    assert found["ratio"] == pytest.approx(found["fp32_ms"] / found["bf16_ms"], abs=0.01)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_the_key_names_the_encoder_and_whether_smart_is_on() -> None:
    model = small_model(settings(), torch.float32)
    assert step_key(model, settings(lam=1.0)).endswith("| SMART")
    assert step_key(model, settings(lam=0.0)).endswith("| plain")
    assert step_key(model, settings(lam=PerTask(0.0, (("near", 2.0),)))).endswith("| SMART")


@pytest.mark.parametrize(("ratio", "bf16"), [(1.5, True), (1.05, False), (0.5, False)])
def test_auto_on_a_gpu_takes_what_was_faster_and_asks_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, ratio: float, bf16: bool
) -> None:
    monkeypatch.setattr(device_module, "choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    asked: list[int] = []

    def measure() -> dict[str, float]:
        asked.append(1)
        return {"fp32_ms": 2.0 * ratio, "bf16_ms": 2.0, "ratio": ratio}

    for _ in range(2):
        found = choose(settings(precision="auto"), home, TimedSteps("2 x 32 x 64 | SMART", measure))
        assert found.bf16 == bf16
        assert "2 ms in bf16" in found.reason
    assert len(asked) == 1
    choose(settings(precision="auto"), home, TimedSteps("2 x 32 x 64 | plain", measure))
    assert len(asked) == 2
