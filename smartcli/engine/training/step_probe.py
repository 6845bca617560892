"""Which number format is faster on this GPU for this encoder: a training's own steps, timed in each."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from smartcli.config import PerTask, Settings
from smartcli.engine.distributed import ALONE
from smartcli.engine.inference.split_outputs import Reader
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.training.batches import Batcher, Split
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.recorder import recorder_for
from smartcli.engine.training.schedule import Phase, steps
from smartcli.tasks import TaskTable

DIFFERENT, ROUNDS = 2, 8
"""Batches, and how often each is timed. The first use of one is done anew and the second recorded: neither counts."""


def step_key(model: MultiTaskModel, settings: Settings) -> str:
    """Return what the verdict depends on beside the machine: the encoder's size, and whether SMART is on."""
    spec = model.encoder.spec
    smart = settings.lam.default > 0 or any(value > 0 for _, value in settings.lam.by_task)
    return f"{spec.layers} x {spec.hidden_size} x {spec.ffn_size} | {'SMART' if smart else 'plain'}"


def time_formats(
    model: MultiTaskModel,
    tasks: TaskTable,
    train: Mapping[str, Split],
    reader: Reader,
    settings: Settings,
    device: torch.device,
) -> dict[str, Any]:
    """Return milliseconds of a step in fp32 and in bf16, and their ratio (above 1: bf16 is faster); weights stay."""
    names = tasks.names
    # Surgery and the rest cost the same arithmetic twice over; what is compared is the passes.
    timed = replace(settings, surgery="none", mu=PerTask(0.0), accumulate=1)
    sizes = {name: len(train[name]) for name in names}
    batch_sizes = {name: settings.batch_size[name] for name in names}
    found = {}
    for bf16 in (False, True):
        own = copy.deepcopy(model).to(device)
        recorder = recorder_for(timed, device, ALONE)
        state = PhaseState(own, Phase(names, 1, 10**6, 10**6), timed, device, bf16, recorder=recorder)
        words = own.encoder.spec.vocab_size if recorder is not None else None
        batcher = Batcher(train, reader.template, timed, reader.max_length, device, vocabulary=words)
        batches = list(batcher.over(islice(steps(0, sizes, batch_sizes, names, 1), DIFFERENT)))
        times = []
        for _ in range(ROUNDS):
            for prepared in batches:
                start = time.perf_counter()
                state.updater.run(prepared, probe=False)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times.append(time.perf_counter() - start)
        found[bf16] = statistics.median(times[2 * len(batches) :]) * 1e3
    return {
        "fp32_ms": round(found[False], 3),
        "bf16_ms": round(found[True], 3),
        "ratio": round(found[False] / found[True], 2),
    }
