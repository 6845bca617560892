"""From settings to a registered checkpoint: what is trained, what is written, and what an error leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file
from saved_rows import save_rows
from training import (
    DEV,
    TASKS,
    Shop,
    assert_same_training,
    log_of,
    rows_of,
    save_small,
    weights,
)

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task, TaskTable


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(shop: Shop) -> None:
    for name, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        shop.train(name, seed=seed, **{"lambda": "1"})
    one, two, three = (shop.open_checkpoint(name) for name in ("one", "two", "three"))
    assert_same_training(one, two)
    for file in ("model.safetensors", "heads.safetensors"):
        assert one.read(file) != three.read(file)
    assert one.read("config.json") == (shop.encoder / "config.json").read_bytes()


def test_a_penalty_changes_the_weights_and_lambda_0_has_none(shop: Shop) -> None:
    shop.train("plain")
    assert all(event["r_s"] == {} for event in shop.of_kind("step"))
    shop.train("smart", **{"lambda": "sts=3"})
    assert all(set(event["r_s"]) == {"sst", "qqp", "sts"} for event in shop.of_kind("step"))
    plain, smart = (weights(shop.open_checkpoint(name)) for name in ("plain", "smart"))
    assert any(not torch.equal(plain[name], smart[name]) for name in plain)


def test_a_sequential_run_equals_single_task_runs_chained_by_init(shop: Shop) -> None:
    options = {"lambda": "1", "mu": "1", "epochs": "2", "dropout": "0.2", "lr_schedule": "linear", "warmup": "0.2"}
    shop.train("sequential", schedule="sequential", **options)
    devs = shop.of_kind("dev")
    assert [event["phase"] for event in devs] == ["qqp", "qqp", "sts", "sts", "sst", "sst"]
    shop.train("first", tasks="qqp", **options)
    shop.train("second", tasks="sts", init="first", **options)
    shop.train("third", tasks="sst", init="second", **options)
    whole, chained = shop.open_checkpoint("sequential"), shop.open_checkpoint("third")
    for file in ("model.safetensors", "heads.safetensors", "predictions-dev.csv"):
        assert whole.read(file) == chained.read(file), file
    assert whole.meta.metrics == chained.meta.metrics
    assert set(load(chained.read("heads.safetensors"))) == {
        f"{task}.{part}" for task in TASKS.names for part in ("weight", "bias")
    }
    assert chained.meta.lineage.init.name == "second"
    assert chained.meta.method == "concat simultaneous smart bregman init"
    assert whole.meta.method == "concat sequential smart bregman"


def test_a_frozen_encoder_stays_and_the_heads_are_trained(shop: Shop) -> None:
    shop.train("frozen", freeze_encoder=True, **{"lambda": "1", "mu": "1"})
    checkpoint = shop.open_checkpoint("frozen")
    source = load_file(shop.encoder / "model.safetensors")
    found = load(checkpoint.read("model.safetensors"))
    assert set(found) == set(source)
    assert all(torch.equal(found[name], source[name]) for name in source)
    shop.train("shorter", freeze_encoder=True, max_steps="1", **{"lambda": "1", "mu": "1"})
    assert checkpoint.read("heads.safetensors") != shop.open_checkpoint("shorter").read("heads.safetensors")


def test_init_brings_encoder_and_heads_and_starts_missing_heads_afresh(shop: Shop) -> None:
    shop.train("pre", command="pretrain-qqp", lr="1e-2")
    assert shop.open_checkpoint("pre").meta.kind == "pretrain-qqp"
    shop.train("next", init="pre", lr="1e-12", max_steps="1")
    before, after = (weights(shop.open_checkpoint(name)) for name in ("pre", "next"))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-9, rtol=0)
    assert {"sst.weight", "sts.weight"} <= set(after) - set(before)
    with pytest.raises(UserError, match="--pair-mode is cosine, but --init pre brings concat"):
        shop.train("other", init="pre", pair_mode="cosine")


def test_rows_keeps_the_same_rows_for_every_seed_and_dev_whole(shop: Shop) -> None:
    sizes = set()
    for seed in ("0", "1"):
        shop.train(None, rows="4", seed=seed, batch_size="1", epochs="1", freeze_encoder=True)
        (dev,) = shop.of_kind("dev")
        assert dev["sst"]["n"] == DEV
        sizes.add((dev["train"]["sst"]["n"], dev["step"], shop.events[-1]["examples"]))
    assert sizes == {(4, 4, 12)}


def test_the_log_holds_start_steps_dev_and_end(shop: Shop) -> None:
    save_small(shop.home, "long", train={"sst": 24, "qqp": 5, "sts": 60})
    shop.train("mine", data="long", epochs="1", batch_size="1", **{"lambda": "qqp=2", "mu": "0"})
    log = log_of(shop.open_checkpoint("mine"))
    assert [event["event"] for event in log] == ["start", "step", "step", "step", "step", "dev", "end"]
    start, *_, dev, end = log
    assert start["settings"]["lr"] == 1e-3
    assert (start["steps"], start["epochs"], start["precision"], start["precision_reason"]) == (
        24,
        1,
        "fp32",
        "asked for",
    )
    steps = [event for event in log if event["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 10, 20, 24]
    for event in steps:
        assert {"step", "epoch", "seconds", "examples", "tokens", "lr", "loss", "r_s", "grad_norm"} <= set(event)
        assert event["examples"] == 3 * event["step"]
        assert set(event["loss"]) == {"sst", "qqp", "sts"}
    for key in ("seconds", "examples", "tokens"):
        counted = [event[key] for event in steps]
        assert counted == sorted(counted)
    assert set(dev["sst"]) == {"accuracy", "n"}
    assert set(dev["sts"]) == {"pearson", "n"}
    values = (dev["sst"]["accuracy"], dev["qqp"]["accuracy"], (dev["sts"]["pearson"] + 1) / 2)
    assert dev["overall"] == pytest.approx(sum(values) / 3, abs=1e-12)
    assert dev["train"]["sst"]["n"] == 24
    assert end["peak_memory"] > 10**7
    assert (end["step"], end["examples"], end["best_epoch"]) == (24, 72, 1)
    assert log == [event for event in shop.events if event["event"] != "step" or event["step"] in (1, 10, 20, 24)]


def test_max_steps_ends_in_the_middle_of_an_epoch_with_a_dev_score(shop: Shop) -> None:
    shop.train("mine", max_steps="4", lr_schedule="linear", warmup="0.5")
    assert [(event["epoch"], event["step"]) for event in shop.of_kind("dev")] == [(1, 3), (2, 4)]
    # Warm-up and decay count the four steps that there are: two rise, two fall.
    assert [event["lr"] for event in shop.of_kind("step")] == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4])
    assert shop.open_checkpoint("mine").meta.steps == 4


def test_overall_is_null_where_a_task_of_the_table_is_not_trained(shop: Shop) -> None:
    meta = shop.train("mine", tasks="sts,sst").meta
    assert meta.metrics["qqp"] is None
    assert meta.metrics["overall"] is None
    assert all(event["overall"] is None for event in shop.of_kind("dev"))
    assert meta.best_epoch in (1, 2)
    assert shop.of_kind("warning") == []


def test_names_are_counted_and_a_failed_start_uses_up_none(shop: Shop) -> None:
    assert shop.train(None, max_steps="1").name == "ckpt1"
    with pytest.raises(UserError):
        shop.train(None, max_length="4000")
    assert shop.train(None, max_steps="1").name == "ckpt2"
    Registry(shop.home).remove("ckpt2")
    assert shop.train(None, max_steps="1").name == "ckpt3"


def files_of(home: Home) -> dict[str, bytes]:
    """Every file of the home but the token cache, which any training may fill."""
    paths = [path for path in home.root.rglob("*") if path.is_file() and "tokens" not in path.parts]
    return {str(path.relative_to(home.root)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": "4000"}, "--max-length is 4000, but the encoder takes at most 128 tokens"),
        ({"init": "nobody"}, "nobody"),
        ({"surgery": "torchjd:Nothing"}, "torchjd|TorchJD"),
        ({"encoder": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"tasks": "sts", "pair_mode": "cosine", "freeze_encoder": True}, "head of sts has no weights"),
        (
            {"schedule": "sequential", "pair_mode": "cosine", "freeze_encoder": True},
            "head of sts has no weights",
        ),
        ({"device": "cuda"}, "--device cuda"),
        ({"name": "../x"}, "--name"),
        ({"name": "a/b"}, "--name"),
        ({"precision": "auto", "max_length": "4000"}, "--max-length"),
    ],
)
def test_a_wrong_option_is_refused_and_leaves_nothing_behind(shop: Shop, options: dict[str, Any], message: str) -> None:
    before = files_of(shop.home)
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=message):
        shop.train(options.pop("name", None), **options)
    assert files_of(shop.home) == before
    assert not shop.home.runs.exists()


def table(**kinds: str) -> TaskTable:
    made = []
    for name, kind in kinds.items():
        extra: dict[str, Any] = {"labels": ("0", "1")} if kind == "binary" else {"range": (0.0, 1e30)}
        metric = "accuracy" if kind == "binary" else "pearson"
        made.append(Task(name=name, kind=kind, text=("t",), label="l", metric=metric, **extra))  # type: ignore[arg-type]
    return TaskTable(tuple(made))


def save_own(home: Home, tasks: TaskTable, splits: dict[str, tuple[str, ...]], *, force: bool = False) -> None:
    rows = rows_of(tasks, dict.fromkeys(tasks.names, 8), 0)
    kept = {task: {split: rows[task][split] for split in splits[task]} for task in tasks.names}
    save_rows(home, "own", tasks, kept, force=force)


def test_a_task_without_train_rows_and_a_set_without_dev_rows_are_refused_at_once(shop: Shop) -> None:
    tasks = table(a="binary", b="binary")
    save_own(shop.home, tasks, {"a": ("train",), "b": ("dev",)})
    with pytest.raises(UserError, match=r'the task "b" .* has no train rows; train the others with: --tasks a'):
        shop.train("mine", data="own")
    with pytest.raises(UserError, match="has no dev rows of a"):
        shop.train("mine", data="own", tasks="a")
    save_own(shop.home, tasks, {"a": ("train",), "b": ("train", "dev")}, force=True)
    meta = shop.train("mine", data="own").meta
    assert meta.metrics["a"] is None
    assert meta.metrics["b"]["n"] == DEV
    assert any("no dev score to choose an epoch by" in event["message"] for event in shop.of_kind("warning"))
    assert meta.best_epoch == 2


def test_a_checkpoint_describes_itself(shop: Shop) -> None:
    shop.train("mine", argv=["smart", "finetune", "--name", "mine", "--encoder", "a b"], surgery="pcgrad")
    checkpoint = shop.open_checkpoint("mine")
    card = checkpoint.read("README.md").decode()
    assert card.startswith("# mine\n")
    assert "concat simultaneous surgery" in card
    assert "smart finetune --name mine --encoder 'a b'" in card
    assert checkpoint.meta.settings["surgery"] == "pcgrad"
    assert checkpoint.meta.encoder.model_type == "bert"
    assert json.loads(checkpoint.read("config.json"))["model_type"] == "bert"
    assert {"torch", "numpy", "python", "smartcli"} <= set(checkpoint.meta.versions)
    assert Registry(shop.home).verify() == []
