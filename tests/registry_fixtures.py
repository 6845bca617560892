"""Small checkpoints for tests of the registry: real files and a real commit, invented content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from smartcli.atomic import canonical_json
from smartcli.config import Settings
from smartcli.data.predictions import TaskPredictions, write_predictions

FINGERPRINT = "f" * 64
TASKS = [{"name": "mood", "kind": "classification", "text": ["text"], "label": "label", "labels": ["bad", "good"]}]


def make_meta(name: str, **changes: Any) -> dict[str, Any]:
    """Return a whole smart.json for one task called mood."""
    return {
        "format": 1,
        "name": name,
        "kind": "finetune",
        "method": "concat simultaneous smart",
        "command": ["smart", "finetune", "--name", name],
        "settings": Settings().to_json(),
        "tasks": TASKS,
        "all_tasks": TASKS,
        "encoder": {"id": "minilm", "revision": None, "model_type": "bert", "hash": "e" * 64},
        "data": {"name": "demo", "fingerprint": FINGERPRINT},
        "lineage": {"init": None, "members": []},
        "metrics": {"mood": {"accuracy": 0.75, "n": 4}, "overall": 0.75},
        "best_epoch": 2,
        "versions": {"smartcli": "0"},
        "seconds": 12.5,
        "created": "2025-01-02T03:04:05+00:00",
        "machine": {"threads": 2},
        **changes,
    }


def make_fill(name: str, seed: int = 0, **changes: Any) -> Callable[[Path], None]:
    """Return a function that writes the files of a small checkpoint."""

    def fill(folder: Path) -> None:
        weights = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32)
        half = np.array([0.25, 0.75, 0.5, 0.5])
        predictions = TaskPredictions(
            "mood",
            ["a", "b", "c", "d"],
            np.array([0.0, 1.0, 1.0, 0.0]),
            np.array([0.0, 1.0, 1.0, 1.0]),
            np.stack([1 - half, half], axis=1),
        )
        files = {
            "smart.json": canonical_json(make_meta(name, **changes)),
            "heads.safetensors": save({"mood.weight": weights}, metadata={"format": "pt"}),
            "predictions-dev.csv": write_predictions({"mood": predictions}),
            "log.jsonl": b"".join(
                b'{"event": "dev", "epoch": %d, "mood": {"accuracy": %s, "n": 4}, "overall": %s}\n' % (epoch, v, v)
                for epoch, v in enumerate((b"0.5", b"0.75", b"0.625"), 1)
            ),
            "README.md": f"# {name}\n".encode(),
        }
        for file, content in files.items():
            (folder / file).write_bytes(content)

    return fill
