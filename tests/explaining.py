"""A small data set of real words for `smart explain`: copies planted in train, terms of gender and facts in dev."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from saved_rows import save_rows

from smartcli.data.store import DataSet
from smartcli.home import Home
from tests.hand_made import TASKS
from tests.tiny import WORDS, make_tiny_encoder

PLANTED = "the clever old man and his dog"
ONE = [
    ("d0", (PLANTED,), 3.0),
    ("d1", ("a dull film about a king",), 1.0),
    ("d2", ("she sings and he dances",), 4.0),
    ("d3", ("no such word here",), 0.0),
]
PAIRS = [
    ("d0", (PLANTED, "a bird sings in the park"), 1.0),
    ("d1", ("the woman reads", "the man reads"), 0.0),
    ("d2", ("Paris is big", "Paris is old"), 1.0),
    ("d3", ("no such word", "here it is"), 0.0),
]


def make_words_data(home: Home, name: str = "demo", train: int = 30, **more: Any) -> DataSet:
    """Save the data set: `train` rows a task of words drawn at random, row 7 of them a copy of dev row d0."""
    draw = np.random.default_rng(5)

    def text() -> str:
        return " ".join(draw.choice(WORDS, 6))

    rows: dict[str, Any] = {}
    for task in TASKS:
        dev = PAIRS if task.pair else ONE
        own = [(f"t{i}", tuple(text() for _ in task.text), float(i % 2)) for i in range(train)]
        own[7] = ("t7", dev[0][1], 1.0)
        rows[task.name] = {"train": own, "dev": dev}
    return save_rows(home, name, TASKS, rows, source="own", **more)


def make_mean_encoder(folder: Path) -> Path:
    """Write a tiny encoder whose layers add nothing and whose positions count for nothing.

    With pooling mean a sentence's vector is then the mean of its tokens' own: each token's normalised embedding.
    """
    make_tiny_encoder(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, value in tensors.items():
        if name.endswith("LayerNorm.weight"):
            tensors[name] = np.ones_like(value)
        elif name.endswith("LayerNorm.bias") or "output.dense" in name or "position" in name or "token_type" in name:
            tensors[name] = np.zeros_like(value)
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def token_values(home: Home, name: str, task: str) -> dict[str, float]:
    """Return what each token of a checkpoint on `make_mean_encoder` adds to a score before the mean and the bias."""
    folder = home.checkpoints / name
    encoder, heads = load_file(folder / "model.safetensors"), load_file(folder / "heads.safetensors")
    words = next(value for key, value in encoder.items() if key.endswith("word_embeddings.weight")).astype(np.float64)
    centred = words - words.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    values = normal @ heads[f"{task}.weight"][0].astype(np.float64)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return {token: float(values[number]) for token, number in vocabulary.items()}
