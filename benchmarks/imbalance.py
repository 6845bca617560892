"""From which share on imbalance matters: a planted task whose rare class gets rarer, with and without what helps.

    python -m benchmarks.imbalance --encoder minilm

Messages to a town are urgent or not. Each has three phrases, of which an urgent message has more urgent ones, but not
always: as in real data some rows cannot be told apart, and there what is frequent wins. Every training has as many
rows; the test rows are half urgent, so that recall is counted on many. Ways: plain, class weights, balanced sampling.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

SHARES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
SEEDS = (0, 1, 2)
TRAIN, TEST = 600, 600
URGENT_PHRASE = {True: 0.7, False: 0.15}
"""How likely each phrase is an urgent one, in an urgent message and in another."""
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"class_weights": "balanced"},
    "sampling": {"sampling": "balanced"},
}
WHAT = ("the lamp", "the tree", "the bridge", "the pipe", "the fence", "the roof", "the bin", "the pump")
PHRASES = {
    True: (
        "is about to fall",
        "is on fire",
        "blocks the ambulance",
        "may hurt somebody",
        "has a bare wire",
        "leaks gas",
    ),
    False: ("wants new paint", "is a little old", "looks dull", "could be larger", "is rather loud", "has no number"),
}
TASK = {
    "name": "urgent",
    "kind": "binary",
    "text": "message",
    "label": "urgent",
    "labels": ["no", "yes"],
    "metric": "balanced_accuracy",
}


def rows(count: int, share: float, seed: int) -> list[dict[str, str]]:
    """Return messages, of which `share` are urgent."""
    import numpy as np

    draw = np.random.default_rng([seed, round(1000 * share)])
    out = []
    for number in range(count):
        urgent = number < round(share * count)
        parts = [str(draw.choice(PHRASES[bool(draw.random() < URGENT_PHRASE[urgent])])) for _ in range(3)]
        text = f"{draw.choice(WHAT)} {parts[0]}, {parts[1]} and {parts[2]}"
        out.append({"message": text, "urgent": "yes" if urgent else "no"})
    return out


def measure(home: Path, encoder: str, share: float, way: str, seed: int) -> dict[str, float]:
    """Train once; return recall of the rare and of the other class, and seconds."""
    import pandas as pd

    import smartcli
    from smartcli.home import Home
    from smartcli.metrics import by_class
    from smartcli.registry.registry import Registry

    frames = {"train": pd.DataFrame(rows(TRAIN, share, 10 + seed)), "dev": pd.DataFrame(rows(TEST, 0.5, 99))}
    name = f"{way}-{round(1000 * share)}-{seed}"
    started = time.monotonic()
    options = {"epochs": 3, "batch_size": 16, "lr": 5e-5, "lam": 0, "seed": seed, "keep": "last", **WAYS[way]}
    smartcli.finetune(frames, [TASK], name=name, encoder=encoder, home=home, progress=False, **options)
    checkpoint = Registry(Home(home)).open(name)
    found = checkpoint.predictions()["urgent"]
    assert found.labels is not None
    no, yes = by_class(checkpoint.heads.first, found.labels, found.predictions)
    return {"rare": yes.recall, "other": no.recall, "seconds": time.monotonic() - started}


def main() -> None:
    """Print a line a share and way, and write all numbers to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--output", type=Path)
    wanted = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="imbalance-") as home:
        for share in SHARES:
            for way in WAYS:
                each = [measure(Path(home), wanted.encoder, share, way, seed) for seed in SEEDS]
                results.append({"share": share, "way": way, "runs": each})
                rare, other = ([one[key] for one in each] for key in ("rare", "other"))
                print(
                    f"{share:5.0%} {way:9} recall of the rare class {statistics.mean(rare):.3f} ± "
                    f"{statistics.stdev(rare):.3f}, of the other {statistics.mean(other):.3f} ± "
                    f"{statistics.stdev(other):.3f}, {sum(one['seconds'] for one in each):.0f} s",
                    flush=True,
                )
    if wanted.output is not None:
        # benchmarks/results/imbalance.json has the recalls of one such run.
        wanted.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
