"""A snapshot on disk: everything a phase holds comes back bit for bit, and no file is a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from small_model import phase_state, settings, small_step

from smartcli.engine.training.phase_state import PhaseState, load_model
from smartcli.engine.training.snapshot import METADATA, Position, Snapshot
from smartcli.errors import UserError


def trained(steps: int = 2) -> PhaseState:
    state = phase_state(settings(mu=1.0, lam=1.0, lr=1e-3), torch.float32)
    for number in range(1, steps + 1):
        state.updater.run(small_step(settings(mu=1.0, lam=1.0), torch.float32, number=number, seed=number), probe=True)
    state.keep_best()
    return state


def test_a_position_is_plain_json() -> None:
    position = Position(1, 2, 3, best_value=0.1 + 0.2, conflicts={"a,b": [1, -0.25, 3]}, best_epoch=4)
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position


def test_every_tensor_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = trained()
    Snapshot(Position(step=2), state.tensors()).write(tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {f"{name}.safetensors" for name in ("model", "optimizer", "streams", "teacher", "best")}
    found = Snapshot.read(tmp_path, Position(step=2).to_json())
    assert found.position == Position(step=2)
    for group, tensors in state.tensors().items():
        assert set(found.tensors[group]) == set(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(found.tensors[group][name], tensor), name
    for path in tmp_path.iterdir():
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == METADATA


def test_empty_groups_are_not_written(tmp_path: Path) -> None:
    state = phase_state(settings(lam=0.0), torch.float32)
    Snapshot(Position(), state.tensors()).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors"}


def test_a_restored_phase_takes_the_next_step_bit_for_bit(tmp_path: Path) -> None:
    state = trained()
    Snapshot(Position(step=2), state.tensors()).write(tmp_path)
    fresh = phase_state(settings(mu=1.0, lam=1.0, lr=1e-3), torch.float32)
    stored = Snapshot.read(tmp_path, Position(step=2).to_json()).tensors
    load_model(fresh.model, stored["model"])
    fresh.restore(stored)
    for one in (state, fresh):
        one.updater.run(small_step(settings(mu=1.0, lam=1.0), torch.float32, number=3, seed=3), probe=False)
    for group, tensors in state.tensors().items():
        for name, tensor in tensors.items():
            assert torch.equal(fresh.tensors()[group][name], tensor), (group, name)
    assert not torch.equal(state.best["encoder.norm.weight"], state.model_tensors()["encoder.norm.weight"])
    fresh.restore_best()
    assert torch.equal(fresh.model_tensors()["encoder.norm.weight"], state.best["encoder.norm.weight"])


def test_a_phase_restored_before_its_first_update_starts_afresh() -> None:
    state = phase_state(settings(lam=0.0), torch.float32)
    state.restore({"streams": {}})
    assert state.tensors()["optimizer"] == {}


def test_weights_saved_under_other_names_are_refused() -> None:
    state = trained()
    stored = {name.replace("qkv", "query"): tensor for name, tensor in state.model_tensors().items()}
    with pytest.raises(UserError, match=r"layers\.0\.qkv\.bias and 7 more.*another version of smart-finetune"):
        load_model(state.model, stored)
