"""Soups of real small trainings: what is averaged, what greedy picks by, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from tiny import make_tiny_encoder
from training import Shop, save_small

from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.voting import halves, rank
from smartcli.workflows.scoring.comparison import compare
from smartcli.workflows.scoring.ensembling import ensemble
from smartcli.workflows.scoring.evaluation import evaluate
from smartcli.workflows.scoring.model_outputs import run_model
from smartcli.workflows.scoring.souping import soup
from smartcli.workflows.studies.best_members import scores_on

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three runs of one start that end apart, and one of another start; made once, copied for a test."""
    root = tmp_path_factory.mktemp("soup")
    shop = Shop.open(Home(root / "home"), root)
    for seed in SEEDS:
        shop.train(f"run{seed}", seed=str(seed), init_seed="7", lr=f"{1 + seed}e-3")
    shop.train("else", seed="0", max_steps="1")
    return root


@pytest.fixture
def shop(trained: Path, home: Home) -> Shop:
    shutil.copytree(trained / "home", home.root, dirs_exist_ok=True)
    return Shop(home, trained / "encoder")


def tensors(home: Home, name: str) -> dict[str, np.ndarray[Any, Any]]:
    found = Registry(home).open(name)
    return load(found.read("model.safetensors")) | load(found.read("heads.safetensors"))


def test_an_init_seed_starts_the_heads_alike_whatever_the_seed(shop: Shop) -> None:
    for name, options in {"a": {"seed": "1"}, "b": {"seed": "2"}, "c": {"seed": "1", "init_seed": "2"}}.items():
        shop.train(name, lr="1e-12", max_steps="1", **options)
    a, b, c = (tensors(shop.home, name)["sst.weight"] for name in "abc")
    np.testing.assert_allclose(b, c, atol=1e-9)
    assert np.abs(a - c).max() > 1e-3


def test_a_uniform_soup_has_the_mean_of_every_weight_and_predicts_with_it(shop: Shop) -> None:
    outcome = soup(shop.home, ["run*"], name="broth", argv=["smart", "soup", "run*"])
    members = [tensors(shop.home, f"run{seed}") for seed in SEEDS]
    found = tensors(shop.home, "broth")
    for name, tensor in found.items():
        expected = np.mean([member[name].astype(np.float64) for member in members], axis=0)
        np.testing.assert_array_equal(tensor, expected.astype(np.float32), err_msg=name)
    assert any(not np.array_equal(members[0][name], members[1][name]) for name in found)
    checkpoint, data_set = Registry(shop.home).open("broth"), shop.resolve().data_set
    again, stored = run_model(shop.home, checkpoint, data_set, "dev"), checkpoint.predictions()
    for task, rows in stored.items():
        np.testing.assert_array_equal(rows.predictions, again[task].predictions)
    tasks = tuple(data_set.tasks)
    assert checkpoint.meta.metrics["overall"] == scores_on(tasks, stored)["overall"]
    assert (checkpoint.kind, checkpoint.meta.method) == ("soup", "uniform soup of 3")
    assert [one.name for one in checkpoint.meta.lineage.members] == [f"run{seed}" for seed in SEEDS]
    assert {"lr", "seed"} & set(checkpoint.meta.settings) == set()
    assert checkpoint.meta.settings["init_seed"] == 7
    assert Registry(shop.home).verify() == []
    assert [row.checkpoint for row in outcome.table.rows] == ["run0", "run1", "run2", "broth"]


