"""Rows picked and spread: values, and both derivatives of picking."""

from __future__ import annotations

import torch

from smartcli.engine.model.distinct_rows import pick, spread

SLOTS = torch.tensor([4, 0, 2])


def test_picking_has_the_derivatives_of_indexing() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: pick(t, SLOTS), x, check_forward_ad=True)
    assert torch.equal(pick(x, SLOTS), x[SLOTS])


def test_spread_rows_lie_among_zeros() -> None:
    x = torch.randn(3, 2)
    assert torch.equal(spread(x, SLOTS, 6)[SLOTS], x)
    assert spread(x, SLOTS, 6)[[1, 3, 5]].abs().sum() == 0
