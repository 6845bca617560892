"""Linear layers in int8: worked by hand, near fp32 for every encoder type, and what refuses it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_model import settings, small_batch, small_model

from smartcli.engine.inference.int8 import Int8Weight, check_supported, to_int8
from smartcli.engine.model.dual_linear import DualLinear, dual_linear
from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES


def test_weights_are_rounded_by_output() -> None:
    weight = Int8Weight.of(torch.tensor([[127.0, -63.6, 0.4], [0.0, 0.254, -0.127], [0.0, 0.0, 0.0]]))
    assert weight.plain().tolist() == [[127, -64, 0], [0, 127, -64], [0, 0, 0]]
    assert weight.scales[:2].tolist() == pytest.approx([1.0, 0.002])


def test_a_product_by_hand() -> None:
    # 0 and the highest activation are whole steps, however many bits the kernels take.
    weight = torch.tensor([[127.0, 1.0], [-127.0, 2.0]])
    x = torch.tensor([[0.0, 255.0], [255.0, 0.0]])
    bias = torch.tensor([0.5, -1.0])
    found = F.linear(x, Int8Weight.of(weight), bias)
    expected = F.linear(x, weight, bias)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_slices_of_the_outputs_are_the_same_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(6, 8, generator=generator)
    bias, x = torch.randn(6, generator=generator), torch.randn(5, 8, generator=generator)
    weight = Int8Weight.of(plain)
    whole = dual_linear(x, weight, bias)
    assert type(whole) is torch.Tensor
    assert torch.equal(dual_linear(x, weight[2:], bias[2:]), whole[:, 2:])
    assert torch.equal(dual_linear(x, weight[:2], bias[:2]), whole[:, :2])
    assert weight[2:] is weight[2:]
    assert torch.allclose(dual_linear(x, weight, None) + bias, whole, atol=1e-5)
    assert dual_linear(x[:0], weight, bias).shape == (0, 6)
    # Rounding: half a step of the activations' range, and of each weight.
    step = (x.max() - x.min()) / 127
    most = 8 * (step / 2 * plain.abs().max() + x.abs().max() * plain.abs().max() / 254)
    assert 0 < (whole - F.linear(x, plain, bias)).abs().max() < most


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_every_encoder_type_predicts_nearly_as_in_fp32(model_type: str) -> None:
    chosen = settings()
    model = small_model(chosen, torch.float32, model_type=model_type)
    batch = small_batch(chosen, torch.float32, model_type=model_type).batch
    linear = sum(isinstance(module, DualLinear) for module in model.modules())
    with torch.inference_mode():
        expected = model(model.encoder.look_up(batch), batch)
        assert to_int8(model) == linear >= 8
        found = model(model.encoder.look_up(batch), batch)
        again = model(model.encoder.look_up(batch), batch)
    for task, logits in expected.items():
        assert 0 < (found[task] - logits).abs().max() < 0.1 * logits.abs().max().clamp_min(1.0)
        assert torch.equal(found[task], again[task])


def test_a_torch_without_the_kernels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_supported()
    monkeypatch.delattr(torch, "_make_per_channel_quantized_tensor")
    with pytest.raises(UserError, match=r"no int8 kernels for this CPU; leave the\s+option out"):
        check_supported()
