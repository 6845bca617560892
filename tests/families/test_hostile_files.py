"""Encoder files that are damaged or made to do harm: refused or read, never a crash, never much memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartcli.errors import UserError
from smartcli.families.family_table import FAMILIES
from smartcli.families.safetensors_header import read_header
from smartcli.families.spec import EncoderSpec, parse_spec, read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.weights import open_weights
from tests.tiny import make_tiny_encoder, tiny_config, tiny_tokenizer

T = TypeVar("T")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3))
KEYS = sorted({key for family in FAMILIES.values() for key in tiny_config(family.model_type)} | {"auto_map", "x"})
EXAMPLES = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def or_refusal(work: Callable[[], T], starts: str) -> T | None:
    """Return what `work` gives, or None where it is refused by a message that starts so; all else is a failure."""
    try:
        return work()
    except UserError as error:
        refusal = str(error)
    assert refusal.startswith(starts)
    return None


@EXAMPLES
@given(st.sampled_from(sorted(FAMILIES)), st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=3))
def test_any_config_is_read_or_refused(model_type: str, changes: dict[str, Any]) -> None:
    spec = or_refusal(lambda: parse_spec({**tiny_config(model_type), **changes}, "config.json"), "config.json: ")
    if isinstance(spec, EncoderSpec):
        assert 0 < spec.hidden_size <= 16_384
        assert 0 < spec.vocab_size <= 4_000_000


@EXAMPLES
@given(raw=st.binary(max_size=60), claim=st.none() | st.integers(0, 2**64 - 1))
def test_any_bytes_as_weights_are_refused(tmp_path: Path, raw: bytes, claim: int | None) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw if claim is None else struct.pack("<Q", claim) + raw)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        read_header(path)


@EXAMPLES
@given(entries=st.dictionaries(st.text(max_size=4), st.fixed_dictionaries({"dtype": SCALARS, "shape": ANYTHING,
       "data_offsets": ANYTHING}) | ANYTHING, min_size=1, max_size=3))  # fmt: skip
def test_any_header_without_data_is_refused_or_empty(tmp_path: Path, entries: dict[str, Any]) -> None:
    raw = json.dumps(entries).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    found = or_refusal(lambda: read_header(path), str(path))
    assert found is None or all(0 in info.shape for info in found.values())


def test_any_flipped_byte_of_a_header_is_noticed_or_harmless(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    spec, path = read_spec(folder), folder / "model.safetensors"
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    expected = read_header(path)
    for at in range(0, length, 23):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            open_weights(folder, spec)
        except UserError:
            continue
        assert {n: i for n, i in read_header(path).items() if n in expected} == expected


def test_a_weight_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 7, 8, 100, 5000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"model\.safetensors"):
            open_weights(folder, read_spec(folder))
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="the file holds"):
        open_weights(folder, read_spec(folder))


@pytest.mark.parametrize("part", list(tiny_tokenizer()))
@pytest.mark.parametrize("value", [None, [], {}, "x", -1, {"type": "x"}, [None]])
def test_any_part_of_a_tokenizer_may_be_wrong(tmp_path: Path, part: str, value: Any) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    spec = read_spec(folder)
    content = {**tiny_tokenizer(), part: value}
    built = or_refusal(lambda: SentenceTokenizer(content, spec, "tokenizer.json"), "tokenizer.json: ")
    if built is not None:
        assert all(0 <= token < spec.vocab_size for ids in built.encode(["the film 🧿", ""]) for token in ids)


def test_names_with_terminal_escapes_are_shown_harmless(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    raw = json.dumps({"\x1b[31m": {"dtype": "F32"}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    with pytest.raises(UserError) as caught:
        open_weights(folder, read_spec(folder))
    assert "\x1b" not in str(caught.value)


def test_bfloat16_is_read_and_said(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    path = folder / "model.safetensors"
    entries, at = {}, 0
    for name, info in read_header(path).items():
        size = 2
        for extent in info.shape:
            size *= extent
        entries[name] = {"dtype": "BF16", "shape": list(info.shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(at))
    assert open_weights(folder, read_spec(folder)).notes == ("weights stored as BF16 are cast to fp32",)
