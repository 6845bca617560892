"""One row explained by real models: effects by hand, planted copies, swaps, ensembles, texts of any length."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.explaining.explain_inputs import Row
from smartcli.workflows.explaining.explanation import Explanation, explain, explain_row
from smartcli.workflows.scoring.ensembling import ensemble
from smartcli.workflows.scoring.panel import Panel, load_panel
from tests.explaining import PLANTED, make_mean_encoder, make_words_data, token_values
from tests.hand_made import TASKS, make_model
from tests.tiny import make_tiny_encoder

SST, QQP, STS = TASKS


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two models of one data set, one that saw 12 train rows a task, one that reads pairs apart, an ensemble."""
    root = tmp_path_factory.mktemp("explain")
    home = Home(root / "home")
    data = make_words_data(home)
    for number, more in enumerate([{}, {}, {"rows": 12}, {"pair_mode": "separate"}]):
        encoder = make_tiny_encoder(root / f"e{number}", seed=number)
        make_model(home, f"ckpt{number + 1}", data, encoder, seed=number, **more)
    make_model(home, "mean", data, make_mean_encoder(root / "mean"), pooling="mean")
    ensemble(home, ["ckpt1", "ckpt2"], name="both")
    return home


def panel(shop: Home, name: str) -> Panel:
    return load_panel(shop, Registry(shop).open(name))


def one(shop: Home, name: str, task: Task, *texts: str, count: int = 0, **more: object) -> Explanation:
    return explain_row(shop, panel(shop, name), task, Row(texts), count=count, **more)  # type: ignore[arg-type]


def test_on_a_model_linear_in_its_tokens_effects_are_worked_out_by_hand(shop: Home) -> None:
    """The score is b + the mean of the tokens' values; left out, a word changes the sum and the count."""
    first, second = "the clever dog sings", "a dull film"
    found = one(shop, "mean", STS, first, second)
    values = token_values(shop, "mean", STS.name)
    tokens = ["[CLS]", *first.split(), "[SEP]", *second.split(), "[SEP]"]
    total, n = sum(values[token] for token in tokens), len(tokens)
    expected = [total / n - (total - values[word.text]) / (n - 1) for word in found.words]
    assert [word.text for word in found.words] == [*first.split(), *second.split()]
    np.testing.assert_allclose(found.effects, expected, atol=1e-5)
    assert {np.sign(effect) for effect in expected} == {-1, 1}


def test_for_classes_the_value_is_the_probability_of_the_class_predicted(shop: Home) -> None:
    found = one(shop, "ckpt1", SST, "a dull film")
    who = panel(shop, "ckpt1")
    rows = who.label(SST, [("a dull film",), (" dull film",), ("a  film",), ("a dull ",)])
    assert found.answer.probabilities is not None
    assert sum(found.answer.probabilities) == pytest.approx(1)
    number = int(found.answer.prediction)
    shares = rows.probabilities[:, number]
    np.testing.assert_allclose(found.effects, shares[0] - shares[1:], atol=1e-6)


def test_an_ensembles_words_and_answer_are_those_of_its_combined_members(shop: Home) -> None:
    whole, members = (
        one(shop, "both", STS, "a dog", "a cat"),
        [one(shop, m, STS, "a dog", "a cat") for m in ("ckpt1", "ckpt2")],
    )
    assert whole.answer.prediction == pytest.approx(np.median([m.answer.prediction for m in members]))
    np.testing.assert_allclose(whole.effects, np.mean([m.effects for m in members], axis=0), atol=1e-6)
    classes = one(shop, "both", SST, "a dull film")
    shares = np.mean([one(shop, m, SST, "a dull film").answer.probabilities for m in ("ckpt1", "ckpt2")], axis=0)
    np.testing.assert_allclose(classes.answer.probabilities, shares, atol=1e-6)


def test_a_text_of_one_word_is_explained_by_the_empty_text(shop: Home) -> None:
    for name in ("ckpt1", "mean", "ckpt4"):
        found = one(shop, name, STS, "film", "a film")
        assert [word.text for word in found.words] == ["film", "a", "film"]
        assert np.isfinite(found.effects).all()


@pytest.mark.parametrize("name", ["ckpt1", "ckpt3", "ckpt4", "both"])
def test_planted_copies_are_nearest(shop: Home, name: str) -> None:
    for task in TASKS:
        found = explain(shop, name, task.name, row_id="d0", count=3)
        first = found.near[0]
        assert (first.id, first.same) == ("t7", True) or name == "ckpt3"
        if name != "ckpt3":
            assert first.cosine == pytest.approx(1, abs=1e-5)
            assert found.pool.to_json()["rows"] == 30
        else:
            assert found.pool.to_json()["rows"] == 12
            assert "the 12 of 30 train rows" in found.pool.says
        assert len(found.near) == 3
        cosines = [near.cosine for near in found.near]
        assert cosines == sorted(cosines, reverse=True)


def test_a_train_row_is_not_its_own_neighbour(shop: Home) -> None:
    found = explain(shop, "ckpt1", SST.name, row_id="t7", split="train", count=30)
    assert len(found.near) == 29
    assert "t7" not in {near.id for near in found.near}
    assert found.row.label == 1.0


