"""A split with terms exchanged: only the rows that hold one, against predictions of the changed texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smartcli.explain.swap_lists import read_swap_list
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.workflows.explaining.swap_split import swap_split
from smartcli.workflows.scoring.panel import load_panel
from tests.explaining import make_words_data
from tests.hand_made import TASKS, make_model
from tests.tiny import make_tiny_encoder

SST, QQP, STS = TASKS


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("swaps")
    home = Home(root / "home")
    make_model(home, "ckpt1", make_words_data(home), make_tiny_encoder(root / "e"))
    return home


def test_rows_with_a_term_are_predicted_before_and_after(shop: Home) -> None:
    heard: list[tuple[int, int]] = []
    found = swap_split(
        shop, "ckpt1", SST.name, "gender", progress=lambda what, done, total: heard.append((done, total))
    )
    assert (found.rows, found.moves.moved.n) == (4, 3)
    assert found.found == {"he": 1, "she": 1, "his": 1, "man": 1, "king": 1}
    assert heard[-1] == (6, 6)
    by_id = {row.id: row for row in found.top}
    assert by_id["d2"].after == ("he sings and she dances",)
    panel = load_panel(shop, Registry(shop).open("ckpt1"))
    both = panel.label(SST, [by_id["d2"].before, by_id["d2"].after]).probabilities
    number = int(by_id["d2"].answer.prediction)
    assert by_id["d2"].change == pytest.approx(both[1, number] - both[0, number], abs=1e-6)
    sizes = [abs(row.change) for row in found.top]
    assert sizes == sorted(sizes, reverse=True)
    assert found.moves.size.value == pytest.approx(np.mean(sizes))
    assert found.still_alike is None
    assert found.planted is None


def test_the_text_of_a_pair_may_be_chosen(shop: Home) -> None:
    first = swap_split(shop, "ckpt1", STS.name, "gender", sides="first", top=9)
    second = swap_split(shop, "ckpt1", STS.name, "gender", sides="second", top=9)
    row = {row.id: row for row in first.top}["d1"]
    assert row.after == ("the man reads", "the man reads")
    assert {row.id: row.after for row in second.top}["d1"] == ("the woman reads", "the woman reads")
    assert first.moves.signed is not None


def test_facts_are_exchanged_in_the_second_text_and_pairs_are_planted(shop: Home) -> None:
    listed = read_swap_list("facts")
    assert listed.facts is not None
    for task in (QQP, STS):
        found = swap_split(shop, "ckpt1", task.name, "facts")
        assert found.sides == "second"
        assert [row.after for row in found.top] == [("Paris is big", "Beijing is old")]
        assert found.planted is not None
        assert found.planted.alike is not None
        assert found.planted.alike.n == len(listed.facts.planted)
        panel = load_panel(shop, Registry(shop).open("ckpt1"))
        rows = panel.label(task, listed.facts.planted)
        values = rows.predictions if task is STS else rows.probabilities[:, 1]
        assert found.planted.value is not None
        assert found.planted.value.value == pytest.approx(values.mean(), abs=1e-5)
        assert found.planted.alike.k == int((values >= (2.5 if task is STS else 0.5)).sum())
        assert found.still_alike is not None
        assert found.planted.paper == ("Paris is the capital of France", "Shanghai is the capital of China")


def test_facts_exchanged_in_both_texts_say_nothing_about_pairs_that_stay_alike(shop: Home) -> None:
    found = swap_split(shop, "ckpt1", QQP.name, "facts", sides="both")
    assert [row.after for row in found.top] == [("Beijing is big", "Beijing is old")]
    assert found.still_alike is None
    assert found.planted is not None


def test_facts_on_single_sentences_are_a_list_like_any_other(shop: Home) -> None:
    found = swap_split(shop, "ckpt1", SST.name, "facts")
    assert (found.moves.moved.n, found.still_alike, found.planted) == (0, None, None)
    assert found.to_json()["moved"] == {"k": 0, "n": 0, "share": None, "low": None, "high": None}


def test_a_list_that_exchanges_nothing_moves_nothing(shop: Home, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("zebra,giraffe\n")
    found = swap_split(shop, "ckpt1", STS.name, str(path))
    assert found.moves.moved.n == 0
    assert found.top == ()
    assert found.found == {}


def test_the_json_has_every_key_of_the_page_of_documentation(shop: Home) -> None:
    found = swap_split(shop, "ckpt1", QQP.name, "facts").to_json()
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text(encoding="utf-8")
    assert [key for key in found if f"`{key}`" not in page] == []
