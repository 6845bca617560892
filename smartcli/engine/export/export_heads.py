"""A task's head as transformers' sequence classifiers want it: square layer, activation, output layer.

Ours is one linear layer, so the square layer and the activation must let it through. Axes: D width, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smartcli.data.joining import Sequences
from smartcli.engine.model.build import METADATA
from smartcli.engine.model.encoder_tensors import canonical_tensors
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.model.packing import pack
from smartcli.families.weights import hf_names

SHIFTS = (12, 15, 18)
"""Powers of two by which the sentence vector is made small before tanh; the first that is exact enough is taken."""
TOLERANCE = 1e-6
"""Largest difference in any output on the probe, relative to the largest output (or 1)."""
PROBES = 16
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": F.relu, "gelu": F.gelu}

Layers = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weight (D, D) and bias (D,) of the square layer, weight (C, D) and bias (C,) of the output layer."""


def through_pooler(model: MultiTaskModel, head: nn.Linear) -> Layers:
    """Return the layers of pooling `pooler`: exact, since that is what the classifier computes."""
    assert model.encoder.pooler is not None
    return model.encoder.pooler.weight.data, model.encoder.pooler.bias.data, head.weight.data, head.bias.data


def through_tanh(head: nn.Linear, shift: int) -> Layers:
    """Return layers where tanh sees x · 2^−shift: linear there up to x³ · 2^(−2·shift) / 3."""
    width = head.in_features
    dense = torch.eye(width) * 2.0**-shift
    return dense, torch.zeros(width), head.weight.data * 2.0**shift, head.bias.data


def through_difference(head: nn.Linear) -> Layers:
    """Return layers for ReLU and GELU, for both of which f(z) − f(−z) = z: rows w and −w, and their difference.

    Exact, and takes 2 · C of the D rows.
    """
    outputs, width = head.out_features, head.in_features
    dense, last = torch.zeros(width, width), torch.zeros(outputs, width)
    dense[:outputs], dense[outputs : 2 * outputs] = head.weight.data, -head.weight.data
    rows = torch.arange(outputs)
    last[rows, rows], last[rows, rows + outputs] = 1.0, -1.0
    return dense, torch.zeros(width), last, head.bias.data


@torch.no_grad()
def head_layers(model: MultiTaskModel, task: str) -> tuple[Layers, float]:
    """Return the layers of `task`'s classifier, and the largest difference in its outputs on random sentences.

    ValueError where no layers are exact enough; the caller has refused what cannot be written at all.
    """
    head = model.head(task).linear
    assert head is not None
    vectors = probe_vectors(model)
    wanted = head(model_output(model, vectors))
    error = float("inf")
    for layers in _candidates(model, head):
        dense, dense_bias, last, last_bias = layers
        activate = ACTIVATIONS[model.encoder.spec.family.classifier.activation]
        found = F.linear(activate(F.linear(vectors, dense, dense_bias)), last, last_bias)
        error = float((found - wanted).abs().max())
        if error <= TOLERANCE * max(1.0, float(wanted.abs().max())):
            return layers, error
    raise ValueError(f"its outputs would differ by {error:.1e}")


def _candidates(model: MultiTaskModel, head: nn.Linear) -> Iterator[Layers]:
    if model.pooling == "pooler":
        yield through_pooler(model, head)
    elif model.encoder.spec.family.classifier.activation == "tanh":
        yield from (through_tanh(head, shift) for shift in SHIFTS)
    else:
        yield through_difference(head)


def model_output(model: MultiTaskModel, vectors: Tensor) -> Tensor:
    """Return what the head reads, from first tokens' vectors (n, D)."""
    pooler = model.encoder.pooler
    if model.pooling != "pooler":
        return vectors
    assert pooler is not None
    return torch.tanh(pooler(vectors))


def probe_vectors(model: MultiTaskModel) -> Tensor:
    """Return the first token's last vector of a few sentences of random ids, (n, D)."""
    spec = model.encoder.spec
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, min(32, spec.max_tokens) + 1, PROBES)
    ids = draw.integers(0, spec.vocab_size, int(lengths.sum()))
    batch = pack({"probe": [Sequences(ids, np.zeros_like(ids), lengths, 0)]})
    out: Tensor = model.encoder(model.encoder.look_up(batch), batch, pooling="cls")
    return out


def classifier_bytes(model: MultiTaskModel, task: str) -> tuple[bytes, float]:
    """Return encoder and one head as the safetensors file of the type's sequence classifier, and its error."""
    from safetensors.torch import save

    spec = model.encoder.spec
    (dense, dense_bias, last, last_bias), error = head_layers(model, task)
    own = canonical_tensors(model.encoder)
    tensors = {name: own[canonical] for canonical, name in hf_names(spec, prefix=True).items()}
    place = spec.family.classifier
    tensors |= {f"{place.dense}.weight": dense, f"{place.dense}.bias": dense_bias}
    tensors |= {f"{place.output}.weight": last, f"{place.output}.bias": last_bias}
    return save({name: tensor.cpu().clone() for name, tensor in tensors.items()}, METADATA), error
