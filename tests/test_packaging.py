"""The wheel holds what users need and nothing else; installed away from the checkout, it runs the demo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from smartcli import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "smartcli", "completions")
LARGEST = 1_000_000
WHEEL = f"smart_finetune-{__version__}-py3-none-any.whl"


def build(what: str, source: Path, target: Path) -> Path:
    """Run the build backend in `source`, as pip does; return the archive."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{what}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the source archive, as an index gets both."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "copy"
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    with tarfile.open(build("sdist", copy, folder)) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    return build("wheel", source, folder)


def test_the_wheel_holds_every_module_and_every_file_that_they_read(wheel: Path) -> None:
    assert wheel.name == WHEEL
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("smartcli/")}
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "smartcli").rglob("*") if path.is_file()}
    assert inside == {name for name in here if "__pycache__" not in name}
    assert {"smartcli/py.typed", "smartcli/recipes/tasks-paper.toml"} <= inside


def test_the_wheel_holds_the_completions_where_shells_look(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shared = {name.partition(".data/data/share/")[2]: name for name in archive.namelist() if "/share/" in name}
        for place, script in {
            "bash-completion/completions/smart.bash": "smart.bash",
            "zsh/site-functions/_smart": "_smart",
            "fish/vendor_completions.d/smart.fish": "smart.fish",
        }.items():
            assert archive.read(shared.pop(place)) == (ROOT / "completions" / script).read_bytes()
    assert shared == {}


def test_the_wheel_is_small_and_holds_neither_tests_nor_data(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"smartcli", f"smart_finetune-{__version__}.dist-info", f"smart_finetune-{__version__}.data"}


def test_each_constraint_lies_within_what_the_project_asks_for() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_the_container_gets_all_that_the_wheel_is_made_of() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert copied == {*SOURCES, "constraints.txt"}
    everything, *kept = (ROOT / ".dockerignore").read_text().split()
    assert (everything, {line[1:] for line in kept if line[0] == "!"}) == ("*", copied)


@pytest.mark.slow
def test_installed_away_from_the_checkout_it_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index, and some 2 GB for torch."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_folder, away = tmp_path / "venv" / "bin", tmp_path / "away"
    away.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"PATH": f"{bin_folder}:{env['PATH']}", "COLUMNS": "200"}

    def run(*words: str | Path, input: str | None = None) -> str:
        done = subprocess.run(words, cwd=away, env=env, capture_output=True, text=True, input=input, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    constraints = ROOT / "constraints.txt"
    run(bin_folder / "pip", "install", "-q", "-c", constraints, f"smart-finetune[demo] @ {wheel.as_uri()}")
    assert str(tmp_path) in run("python", "-c", "import smartcli; print(smartcli.__file__)")
    assert "finetune" in run("smart", "--help")
    assert "sst" in run("smart", "prepare", "demo")
    run("smart", "finetune", "--max-steps", "3", "--rows", "32", "--batch-size", "4", "--lambda", "5", "--name", "a")
    assert "a " in run("smart", "evaluate")
    rows = run("smart", "predict", "a", "--task", "sst", "--input", "-", input="id\tsentence\n1\ta good film\n")
    assert rows.startswith("id\tsentence\tprediction\tprobability\n1\ta good film\t")