def test_a_greedy_soup_picks_by_one_half_and_reports_the_other_alone(shop: Shop) -> None:
    heard: list[str] = []
    outcome = soup(shop.home, ["run2", "run0", "run1"], greedy=True, name="broth", say=heard.append)
    registry, data_set = Registry(shop.home), shop.resolve().data_set
    tasks, key = tuple(data_set.tasks), data_set.fingerprint

    # The recipe once more, from the files.
    stored = {f"run{seed}": registry.open(f"run{seed}").predictions() for seed in SEEDS}
    order = [name for name, _ in rank(tasks, {name: halves(dev, key)[0] for name, dev in stored.items()})]
    assert [line.split()[1].rstrip(":") for line in heard] == order
    kept: list[str] = []
    best = -1.0
    for name in order:
        weights = [tensors(shop.home, one) for one in (*kept, name)]
        mean = {t: np.mean([w[t].astype(np.float64) for w in weights], axis=0).astype(np.float32) for t in weights[0]}
        score = rank(tasks, {name: halves(predict_with(shop, mean), key)[0]})[0][1]
        if score >= best:
            kept, best = [*kept, name], score
    assert list(outcome.chosen) == kept

    checkpoint = registry.open("broth")
    first, second = halves(checkpoint.predictions(), key)
    for task in data_set.tasks.names:
        assert not set(first[task].ids) & set(second[task].ids)
        assert checkpoint.meta.metrics[task]["n"] == len(second[task])
    assert checkpoint.meta.metrics["overall"] == scores_on(tasks, second)["overall"]
    later = evaluate(shop.home, ["broth", "run0"])
    assert later.rows[0].overall == checkpoint.meta.metrics["overall"]
    assert later.rows[1].overall == scores_on(tasks, stored["run0"])["overall"]
    assert any("the half of dev that did not pick" in note for note in later.notes)
    found = compare(shop.home, "run0", "broth", draws=1_000)
    tested = {one.score: one.n for one in found.tests if one.score != "overall"}
    assert tested == {task: len(second[task]) for task in tested}
    assert tested
    assert any("the half of dev that did not pick" in note for note in found.notes)
    for row in outcome.table.rows[:-1]:
        assert row.overall == scores_on(tasks, halves(stored[row.checkpoint], key)[1])["overall"]
    selection = checkpoint.meta.lineage.selection
    assert selection is not None
    assert (selection["of"], selection["top"]) == (3, len(kept))


