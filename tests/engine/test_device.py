"""Which device, number format and thread count are chosen, and that a stored verdict is not measured again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from small_model import settings

from smartcli.engine import device
from smartcli.engine.device import Choice, choose, choose_device, fine_penalty, machine, probe, set_threads
from smartcli.errors import UserError
from smartcli.home import Home


def stored_verdict(home: Home, ratio: float) -> None:
    key = f"{device.cpu_name()} | torch {torch.__version__} | {torch.get_num_threads()} threads"
    home.root.mkdir(parents=True, exist_ok=True)
    (home.root / "precision.json").write_text(json.dumps({key: {"ratio": ratio}}))


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processor's flags, as the test says."""
    found: list[str] = []
    monkeypatch.setattr(device, "cpu_flags", lambda: found)
    return found


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_a_format_that_was_asked_for_is_used(home: Home, asked: Any) -> None:
    found = choose(settings(precision=asked), home)
    assert (found.precision, found.reason, found.device) == (asked, "asked for", "cpu")
    assert not (home.root / "precision.json").exists()


def test_auto_is_fp32_without_bf16_instructions_and_nothing_is_measured(home: Home, flags: list[str]) -> None:
    found = choose(settings(precision="auto"), home)
    assert found.precision == "fp32"
    assert "no bf16 instructions" in found.reason
    assert not home.root.exists()


@pytest.mark.parametrize(("ratio", "chosen"), [(2.0, "bf16"), (1.25, "bf16"), (1.24, "fp32"), (0.3, "fp32")])
def test_auto_follows_the_stored_verdict(home: Home, flags: list[str], ratio: float, chosen: str) -> None:
    flags.append("avx512_bf16")
    stored_verdict(home, ratio)
    found = choose(settings(precision="auto", lam=0.0), home)
    assert found.precision == chosen
    assert f"{ratio:g} x" in found.reason


def test_the_probe_measures_once_and_stores_what_it_found(home: Home) -> None:
    first = probe(home)
    assert first["ratio"] > 0
    stored = (home.root / "precision.json").read_bytes()
    assert probe(home) == first
    assert (home.root / "precision.json").read_bytes() == stored
    assert json.loads(stored)[next(iter(json.loads(stored)))] == first


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"a": '])
def test_a_damaged_verdict_is_measured_again(home: Home, content: bytes) -> None:
    home.root.mkdir(parents=True)
    (home.root / "precision.json").write_bytes(content)
    assert probe(home)["ratio"] > 0
    assert len(json.loads((home.root / "precision.json").read_text())) == 1


@pytest.mark.parametrize(
    ("changes", "fine"),
    [
        ({"smart_dropout": "same", "lam": 1.0}, True),
        ({"smart_dropout": "off", "lam": 1.0}, True),
        ({"smart_dropout": "on", "lam": 1.0}, False),
        ({"smart_dropout": "same", "lam": 0.0}, False),
        ({"smart_dropout": "same", "lam": 1.0, "epsilon": 1e-2}, False),
        ({"smart_dropout": "same", "lam": 1.0, "smart_variant": "mtdnn"}, False),
    ],
)
def test_a_penalty_below_bf16s_rounding_is_kept_in_fp32(
    home: Home, flags: list[str], changes: dict[str, Any], fine: bool
) -> None:
    flags.append("amx_bf16")
    stored_verdict(home, 9.0)
    assert fine_penalty(settings(**changes)) == fine
    assert choose(settings(precision="auto", **changes), home).bf16 == (not fine)
    asked = choose(settings(precision="bf16", **changes), home)
    assert asked.bf16
    assert (asked.warning is not None) == fine


def test_threads_are_set_and_told() -> None:
    assert set_threads(1) == 1
    assert set_threads(None) == 1
    found = machine(Choice("cpu", False, "asked for", 1))
    assert found["threads"] == 1
    assert found["precision"] == "fp32"
    assert found["torch"] == torch.__version__


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused_by_its_flag(home: Home) -> None:
    with pytest.raises(UserError, match="--device cuda: torch finds no CUDA device"):
        choose(settings(device="cuda"), home)
    assert choose_device("auto").type == "cpu"
