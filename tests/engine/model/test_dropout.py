"""Dropout masks: a function of a generator alone, recorded, replayed, and scaled by 1 / (1 − p).

p counts in steps of 2⁻¹⁶, and masks are fp32.
"""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from smartcli.engine.model.dropout import FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.streams import stream


def scale(p: float) -> float:
    """What a kept entry is multiplied by."""
    return 65536 / (65536 - round(p * 65536))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_kept_entries_are_scaled_and_the_share_kept_is_one_minus_p(p: float, dtype: torch.dtype) -> None:
    x = torch.full((200, 300), 2.0, dtype=dtype)
    out = FreshDropout(stream(0, "dropout"))(x, p, "token", "here")
    kept = out != 0
    # 60,000 draws: five standard deviations of the share kept are at most .0103.
    assert abs(kept.double().mean().item() - (1 - p)) < 0.0103
    assert_close(out[kept], torch.full_like(out[kept], 2.0 * scale(p)), rtol=1e-7, atol=0)


def test_rows_and_columns_are_dropped_independently() -> None:
    kept = (FreshDropout(stream(1, "dropout"))(torch.ones(400, 400), 0.5, "token", "here") != 0).double()
    for axis in (0, 1):
        assert (kept.mean(dim=axis) - 0.5).abs().max().item() < 0.15
    neighbours = (kept[:, 1:] * kept[:, :-1]).mean().item()
    assert abs(neighbours - 0.25) < 0.01


def test_masks_depend_on_the_seed_and_on_no_other_draw_or_thread() -> None:
    x = torch.ones(301, 97)

    def draw(seed: int) -> list[torch.Tensor]:
        dropout = FreshDropout(stream(seed, "dropout"))
        return [dropout(x, 0.3, "token", place) for place in ("a", "b")]

    first = draw(0)
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(5)
    torch.randn(7)
    again = draw(0)
    torch.set_num_threads(2)
    threaded = draw(0)
    for a, b, c in zip(first, again, threaded, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    assert not torch.equal(first[0], draw(1)[0])


def test_drawing_leaves_torchs_own_generator_alone() -> None:
    before = torch.random.get_rng_state()
    FreshDropout(stream(0, "dropout"))(torch.ones(10, 10), 0.5, "token", "here")
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_draw_at_rate_zero() -> None:
    generator = stream(0, "dropout")
    before = generator.get_state()
    x = torch.ones(4)
    assert FreshDropout(generator)(x, 0.0, "token", "here") is x
    assert torch.equal(before, generator.get_state())
    assert no_dropout(x, 0.5, "token", "here") is x


def test_the_gradient_goes_through_kept_entries_alone() -> None:
    x = torch.randn(20, 30, dtype=torch.float64, requires_grad=True)
    out = FreshDropout(stream(0, "dropout"))(x, 0.25, "token", "here")
    out.sum().backward()
    assert x.grad is not None
    assert_close(x.grad, (out != 0).double() * scale(0.25), rtol=1e-7, atol=0)


def test_recording_changes_no_number() -> None:
    x = torch.randn(20, 30)
    plain = FreshDropout(stream(0, "dropout"))(x, 0.25, "token", "here")
    assert torch.equal(plain, FreshDropout(stream(0, "dropout"), record=True)(x, 0.25, "token", "here"))


def test_a_replay_drops_the_same_entries_of_the_rows_it_is_told() -> None:
    x = torch.randn(6, 9)
    fresh = FreshDropout(stream(0, "dropout"), record=True)
    token, sentence = fresh(x, 0.5, "token", "t"), fresh(x, 0.5, "sentence", "s")
    assert fresh.masks is not None
    assert torch.equal(ReplayDropout(fresh.masks)(x, 0.5, "token", "t"), token)
    rows = torch.tensor([1, 4])
    part = ReplayDropout(fresh.masks, {"token": rows})
    assert torch.equal(part(x[rows], 0.5, "token", "t"), token[rows])
    assert torch.equal(part(x, 0.5, "sentence", "s"), sentence)
