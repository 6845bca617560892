"""Disentangled attention pair by pair in float64, its buckets against the v2 code, derivatives against differences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from smartcli.data.joining import Sequences
from smartcli.engine.model.disentangled import DisentangledAttention
from smartcli.engine.model.dropout import Dropout, FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.model.part import Part
from smartcli.engine.model.relative_table import Distances, RelativeTable, _used_rows, distance_rows
from smartcli.engine.streams import stream
from smartcli.families.spec import EncoderSpec
from smartcli.families.spec_parts import Disentangled

HEADS, D = 2, 6
LENGTHS = (3, 1, 5, 3)
PART = Disentangled(terms=("p2c", "c2p"), span=3, reach=8, buckets=False, normed=True, shared=True)
SPEC = EncoderSpec(
    model_type="deberta-v2", hidden_size=D, layers=1, heads=HEADS, ffn_size=8, vocab_size=20, positions=32,
    embedding_size=D, disentangled=PART,
)  # fmt: skip
FORMS = [(terms, shared) for terms in (("p2c", "c2p"), ("p2c",), ("c2p",)) for shared in (True, False)]


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> PackedBatch:
    """Two groups: three sentences of up to three tokens, and one of five."""
    from smartcli.engine.model import packing

    monkeypatch.setattr(packing, "split_groups", lambda lengths, most: [(0, 3), (3, len(lengths))])
    return packed(LENGTHS)


def packed(lengths: Sequence[int]) -> PackedBatch:
    ids = np.arange(sum(lengths))
    return pack({"a": [Sequences(ids, np.zeros_like(ids), np.array(lengths, np.int64), np.zeros(len(lengths), bool))]})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def made(part: Disentangled) -> tuple[RelativeTable, DisentangledAttention, tuple[Tensor, Tensor]]:
    """Table and attention with drawn weights, and those of query, key and value."""
    spec = dataclasses.replace(SPEC, disentangled=part)
    table = RelativeTable(spec, part, torch.nn.Embedding(2 * part.span, D)).double()
    attention = DisentangledAttention(spec, part).double()
    for number, parameter in enumerate([*table.parameters(), *attention.parameters()]):
        parameter.data = drawn(*parameter.shape, seed=10 + number).detach()
    return table, attention, (drawn(3 * D, D, seed=3), drawn(3 * D, seed=4))


def by_pair(x: Tensor, batch: PackedBatch, part: Disentangled, rows: Tensor, projections: dict[str, Tensor]) -> Tensor:
    """The formula for one pair of tokens after the other; `rows` is the table after its norm."""
    out, d = [], D // HEADS
    for start, length in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True):
        q, k, v = (one.view(length, HEADS, d) for one in x[start : start + length].chunk(3, dim=1))
        for i in range(length):
            for head in range(HEADS):
                scores = []
                for j in range(length):
                    at = int(distance_rows(torch.tensor(i - j), part))
                    score = q[i, head] @ k[j, head]
                    if "c2p" in part.terms:
                        score = score + q[i, head] @ projections["c2p"][at].view(HEADS, d)[head]
                    if "p2c" in part.terms:
                        score = score + projections["p2c"][at].view(HEADS, d)[head] @ k[j, head]
                    scores.append(score / math.sqrt(d * (1 + len(part.terms))))
                out.append(torch.softmax(torch.stack(scores), dim=0) @ v[:, head])
    return torch.stack(out).view(-1, D)


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize(("terms", "shared"), FORMS)
@pytest.mark.parametrize("buckets", [False, True])
def test_it_is_the_formula_pair_by_pair(
    batch: PackedBatch, terms: tuple[str, ...], shared: bool, buckets: bool, first_only: bool
) -> None:
    part = dataclasses.replace(PART, terms=terms, shared=shared, buckets=buckets)
    table, attention, contents = made(part)
    assert table.norm is not None
    if shared:
        weights = {"p2c": (contents[0][:D], contents[1][:D]), "c2p": (contents[0][D : 2 * D], contents[1][D : 2 * D])}
    else:
        assert attention.project is not None
        own = zip(attention.project.weight.split(D), attention.project.bias.split(D), strict=True)
        weights = dict(zip(terms, own, strict=True))
    rows = table.norm(table.rows.weight)
    projections = {term: rows @ weight.T + bias for term, (weight, bias) in weights.items()}
    x = drawn(batch.tokens, 3 * D)
    expected = by_pair(x, batch, part, rows, projections)
    given, query = x, None
    if first_only:
        given, query, expected = x[:, D:], x[batch.starts, :D], expected[batch.starts]
    found = attention(
        given, query, batch, table(batch), contents, dropout=no_dropout, p=0.0, attention_p=0.0, place="x"
    )
    assert_close(found, expected, rtol=1e-12, atol=1e-12)
    # By every weight that it reads too: the table's, its norm's, the projections'.
    wanted = [x, *table.parameters(), *(contents if shared else attention.parameters())]
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("terms", [("p2c", "c2p"), ("p2c",), ("c2p",)])
def test_its_derivatives_are_finite_differences(
    batch: PackedBatch, terms: tuple[str, ...], first_only: bool, p: float
) -> None:
    table, attention, contents = made(dataclasses.replace(PART, terms=terms))
    base = table(batch)
    dropout: Dropout = no_dropout if p == 0 else FreshDropout(stream(0, "dropout"), record=True)

    def function(x: Tensor, query: Tensor | None, rows: Tensor) -> Tensor:
        near = dataclasses.replace(base, rows=rows)
        out: Tensor = attention(x, query, batch, near, contents, dropout=dropout, p=p, attention_p=p, place="x")
        return out

    x = drawn(batch.tokens, (2 if first_only else 3) * D)
    query = drawn(batch.sentences, D, seed=2) if first_only else None
    rows = drawn(*base.rows.shape, seed=5)
    if isinstance(dropout, FreshDropout):
        function(x, query, rows)
        assert dropout.masks is not None
        dropout = ReplayDropout(dropout.masks)
    assert torch.autograd.gradcheck(function, (x, query, rows), fast_mode=True)
    still = (x, query, rows.detach())
    assert torch.autograd.gradcheck(function, still, check_forward_ad=True, check_backward_ad=False, fast_mode=True)


def test_rows_of_distances_by_hand() -> None:
    part = dataclasses.replace(PART, span=4, reach=16, buckets=True)
    # Middle 2: |distance| ≤ 2 exact; beyond, 2 + ⌈log(distance / 2) / log(15 / 2)⌉, so 3 up to 15, then clamped.
    found = distance_rows(torch.tensor([-20, -15, -3, -2, 0, 2, 3, 15, 20]), part)
    assert found.tolist() == [0, 1, 1, 2, 4, 6, 7, 7, 7]
    plain = distance_rows(torch.tensor([-9, -3, -2, 0, 2, 3]), PART)
    assert plain.tolist() == [0, 0, 1, 3, 5, 5]


@pytest.mark.parametrize(("buckets", "reach"), [(256, 512), (8, 128), (32, 20), (2, 64), (7, 50)])
def test_buckets_are_those_of_transformers(buckets: int, reach: int) -> None:
    modeling = pytest.importorskip("transformers.models.deberta_v2.modeling_deberta_v2")
    like = torch.zeros(1, 560, 1)
    theirs = modeling.build_relative_position(like, like, buckets, reach)[0]
    part = dataclasses.replace(PART, span=buckets, reach=reach, buckets=True)
    place = torch.arange(560)
    ours = distance_rows(place[:, None] - place, part)
    assert torch.equal(ours, torch.clamp(theirs + buckets, 0, 2 * buckets - 1))


@pytest.mark.parametrize(("buckets", "reach"), [(32, 40), (64, 80), (16, 16), (8, 128)])
def test_each_distance_finds_its_row_whatever_the_longest_sentence(buckets: int, reach: int) -> None:
    """Rows that are skipped may be as many as those that distances share; then none has the row of its number."""
    part = dataclasses.replace(PART, span=buckets, reach=reach, buckets=True)
    for longest in range(1, 60):
        first, last, index = _used_rows(longest, part, torch.device("cpu"))
        rows = distance_rows(torch.arange(1 - longest, longest), part)
        found = torch.arange(first, last)
        assert torch.equal(found if index is None else found[index], rows), longest


def test_a_pass_reads_no_more_of_the_table_than_its_distances() -> None:
    part = dataclasses.replace(PART, span=256, reach=512, buckets=True)
    table, _, _ = made(part)
    short, long = table(packed((4, 2))), table(packed((300,)))
    assert (len(short.rows), short.first, short.index) == (7, 253, None)
    assert len(long.rows) < 2 * 299
    assert long.index is not None
    assert long.index.shape == (2 * 300 - 1,)
    assert bool((long.index.diff() >= 0).all())

    def __init__(self) -> None:
        super().__init__(stream(0, "dropout"), record=True)


def test_a_part_and_a_shorter_sub_batch_drop_the_same_of_the_table() -> None:
    """The whole table's mask is drawn, so that neither the process nor the longest sentence matters."""
    part = dataclasses.replace(PART, span=8)
    table, _, (weight, bias) = made(part)
    long, short = table(packed((5, 2))), table(packed((2,)))
    whole = FreshDropout(stream(0, "dropout"), record=True)
    expected = long.projected(weight, bias, whole, 0.5, "x")
    assert whole.masks is not None
    again = short.projected(weight, bias, ReplayDropout(whole.masks, {"token": torch.tensor([0])}), 0.5, "x")
    assert_close(again, expected[3:6], rtol=1e-12, atol=1e-12)
    other = FreshDropout(stream(0, "dropout"), part=Part({"token": 9}, {"token": torch.tensor([1])}, torch.tensor([0])))
    assert_close(short.projected(weight, bias, other, 0.5, "x"), expected[3:6], rtol=1e-12, atol=1e-12)
    assert not torch.equal(expected, long.projected(weight, bias, no_dropout, 0.5, "x"))


