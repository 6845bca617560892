"""Memory and start-up as data grows: prepare and train on 4,000 and on 404,290 synthetic pairs.

    python -m benchmarks.scale --encoder minilm

Each part is a process of its own, as a user would start it; its peak memory is what the system reports.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES = (4_000, 404_290)
DEV_ROWS = 200
TASKS = """[[task]]
name = "pairs"
kind = "binary"
text = ["one", "two"]
label = "same"
train = "train.csv"
dev = "dev.csv"
"""


def write_folder(folder: Path, rows: int) -> None:
    """Write a data folder of `rows` training pairs from the demo corpus's grammar, numbered so that each differs."""
    from smartcli.data.draws import Draws
    from smartcli.data.grammars import paraphrase

    (folder / "tasks.toml").write_text(TASKS, encoding="utf-8")
    draws = Draws("scale")
    for name, count in (("train.csv", rows), ("dev.csv", DEV_ROWS)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["one", "two", "same"])
            for number in range(count):
                texts, label = paraphrase(draws)
                out.writerow([f"{texts[0]} {name[0]}{number}", texts[1], int(label)])


def run(home: Path, *arguments: str) -> dict[str, Any]:
    """Run `smart`; return its seconds, those until its first step was done, and its peak memory in MB.

    An error of it ends this program.
    """
    start, first = time.perf_counter(), None
    command = [sys.executable, "-m", "smartcli", "--home", str(home), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if first is None and "step 1/" in line:
            first = round(time.perf_counter() - start, 1)
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} exited with {code}:\n{''.join(said)}")
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = round(time.perf_counter() - start, 1)
    return {"seconds": seconds, "first_step": first, "peak_mb": round(usage.ru_maxrss * unit / 2**20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    found: dict[str, Any] = {"steps": options.steps, "encoder": options.encoder}
    with tempfile.TemporaryDirectory() as name:
        for rows in SIZES:
            folder, home = Path(name) / f"data{rows}", Path(name) / f"home{rows}"
            folder.mkdir()
            write_folder(folder, rows)
            prepared = run(home, "prepare", str(folder), "--name", "pairs", "--encoder", options.encoder)
            common = ("finetune", "--data", "pairs", "--lambda", "0", "--precision", "fp32")
            trained = run(home, *common, "--max-steps", str(options.steps))
            found[str(rows)] = {"prepare": prepared, "training": trained}
            print(f"{rows:,} pairs: {json.dumps(found[str(rows)])}")
    small, large = (found[str(rows)]["training"]["peak_mb"] for rows in SIZES)
    found["training_memory_beyond_mb"] = large - small
    print(f"training on {SIZES[1]:,} pairs takes {large - small} MB more than on {SIZES[0]:,}")
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
