"""Rows picked and spread: values and both derivatives."""

from __future__ import annotations

import pytest
import torch

from smartcli.engine.rows import pick, spread


@pytest.mark.parametrize("function", ["pick", "spread"])
def test_pick_and_spread_have_the_gradients_of_indexing(function: str) -> None:
    slots = torch.tensor([4, 0, 2])
    if function == "pick":
        x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t: pick(t, slots), x, check_forward_ad=True)
        assert torch.equal(pick(x, slots), x[slots])
    else:
        x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t: spread(t, slots, 6), x, check_forward_ad=True)
        assert torch.equal(spread(x, slots, 6)[slots], x)
        assert spread(x, slots, 6)[[1, 3, 5]].abs().sum() == 0
