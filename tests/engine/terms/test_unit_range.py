"""A regression's loss on the unit range: by hand, which tasks it reaches, resume, and that it stays out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_model import TASKS, objective_of, settings, small_batch, small_model, words_of
from training import Shop, assert_same_training

from smartcli.engine.streams import Streams
from smartcli.engine.terms.unit_range import unit_factor
from smartcli.errors import UserError
from smartcli.home import Home


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_the_factor_by_hand() -> None:
    assert unit_factor(TASKS.get("near")) == 1 / 25
    assert unit_factor(replace(TASKS.get("near"), range=(-1.0, 1.0))) == 1 / 4


def test_scores_count_a_25th_in_the_loss_and_after_fgms_step_and_other_tasks_as_before() -> None:
    found = []
    for choice in ("raw", "unit"):
        chosen = settings(lam=1.0, rdrop=0.5, dropout=0.0, attention_dropout=0.0, regression_loss=choice)
        model, given = small_model(chosen), small_batch(chosen)
        loss = objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p"))
        found.append({name: {t: v.item() for t, v in m.values.items()} for name, m in loss.found.items()})
    raw, unit = found
    assert unit["loss"]["near"] == pytest.approx(raw["loss"]["near"] / 25, rel=1e-12)
    # Without dropout R-Drop's second loss is the first one again.
    assert unit["rdrop"]["near"] == pytest.approx(raw["rdrop"]["near"] / 25, rel=1e-12)
    assert {t: unit["loss"][t] for t in ("mood", "same")} == {t: raw["loss"][t] for t in ("mood", "same")}
    assert unit["r_s"] == raw["r_s"]


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"pair_mode": "cosine"}])
def test_it_resumes_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", regression_loss="unit", **more)
    shop.stopped("cut", stop=3, regression_loss="unit", **more)
    shop.train("cut", resume="auto", regression_loss="unit", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", regression_loss="raw")
    shop.train("never")
    shop.train("on", regression_loss="unit")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert shop.open_checkpoint("on").read("model.safetensors") != shop.open_checkpoint("off").read("model.safetensors")


def test_a_wrong_word_is_refused(shop: Shop) -> None:
    with pytest.raises(UserError, match="--regression-loss must be one of raw, unit"):
        shop.resolve(regression_loss="units")
