"""Layers of settings: default < encoder preset < recipe < --config < flag, and what --init brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from saved_rows import save_rows

from smartcli.config import PerTask, Settings
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import parse_task_table
from smartcli.workflows.training.settings import adopt, in_force, resolve, same_value

PAPER_TASKS = {
    "task": [
        {"name": "sst", "kind": "classification", "text": ["s"], "label": "y", "labels": ["0", "1"]},
        {"name": "qqp", "kind": "binary", "text": ["a", "b"], "label": "y"},
        {"name": "sts", "kind": "regression", "text": ["a", "b"], "label": "y", "range": [0, 5]},
    ]
}


@pytest.fixture
def data(home: Home) -> Home:
    """A home with a data set of the paper's tasks, whose encoder is `some/encoder`."""
    one = {"train": [("1", ("good film",), 1.0)], "dev": [("2", ("dull film",), 0.0)]}
    two = {"train": [("1", ("one", "two"), 1.0)], "dev": [("2", ("three", "four"), 0.0)]}
    save_rows(
        home, "small", parse_task_table(PAPER_TASKS, "t"), {"sst": one, "qqp": two, "sts": two}, encoder="some/encoder"
    )
    return home


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_layer_goes_over_the_one_before(data: Home, tmp_path: Path) -> None:
    file = config(tmp_path, "dropout = 0.25\nlr = 3e-5\n")
    resolved = resolve(data, "finetune", {"lr": "2e-5", "encoder": "minilm"}, file, "table2")
    settings, sources = resolved.settings, resolved.sources
    assert (settings.clip_norm, sources["clip_norm"]) == (1.0, "preset minilm")
    assert (settings.lam, sources["lambda"]) == (PerTask(1.0), "recipe table2")
    assert (settings.dropout, sources["dropout"]) == (0.25, "--config")
    assert (settings.lr, sources["lr"]) == (2e-5, "command line")
    assert (settings.sigma, sources["sigma"]) == (1e-5, "default")
    assert resolved.given >= {"lambda", "dropout", "lr", "encoder"}
    assert "clip_norm" not in resolved.given


def test_an_unknown_encoder_leaves_the_papers_optimizer(data: Home) -> None:
    settings = resolve(data, "finetune", {}).settings
    assert settings == Settings(data="small", encoder="some/encoder")
    assert (settings.lr, settings.lr_schedule, settings.epochs) == (1e-5, "constant", PerTask(10))


def test_the_minilm_preset_is_the_designs(data: Home) -> None:
    settings = resolve(data, "finetune", {"encoder": "minilm"}).settings
    found = (settings.lr, settings.lr_schedule, settings.warmup, settings.epochs, settings.weight_decay)
    assert found == (5e-5, "linear", 0.06, PerTask(3), 0.01)
    assert (settings.clip_norm, settings.attention_dropout, settings.dropout) == (1.0, 0.0, 0.1)


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "./models/all-MiniLM-L6-v2/"])
def test_a_preset_knows_its_encoder_by_the_last_part_of_the_name(data: Home, name: str) -> None:
    assert resolve(data, "finetune", {"encoder": name}).sources["lr"] == "preset minilm"


EPOCHS: list[tuple[str, dict[str, Any], tuple[int, int, int]]] = [
    ("finetune", {}, (10, 10, 10)),
    ("finetune", {"schedule": "sequential"}, (10, 2, 10)),
    ("finetune", {"schedule": "sequential", "encoder": "minilm"}, (3, 2, 3)),
    ("finetune", {"schedule": "sequential", "encoder": "minilm", "epochs": "5"}, (5, 5, 5)),
    ("finetune", {"schedule": "sequential", "encoder": "minilm", "epochs": "sst=7"}, (7, 2, 3)),
    ("finetune", {"encoder": "minilm", "epochs": "sst=7"}, (7, 3, 3)),
    ("finetune", {"schedule": "sequential", "encoder": "minilm", "paper_optimizer": True}, (10, 2, 10)),
    ("pretrain-qqp", {}, (1, 1, 1)),
    ("pretrain-qqp", {"encoder": "minilm"}, (1, 1, 1)),
    ("pretrain-qqp", {"encoder": "minilm", "epochs": "2"}, (2, 2, 2)),
]


