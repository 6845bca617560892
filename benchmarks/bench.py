"""Ours against the usual loop, in turn, in one process, on the same rows: examples/s, ratio, share of the bound.

    python -m benchmarks.bench --data cs224n --steps 20

The data set must be prepared (`smart prepare demo` is enough). Results are kept under benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compiled import CompiledLoop
from benchmarks.costs import measure
from benchmarks.flops import cpu_batch, gemm_peak, step_flops
from benchmarks.random_encoder import encoder_of
from benchmarks.runner import BATCH, WARM, Runner, make_runner, timed
from benchmarks.usual import UsualLoop
from smartcli.config import PerTask, Settings
from smartcli.data.store import DataSet, open_data
from smartcli.engine.device import cpu_flags, cpu_name
from smartcli.engine.inference.split_outputs import predict
from smartcli.engine.memory import keep_freed_memory, peak_memory
from smartcli.engine.training.batches import Prepared
from smartcli.home import Home, find_home
from smartcli.workflows.preparing.preparation import prepare

COMPILED_LENGTH = 64
"""Tokens to which the compiled loop pads: the fewest that hold nearly all of the course's sentences."""
RESULTS = Path(__file__).parent / "results"


def settings_for(encoder: str, lam: float) -> Settings:
    """Return the settings of both loops: MiniLM's preset, batch 8 a task."""
    return replace(
        Settings(),
        encoder=encoder,
        lam=PerTask(lam),
        lr=5e-5,
        clip_norm=1.0,
        attention_dropout=0.0,
        weight_decay=0.01,
    )


