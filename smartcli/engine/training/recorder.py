"""Whether a training's steps have fixed shapes and are recorded as CUDA graphs, and if not, why."""

from __future__ import annotations

from collections.abc import Callable

import torch

from smartcli.config import Settings
from smartcli.engine.distributed import Processes
from smartcli.engine.terms.base import Term
from smartcli.engine.terms.term_table import TERMS
from smartcli.engine.training.replay import CudaGraphs, EachTime, Recorder

MakeRecorder = Callable[[Callable[[], list[torch.Generator]]], Recorder]
"""Makes a phase's recorder from what returns the generators that its steps draw from."""


def not_recorded(settings: Settings, device: torch.device, processes: Processes) -> str | None:
    """Return why steps cannot have fixed shapes and be recorded; None where they can."""
    if device.type != "cuda":
        return "the steps run on a CPU"
    if processes.several:
        return "several processes share each step"
    if settings.accumulate > 1:
        return f"--accumulate {settings.accumulate} sums several passes of any shape"
    if settings.surgery.startswith("torchjd:"):
        return f"--surgery {settings.surgery} solves for its weights on the CPU"
    if settings.compile:
        return "--compile makes kernels of its own"
    hosts = [term.name for term in TERMS if term.follow is not Term.follow]
    if hosts:
        return f"the term {hosts[0]} follows the weights on the CPU"
    return None


def recorder_for(settings: Settings, device: torch.device, processes: Processes) -> MakeRecorder | None:
    """Return what makes a phase's recorder; None where steps run on batches of any shape."""
    if not_recorded(settings, device, processes) is not None:
        return None
    if settings.cuda_graphs == "off":
        return lambda generators: EachTime("--cuda-graphs off")
    return lambda generators: CudaGraphs(device, generators)
