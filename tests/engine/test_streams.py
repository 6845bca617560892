"""Named generators: each a function of the seed and its name, saved and restored whole."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.engine.streams import Streams, seed_of, shuffled, stream


def draw(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


@given(st.integers(0, 2**63 - 1), st.text(max_size=8), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_seed_is_63_bits_and_depends_on_every_part(seed: int, name: str, number: int) -> None:
    value = seed_of(seed, name, number)
    assert 0 <= value < 2**63
    assert value == seed_of(seed, name, number)
    assert len({value, seed_of(seed ^ 1, name, number), seed_of(seed, name + "x", number), seed_of(seed, name)}) == 4


def test_a_draw_from_one_stream_changes_no_other() -> None:
    quiet, busy = Streams(0, "a+b"), Streams(0, "a+b")
    draw(busy["noise"])
    draw(busy["anything new"])
    assert draw(quiet["dropout"]) == draw(busy["dropout"])


def test_phases_seeds_and_names_have_streams_of_their_own() -> None:
    draws = [draw(Streams(s, phase)[name]) for s in (0, 1) for phase in ("a", "b") for name in ("dropout", "noise")]
    assert len({tuple(values) for values in draws}) == len(draws)


def test_a_task_called_like_a_stream_shares_no_draws_with_it() -> None:
    assert draw(stream(0, "head", "noise")) != draw(Streams(0, "head")["noise"])


def test_restored_streams_go_on_where_they_were_and_others_start_afresh() -> None:
    first = Streams(3, "p")
    draw(first["dropout"])
    saved = first.state()
    expected = draw(first["dropout"])
    late = draw(first["noise"])
    second = Streams(3, "p")
    draw(second["noise"])
    second.restore(saved)
    assert draw(second["dropout"]) == expected
    assert draw(second["noise"]) == late


def test_an_order_is_a_permutation_that_differs_by_task_and_pass() -> None:
    orders = [shuffled(0, task, passage, 50).tolist() for task in ("a", "b") for passage in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == shuffled(0, "a", 0, 50).tolist()