def compare(
    home: Home,
    data_set: DataSet,
    encoder: str,
    *,
    lam: float,
    bf16: bool,
    count: int,
    device: torch.device,
    compiled: bool = False,
) -> dict[str, Any]:
    """Time `count` steps of each loop, one of each in turn, and return the figures."""
    settings = settings_for(encoder, lam)
    runner = make_runner(home, data_set, settings, bf16=bf16, device=device)
    spec, tasks = runner.inputs.source.spec, runner.inputs.trained
    usual = UsualLoop(runner.inputs.source.folder, tasks, settings, bf16=bf16, device=device)
    strong = None
    if compiled:
        strong = CompiledLoop(
            runner.inputs.source.folder, tasks, settings, bf16=bf16, device=device, length=COMPILED_LENGTH
        )
    ours_times, usual_times, strong_times, work, tokens, kept = [], [], [], [], [], []
    for step in runner.steps(count):
        rows = {name: data_set.rows(name, "train") for name in tasks.names}
        texts = {n: [tuple(rows[n].text(s, int(r)) for s in range(rows[n].sides)) for r in step.rows[n]] for n in rows}
        labels = {n: torch.from_numpy(rows[n].labels[step.rows[n]]).float() for n in rows}
        batches, prepared = usual.tokenise(texts), runner.batcher(step)
        kept.append(prepared)
        runner.warm(prepared)
        usual_times.append(timed(lambda batches=batches, labels=labels: usual.step(batches, labels)))
        ours_times.append(runner.seconds(prepared))
        if strong is not None:
            joined = strong.joined(texts)
            strong_times.append(timed(lambda one=joined, labels=labels: strong.step_joined(one, labels)))
        batch = cpu_batch(runner.batcher, step)
        tokens.append(batch.tokens)
        work.append(step_flops(batch, spec, smart=lam > 0))
    ours_times, usual_times, work = ours_times[WARM:], usual_times[WARM:], work[WARM:]
    strong_times = strong_times[2 * WARM :]
    # Recorded already: these batches are those above.
    ahead = run_ahead(runner, kept) if device.type == "cuda" else None
    peak = gemm_peak(torch.bfloat16 if bf16 else torch.float32, 700, spec, device)
    examples = BATCH * len(tasks.names)
    ratios = [u / o for u, o in zip(usual_times, ours_times, strict=True)]
    share = statistics.median(work) / statistics.median(ours_times) / peak
    return {
        "smart": lam > 0,
        "precision": "bf16" if bf16 else "fp32",
        "steps": count,
        "ours_examples_per_s": round(examples / statistics.median(ours_times), 1),
        "usual_examples_per_s": round(examples / statistics.median(usual_times), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_of_medians": round(statistics.median(usual_times) / statistics.median(ours_times), 2),
        "ours_tokens_per_s": round(statistics.median(tokens) / statistics.median(ours_times)),
        "ours_ms": round(statistics.median(ours_times) * 1e3, 2),
        "usual_ms": round(statistics.median(usual_times) * 1e3, 2),
        "compiled_ms": round(statistics.median(strong_times) * 1e3, 2) if strong_times else None,
        "ahead_ms": None if ahead is None else round(ahead[0] * 1e3, 2),
        "gpu_busy": None if ahead is None else round(ahead[1], 3),
        "graphs": len(recorder)
        if isinstance(recorder := getattr(runner.state.updater, "recorder", None), Sized)
        else 0,
        "ours_seconds": round(statistics.median(ours_times), 4),
        "gemm_peak_gflops": round(peak / 1e9, 1),
        "share_of_bound": None if bf16 and lam > 0 else round(share, 3),
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def run_ahead(runner: Runner, batches: Sequence[Prepared]) -> tuple[float, float]:
    """Return seconds a step where each is asked for before the last is read, as in training, and the GPU's busy share.

    That is the share of the time in which a kernel runs is by torch's profiler, over the same steps once more.
    """
    from torch.profiler import ProfilerActivity, profile

    def all_of_them() -> None:
        waiting = None
        for prepared in batches:
            asked = runner.state.updater.launch(prepared, probe=False)
            if waiting is not None:
                waiting.read()
            waiting = asked
        asked.read()

    wall = timed(all_of_them)
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        timed(all_of_them)
    kernels = sum(event.self_device_time_total for event in found.key_averages()) / 1e6
    return wall / len(batches), min(1.0, kernels / wall)


def predicted_rows(runner: Runner, most: int = 4000) -> float:
    """Return how many dev rows a second are predicted, of the task with the most."""
    name, split = max(runner.inputs.dev.items(), key=lambda item: len(item[1]))
    rows = np.arange(min(most, len(split)))
    work = partial(predict, runner.inputs.model, name, split.sides, runner.inputs.reader, rows)
    work()
    return round(len(rows) / timed(work), 1)


def packing_rate(runner: Runner, count: int = 200) -> float:
    """Return how many steps a second one CPU thread packs."""
    chosen = list(runner.steps(count))
    start = time.thread_time()
    made = sum(1 for _ in runner.batcher.over(chosen))
    return round(made / (time.thread_time() - start), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a prepared data set (default: the demo corpus in a temporary home)")
    parser.add_argument("--cs224n", type=Path, help="the course's folder, prepared in a temporary home")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", choices=("fp32", "bf16", "both"), default="both")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compiled", action="store_true", help="pair ours with a compiled loop too")
    parser.add_argument("--no-costs", action="store_true", help="without what each method costs")
    parser.add_argument("--costs", action="store_true", help="only what each method costs against a plain step, fp32")
    parser.add_argument("--output", type=Path, help="JSON file (default: benchmarks/results/CPU.json)")
    options = parser.parse_args()
    asked = options.encoder
    keep_freed_memory()
    device = torch.device(options.device)
    name = cpu_name() if device.type == "cpu" else torch.cuda.get_device_name()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        if options.data:
            home = find_home()
        else:
            home = Home(Path(folder))
            source = "cs224n" if options.cs224n else "demo"
            options.encoder = encoder_of(options.encoder, Path(folder))
            prepare(home, source, path=options.cs224n, encoder=options.encoder)
        data_set = open_data(home, options.data)
        precisions = [False, True] if options.precision == "both" else [options.precision == "bf16"]
        if options.precision == "both" and device.type == "cpu" and not {"avx512_bf16", "amx_bf16"} & set(cpu_flags()):
            precisions = [False]
        costs = []
        if not options.no_costs:
            costs = measure(
                home,
                data_set,
                settings_for(options.encoder, 0.0),
                bf16=device.type == "cuda",
                count=options.steps,
                device=device,
            )
        if options.costs:
            print_costs(costs)
            return
        rows = [
            compare(
                home,
                data_set,
                options.encoder,
                lam=lam,
                bf16=bf16,
                count=options.steps,
                device=device,
                compiled=options.compiled,
            )
            for bf16 in precisions
            for lam in (0.0, 1.0)
        ]
        first = settings_for(options.encoder, 1.0)
        runner = make_runner(home, data_set, first, bf16=False, device=device, say=lambda _: None)
        packed, predicted = packing_rate(runner), predicted_rows(runner)
        result = {
            "cpu": cpu_name(),
            "device": name,
            "flags": cpu_flags(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
            "data": data_set.title,
            "encoder": asked,
            "batch": f"{BATCH} a task",
            "packed_steps_per_s": packed,
            "predicted_rows_per_s": predicted,
            "rows": rows,
            "costs": costs,
        }
    print_table(result)
    output = options.output or RESULTS / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"kept in {output}")


def print_table(result: dict[str, Any]) -> None:
    """Print a row a setting."""
    from rich.console import Console
    from rich.table import Table

    columns = (
        "", "precision", "ours ms", "run ahead", "usual ms", "compiled ms", "ours ex/s", "ratio", "of GEMM bound",
        "GPU busy", "graphs", "peak MB",
    )  # fmt: skip
    table = Table(*columns, title=f"{result['data']}, {result['encoder']}, {result['threads']} threads")
    for row in result["rows"]:
        share = "–" if row["share_of_bound"] is None else f"{row['share_of_bound']:.0%}"
        name = "SMART" if row["smart"] else "plain"
        strong = "–" if row["compiled_ms"] is None else row["compiled_ms"]
        ahead = "–" if row["ahead_ms"] is None else row["ahead_ms"]
        figures = (row["ours_ms"], ahead, row["usual_ms"], strong, row["ours_examples_per_s"], f"{row['ratio']:.2f} x")
        busy = "–" if row["gpu_busy"] is None else f"{row['gpu_busy']:.0%}"
        last = (share, busy, str(row["graphs"]), str(row["peak_memory_mb"]))
        table.add_row(name, row["precision"], *map(str, figures), *last)
    Console(width=130).print(table)
    Console().print(
        f"one CPU thread packs {result['packed_steps_per_s']:,.0f} steps a second; "
        f"{result['predicted_rows_per_s']:,.0f} rows a second are predicted, in fp32"
    )
    if result["costs"]:
        print_costs(result["costs"])


def print_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print what each method's step takes, in plain steps."""
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "precision", "seconds a step", "x plain", title="Cost against a plain step")
    for row in costs:
        table.add_row(row["method"], row["precision"], f"{row['seconds']:.3f}", f"{row['times_plain']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
