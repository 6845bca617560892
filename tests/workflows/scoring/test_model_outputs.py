"""A registered model gives again what its training stored, and labels rows of no data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load, save
from training import DEV, TASKS, Shop, save_small

from smartcli.data.predictions import write_predictions
from smartcli.data.store import open_data
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.model_outputs import label_rows, run_model


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pair_mode": "cosine", "pooling": "mean", "max_length": "12"},
        {"pair_mode": "separate", "pooling": "pooler", "schedule": "sequential", "epochs": "1"},
        {"tasks": "sts"},
    ],
)
def test_the_model_gives_its_stored_dev_predictions_bit_for_bit(shop: Shop, options: dict[str, str]) -> None:
    shop.train("mine", **options)
    checkpoint = shop.open_checkpoint("mine")
    data = open_data(shop.home, "small")
    found = run_model(shop.home, checkpoint, data, "dev")
    assert write_predictions(found) == checkpoint.read("predictions-dev.csv")
    for name, one in found.items():
        rows = data.rows(name, "dev")
        texts = [[rows.text(side, i) for side in range(rows.sides)] for i in range(len(rows))]
        labelled = label_rows(shop.home, checkpoint, name, texts)
        assert labelled.labels is None
        assert labelled.ids == [str(i) for i in range(DEV)]
        np.testing.assert_array_equal(labelled.predictions, one.predictions)
        if one.probabilities is not None:
            np.testing.assert_array_equal(labelled.probabilities, one.probabilities)


def test_another_data_set_is_predicted_with_its_own_rows(shop: Shop) -> None:
    shop.train("mine", max_steps="1")
    other = save_small(shop.home, "other", seed=3)
    found = run_model(shop.home, shop.open_checkpoint("mine"), other, "train")
    assert {name: len(one.ids) for name, one in found.items()} == {"sst": 10, "qqp": 7, "sts": 13}
    labels = other.rows("sst", "train").labels
    assert labels is not None
    np.testing.assert_array_equal(found["sst"].labels, labels)


def test_no_rows_are_no_predictions(shop: Shop) -> None:
    shop.train("mine", max_steps="1")
    found = label_rows(shop.home, shop.open_checkpoint("mine"), "sts", [])
    assert (found.ids, len(found.predictions)) == ([], 0)


def test_a_task_without_a_head_is_refused_by_name(shop: Shop) -> None:
    shop.train("mine", max_steps="1", tasks="sts")
    with pytest.raises(UserError, match=r'--task: there is no task "sst"; expected one of sts'):
        label_rows(shop.home, shop.open_checkpoint("mine"), "sst", [["fine"]])


def rewritten(home: Home, source: Checkpoint, name: str, heads: bytes) -> Checkpoint:
    """The same checkpoint with other heads, whole and sealed as any."""
    from smartcli.strictjson import canonical_json

    def fill(folder: Path) -> None:
        for file in ("config.json", "model.safetensors", "tokenizer.json", "predictions-dev.csv"):
            (folder / file).write_bytes(source.read(file))
        (folder / "heads.safetensors").write_bytes(heads)
        (folder / "smart.json").write_bytes(canonical_json(source.meta.to_json() | {"name": name}))

    registry = Registry(home)
    with registry.claim(name) as taken:
        return registry.commit(taken, fill)


def test_heads_that_are_nan_or_give_infinities_are_refused(shop: Shop) -> None:
    shop.train("mine", max_steps="1")
    source = shop.open_checkpoint("mine")
    heads = load(source.read("heads.safetensors"))
    data = open_data(shop.home, "small")
    for name, value, message in (
        ("nan", float("nan"), r'nan/heads\.safetensors: "sts\.weight" holds a NaN'),
        ("huge", 3e38, r'checkpoint "huge": outputs of task "sts" are not finite'),
    ):
        changed = heads | {"sts.weight": heads["sts.weight"].clone().fill_(value)}
        checkpoint = rewritten(shop.home, source, name, save(changed, {"format": "pt"}))
        with pytest.raises(SmartCliError, match=message):
            run_model(shop.home, checkpoint, data, "dev")


def test_a_model_file_altered_since_is_refused(shop: Shop) -> None:
    shop.train("mine", max_steps="1")
    path = shop.open_checkpoint("mine").folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(SmartCliError, match=r"model\.safetensors"):
        run_model(shop.home, shop.open_checkpoint("mine"), open_data(shop.home, "small"), "dev")


def test_tasks_keep_the_tables_order(shop: Shop) -> None:
    shop.train("mine", max_steps="1", tasks="sts,sst")
    assert list(run_model(shop.home, shop.open_checkpoint("mine"), open_data(shop.home, None), "dev")) == [
        name for name in TASKS.names if name != "qqp"
    ]
