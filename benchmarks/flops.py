"""The matrix multiplies that a packed step executes, in floating-point operations, and the machine's peak."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.schedule import Step
from smartcli.families.spec import EncoderSpec


def forward_flops(batch: PackedBatch, spec: EncoderSpec) -> float:
    """Return the flops of one encoder pass with the first-token shortcut in the last layer."""
    tokens, sentences, width, wide = batch.tokens, batch.sentences, spec.hidden_size, spec.ffn_size
    area = sum(len(group) * group.width**2 for group in batch.groups)
    row = sum(len(group) * group.width for group in batch.groups)
    # A gate makes the feed-forward part's first matrix twice as high.
    feed = (6 if spec.gated else 4) * width * wide
    full = tokens * (2 * width * 4 * width + feed) + 4 * area * width
    last = tokens * 4 * width * width + sentences * (4 * width * width + feed) + 4 * row * width
    return float((spec.layers - 1) * full + last)


def step_flops(batch: PackedBatch, spec: EncoderSpec, *, smart: bool, ascent_steps: int = 1) -> float:
    """Return the flops of a step: forward and twice that backward; with SMART an ascent and a second such pass."""
    passes = 3.0 + (3.0 + 2.0 * ascent_steps if smart else 0.0)
    return passes * forward_flops(batch, spec)


def cpu_batch(batcher: Batcher, step: Step) -> PackedBatch:
    """Return the step's whole batch unpadded on the CPU, whose multiplies are counted."""
    plain = replace(
        batcher, device=torch.device("cpu"), vocabulary=None, settings=replace(batcher.settings, surgery="none")
    )
    return plain(step).batches[0].batch


def gemm_peak(dtype: torch.dtype, tokens: int, spec: EncoderSpec, device: torch.device, repeats: int = 40) -> float:
    """Return the best flops/s of the feed-forward's two matrix multiplies at this batch's size."""
    a = torch.randn(tokens, spec.hidden_size, device=device).to(dtype)
    b = torch.randn(spec.ffn_size, spec.hidden_size, device=device).to(dtype)
    work = 2.0 * tokens * spec.hidden_size * spec.ffn_size
    times = []
    # On a GPU many behind one another: one alone takes as long to ask for as to do.
    several = 50 if device.type == "cuda" else 1
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(several):
            torch.nn.functional.linear(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / several)
    return work / statistics.quantiles(times[5:], n=10)[0]
