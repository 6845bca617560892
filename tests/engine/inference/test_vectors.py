"""What a head is given: the head applied to it is the prediction, in the rows' order, however they are batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_model import NAMES, _template, settings, small_model, small_splits

from smartcli.engine.inference import vectors as module
from smartcli.engine.inference.split_outputs import Reader, predict
from smartcli.engine.inference.vectors import vector_blocks, width

READER = Reader(_template("bert"), 64)


@pytest.mark.parametrize("mode", ["concat", "separate", "cosine"])
def test_the_head_makes_the_prediction_of_them(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    model = small_model(settings(pair_mode=mode), torch.float32)
    rows = np.array([3, 20, 1, 0, 9, 15, 4, 22, 11])
    for task in NAMES:
        sides = small_splits()[task].sides
        done: list[int] = []
        blocks = list(vector_blocks(model, task, sides, READER, rows, done.append))
        assert [len(block) for block in blocks] == [7, 2]
        assert sum(done) == 9
        found = np.concatenate(blocks)
        assert found.dtype == np.float32
        assert found.shape == (9, width(model, task))
        parts = torch.from_numpy(found).split(model.encoder.spec.hidden_size, dim=-1)
        assert len(parts) == (2 if mode != "concat" and task != "mood" else 1)
        if model.tasks.get(task).kind == "regression":
            with torch.no_grad():
                made = model.head(task)(parts).numpy()
            np.testing.assert_allclose(made, predict(model, task, sides, READER, rows).predictions, atol=1e-4)


def test_vectors_that_are_not_finite_are_an_error_naming_the_task() -> None:
    model = small_model(settings(), torch.float32)
    model.encoder.norm.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match='vectors of task "mood" are not finite'):
        next(vector_blocks(model, "mood", small_splits()["mood"].sides, READER, np.arange(3)))


def test_gradients_stay_on_in_the_callers_code_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 2)
    model = small_model(settings(), torch.float32)
    for _ in vector_blocks(model, "mood", small_splits()["mood"].sides, READER, np.arange(4)):
        assert not torch.is_inference_mode_enabled()
