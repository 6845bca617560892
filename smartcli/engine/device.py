"""Where and in which number format to train: device, threads, and a timed probe of bf16."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from smartcli import ranks
from smartcli.atomic import write_file
from smartcli.config import Settings
from smartcli.engine.memory import keep_freed_memory, total_memory
from smartcli.errors import UserError
from smartcli.home import Home

FASTER = 1.25
"""How much faster a bf16 matrix multiply must be before bf16 is chosen: casts and fp32 passes cost too."""
FASTER_ON_GPU = 1.1
"""The same for a whole step, which has the casts in it: below this fp32's digits are worth more."""
PROBE_SHAPE = (768, 384, 1536)


@dataclass(frozen=True)
class Choice:
    """Device, number format and thread count in force, and why."""

    device: str
    bf16: bool
    reason: str
    threads: int
    warning: str | None = None
    tf32: bool = False

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "tf32" if self.tf32 else "fp32"


@dataclass(frozen=True)
class TimedSteps:
    """How to time a training's own steps in fp32 and bf16 on a GPU, and the `key` of what the times depend on."""

    key: str
    measure: Callable[[], dict[str, Any]]


def cpu_name() -> str:
    """Return the processor's model name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Return the processor's flags that matter for bf16, in order."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in line.split()]


def choose_device(setting: str) -> torch.device:
    """Return the device of `--device`; UserError where cuda is asked for and absent."""
    if setting == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device; use --device cpu, or install a CUDA build of torch")
    if setting == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def set_threads(threads: int | None) -> int:
    """Use `threads` CPU threads (None: torch's own choice) and return how many are in use."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def default_threads() -> int:
    """Return how many CPU threads a training uses where nobody said how many."""
    return torch.get_num_threads()


def rounds_multiplies() -> bool:
    """Return whether fp32 matrices are multiplied in tf32 on a GPU, with ten bits of each number."""
    return bool(torch.backends.cuda.matmul.allow_tf32)


@contextmanager
def exact_multiplies() -> Iterator[None]:
    """Multiply fp32 matrices in fp32 inside, also where `--precision tf32` lets a GPU round what goes in."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def time_matmul(dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that times one CPU matrix multiply of a BERT feed-forward's shape, in seconds."""
    m, k, n = PROBE_SHAPE
    a, weight = torch.ones(m, k, dtype=dtype), torch.ones(n, k, dtype=dtype)

    def once() -> float:
        start = time.perf_counter()
        torch.nn.functional.linear(a, weight)
        return time.perf_counter() - start

    return once


def measure_bf16(repeats: int = 25) -> dict[str, Any]:
    """Return milliseconds of the probe in both formats and their ratio (above 1: bf16 is faster).

    Both are timed in turn and the best of each counts, since other processes can only slow one down.
    """
    one, other = time_matmul(torch.float32), time_matmul(torch.bfloat16)
    pairs = [(one(), other()) for _ in range(repeats)]
    fp32, bf16 = (min(times) for times in zip(*pairs, strict=True))
    return {"fp32_ms": round(fp32 * 1e3, 3), "bf16_ms": round(bf16 * 1e3, 3), "ratio": round(fp32 / bf16, 2)}


def probe(home: Home, *, again: bool = False) -> dict[str, Any]:
    """Return the stored verdict for this CPU, torch build and thread count; measure and store it first if absent."""
    key = f"{cpu_name()} | torch {torch.__version__} | {torch.get_num_threads()} threads"
    return _verdict(home, key, measure_bf16, again=again)


def _verdict(home: Home, key: str, measure: Callable[[], dict[str, Any]], *, again: bool = False) -> dict[str, Any]:
    """Return what is stored under `key`; what `measure` finds, stored first, where nothing is.

    Stored, so that two runs on one machine never differ by a noisy probe.
    """
    path = home.root / "precision.json"
    stored: dict[str, Any] = {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        stored = value if isinstance(value, dict) else {}
    except (OSError, ValueError):
        pass
    if again or not isinstance(stored.get(key), dict) or "ratio" not in stored[key]:
        stored[key] = measure()
        write_file(path, json.dumps(stored, indent=2) + "\n")
    verdict: dict[str, Any] = stored[key]
    return verdict


def fine_penalty(settings: Settings) -> bool:
    """Whether R_s is smaller than bf16's rounding: dropout off or the same, and ε < 1e-2."""
    used = settings.lam.default > 0 or any(value > 0 for _, value in settings.lam.by_task)
    exact = settings.smart_dropout in ("off", "same") and settings.smart_variant == "paper"
    return used and exact and settings.epsilon < 1e-2


def choose(settings: Settings, home: Home, steps: TimedSteps | None = None) -> Choice:
    """Return device, precision and threads for `settings`, with the reason in words; sets threads and malloc.

    On a GPU `steps` times those of the training, where that is known.
    """
    device = choose_device(settings.device)
    keep_freed_memory()
    threads = set_threads(ranks.threads() if settings.threads is None else settings.threads)
    tf32 = settings.precision == "tf32"
    if tf32 and device.type != "cuda":
        raise UserError("--precision tf32: it is a format of GPUs, and training runs on the CPU; use fp32 or bf16")
    torch.backends.cuda.matmul.allow_tf32 = tf32
    if settings.precision != "auto":
        warning, asked = None, settings.precision
        if asked in ("bf16", "tf32") and fine_penalty(settings):
            warning = (
                f"--precision {asked} with --smart-dropout {settings.smart_dropout} and --epsilon "
                f"{settings.epsilon:g}: the smoothness penalty is below {asked}'s rounding; use fp32"
            )
        return Choice(device.type, asked == "bf16", "asked for", threads, warning, tf32)
    if fine_penalty(settings):
        reason = f"--smart-dropout {settings.smart_dropout} with epsilon < 1e-2: R_s is below bf16's rounding"
        return Choice(device.type, False, reason, threads)
    if device.type == "cuda":
        return _choose_on_gpu(home, steps, threads)
    if not {"avx512_bf16", "amx_bf16"} & set(cpu_flags()):
        return Choice("cpu", False, "the CPU has no bf16 instructions (avx512_bf16 or amx)", threads)
    verdict = probe(home)
    fast = verdict["ratio"] >= FASTER
    reason = f"a bf16 matrix multiply is {verdict['ratio']:g} x as fast as fp32 here; {FASTER:g} x is needed"
    return Choice("cpu", fast, reason, threads)


def _choose_on_gpu(home: Home, steps: TimedSteps | None, threads: int) -> Choice:
    if not torch.cuda.is_bf16_supported():
        return Choice("cuda", False, "the GPU has no bf16", threads)
    if steps is None:
        return Choice("cuda", True, "the GPU has bf16; a training times its own steps in both formats", threads)
    key = f"{torch.cuda.get_device_name()} | torch {torch.__version__} | {steps.key}"
    verdict = _verdict(home, key, steps.measure)
    reason = f"a step takes {verdict['bf16_ms']:g} ms in bf16 and {verdict['fp32_ms']:g} ms in fp32 here"
    return Choice("cuda", verdict["ratio"] >= FASTER_ON_GPU, reason, threads)


def describe(home: Home) -> dict[str, Any]:
    """Return what `smart doctor` shows: device, CPU, precision and why, threads, memory, CUDA and MPS."""
    choice = choose(Settings(), home)
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        **asdict(choice),
        "precision": choice.precision,
        "cpu": cpu_name(),
        "flags": cpu_flags(),
        "gpu": gpu,
        "mps": bool(torch.backends.mps.is_available()),
        "memory": total_memory() or 0,
        "torch": torch.__version__,
    }


def machine(choice: Choice) -> dict[str, Any]:
    """Return what is stored with a run: processor, device, torch build, threads, precision and why."""
    return {
        "cpu": cpu_name(),
        "device": torch.cuda.get_device_name(0) if choice.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "threads": choice.threads,
        "precision": choice.precision,
        "precision_reason": choice.reason,
    }
