"""Models from files and back: same bytes, and files that do not fit are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file
from small_model import TASKS, settings, small_model
from tiny import make_tiny_encoder

from smartcli.engine.model.build import build_model, encoder_bytes, head_bytes, load_heads, start_heads
from smartcli.errors import SmartCliError, UserError
from smartcli.families.family_table import FAMILIES
from smartcli.families.spec import read_spec
from smartcli.tasks import Task, TaskTable


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_an_encoder_is_written_with_the_tensors_it_was_read_from(tmp_path: Path, model_type: str) -> None:
    folder = make_tiny_encoder(tmp_path, model_type)
    model = build_model(folder, read_spec(folder), TASKS, settings())
    written = load(encoder_bytes(model))
    source = load_file(folder / "model.safetensors")
    assert set(written) == set(source)
    assert all(torch.equal(written[name], source[name]) for name in source)
    assert encoder_bytes(model) == encoder_bytes(model)


def test_a_nan_in_a_weight_file_is_refused_by_name(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.dense.weight"][3, 4] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(SmartCliError, match=r'encoder\.layer\.1\.output\.dense\.weight" holds a NaN or infinity'):
        build_model(folder, read_spec(folder), TASKS, settings())


def test_half_precision_files_become_fp32(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path)
    tensors = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model = build_model(folder, read_spec(folder), TASKS, settings())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(model.encoder.words.weight.half(), tensors[name])


def test_pooling_by_a_pooler_that_the_encoder_lacks_is_refused(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, "distilbert")
    with pytest.raises(UserError, match="--pooling pooler: the encoder has no pooler"):
        build_model(folder, read_spec(folder), TASKS, settings(pooling="pooler"))


def test_dropouts_are_the_settings_and_attention_the_encoders_own_without_one(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, attention_probs_dropout_prob=0.35)
    spec = read_spec(folder)
    own = build_model(folder, spec, TASKS, settings(dropout=0.2, attention_dropout=None)).encoder
    assert (own.dropout, own.attention_dropout) == (0.2, 0.35)
    assert build_model(folder, spec, TASKS, settings(attention_dropout=0.0)).encoder.attention_dropout == 0.0


def test_fresh_heads_depend_on_seed_and_task_alone() -> None:
    chosen = settings()
    one, other = small_model(chosen), small_model(chosen, tasks=TASKS.select(("near", "same")))
    for task in ("same", "near"):
        assert torch.equal(one.head(task).linear.weight, other.head(task).linear.weight)
    assert not torch.equal(one.head("same").linear.weight, one.head("near").linear.weight)
    before = one.head("same").linear.weight.clone()
    start_heads(one, chosen.seed + 1, {"near": 1.25})
    assert not torch.equal(one.head("same").linear.weight, before)
    assert one.head("near").linear.bias.tolist() == [1.25]
    assert one.head("same").linear.bias.tolist() == [0.0]


def test_heads_come_back_and_the_others_stay() -> None:
    source, target = small_model(settings(), torch.float32), small_model(settings(seed=1), torch.float32)
    kept = target.head("near").linear.weight.clone()
    load_heads(target, head_bytes(source), ("mood", "same"), "there")
    for task in ("mood", "same"):
        assert torch.equal(target.head(task).linear.weight, source.head(task).linear.weight)
    assert torch.equal(target.head("near").linear.weight, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("mood.bias"), '"mood.bias" should have shape .5., found none'),
        (lambda t: t.update({"mood.weight": torch.zeros(4, 32)}), r"shape \[5, 32\], found shape \[4, 32\]"),
        (lambda t: t["mood.weight"].fill_(float("inf")), '"mood.weight" holds a NaN or infinity'),
    ],
)
def test_heads_that_do_not_fit_are_refused_by_name(change: object, message: str) -> None:
    model = small_model(settings(), torch.float32)
    tensors = load(head_bytes(model))
    change(tensors)  # type: ignore[operator]
    with pytest.raises(SmartCliError, match=f"x/heads.safetensors: .*{message}"):
        load_heads(model, save(tensors), ("mood",), "x/heads.safetensors")


def test_a_task_may_be_called_like_a_method_of_a_module() -> None:
    names = ("type", "values", "forward", "half", "T-1")
    tasks = TaskTable(tuple(Task(name=n, kind="binary", text=("t",), label="l", labels=("0", "1")) for n in names))
    model = small_model(settings(), tasks=tasks)
    assert set(load(head_bytes(model))) == {f"{name}.{part}" for name in names for part in ("weight", "bias")}
