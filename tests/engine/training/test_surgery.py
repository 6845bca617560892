"""Gradient surgery: hand-worked projections, TorchJD as the reference, and what `--surgery` names."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from smartcli.engine.streams import stream
from smartcli.engine.training.surgery import (
    combine_,
    conflicts,
    gram_matrix,
    pcgrad_coefficients,
    random_order,
    weighting,
)
from smartcli.errors import UserError

DOUBLE = torch.float64
matrices = st.tuples(st.integers(2, 5), st.integers(0, 2**31), st.sampled_from([1e-6, 1.0, 1e6]))


def made(n: int, seed: int, scale: float) -> Tensor:
    """n gradients of 6 numbers, some of them in conflict."""
    return torch.randn(n, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)) * scale


def project_by_hand(gradients: Tensor, orders: list[list[int]]) -> Tensor:
    """Algorithm 1 of Yu et al. on the gradients themselves."""
    out = []
    for i, order in enumerate(orders):
        g = gradients[i].clone()
        for j in order:
            inner = g @ gradients[j]
            if inner < 0:
                g = g - inner / (gradients[j] @ gradients[j]) * gradients[j]
        out.append(g)
    return torch.stack(out)


def test_a_conflicting_pair_by_hand() -> None:
    # (1, 0) and (−1, 1): the first becomes (½, ½), the second (0, 1); their sum is (½, 3/2).
    g = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=DOUBLE)
    gram = gram_matrix([[row] for row in g])
    coefficients = pcgrad_coefficients(gram, [[1], [0]])
    assert_close(coefficients, torch.tensor([[1.0, 0.5], [1.0, 1.0]], dtype=DOUBLE))
    assert_close(coefficients.sum(dim=0) @ g, torch.tensor([0.5, 1.5], dtype=DOUBLE))


def test_three_tasks_by_hand_depend_on_the_order() -> None:
    g = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]], dtype=DOUBLE)
    gram = gram_matrix([[row] for row in g])
    # g_0 against g_1 is (½, ½), then against g_2 (½, 0); against g_2 first nothing changes, then (½, ½).
    one = pcgrad_coefficients(gram, [[1, 2], [0, 2], [0, 1]])[0] @ g
    other = pcgrad_coefficients(gram, [[2, 1], [0, 2], [0, 1]])[0] @ g
    assert_close(one, torch.tensor([0.5, 0.0], dtype=DOUBLE))
    assert_close(other, torch.tensor([0.5, 0.5], dtype=DOUBLE))


@given(matrices)
@settings(max_examples=40, deadline=None)
def test_the_gram_form_is_the_algorithm_on_the_gradients(case: tuple[int, int, float]) -> None:
    g = made(*case)
    orders = random_order(len(g), stream(case[1], "surgery"))
    found = pcgrad_coefficients(gram_matrix([[row] for row in g]), orders) @ g
    assert_close(found, project_by_hand(g, orders), rtol=1e-9, atol=1e-9 * case[2])


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_agreeing_gradients_are_summed_and_two_tasks_end_opposing_neither(seed: int) -> None:
    g = made(3, seed, 1.0).abs()
    assert torch.equal(
        weighting("pcgrad")(gram_matrix([[row] for row in g]), stream(seed, "s")), torch.ones(3, dtype=DOUBLE)
    )
    pair = made(2, seed, 1.0)
    merged = weighting("pcgrad")(gram_matrix([[row] for row in pair]), stream(seed, "s")) @ pair
    assert bool((pair @ merged > -1e-12).all())


def test_a_task_without_gradient_changes_nothing_and_divides_by_nothing() -> None:
    g = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.5]], dtype=DOUBLE)
    gram = gram_matrix([[row] for row in g])
    weights = weighting("pcgrad")(gram, stream(0, "s"))
    assert bool(torch.isfinite(weights).all())
    assert conflicts(gram)[(0, 1)] == 0.0
    assert conflicts(gram)[(0, 2)] == pytest.approx(-1 / 1.25**0.5)


def test_orders_are_random_permutations_of_the_others_from_their_own_generator() -> None:
    generator = stream(0, "surgery")
    before = torch.random.get_rng_state()
    drawn = [random_order(4, generator) for _ in range(50)]
    assert torch.equal(before, torch.random.get_rng_state())
    for orders in drawn:
        assert [sorted(order) for order in orders] == [[j for j in range(4) if j != i] for i in range(4)]
    assert {tuple(orders[0]) for orders in drawn} == {(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)}
    assert random_order(4, stream(0, "surgery")) == drawn[0]


def test_gram_and_combination_go_over_all_tensors_of_a_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [[torch.randn(shape, dtype=DOUBLE, generator=generator) for shape in ((3, 4), (5,))] for _ in range(3)]
    flat = torch.stack([torch.cat([t.flatten() for t in g]) for g in gradients])
    assert_close(gram_matrix(gradients), flat @ flat.T)
    weights = torch.tensor([0.5, -2.0, 3.0], dtype=DOUBLE)
    places = [t.data_ptr() for t in gradients[0]]
    merged = combine_(gradients, weights)
    assert_close(torch.cat([t.flatten() for t in merged]), weights @ flat)
    assert [t.data_ptr() for t in merged] == places


@given(matrices)
@settings(max_examples=40, deadline=None)
def test_torchjds_pcgrad_with_the_same_orders_gives_the_same_gradient(case: tuple[int, int, float]) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="needs TorchJD (extra aggregators)")
    g = made(*case)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case[1])
        reference = aggregation.PCGrad()(g)
        torch.manual_seed(case[1])
        orders = [[j for j in torch.randperm(len(g)).tolist() if j != i] for i in range(len(g))]
    coefficients = pcgrad_coefficients(gram_matrix([[row] for row in g]), orders)
    assert_close(coefficients.sum(dim=0) @ g, reference, rtol=1e-10, atol=1e-10 * case[2])


@pytest.mark.parametrize(
    "name", ["AlignedMTL", "DualProj", "IMTLG", "MGDA", "Mean", "PCGrad", "Random", "Sum", "UPGrad"]
)
def test_torchjds_aggregators_come_by_name_and_leave_other_streams_alone(name: str) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="needs TorchJD (extra aggregators)")
    pytest.importorskip("quadprog", reason="needs quadprog (extra aggregators)")
    g = made(3, 1, 1.0)
    gram = gram_matrix([[row] for row in g])
    before = torch.random.get_rng_state()
    weights = weighting(f"torchjd:{name}")(gram, stream(0, "surgery"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(weights, weighting(f"torchjd:{name.lower()}")(gram, stream(0, "surgery")))
    if name not in ("PCGrad", "Random"):
        assert_close(weights @ g, getattr(aggregation, name)()(g), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CAGrad", "needs a value for c"),
        ("GradVac", "keeps a state"),
        ("PCD", "keeps a state"),
        ("ExcessMTL", "none of that name that works from the Gram matrix"),
        ("upgradd", 'did you mean "upgrad"'),
    ],
)
def test_aggregators_that_cannot_work_here_are_refused_with_the_known_ones(name: str, reason: str) -> None:
    pytest.importorskip("torchjd.aggregation", reason="needs TorchJD (extra aggregators)")
    with pytest.raises(UserError, match="known: alignedmtl, ") as error:
        weighting(f"torchjd:{name}")
    assert reason in str(error.value)
    assert f"--surgery torchjd:{name}" in str(error.value)


def test_without_torchjd_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchjd", None)
    with pytest.raises(UserError, match=r"smart-finetune\[aggregators\]"):
        weighting("torchjd:mgda")
