"""Predictions in int8 beside those in fp32: kept apart, compared, and refused on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from training import Shop
from typer.testing import Result

from smartcli.data.store import open_data
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.metrics import score_tasks
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.comparison import compare
from smartcli.workflows.scoring.evaluation import evaluate
from smartcli.workflows.scoring.model_outputs import LoadedModel, run_model
from smartcli.workflows.scoring.sources import predictions_on, subject_of


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    found = Shop.open(home, tmp_path)
    found.train("mine", max_steps="2")
    return found


def test_compare_sets_one_checkpoint_in_int8_against_itself(shop: Shop) -> None:
    checkpoint = shop.open_checkpoint("mine")
    subject = subject_of(shop.home, [checkpoint])
    plain, small = (
        predictions_on(shop.home, Registry(shop.home), checkpoint, subject, "dev", int8=int8) for int8 in (False, True)
    )
    assert not np.array_equal(plain["sts"].predictions, small["sts"].predictions)
    np.testing.assert_allclose(plain["sts"].predictions, small["sts"].predictions, atol=0.2)
    direct = run_model(shop.home, checkpoint, open_data(shop.home, "small"), "dev", int8=True)
    np.testing.assert_array_equal(direct["sts"].predictions, small["sts"].predictions)
    found = compare(shop.home, "mine", "mine", draws=1000, int8=True)
    assert (found.a.checkpoints, found.b.checkpoints) == (("mine",), ("mine (int8)",))
    assert not any("stands on both sides" in note for note in found.notes)
    # The stored predictions stay fp32's.
    assert checkpoint.predictions()["sts"].predictions.tolist() == plain["sts"].predictions.tolist()


def test_evaluate_scores_models_in_int8_and_says_so(shop: Shop) -> None:
    table = evaluate(shop.home, ["mine"], int8=True)
    checkpoint = shop.open_checkpoint("mine")
    small = run_model(shop.home, checkpoint, open_data(shop.home, "small"), "dev", int8=True)
    expected = {name: score.value for name, score in score_tasks(checkpoint.heads, small).items() if score}
    assert {name: score.value for name, score in table.rows[0].scores.items() if score} == expected
    assert table.remarks[-1].startswith("linear layers in int8")
    assert table.rows[0].checkpoint == "mine (int8)"
    assert "mine (int8)" in table.to_csv()
    assert not any("int8" in remark for remark in evaluate(shop.home, ["mine"]).remarks)


@pytest.mark.parametrize("command", [["evaluate"], ["serve", "mine"], ["bench-serve", "mine"], ["predict", "mine"]])
def test_a_precision_that_there_is_not_is_named(smart: Callable[..., Result], command: list[str]) -> None:
    more = ["--input", "-"] if command[0] == "predict" else []
    found = smart(*command, *more, "--precision", "int4")
    assert found.exit_code == 2
    assert '--precision must be fp32 or int8; found "int4"' in found.stderr


def test_int8_is_refused_on_a_gpu(shop: Shop) -> None:
    with pytest.raises(UserError, match="--precision int8 runs on a CPU alone"):
        LoadedModel(shop.home, shop.open_checkpoint("mine"), "cuda", int8=True)
