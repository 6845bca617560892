"""The padded graph gives the packed model's outputs, in torch for all and in onnxruntime for each shape of input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_model import MODES, TASKS, settings, small_model

from smartcli.data.joining import Sequences
from smartcli.engine.export import export_onnx
from smartcli.engine.export.export_onnx import PaddedTask, input_names, onnx_bytes
from smartcli.engine.model.heads import decide
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import pack
from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES

LONGEST = 20


def sentences(model: MultiTaskModel, seed: int) -> Sequences:
    """Five sentences of 2 to 17 tokens; the second half of each has type 1 where there is one."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(2, 18, 5)
    ids = draw.integers(5, model.encoder.spec.vocab_size, int(lengths.sum()))
    types = np.concatenate([np.arange(length) * 2 // length for length in lengths])
    return Sequences(ids, types if typed(model) else np.zeros_like(types), lengths, 0)


def typed(model: MultiTaskModel) -> bool:
    return model.encoder.spec.token_types == 2


def padded(part: Sequences, *, types: bool) -> list[np.ndarray[Any, Any]]:
    width = int(part.lengths.max())
    mask = (np.arange(width) < part.lengths[:, None]).astype(np.int64)
    grids = []
    for values in (part.ids, part.types)[: 2 if types else 1]:
        grid = np.full(mask.shape, 1 if values is part.ids else 0, np.int64)
        grid[mask == 1] = values
        grids.append(grid)
    return [grids[0], mask, *grids[1:]]


def case(model: MultiTaskModel, task: str) -> tuple[list[np.ndarray[Any, Any]], torch.Tensor, int]:
    """Inputs of the graph, the packed model's logits, and the number of sides."""
    sides = 2 if TASKS.get(task).pair and model.pair_mode != "concat" else 1
    parts = [sentences(model, seed) for seed in range(sides)]
    batch = pack({task: parts})
    with torch.inference_mode():
        logits = model(model.encoder.look_up(batch), batch)[task]
    return [grid for part in parts for grid in padded(part, types=typed(model))], logits, sides


@pytest.mark.parametrize("model_type", list(FAMILIES))
@pytest.mark.parametrize("pooling", ["cls", "pooler", "mean"])
def test_padded_equals_packed(model_type: str, pooling: str) -> None:
    if pooling == "pooler" and not FAMILIES[model_type].pooler:
        pytest.skip("the type has no pooler")
    for mode in MODES:
        model = small_model(settings(pooling=pooling, pair_mode=mode), torch.float32, model_type=model_type)
        for task in TASKS:
            inputs, logits, _ = case(model, task.name)
            module = PaddedTask(model, task.name, LONGEST, types=typed(model))
            with torch.inference_mode():
                found = module(*map(torch.from_numpy, inputs))
            torch.testing.assert_close(found[0], logits, rtol=0, atol=1e-5)
            shares = decide(task, logits)[1]
            assert len(found) == (1 if shares is None else 2)


@pytest.mark.parametrize(
    ("model_type", "task", "changes"),
    [
        ("bert", "mood", {}),
        ("mpnet", "same", {"pair_mode": "cosine", "pooling": "mean"}),
        ("roberta", "near", {"pair_mode": "cosine"}),
        ("electra", "near", {"pair_mode": "separate"}),
        ("distilbert", "same", {}),
        ("modernbert", "mood", {}),
        ("modernbert", "near", {"pair_mode": "cosine", "pooling": "mean"}),
        ("deberta-v2", "mood", {}),
        ("deberta-v2", "near", {"pair_mode": "separate", "pooling": "mean"}),
    ],
)
def test_onnxruntime_gives_the_packed_models_outputs(model_type: str, task: str, changes: dict[str, Any]) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    model = small_model(settings(**changes), torch.float32, model_type=model_type)
    inputs, logits, sides = case(model, task)
    raw = onnx_bytes(model, task, sides=sides, types=typed(model), longest=LONGEST)
    session = runtime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    names = input_names(sides, types=typed(model))
    assert [each.name for each in session.get_inputs()] == names
    found = session.run(None, dict(zip(names, inputs, strict=True)))
    np.testing.assert_allclose(found[0], logits.numpy(), rtol=0, atol=1e-4)
    shares = decide(TASKS.get(task), logits)[1]
    if shares is not None:
        np.testing.assert_allclose(found[1], shares.numpy(), rtol=0, atol=1e-4)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_onnx, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'smart-finetune\[onnx\]'"):
        export_onnx.check_installed()
