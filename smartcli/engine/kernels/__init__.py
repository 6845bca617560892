"""Triton kernels for what a GPU would otherwise do in many small launches; each has a form in plain torch beside it.

- norm_rows: dropout, residual sum and LayerNorm of a row at once, with both derivatives
- attention_tiles: attention of one sentence and head at once, straight from packed rows, with both derivatives

Triton comes with torch's builds for GPUs. Where it is missing, on a CPU and on GPUs before Ampere, the plain form runs.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


@cache
def _usable_on(device: torch.device) -> bool:
    if find_spec("triton") is None or os.environ.get("SMART_KERNELS") == "off":
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def usable(x: Tensor) -> bool:
    """Return whether the kernels run where `x` is."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return find_spec("triton") is not None
    return x.is_cuda and _usable_on(x.device)