def predict_with(shop: Shop, weights: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Predictions on dev of a checkpoint with these weights."""
    registry = Registry(shop.home)
    name = f"mix{len(registry.names())}"
    plant(shop.home, "run0", name, lambda folder: write_weights(folder, weights))
    return run_model(shop.home, registry.open(name), shop.resolve().data_set, "dev")


def write_weights(folder: Path, weights: dict[str, np.ndarray[Any, Any]]) -> None:
    for file in ("model.safetensors", "heads.safetensors"):
        names = load((folder / file).read_bytes())
        (folder / file).write_bytes(save({name: weights[name] for name in names}, {"format": "pt"}))


def plant(home: Home, source: str, name: str, change: Callable[[Path], None]) -> None:
    """Commit a copy of a checkpoint under another name, changed."""
    found = Registry(home).open(source)

    def fill(folder: Path) -> None:
        for file in found.manifest.files:
            (folder / file).write_bytes(found.read(file))
        meta = json.loads((folder / "smart.json").read_bytes()) | {"name": name}
        (folder / "smart.json").write_text(json.dumps(meta))
        change(folder)

    Registry(home).commit(name, fill)


def edited(file: str, edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        value = json.loads((folder / file).read_bytes())
        edit(value)
        (folder / file).write_text(json.dumps(value))

    return change


def turned(folder: Path) -> None:
    weights = load((folder / "model.safetensors").read_bytes())
    name = "encoder.layer.0.intermediate.dense.weight"
    weights[name] = np.random.default_rng(1).normal(0, 0.1, weights[name].shape).astype(np.float32)
    (folder / "model.safetensors").write_bytes(save(weights, {"format": "pt"}))


def renamed(meta: dict[str, Any]) -> None:
    meta["tasks"][0]["labels"][0] = "other"


def other_words(tokenizer: dict[str, Any]) -> None:
    vocab = tokenizer["model"]["vocab"]
    vocab["the"], vocab["a"] = vocab["a"], vocab["the"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (turned, "intermediate.dense.weight"),
        (edited("config.json", lambda config: config.update(hidden_act="relu")), "config.json"),
        (edited("tokenizer.json", other_words), "tokenizer.json"),
        (edited("smart.json", lambda meta: meta["tasks"].pop()), "differ in their heads"),
        (edited("smart.json", renamed), "differ in the labels of"),
        (edited("smart.json", lambda meta: meta["settings"].update(pooling="mean")), "--pooling"),
        (edited("smart.json", lambda meta: meta["data"].update(fingerprint="f" * 64)), "the data set"),
        (edited("smart.json", lambda meta: meta["settings"].update(init_seed=8)), "the seed of the heads is 7 and 8"),
    ],
)
def test_a_planted_difference_is_an_error_that_names_it(
    shop: Shop, change: Callable[[Path], None], message: str
) -> None:
    plant(shop.home, "run1", "planted", change)
    before = Registry(shop.home).names()
    with pytest.raises(UserError) as caught:
        soup(shop.home, ["run0", "planted"])
    assert message in str(caught.value)
    assert Registry(shop.home).names() == before


def test_a_file_that_was_altered_is_an_error_that_names_it(shop: Shop) -> None:
    path = shop.home.checkpoints / "run1" / "heads.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(SmartCliError, match=r"heads\.safetensors"):
        soup(shop.home, ["run0", "run1"])


def test_runs_of_two_starts_are_refused(shop: Shop) -> None:
    with pytest.raises(UserError, match="run0 and else have two starts: the seed of the heads is 7 and 0"):
        soup(shop.home, ["run0", "else"])
    shop.train("pre", command="pretrain-qqp", max_steps="1")
    shop.train("from-pre", init="pre", init_seed="7", max_steps="1")
    with pytest.raises(UserError, match=r"two starts: --init is none and pre \("):
        soup(shop.home, ["run0", "from-pre"])
    # Its heads for the other tasks are drawn, by each run's own seed.
    shop.train("from-pre-1", init="pre", seed="1", max_steps="1")
    with pytest.raises(UserError, match="the seed of the heads is 7 and 1"):
        soup(shop.home, ["from-pre", "from-pre-1"])


def test_runs_from_one_init_with_all_heads_are_one_start_whatever_their_seeds(shop: Shop) -> None:
    for seed in ("1", "2"):
        shop.train(f"on{seed}", init="run0", seed=seed, max_steps="1")
    assert soup(shop.home, ["on1", "on2"]).checkpoint.meta.encoder == shop.open_checkpoint("on1").meta.encoder


def test_an_encoder_folder_with_other_weights_by_then_is_refused(shop: Shop, tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "moving")
    shop.train("before", encoder=str(folder), init_seed="7", max_steps="1")
    make_tiny_encoder(folder, seed=5)
    shop.train("after", encoder=str(folder), init_seed="7", max_steps="1")
    with pytest.raises(UserError, match="no two runs of one start"):
        soup(shop.home, ["before", "after"])


def test_one_run_an_ensemble_and_a_soup_are_no_members(shop: Shop) -> None:
    with pytest.raises(UserError, match="a soup needs at least two members, found run0 alone"):
        soup(shop.home, ["run0"])
    ensemble(shop.home, ["run0", "run1"], name="both")
    soup(shop.home, ["run0", "run1"], name="broth")
    for other, article in (("both", "an ensemble"), ("broth", "a soup")):
        with pytest.raises(UserError, match=f"{other} is {article} itself; name its members"):
            soup(shop.home, ["run0", other])


def test_a_greedy_soup_is_no_member_and_a_report_draws_nothing_of_the_rows_that_picked_it(
    shop: Shop, smart: Callable[..., Any], tmp_path: Path
) -> None:
    soup(shop.home, ["run0", "run1"], name="broth", greedy=True)
    with pytest.raises(UserError, match="broth is a greedy soup, which one half of dev picked"):
        ensemble(shop.home, ["broth", "run2"])
    soup(shop.home, ["run0", "run1"], name="even")
    assert ensemble(shop.home, ["even", "run2"]).checkpoint.kind == "ensemble"
    assert smart("report", "broth", "run2", "--output", tmp_path / "page").exit_code == 0
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "Details of broth are left out" in page
    assert '<h2 id="checkpoint-1">run2</h2>' in page
    assert ">broth</h2>" not in page


def test_a_soup_is_a_checkpoint_like_any_other(shop: Shop, smart: Callable[..., Any], tmp_path: Path) -> None:
    assert smart("soup", "run0", "run1", "--greedy", "--name", "broth").exit_code == 0
    rows = tmp_path / "rows.csv"
    rows.write_text("sentence\na good film\n")
    for words in (
        ("evaluate", "broth"),
        ("show", "broth"),
        ("predict", "broth", "--task", "sst", "--input", rows, "--output", "-"),
        ("compare", "broth", "run0", "--draws", "1000"),
        ("checkpoints", "list"),
        ("checkpoints", "verify"),
    ):
        result = smart(*words)
        assert result.exit_code == 0, (words, result.stderr)
    shop.train("next", init="broth", max_steps="1")
    (member, *_) = Registry(shop.home).open("broth").meta.lineage.members
    assert '"broth"' in smart("checkpoints", "rm", member.name, "--yes").stderr
    note = smart("evaluate", "broth").stderr
    assert "scored on the half of dev that did not pick what is in it" in " ".join(note.split())
    assert "epoch None" not in Registry(shop.home).open("broth").read("README.md").decode()


def test_data_that_have_changed_are_an_error(shop: Shop) -> None:
    save_small(shop.home, seed=9, force=True)
    with pytest.raises(UserError, match="has changed since run0 was trained"):
        soup(shop.home, ["run0", "run1"])
