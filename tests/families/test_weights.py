"""Names, shapes and files of weights as the public files have them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES
from smartcli.families.safetensors_header import read_header
from smartcli.families.spec import read_spec
from smartcli.families.weights import expected_shapes, hf_names, map_weights, open_weights, weight_files
from tests.tiny import make_tiny_encoder

HEADS = ["cls.predictions.bias", "cls.seq_relationship.weight", "lm_head.dense.weight", "vocab_transform.weight",
         "discriminator_predictions.dense.weight", "classifier.weight", "pre_classifier.bias"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_encoder(tmp_path / "tiny")


def names_of(folder: Path) -> list[str]:
    return list(load_file(folder / "model.safetensors"))


def store(folder: Path, tensors: dict[str, Any]) -> None:
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors")


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_every_type_finds_every_parameter_with_and_without_prefix_and_heads(tmp_path: Path, model_type: str) -> None:
    folder = make_tiny_encoder(tmp_path, model_type)
    spec = read_spec(folder)
    plain = names_of(folder)
    found = map_weights(spec, plain, "file")
    assert found.ignored == ()
    assert found.has_pooler == spec.family.pooler
    assert found.by_canonical == hf_names(spec, pooler=found.has_pooler)
    prefix = spec.family.prefix
    prefixed = [f"{prefix}{name}" for name in plain]
    again = map_weights(spec, [*HEADS, *prefixed, f"{prefix}embeddings.position_ids"], "file")
    assert again.by_canonical == {name: f"{prefix}{own}" for name, own in found.by_canonical.items()}
    assert set(again.ignored) == {*HEADS, f"{prefix}embeddings.position_ids"}


def test_names_of_2018_with_gamma_and_beta(folder: Path) -> None:
    spec = read_spec(folder)
    old = [
        "bert." + (n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"))
        for n in names_of(folder)
    ]
    assert "bert.encoder.layer.1.output.LayerNorm.gamma" in old
    found = map_weights(spec, old, "file")
    assert (
        found.by_canonical["encoder.layer.1.output.LayerNorm.weight"]
        == old[old.index("bert.encoder.layer.1.output.LayerNorm.gamma")]
    )
    with pytest.raises(UserError, match=r'both "bert.*gamma" and "bert.*weight" hold one parameter'):
        map_weights(spec, [*old, "bert.embeddings.LayerNorm.weight"], "file")


def test_only_the_types_own_prefix_is_stripped(folder: Path) -> None:
    names = [f"roberta.{name}" for name in names_of(folder)]
    with pytest.raises(UserError, match=r'no tensor for "embeddings.word.*file holds "roberta\.embeddings'):
        map_weights(read_spec(folder), names, "file")


@pytest.mark.parametrize(
    "extra",
    ["encoder.layer.2.output.dense.weight", "embeddings.extra.weight", "pooler.other.weight",
     "transformer.layer.0.x.weight", "bert.encoder.adapter.weight"],
)  # fmt: skip
def test_an_unknown_tensor_inside_the_encoder_is_named(folder: Path, extra: str) -> None:
    with pytest.raises(UserError, match=f'"{extra}" is inside the encoder but no part of type bert'):
        map_weights(read_spec(folder), [*names_of(folder), extra], "file")


def test_a_missing_tensor_is_named_as_the_file_would_have_it(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, "distilbert")
    names = [n for n in names_of(folder) if n != "transformer.layer.1.ffn.lin2.bias"]
    with pytest.raises(UserError, match=r'no tensor for "transformer\.layer\.1\.ffn\.lin2\.bias"; expected every'):
        map_weights(read_spec(folder), names, "file")


def test_a_pooler_is_optional_but_never_half(folder: Path) -> None:
    spec = read_spec(folder)
    names = [n for n in names_of(folder) if not n.startswith("pooler.")]
    assert not map_weights(spec, names, "file").has_pooler
    with pytest.raises(UserError, match=r'no tensor for "pooler\.dense\.bias"'):
        map_weights(spec, [*names, "pooler.dense.weight"], "file")


def test_a_pooler_in_a_type_without_one_is_an_error(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, "electra")
    with pytest.raises(UserError, match=r'"pooler\.dense\.weight" is inside the encoder'):
        map_weights(read_spec(folder), [*names_of(folder), "pooler.dense.weight"], "file")


def test_buffers_and_heads_are_ignored_in_one_line(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.position_ids"] = np.arange(128)[None]
    store(folder, tensors)
    assert open_weights(folder, read_spec(folder)).notes == ()
    store(folder, {**tensors, "cls.predictions.bias": np.zeros(3, np.float32)})
    weights = open_weights(folder, read_spec(folder))
    assert weights.notes == ('1 tensors outside the encoder ignored: "cls.predictions.bias"',)
    assert weights.ignored == ("cls.predictions.bias", "embeddings.position_ids")


def test_half_precision_is_taken_and_said(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    store(folder, {name: value.astype(np.float16) for name, value in tensors.items()})
    weights = open_weights(folder, read_spec(folder))
    assert weights.stored_as == ("F16",)
    assert weights.notes == ("weights stored as F16 are cast to fp32",)


def test_whole_numbers_as_weights_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    store(folder, {**tensors, name: tensors[name].astype(np.int8)})
    with pytest.raises(UserError, match=f'"{name}" is stored as I8'):
        open_weights(folder, read_spec(folder))


def test_a_token_type_table_without_rows_counts_as_none(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path, type_vocab_size=0)
    tensors = load_file(folder / "model.safetensors")
    assert "embeddings.token_type_embeddings.weight" not in tensors
    store(folder, {**tensors, "embeddings.token_type_embeddings.weight": np.zeros((0, 32), np.float32)})
    assert "embeddings.token_type_embeddings.weight" not in open_weights(folder, read_spec(folder)).name_of


def test_a_shape_that_contradicts_config_names_both(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 96}))
    with pytest.raises(UserError, match=r'intermediate\.dense\.weight" has shape \[64, 32\], config\.json says \[96'):
        open_weights(folder, read_spec(folder))


def split_in_two(folder: Path) -> dict[str, str]:
    """Replace the single file by two shards and an index, as transformers writes them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    holder = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for shard in set(holder.values()):
        save_file({n: t for n, t in tensors.items() if holder[n] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": holder}))
    return holder


def test_shards_are_followed_by_the_index(folder: Path) -> None:
    holder = split_in_two(folder)
    weights = open_weights(folder, read_spec(folder))
    assert {path.name for path in weights.file_of.values()} == set(holder.values())
    assert all(weights.file_of[name].name == holder[own] for name, own in weights.name_of.items())


def test_a_missing_shard_and_a_path_in_the_index_are_refused(folder: Path) -> None:
    holder = split_in_two(folder)
    shard = folder / "model-00002-of-00002.safetensors"
    raw = shard.read_bytes()
    shard.unlink()
    with pytest.raises(UserError, match=r"names model-00002-of-00002\.safetensors, which is not in the folder"):
        open_weights(folder, read_spec(folder))
    shard.write_bytes(raw)
    index = folder / "model.safetensors.index.json"
    for bad in ("../model.safetensors", "weights.bin", 7):
        index.write_text(json.dumps({"weight_map": {**holder, next(iter(holder)): bad}}))
        with pytest.raises(UserError, match=r"expected a \.safetensors file beside it"):
            open_weights(folder, read_spec(folder))
    index.write_text(json.dumps({"weight_map": {**holder, "lost": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(UserError, match='"lost" is said to be in model-00001'):
        open_weights(folder, read_spec(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5"])
def test_pickled_weights_are_refused_with_how_to_convert(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UserError, match=rf"only {name}: pickled.*safe_serialization=True.*--revision"):
        weight_files(folder)


def test_a_folder_without_weights_says_what_belongs_there(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors; an encoder folder holds"):
        weight_files(folder)


def header(entries: Any, data: bytes = b"", claim: int | None = None) -> bytes:
    raw = json.dumps(entries).encode()
    return struct.pack("<Q", len(raw) if claim is None else claim) + raw + data


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (header({}, claim=2**60), "claims 1,152,921,504,606,846,976 bytes"),
        (header({"a": ONE}, b"1234"), "describes 8 bytes of tensors, the file holds 4"),
        (header({"a": {**ONE, "shape": [2**40, 2**40]}}, b"12345678"), 'tensor "a" needs'),
        (header({"a": {**ONE, "shape": [-2]}}, b"12345678"), "shape"),
        (header({"a": {**ONE, "dtype": "Q9"}}, b"12345678"), "type 'Q9'"),
        (header({"a": {**ONE, "data_offsets": [4, 12]}}, b"123456789abc"), "gap at byte 0"),
        (header({"a": ONE, "b": ONE}, b"12345678"), "overlap"),
        (header({"a": {"dtype": "F32"}}), "no proper entry"),
        (header(["a"]), "expected a JSON object"),
        (struct.pack("<Q", 4) + b"\xff\xff\xff\xff", "JSON"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.", "pickle or zip"),
        (b"PK\x03\x04rest of an archive", "pickle or zip"),
        (b"", "claims 0 bytes in a file of 0"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        read_header(path)


def test_a_header_reads_as_the_library_wrote_it(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    found = read_header(folder / "model.safetensors")
    assert {name: info.shape for name, info in found.items()} == {n: t.shape for n, t in tensors.items()}
    assert {info.dtype for info in found.values()} == {"F32"}


def test_expected_shapes_by_hand(folder: Path) -> None:
    shapes = expected_shapes(read_spec(folder), pooler=True)
    assert shapes["embeddings.position_embeddings.weight"] == (128, 32)
    assert shapes["encoder.layer.1.intermediate.dense.weight"] == (64, 32)
    assert shapes["encoder.layer.1.output.dense.weight"] == (32, 64)
    assert len(shapes) == 5 + 2 * 16 + 2
