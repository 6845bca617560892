"""A term from outside the package trains, resumes and is logged, on one process and on two."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import toy_term
from scale_out import collect, steps_of
from training import Shop, assert_same_training, log_of

from smartcli.config import PerTask, Settings
from smartcli.engine.terms.term_table import TERMS, active_tasks
from smartcli.home import Home

OPTIONS = {"lambda": "sst=1,qqp=0,sts=2", "dropout": "0.2"}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_terms_are_summed_in_the_papers_order_and_only_where_they_are_on() -> None:
    assert [term.name for term in TERMS] == ["loss", "multi_dropout", "r_s", "bregman", "fgm", "rdrop"]
    chosen = Settings(lam=PerTask(0.0, (("sts", 2.0),)), mu=PerTask(0.0))
    assert active_tasks(chosen, ("sst", "sts")) == {"loss": ("sst", "sts"), "r_s": ("sts",)}


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"schedule": "sequential", "epochs": "1"}])
def test_a_term_from_outside_trains_resumes_bit_for_bit_and_is_logged(shop: Shop, more: dict[str, str]) -> None:
    with toy_term.registered():
        shop.train("whole", **OPTIONS, **more)
        assert "on" in str(shop.stopped("cut", stop=3, **OPTIONS, **more))
        shop.train("cut", resume="auto", **OPTIONS, **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    steps = [event for event in log_of(shop.open_checkpoint("whole")) if event["event"] == "step"]
    logged = {task for event in steps for task, value in event.get("toy", {}).items() if value > 0}
    assert logged == {"sst", "sts"}
    assert any(event.get("toy_level", 0.0) >= 1.0 for event in steps)


def test_without_it_the_same_training_has_other_weights(shop: Shop) -> None:
    shop.train("without", **OPTIONS)
    with toy_term.registered():
        shop.train("with", **OPTIONS)
    one, other = (shop.open_checkpoint(name).read("model.safetensors") for name in ("without", "with"))
    assert one != other


def test_a_term_from_outside_has_one_processs_values_on_two(shop: Shop, tmp_path: Path) -> None:
    jobs = {"toy": {**OPTIONS, "max_steps": "4"}}
    with toy_term.registered():
        alone = collect(partial(shop.train, "alone", **jobs["toy"]))
    found = steps_of(2, shop, jobs, tmp_path / "steps.json", toy=True)["toy"]
    steps = [[event["toy"] for event in events if event["event"] == "step"] for events in (alone, found)]
    assert len(steps[0]) == 4
    for one, two in zip(*steps, strict=True):
        assert two == pytest.approx(one, abs=1e-5)