def test_in_bf16_it_stays_near_and_keeps_its_type(batch: PackedBatch) -> None:
    table, attention, (weight, bias) = made(dataclasses.replace(PART, shared=False))
    x = drawn(batch.tokens, 3 * D).detach()
    named = {"dropout": no_dropout, "p": 0.0, "attention_p": 0.0, "place": "x"}
    exact = attention(x, None, batch, table(batch), (weight, bias), **named)
    half = x.bfloat16().requires_grad_(True)
    near: Distances = table.float()(batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention.float()(half, None, batch, near, (weight.float(), bias.float()), **named)
    assert found.dtype == torch.bfloat16
    assert_close(found.double(), exact, rtol=0.03, atol=0.03)
    gradients = torch.autograd.grad(found.float().square().sum(), [half, *table.parameters()])
    assert gradients[0].dtype == torch.bfloat16
    assert all(bool(torch.isfinite(one).all()) and bool(one.any()) for one in gradients)


def test_a_batch_without_sentences_has_no_vectors() -> None:
    table, attention, contents = made(PART)
    batch = packed((2,))
    none = dataclasses.replace(
        batch, groups=(), starts=batch.starts[:0], lengths=batch.lengths[:0], slots=batch.slots[:0]
    )
    named = {"dropout": no_dropout, "p": 0.0, "attention_p": 0.0, "place": "x"}
    x, query = drawn(0, 2 * D), drawn(0, D)
    found = attention(x, query, none, table(none), contents, **named)
    assert found.shape == (0, D)
