"""A head rewritten for transformers' classifiers gives our outputs, and says so only where it does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_model import TASKS, settings, small_model
from torch import Tensor, nn

from smartcli.engine.export.export_heads import (
    ACTIVATIONS,
    SHIFTS,
    head_layers,
    probe_vectors,
    rows_needed,
    through_difference,
    through_norm,
    through_tanh,
)
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.families.family_table import FAMILIES


@torch.no_grad()
def run(vectors: Tensor, layers: tuple[Tensor, ...], activation: str, norm: float | None = None) -> Tensor:
    """The classifier's output (n, C); `norm` is the eps of a LayerNorm in it."""
    dense, dense_bias, last, last_bias = layers
    active = ACTIVATIONS[activation](F.linear(vectors, dense, dense_bias))
    if norm is not None:
        active = F.layer_norm(active, [active.shape[1]], eps=norm)
    return F.linear(active, last, last_bias)


def linear(outputs: int, width: int) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(width, outputs).requires_grad_(False)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("outputs", [1, 8])
def test_the_difference_of_two_rows_passes_any_size_of_input(activation: str, outputs: int) -> None:
    head = linear(outputs, 16)
    for size in (1e-3, 1.0, 100.0):
        x = size * torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
        difference = (run(x, through_difference(head), activation) - head(x)).abs().max()
        assert difference <= 2e-6 * max(1.0, float(head(x).abs().max()))


@pytest.mark.parametrize("shift", SHIFTS)
def test_tanh_of_a_small_input_differs_by_its_third_power(shift: int) -> None:
    head = linear(3, 16).double()
    dense, bias, last, last_bias = (tensor.double() for tensor in through_tanh(head, shift))
    x = 12.0 * torch.ones(1, 16, dtype=torch.float64)
    found = run(x, (dense, bias, last, last_bias), "tanh")
    expected = head(x) - (head.weight.sum(dim=1) * 12.0**3 * 2.0 ** (-2 * shift) / 3.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=12.0**5 * 2.0 ** (-4 * shift) + 1e-13 * 2.0**shift)


@pytest.mark.parametrize("width", [12, 13, 64])
@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("shift", SHIFTS)
def test_beside_constants_a_layer_norm_changes_an_input_by_its_share_of_the_variance(
    shift: int, outputs: int, width: int
) -> None:
    """Each output, but for its bias, is smaller by half of Σ (w·x)² over the constant rows' sum of squares."""
    head = linear(outputs, width).double()
    x = 3.0 * torch.randn(20, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layers = tuple(tensor.double() for tensor in through_norm(head, shift, 1e-5))
    wanted = head(x) - head.bias
    constant = (width - 2 * outputs) // 2
    share = wanted.square().sum(dim=1, keepdim=True) / (constant * 4.0**shift)
    found = run(x, layers, "linear", 1e-5) - head.bias
    torch.testing.assert_close(found, wanted * (1.0 - share / 2.0), rtol=float(share.max()) ** 2, atol=1e-12)


def test_a_head_takes_two_rows_an_output_and_two_constant_ones_before_a_norm() -> None:
    places = {name: family.classifier for name, family in FAMILIES.items()}
    found = {name: rows_needed(places[name], 3) for name in ("bert", "electra", "modernbert")}
    assert found == {"bert": 1, "electra": 6, "modernbert": 8}


@pytest.mark.parametrize("model_type", list(FAMILIES))
@pytest.mark.parametrize("pooling", ["cls", "pooler"])
def test_every_types_classifier_gives_the_heads_outputs(model_type: str, pooling: str) -> None:
    if pooling == "pooler" and not FAMILIES[model_type].pooler:
        pytest.skip("the type has no pooler")
    model = small_model(settings(pooling=pooling), torch.float32, model_type=model_type)
    for task in TASKS:
        layers, error = head_layers(model, task.name)
        assert error < 2e-6
        place, eps = FAMILIES[model_type].classifier, model.encoder.spec.layer_norm_eps
        found = run(probe_vectors(model), layers, place.activation, eps if place.norm else None)
        assert found.shape[1] == (task.classes if task.kind == "classification" else 1)


def widened(model: MultiTaskModel, factor: float) -> MultiTaskModel:
    """Make the sentence vectors as large as outliers of real encoders, and larger."""
    last = model.encoder.layers[-1]
    last.feed_norm.weight.data.mul_(factor)  # type: ignore[union-attr, operator]
    return model


def test_larger_vectors_are_made_smaller_before_tanh() -> None:
    model = widened(small_model(settings(), torch.float32), 30.0)
    layers, error = head_layers(model, "mood")
    assert layers[0][0, 0] < 2.0 ** -SHIFTS[0]
    assert error < 1e-4


def test_vectors_too_large_for_tanh_are_refused() -> None:
    model = widened(small_model(settings(), torch.float32), 1e7)
    with pytest.raises(ValueError, match="outputs would differ by"):
        head_layers(model, "mood")


def test_the_probe_is_the_same_each_time_and_not_constant() -> None:
    model = small_model(replace(settings(), pooling="cls"), torch.float32)
    once, again = probe_vectors(model), probe_vectors(model)
    assert torch.equal(once, again)
    assert float(once.detach().std(dim=0).min()) > 0
