"""`--compile`: the layers' feed-forward part through torch.compile, for any number of rows.

Only this part: attention works group by group and dropout draws from generators of its own, and either would
break the graph. Numbers agree with the uncompiled layers to rounding.
"""

from __future__ import annotations

import torch

from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.layer import Layer
from smartcli.errors import UserError

WARM_UP_ROWS = 256


def compile_layers(encoder: Encoder, *, bf16: bool, backend: str = "inductor") -> None:
    """Let every layer use one compiled function, compiled here; UserError where torch.compile does not work.

    It is compiled on rows of a fixed number before training, so that neither the first batch nor a resumed
    run's decides what the kernels look like.
    """
    # SMART's ascent in bf16 goes back through the clean pass's graph before the training does.
    torch._functorch.config.donated_buffer = False
    layers = [layer for layer in encoder.layers if isinstance(layer, Layer)]
    compiled = torch.compile(layers[0].plain_feed, dynamic=True, backend=backend)
    device = encoder.words.weight.device
    weights = layers[0].feed_weights()
    x = torch.ones(WARM_UP_ROWS, encoder.spec.hidden_size, device=device, requires_grad=True)
    try:
        # The ascent runs in fp32 beside bf16 training.
        for half in {bf16, False}:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                out = compiled(x, *weights, layers[0].act)
            torch.autograd.grad(out.sum(), [x, *(w for w in weights if w is not None and w.requires_grad)])
    except Exception as error:
        raise UserError(
            f"--compile: torch.compile does not work here ({_reason(error)}); "
            "leave the option out, or install what it needs (on a CPU a C++ compiler such as g++)"
        ) from error
    for layer in layers:
        layer.feed = compiled


def _reason(error: Exception) -> str:
    """Return the compiler's own message; torch puts a line "backend='…' raised:" above it."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
