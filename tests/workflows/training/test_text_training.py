"""Training on the tasks' own text, for real: the loss, what is read and recorded, resume, and what comes after."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load
from training import Shop, comparable, log_of, save_small

from smartcli import log_events
from smartcli.errors import Stopped, UserError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.workflows.training.settings import resolve
from smartcli.workflows.training.signals import StopFlag
from smartcli.workflows.training.text_rows import read_sentences
from smartcli.workflows.training.text_training import TextTraining, pretrain_text

ROWS = {"sst": 90, "qqp": 30, "sts": 30}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path, train=ROWS)


def words(
    shop: Shop, name: str | None = "text", /, *, splits: str | None = None, stop: int | None = None, **options: Any
) -> Any:
    import signal

    flags = {"encoder": str(shop.encoder), "threads": "1", "batch_size": "16", "lr": "3e-3", "epochs": "2"} | options
    if "init" in options or options.get("resume"):
        flags = {"threads": "1"} | options
    shop.events = []

    def hear(event: log_events.Event) -> None:
        shop.events.append(event.to_json())
        if event.to_json().get("step") == stop and event.to_json()["event"] == "step":
            signal.raise_signal(signal.SIGINT)

    resolved = resolve(shop.home, "pretrain-text", flags | ({"name": name} if name else {}))
    return pretrain_text(shop.home, resolved, splits, ["smart", "pretrain-text"], hear)


def test_the_held_out_loss_goes_down_and_is_recorded(shop: Shop) -> None:
    meta = words(shop, epochs="6").meta
    text = meta.lineage.text
    assert text["after"] < text["before"] - 0.1
    assert meta.metrics["held-out text"] == {"mlm_loss": text["after"], "n": text["masked"]}
    devs = shop.of_kind("dev")
    assert len(devs) == 6
    assert devs[-1]["text"]["mlm_loss"] == text["after"]
    assert (text["splits"], text["tasks"]) == (["train"], ["sst", "qqp", "sts"])
    checkpoint = shop.open_checkpoint("text")
    assert (checkpoint.kind, checkpoint.meta.tasks, checkpoint.meta.steps) == ("pretrain-text", [], meta.steps)
    assert Registry(shop.home).verify() == []
    assert shop.home.runs.is_dir() is False or not list(shop.home.runs.glob("text"))


def test_the_loss_is_the_cross_entropy_of_the_masked_tokens_alone(shop: Shop) -> None:
    resolved = resolve(shop.home, "pretrain-text", {"encoder": str(shop.encoder), "threads": "1"})
    training = TextTraining(shop.home, resolved, [], lambda event: None, StopFlag())
    training.prepare(("train",), None)
    job = training.job
    batch = job.batch(job.train, np.arange(6, dtype=np.int64))
    masked = job.masker.draw(batch, torch.Generator().manual_seed(5))
    with torch.no_grad():
        summed, count = job.loss(batch, torch.Generator().manual_seed(5), None)
        encoder = job.model.encoder
        rows = encoder(encoder.words(masked.ids), batch, pooling="tokens")
        head = job.model.head
        hidden = head.norm(F.gelu(head.dense(rows)))
        log_shares = torch.log_softmax(hidden @ encoder.words.weight.T + head.bias, dim=-1)
    expected = -sum(
        float(log_shares[at, label]) for at, label in zip(masked.at.tolist(), masked.labels.tolist(), strict=True)
    )
    assert count == len(masked.at)
    assert summed.item() == pytest.approx(expected, rel=1e-5)
    before, n = job.held_out_loss()
    assert (before, n) == job.held_out_loss(), "the same masks at every call"
    assert math.isfinite(before)


def sentences(shop: Shop, *splits: str) -> Any:
    tokenizer = SentenceTokenizer.from_folder(shop.encoder, read_spec(shop.encoder))
    data_set = shop.resolve().data_set
    return read_sentences(data_set, tokenizer, data_set.tasks, splits)


def as_set(side: Any) -> set[bytes]:
    return {side[row].tobytes() for row in range(len(side))}


def test_each_sentence_stands_once_held_out_ones_never_train_and_dev_text_only_where_asked(shop: Shop) -> None:
    train, both = sentences(shop, "train"), sentences(shop, "train", "dev")
    for found in (train, both):
        assert len(as_set(found.train)) == len(found.train)
        assert not as_set(found.train) & as_set(found.held_out)
    assert len(train.held_out) == round(0.05 * (len(train.train) + len(train.held_out)))
    assert as_set(both.held_out) == as_set(train.held_out)
    assert as_set(train.train) < as_set(both.train)
    text = words(shop, splits="dev,train", max_steps="1").meta.lineage.text
    assert (text["splits"], text["sentences"]) == (["train", "dev"], len(both.train))


def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(shop: Shop) -> None:
    words(shop, "whole", splits="train,dev")
    with pytest.raises(Stopped, match="stopped after step 7, and saved; go on with: smart pretrain-text --resume p"):
        words(shop, "parts", splits="train,dev", stop=7)
    with pytest.raises(UserError, match='--splits is train here, but "parts" was started with train,dev'):
        words(shop, None, resume="parts", splits="train")
    words(shop, None, resume="parts")
    whole, parts = shop.open_checkpoint("whole"), shop.open_checkpoint("parts")
    for file in ("model.safetensors", "heads.safetensors", "mlm.safetensors"):
        assert whole.read(file) == parts.read(file), file
    assert comparable(log_of(whole)) == comparable(log_of(parts))
    assert whole.meta.lineage == parts.meta.lineage
    assert words(shop, None, resume="whole", splits="train,dev").already


def test_a_training_starts_from_it_and_it_goes_on_from_itself(shop: Shop) -> None:
    words(shop)
    weights = load(shop.open_checkpoint("text").read("model.safetensors"))
    shop.train("next", init="text", lr="1e-12", max_steps="1", pair_mode="cosine", pooling="mean")
    after = load(shop.open_checkpoint("next").read("model.safetensors"))
    assert all(torch.allclose(after[name], tensor, atol=1e-9) for name, tensor in weights.items())
    assert shop.open_checkpoint("next").meta.lineage.init.name == "text"
    with pytest.raises(UserError, match='"text" is named by "next"'):
        Registry(shop.home).remove("text")
    end = shop.open_checkpoint("text").meta.lineage.text["after"]
    more = words(shop, "more", init="text").meta.lineage
    assert more.text["before"] == pytest.approx(end, abs=1e-6), "its head for masked words goes on too"
    assert more.init.name == "text"


def test_it_is_no_model_that_predicts_and_evaluate_leaves_it_out(shop: Shop, smart: Callable[..., Any]) -> None:
    result = smart("pretrain-text", "--encoder", shop.encoder, "--max-steps", "2", "--threads", "1", "--name", "text")
    assert result.exit_code == 0, result.stderr
    assert "held-out loss on masked words" in result.stdout
    shop.train("run", max_steps="1")
    table = smart("evaluate", "--json")
    assert table.exit_code == 0, table.stderr
    assert '"run"' in table.stdout
    assert '"text"' not in table.stdout
    for given in (("evaluate", "text"), ("predict", "text", "--input", "x.csv"), ("soup", "text", "run")):
        failed = smart(*given)
        assert failed.exit_code == 2, given
    assert "without a head" in " ".join(smart("evaluate", "text").stderr.split())
    shutil.copytree(shop.home.checkpoints / "text", folder := shop.home.root / "elsewhere")
    copy = ("checkpoints", "import", folder, "--name", "copy")
    for given in (copy, ("show", "text"), ("checkpoints", "list"), ("checkpoints", "verify")):
        assert smart(*given).exit_code == 0, given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": "dev"}, "--splits must have train"),
        ({"splits": "trian"}, 'found "trian"'),
        ({"tasks": "nothing"}, "nothing"),
        ({"max_length": "4000"}, "the encoder takes at most 128 tokens"),
        ({"init": "nobody"}, "nobody"),
        ({"epochs": "0"}, "--epochs"),
        ({"epochs": "sst=2"}, "--epochs takes one number here"),
    ],
)
def test_a_mistake_is_said_before_anything_is_written(shop: Shop, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        words(shop, **options)
    assert message in str(caught.value)
    assert Registry(shop.home).names() == []
    assert not (shop.home.runs / "text").exists()


def test_too_little_text_is_an_error(shop: Shop) -> None:
    save_small(shop.home, "few")
    with pytest.raises(UserError, match="pretrain-text needs 20 or more"):
        words(shop, data="few", tasks="sst")
