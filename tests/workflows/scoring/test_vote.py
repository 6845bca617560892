"""An ensemble's way of voting holds wherever its members are asked again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import make_tiny_encoder

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Vote
from smartcli.voting import combine
from smartcli.workflows.api import load_model
from smartcli.workflows.scoring.ensembling import ensemble
from smartcli.workflows.scoring.prediction import label
from smartcli.workflows.scoring.sources import predictions_on, subject_of
from tests.hand_made import make_data, make_model

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("vote", ["mode", "mean"])
def test_other_rows_are_voted_on_as_the_dev_rows_were(home: Home, tmp_path: Path, vote: Vote) -> None:
    data, encoder = make_data(home), make_tiny_encoder(tmp_path / "e")
    for seed, name in enumerate(NAMES):
        make_model(home, name, data, encoder, seed=seed)
    made = ensemble(home, NAMES, name="all", vote=vote).checkpoint
    registry = Registry(home)
    subject = subject_of(home, [made])
    each = [predictions_on(home, registry, registry.open(name), subject, "test") for name in NAMES]
    expected = combine(data.tasks, each, NAMES, vote)["sts"].predictions
    other: Vote = "mean" if vote == "mode" else "mode"
    assert not np.allclose(expected, combine(data.tasks, each, NAMES, other)["sts"].predictions, atol=1e-7)
    assert predictions_on(home, registry, made, subject, "test")["sts"].predictions == pytest.approx(expected)
    rows = list(zip(*(column.to_pylist() for column in data.rows("sts", "test").texts), strict=True))
    assert label(home, made, data.tasks.get("sts"), rows).predictions == pytest.approx(expected, abs=1e-5)
    assert load_model(home, "all").predict("sts", rows) == pytest.approx(expected, abs=1e-5)
