"""A graph in int8: smaller, nearly the same outputs, in onnxruntime."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from training import Shop

from smartcli.engine.export import onnx_int8
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.checkpoints.export_folders import export_checkpoint

NEEDED = ("onnx", "onnxruntime")


def test_an_export_in_int8_is_smaller_and_gives_nearly_the_same(home: Home, tmp_path: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        pytest.skip("needs the extra onnx")
    import onnxruntime

    shop = Shop.open(home, tmp_path)
    shop.train("mine", max_steps="1", tasks="sst")
    out = {}
    for name, int8 in (("plain", False), ("small", True)):
        export_checkpoint(home, "mine", tmp_path / name, "onnx", int8=int8)
        path = tmp_path / name / "sst" / "model.onnx"
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        width = json.loads((tmp_path / name / "sst" / "config.json").read_text())["vocab_size"]
        ids = np.random.default_rng(0).integers(5, width, (3, 9))
        given = {one.name: np.ones_like(ids) for one in session.get_inputs()} | {"input_ids": ids}
        given |= {"token_type_ids": np.zeros_like(ids)} if "token_type_ids" in given else {}
        out[name] = (path.stat().st_size, session.run(["logits"], given)[0])
    assert out["small"][0] < 0.6 * out["plain"][0]
    assert 0 < np.abs(out["small"][1] - out["plain"][1]).max() < 0.1


def test_what_it_needs_is_said(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--int8 belongs to --format onnx"):
        export_checkpoint(home, "none", tmp_path / "out", "hf", int8=True)
    monkeypatch.setattr(onnx_int8, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--int8 needs the package onnxruntime.*smart-finetune\[onnx\]"):
        onnx_int8.check_installed()