@pytest.mark.parametrize(("command", "flags", "expected"), EPOCHS)
def test_epochs_by_command_schedule_preset_and_flag(
    data: Home, command: str, flags: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    epochs = resolve(data, command, flags).settings.epochs
    assert tuple(epochs[task] for task in ("sst", "qqp", "sts")) == expected


def test_paper_optimizer_keeps_the_presets_attention_dropout(data: Home) -> None:
    settings = resolve(data, "finetune", {"encoder": "minilm", "paper_optimizer": True}).settings
    assert (settings.lr, settings.weight_decay, settings.clip_norm, settings.attention_dropout) == (1e-5, 0, 0, 0.0)


def test_encoder_order(data: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(data, "finetune", {}).encoder == "some/encoder"
    monkeypatch.setenv("SMART_ENCODER", "from-variable")
    assert resolve(data, "finetune", {}).encoder == "from-variable"
    file = config(tmp_path, 'encoder = "from-config"')
    assert resolve(data, "finetune", {}, file).encoder == "from-config"
    resolved = resolve(data, "finetune", {"encoder": "from-flag"}, file)
    assert (resolved.encoder, resolved.sources["encoder"]) == ("from-flag", "command line")


def test_the_data_set_prepared_last_is_taken_and_marked(data: Home) -> None:
    assert resolve(data, "finetune", {}).latest_data
    named = resolve(data, "finetune", {"data": "small"})
    assert not named.latest_data
    assert named.settings.data == "small"


def register(home: Home, name: str, **more: Any) -> None:
    """Register a checkpoint that says what it was trained with, and holds nothing else."""
    meta = {
        "format": 1,
        "name": name,
        "kind": "finetune",
        "settings": {**Settings(pair_mode="cosine", pooling="mean").to_json(), "lr": 1.0},
        "encoder": {"id": "minilm", "revision": None, "model_type": "bert", "hash": "0"},
        "data": {"name": "small", "fingerprint": "f"},
        "lineage": {"init": None, "members": []},
        **more,
    }

    def fill(folder: Path) -> None:
        (folder / "smart.json").write_text(json.dumps(meta), encoding="utf-8")

    Registry(home).commit(name, fill)


def test_init_brings_encoder_pooling_and_pair_mode_but_no_optimizer(
    data: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(data, "start")
    monkeypatch.setenv("SMART_ENCODER", "another")
    resolved = resolve(data, "finetune", {"init": "start"})
    settings = resolved.settings
    assert (resolved.encoder, settings.pair_mode, settings.pooling) == ("minilm", "cosine", "mean")
    assert settings.lr == 5e-5
    assert resolved.sources["pair_mode"] == "--init start"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"encoder": "roberta"}, "--encoder is roberta, but --init start brings minilm"),
        ({"pair_mode": "concat"}, "--pair-mode is concat, but --init start brings cosine"),
        ({"pooling": "cls"}, "--pooling is cls, but --init start brings mean"),
        ({"revision": "v2"}, "--revision is v2, but --init start brings none"),
        ({"init": "ensemble"}, "this is an ensemble"),
        ({"init": "strat"}, "start"),
    ],
)
def test_another_value_beside_init_is_refused(data: Home, flags: dict[str, str], message: str) -> None:
    register(data, "start")
    register(data, "ensemble", kind="ensemble", encoder=None)
    with pytest.raises(UserError, match=message):
        resolve(data, "finetune", {"init": "start", **flags})


def test_the_same_value_beside_init_is_fine(data: Home) -> None:
    register(data, "start")
    assert resolve(data, "finetune", {"init": "start", "pair_mode": "cosine", "encoder": "minilm"}).encoder == "minilm"


def test_a_recipe_with_another_pair_mode_beside_init_is_named(data: Home) -> None:
    register(data, "start")
    with pytest.raises(UserError, match=r'recipe paper:\d+, "pair_mode" is concat'):
        resolve(data, "finetune", {"init": "start"}, None, "paper")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dropout": "1.5"}, "--dropout must be a number at least 0 and below 1, found 1.5"),
    ({"lambda": "-1"}, "--lambda must be a number at least 0, found -1"),
    ({"lambda": "sts=1,foo=2"}, '--lambda: there is no task "foo"; expected one of sst, qqp, sts'),
    ({"tasks": "sst,qpq"}, 'did you mean "qqp"'),
    ({"schedule": "simultanous"}, 'did you mean "simultaneous"'),
    ({"epochs": "0"}, "--epochs must be a whole number at least 1, found 0"),
    ({"lr": "nan"}, "--lr must be a number above 0, found nan"),
    ({"seed": "1.5"}, "--seed must be a whole number, found '1.5'"),
    ({"recipe": "papr"}, 'there is no recipe "papr".*did you mean "paper"'),
    ({"name": "../x"}, r"--name must be .* found '../x'"),
    ({"init": "ckpt9"}, '--init: there is no checkpoint "ckpt9"'),
    ({"data": "smal"}, 'there is no data set "smal".*did you mean "small"'),
]


