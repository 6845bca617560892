"""An ONNX graph with its weights in int8, by onnxruntime's own dynamic quantisation."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from smartcli.errors import UserError


def check_installed() -> None:
    """UserError where the package that quantises a graph is not installed."""
    if find_spec("onnxruntime") is None:
        raise UserError("--int8 needs the package onnxruntime; install it with: pip install 'smart-finetune[onnx]'")


def quantised(graph: bytes) -> bytes:
    """Return the graph with matrix multiplies and tables in int8, weights by output, activations by batch.

    Inputs and outputs stay as they are, and onnxruntime runs it on a CPU without further packages.
    """
    check_installed()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # It takes and gives files alone.
    with tempfile.TemporaryDirectory(prefix="smart-onnx-") as folder:
        given, made = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        given.write_bytes(graph)
        quantize_dynamic(given, made, per_channel=True, weight_type=QuantType.QInt8)
        return made.read_bytes()
