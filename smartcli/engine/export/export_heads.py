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
from smartcli.families.family import Classifier
from smartcli.families.weights import hf_names

SHIFTS = (12, 15, 18)
"""Powers of two by which the sentence vector is made small before tanh, or beside which it is small before a LayerNorm;
the first that is exact enough is taken."""
TOLERANCE = 1e-6
"""Largest difference in any output on the probe, relative to the largest output (or 1)."""
PROBES = 16
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": F.relu, "gelu": F.gelu, "linear": lambda x: x,
}  # fmt: skip

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


def through_norm(head: nn.Linear, shift: int, eps: float) -> Layers:
    """Return layers for a LayerNorm without an activation before it: rows w and −w, and for the others ±2^shift.

    The mean is 0, and the deviation that of the constant rows up to Σ (w·x)² · 2^(−2·shift) over their number. Takes
    2 · C of the D rows, and two or more constant ones.
    """
    outputs, width = head.out_features, head.in_features
    weight = head.weight.data
    dense, bias, last = weight.new_zeros(width, width), weight.new_zeros(width), weight.new_zeros(outputs, width)
    dense[:outputs], dense[outputs : 2 * outputs] = weight, -weight
    constant = (width - 2 * outputs) // 2
    bias[2 * outputs :][:constant], bias[2 * outputs :][constant : 2 * constant] = 2.0**shift, -(2.0**shift)
    deviation = (2.0 * constant * 4.0**shift / width + eps) ** 0.5
    rows = torch.arange(outputs)
    last[rows, rows], last[rows, rows + outputs] = deviation / 2.0, -deviation / 2.0
    return dense, bias, last, head.bias.data


def rows_needed(classifier: Classifier, outputs: int) -> int:
    """Return how wide an encoder must be for its classifier to hold a head of so many outputs exactly."""
    if classifier.activation == "tanh":
        return 1
    return 2 * outputs + (2 if classifier.norm is not None else 0)


@torch.no_grad()
def head_layers(model: MultiTaskModel, task: str) -> tuple[Layers, float]:
    """Return the layers of `task`'s classifier, and the largest difference in its outputs on random sentences.

    ValueError where no layers are exact enough; the caller has refused what cannot be written at all.
    """
    head = model.head(task).linear
    assert head is not None
    vectors, place = probe_vectors(model), model.encoder.spec.family.classifier
    wanted = head(model_output(model, vectors))
    error = float("inf")
    for layers in _candidates(model, head):
        dense, dense_bias, last, last_bias = layers
        active = ACTIVATIONS[place.activation](F.linear(vectors, dense, dense_bias))
        if place.norm is not None:
            active = F.layer_norm(active, [active.shape[1]], eps=model.encoder.spec.layer_norm_eps)
        found = F.linear(active, last, last_bias)
        error = float((found - wanted).abs().max())
        if error <= TOLERANCE * max(1.0, float(wanted.abs().max())):
            return layers, error
    raise ValueError(f"its outputs would differ by {error:.1e}")


def _candidates(model: MultiTaskModel, head: nn.Linear) -> Iterator[Layers]:
    place = model.encoder.spec.family.classifier
    if model.pooling == "pooler":
        yield through_pooler(model, head)
    elif place.norm is not None:
        yield from (through_norm(head, shift, model.encoder.spec.layer_norm_eps) for shift in SHIFTS)
    elif place.activation == "tanh":
        yield from (through_tanh(head, shift) for shift in SHIFTS)
    else:
        yield through_difference(head)


def model_output(model: MultiTaskModel, vectors: Tensor) -> Tensor:
    """Return what the head reads, from sentence vectors (n, D) before a pooler."""
    pooler = model.encoder.pooler
    if model.pooling != "pooler":
        return vectors
    assert pooler is not None
    return torch.tanh(pooler(vectors))


def probe_vectors(model: MultiTaskModel) -> Tensor:
    """Return the sentence vectors of a few sentences of random ids, before a pooler, (n, D)."""
    spec = model.encoder.spec
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, min(32, spec.max_tokens) + 1, PROBES)
    ids = draw.integers(0, spec.vocab_size, int(lengths.sum()))
    batch = pack({"probe": [Sequences(ids, np.zeros_like(ids), lengths, 0)]})
    pooling = "mean" if model.pooling == "mean" else "cls"
    out: Tensor = model.encoder(model.encoder.look_up(batch), batch, pooling=pooling)
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
    if place.norm is not None:
        tensors[f"{place.norm}.weight"] = torch.ones(spec.hidden_size)
        if spec.norm_biases:
            tensors[f"{place.norm}.bias"] = torch.zeros(spec.hidden_size)
    return save({name: tensor.cpu().clone() for name, tensor in tensors.items()}, METADATA), error