@pytest.mark.parametrize(("flags", "message"), WRONG)
def test_a_wrong_value_names_the_flag(data: Home, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(data, "finetune", flags)


def test_no_data_set_says_what_to_do(home: Home) -> None:
    with pytest.raises(UserError, match="smart prepare demo"):
        resolve(home, "finetune", {})


def test_pretrain_qqp_needs_and_trains_that_task_alone(data: Home) -> None:
    assert resolve(data, "pretrain-qqp", {}).settings.tasks == ("qqp",)
    with pytest.raises(UserError, match="pretrain-qqp trains qqp alone"):
        resolve(data, "pretrain-qqp", {"tasks": "sst"})
    own = {"train": [("1", ("x",), 1.0)], "dev": [("2", ("y",), 0.0)]}
    save_rows(data, "own", parse_task_table({"task": [{**PAPER_TASKS["task"][0], "name": "mood"}]}, "t"), {"mood": own})
    with pytest.raises(UserError, match="smart finetune --tasks mood"):
        resolve(data, "pretrain-qqp", {"data": "own"})


def test_sequential_epochs_leave_out_tasks_that_the_data_lack(data: Home) -> None:
    own = {"train": [("1", ("x",), 1.0)], "dev": [("2", ("y",), 0.0)]}
    save_rows(data, "own", parse_task_table({"task": [{**PAPER_TASKS["task"][0], "name": "mood"}]}, "t"), {"mood": own})
    assert resolve(
        data, "finetune", {"data": "own", "schedule": "sequential", "encoder": "x"}
    ).settings.epochs == PerTask(10)


def test_name_resume_and_dry_run_may_stand_in_the_file_and_flags_win(data: Home, tmp_path: Path) -> None:
    file = config(tmp_path, 'name = "a"\nresume = "auto"\ndry-run = true\nrecipe = "plain"\n')
    resolved = resolve(data, "finetune", {"name": "b"}, file)
    assert (resolved.name, resolved.resume, resolved.dry_run) == ("b", "auto", True)
    assert resolved.settings.lam == PerTask(0.0)


def test_a_resumed_run_keeps_its_settings_and_takes_what_does_not_change_training(data: Home) -> None:
    stored = resolve(data, "finetune", {"lambda": "5", "seed": "3"}).settings
    going_on = adopt(resolve(data, "finetune", {"lambda": "5", "threads": "1"}), stored, "ckpt1")
    assert (going_on.seed, going_on.lam, going_on.threads) == (3, PerTask(5.0), 1)
    with pytest.raises(UserError, match='--lambda is 1 here, but the run "ckpt1" was started with 5'):
        adopt(resolve(data, "finetune", {"lambda": "1"}), stored, "ckpt1")


def test_values_by_task_are_compared_by_what_they_mean() -> None:
    assert same_value(PerTask(1, (("a", 2), ("b", 3))), PerTask(1, (("b", 3), ("a", 2))))
    assert same_value(PerTask(1, (("a", 1),)), PerTask(1))
    assert not same_value(PerTask(1, (("a", 2),)), PerTask(1))


def test_values_in_force_are_shown_as_typed(data: Home) -> None:
    rows = {flag: (value, source) for flag, value, source in in_force(resolve(data, "finetune", {"lambda": "sts=2"}))}
    assert rows["--lambda"] == ("1 (sts=2)", "command line")
    assert rows["--lr"] == ("1e-05", "default")
    assert rows["--freeze-encoder"] == ("off", "default")


def test_an_encoder_folder_named_from_here_is_found_from_elsewhere(
    data: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    found = resolve(data, "finetune", {"encoder": "mine"})
    assert found.encoder == found.settings.encoder == str(tmp_path / "mine")
    monkeypatch.setenv("SMART_ENCODER", "mine")
    assert resolve(data, "finetune", {}).encoder == str(tmp_path / "mine")
