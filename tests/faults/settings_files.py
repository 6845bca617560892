"""Odd and damaged TOML and JSON files, and the readers that must refuse each of them cleanly or take it whole."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from smartcli.config import Settings
from smartcli.data.own import read_table
from smartcli.data.predictions import read_predictions
from smartcli.errors import SmartCliError
from smartcli.families.safetensors_header import read_header
from smartcli.families.spec import read_spec
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import read_sealed
from smartcli.strictjson import canonical_json, parse_object
from smartcli.workflows.training.setting_sources import config_source

SECONDS, BYTES = 2.0, 500 << 20

CONFIG = 'lr = 1e-4\nlambda = "sst=1,qqp=2"\nepochs = 3\ntasks = "sst"\nkeep = "best"\nfreeze-encoder = true\n'
TABLE = """[[task]]
name = "mood"
kind = "classification"
text = ["sentence"]
label = "y"
labels = ["bad", "good"]
train = "train.csv"
dev = "dev.csv"

[[task]]
name = "near"
kind = "regression"
text = ["a", "b"]
label = "score"
range = [0, 5]
scale = 0.2
weight = 2
train = "near.csv"
"""
SPEC = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 300,
    "intermediate_size": 64, "max_position_embeddings": 128, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
MANIFEST = {"format": 1, "files": {"smart.json": {"size": 2, "sha256": "0" * 64}}, "sha256": "1" * 64}
PREDICTIONS = "task,id,label,prediction,p0,p1\nmood,a,1,1,0.25,0.75\nnear,b,,2.5,,\n"
WORDS = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\r", b'"', b"'", b'"""', b"[", b"]]", b"{", b"}", b"=", b",", b":",
    b"#", b"NaN", b"-1", b"1e999", b"99999999999999999999", b"true", b"null", b"[" * 3000, b'{"a":' * 3000, b"1" * 5000,
    b"x" * (1 << 20), "\U0001f981".encode(), "\u05e9\u05dc".encode(), "\u202e".encode(), b"\xed\xa0\x80", b"\x1b[31m",
    b"../../x", b"\n[task]\n", b"\nname = 3\n", b'\n"name" = "a"\n', b"a.b.c = 1\n", b'"\\ud800"', b"1979-13-99",
    b"9" * 400 + b"=1\n", b"0x", b"inf", b"-nan",
]  # fmt: skip


def _run_header(path: Path) -> object:
    return read_sealed(path.parent, path.name)


READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "config": ("any.toml", CONFIG.encode(), config_source),
    "tasks": ("tasks.toml", TABLE.encode(), lambda path: read_table(path.parent)),
    "spec": ("config.json", json.dumps(SPEC).encode(), lambda path: read_spec(path.parent)),
    "json": ("any.json", canonical_json(SPEC), lambda path: parse_object(path.read_bytes(), path)),
    "settings": (
        "settings.json",
        canonical_json(Settings().to_json()),
        lambda path: Settings.from_json(parse_object(path.read_bytes(), path)),
    ),
    "manifest": ("manifest.json", canonical_json(MANIFEST), lambda path: Checkpoint.load(path.parent)),
    "sealed": ("run.json", canonical_json(MANIFEST), _run_header),
    "predictions": (
        "any.csv",
        PREDICTIONS.encode(),
        lambda path: read_predictions(path.read_bytes(), str(path)),
    ),
    "header": (
        "any.safetensors",
        (8).to_bytes(8, "little") + b'{"a":{}}',
        read_header,
    ),
}


@st.composite
def contents(draw: st.DrawFn, good: bytes) -> bytes:
    """The good file with pieces put in, taken out, cut off or swapped; now and then any bytes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=80))
    raw = good
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(raw)))
        upto = min(len(raw), at + draw(st.sampled_from([0, 0, 1, 2, 5, 20])))
        raw = raw[:at] + draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=3), st.just(b""))) + raw[upto:]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 7)) == 0 else raw


files = st.sampled_from(sorted(READERS)).flatmap(
    lambda name: st.tuples(st.just(name), contents(READERS[name][1])),
)


def assert_taken_or_refused(folder: Path, name: str, content: bytes) -> bool:
    """Assert a clean answer, soon and in little memory; return whether the file was taken."""
    file, _, read = READERS[name]
    home = folder / f"any-{name}"
    home.mkdir(exist_ok=True)
    path = home / file
    path.write_bytes(content)
    started, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = True
    try:
        read(path)
    except SmartCliError as error:
        taken = False
        message = str(error)
        assert file in message or name == "settings", message
        assert len(message) < 3000, message[:3000]
    assert time.process_time() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) * 1024 < BYTES
    return taken