def test_vectors_are_computed_once_and_again_where_they_are_damaged(shop: Home) -> None:
    heard: list[str] = []

    def look() -> list[str]:
        heard.clear()
        found = explain(shop, "mean", QQP.name, row_id="d1", progress=lambda what, done, total: heard.append(what))
        return [near.id for near in found.near]

    first = look()
    assert heard
    assert "vectors of the train rows" in heard[0]
    assert look() == first
    assert not heard
    (folder,) = shop.predictions.glob("mean@*/*-qqp-train.vectors")
    (folder / "vectors.npy").write_bytes(b"x")
    assert look() == first
    assert heard


def test_without_the_data_set_all_but_the_neighbours_is_there(shop: Home, tmp_path: Path) -> None:
    home = Home(Path(shutil.copytree(shop.root, tmp_path / "copy")))
    shutil.rmtree(home.data)
    found = explain(home, "ckpt1", SST.name, text="a dull film", swaps={"dull": "great"})
    assert not found.near
    assert found.pool is None
    assert len(found.words) == 3
    assert any("no nearest training rows: the data set demo" in note for note in found.notes)
    make_words_data(home, train=20)
    changed = explain(home, "ckpt1", SST.name, text="a dull film")
    assert any("has changed since it was trained" in note for note in changed.notes)


def test_a_swap_shows_the_answer_of_the_changed_text(shop: Home) -> None:
    found = explain(shop, "ckpt1", STS.name, text="A Dull film", text2="dull", swaps={"dull": "great"}, count=0)
    assert found.swapped is not None
    assert found.swapped.texts == ("A Great film", "great")
    assert found.swapped.found == {"dull": 2}
    other = one(shop, "ckpt1", STS, "A Great film", "great")
    assert found.swapped.answer.prediction == pytest.approx(other.answer.prediction, abs=1e-5)
    assert found.swapped.change == pytest.approx(other.answer.prediction - found.answer.prediction, abs=1e-5)


def test_a_swap_of_a_term_that_does_not_occur_changes_nothing_and_says_so(shop: Home) -> None:
    found = explain(shop, "ckpt1", SST.name, text="a dull film", swaps={"taste": "preference"}, count=0)
    assert found.swapped is not None
    assert found.swapped.answer == found.answer
    assert found.swapped.change == 0
    assert found.swapped.texts == ("a dull film",)
    assert found.notes == ('"taste" does not occur in the text, so its swap changes nothing',)


def test_a_very_long_text_is_explained_by_the_words_that_are_read(shop: Home) -> None:
    text = "dull " * 50_000
    found = one(shop, "ckpt1", SST, text)
    assert 60 <= len(found.words) <= 64
    assert found.unread == 50_000 - len(found.words)
    assert any("at the end not read: the model reads 64 tokens" in note for note in found.notes)
    # What is cut off was not read: a text that ends soon after the limit gives the same.
    same = one(shop, "ckpt1", SST, "dull " * 200)
    np.testing.assert_allclose(found.effects, same.effects, atol=1e-6)


@pytest.mark.parametrize(("first", "second"), [(900, 900), (901, 900), (900, 901), (300, 900), (900, 300), (900, 5)])
def test_long_pairs_are_predicted_as_they_are_whole(shop: Home, first: int, second: int) -> None:
    """Which text is the longer one decides which gets the odd token of an odd number of them."""
    texts = ("dull film " * (first // 2) + "good " * (first % 2), "clever dog " * (second // 2) + "a " * (second % 2))
    for name in ("ckpt1", "both", "ckpt4"):
        who = panel(shop, name)
        whole = who.label(STS, [texts, (texts[0].replace("dull", "", 1), texts[1])])
        found = explain_row(shop, who, STS, Row(texts), count=0)
        assert found.answer.prediction == pytest.approx(whole.predictions[0], abs=1e-5)
        assert found.effects[0] == pytest.approx(whole.predictions[0] - whole.predictions[1], abs=1e-5)


@pytest.mark.parametrize(
    "text", ["\u202e [red]x[/red] \x1b[31m", "你好世界", "👍🏽 \u200d", "\x00\x01", "a" * 5000, "…"]
)
def test_odd_texts_are_explained(shop: Home, text: str) -> None:
    found = one(shop, "ckpt1", SST, text)
    assert np.isfinite(found.effects).all()
    json.dumps(found.to_json())


def test_the_json_has_every_key_of_the_page_of_documentation(shop: Home) -> None:
    found = explain(shop, "both", QQP.name, row_id="d0", swaps={"dog": "cat"}, count=2).to_json()
    assert found["row"] == {"data": "demo", "split": "dev", "id": "d0"}
    assert found["texts"] == [PLANTED, "a bird sings in the park"]
    assert (found["label"], found["kind"]) == (1, "binary")
    assert found["class"] == found["prediction"], "classes without names"
    assert list(found["probabilities"]) == ["0", "1"]
    assert found["words"][0].keys() == {"side", "start", "stop", "word", "effect"}
    assert found["neighbours"][0].keys() == {"id", "texts", "label", "cosine", "same_text"}
    assert found["swap"]["terms"] == [{"old": "dog", "new": "cat", "found": 1}]
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text(encoding="utf-8")
    assert [key for key in found if f"`{key}`" not in page] == []
