"""The mean of weights by hand-worked numbers, and what is too far apart for one."""

from __future__ import annotations

import pytest
import torch
from small_model import settings, small_batch, small_model

from smartcli.engine.model.weight_mean import WeightSum, far_tensor, set_weights, weights_of


def test_the_mean_of_three_is_the_mean_of_each_number() -> None:
    total = WeightSum()
    for first, second in ((1.0, 0.5), (2.0, 0.25), (6.0, -1.5)):
        total = total.plus({"a": torch.tensor([first]), "b": torch.tensor([[second]])})
    assert {name: tensor.tolist() for name, tensor in total.mean().items()} == {"a": [3.0], "b": [[-0.25]]}
    assert all(tensor.dtype == torch.float32 for tensor in total.mean().values())


def test_the_sum_is_kept_in_float64_and_an_earlier_one_is_left_alone() -> None:
    one = WeightSum().plus({"a": torch.tensor([1.0])})
    two = one.plus({"a": torch.tensor([2.0**-24])}).plus({"a": torch.tensor([2.0**-24])})
    # In fp32 each of the small ones would be lost: 1 + 2**-24 rounds to 1.
    assert two.sums["a"].item() == 1 + 2.0**-23
    assert (one.count, one.mean()["a"].item()) == (1, 1.0)


def test_the_mean_of_one_model_is_its_own_bits() -> None:
    weights = weights_of(small_model(settings(), torch.float32))
    mean = WeightSum().plus(weights).mean()
    assert all(torch.equal(mean[name], tensor) for name, tensor in weights.items())


def test_a_model_given_anothers_weights_gives_its_outputs() -> None:
    one, other = (small_model(settings(seed=seed), torch.float32) for seed in (0, 1))
    batch = small_batch(settings(), torch.float32).batch
    outputs = [model(model.encoder.look_up(batch), batch) for model in (one, other)]
    assert not torch.equal(outputs[0]["mood"], outputs[1]["mood"])
    set_weights(other, weights_of(one))
    again = other(other.encoder.look_up(batch), batch)
    assert all(torch.equal(again[task], logits) for task, logits in outputs[0].items())


def test_a_turned_matrix_is_far_and_moved_biases_and_heads_are_not() -> None:
    one = weights_of(small_model(settings(), torch.float32))
    other = {name: tensor.clone() for name, tensor in one.items()}
    for name, tensor in other.items():
        if tensor.dim() < 2 or name.startswith("head "):
            tensor.neg_()
    assert far_tensor(one, other) is None
    name = "encoder.layer.1.output.dense.weight"
    other[name].neg_()
    assert far_tensor(one, other) == (name, pytest.approx(-1.0))


def test_other_names_or_shapes_are_errors_that_name_the_tensor() -> None:
    one = {"a": torch.ones(2, 2), "b": torch.ones(3)}
    with pytest.raises(ValueError, match='only one of them has "b"'):
        far_tensor(one, {"a": torch.ones(2, 2)})
    with pytest.raises(ValueError, match=r'"b" has the shapes \[3\] and \[4\]'):
        far_tensor(one, one | {"b": torch.ones(4)})
