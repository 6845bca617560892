"""What the shell offers for names: read from the file system, without opening anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import typer

from smartcli.errors import SmartCliError
from smartcli.home import Home, find_home


def _home(ctx: typer.Context) -> Home:
    return find_home(ctx.find_root().params.get("home"))


def _folders(parent: Path) -> list[str]:
    try:
        return sorted(path.name for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def choices(*words: str) -> Callable[[str], list[str]]:
    """Return a completer of fixed words."""

    def complete_choice(incomplete: str) -> list[str]:
        return _starting(words, incomplete)

    return complete_choice


def checkpoints(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of registered checkpoints."""
    return _starting(_folders(_home(ctx).checkpoints), incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs in progress or interrupted."""
    return _starting(_folders(_home(ctx).runs), incomplete)


def resumable(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `--resume` takes: `auto`, or a run."""
    return _starting(["auto", *_folders(_home(ctx).runs)], incomplete)


def data_sets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of prepared data sets."""
    return _starting(_folders(_home(ctx).data), incomplete)


def sources(incomplete: str) -> list[str]:
    """Sources of `smart prepare`, and folders."""
    folders = [name + "/" for name in _folders(Path(incomplete).parent if "/" in incomplete else Path())]
    return _starting(["demo", "cs224n", "hub", *folders], incomplete)


def encoders(incomplete: str) -> list[str]:
    """The encoder that comes as a package, and folders with a config.json here."""
    here = [path.parent.as_posix() for path in Path().glob("*/config.json")]
    return _starting(["minilm", "bert-base-uncased", *sorted(here)], incomplete)


def recipes(incomplete: str = "") -> list[str]:
    """Names that `--recipe` takes."""
    found = sorted(path.name for path in files("smartcli.recipes").iterdir())
    names = [name.removeprefix("recipe-").removesuffix(".toml") for name in found if name.startswith("recipe-")]
    return _starting(names, incomplete)


def swap_lists(incomplete: str) -> list[str]:
    """Names of the lists that come with `smart explain --swap-file`, and csv and tsv files here."""
    here = [path.name for kind in ("csv", "tsv") for path in Path().glob(f"*.{kind}")]
    return _starting(["gender", "facts", *sorted(here)], incomplete)


def _task_names(ctx: typer.Context) -> list[str]:
    """Return the tasks of the checkpoint that was typed, else those of the data set in force."""
    try:
        # An option that still lacks its value ends the parsing: what was typed before it is in `args`.
        if "checkpoint" in ctx.params and (typed := ctx.params["checkpoint"] or next(iter(ctx.args), None)):
            from smartcli.registry.registry import Registry

            return Registry(_home(ctx)).open(typed).meta.task_names
        from smartcli.data.store import open_data

        return list(open_data(_home(ctx), ctx.params.get("data")).tasks.names)
    except SmartCliError:
        return []


def tasks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Task names of the data set in force, after the ones typed already: `sst,` offers `sst,qqp`."""
    typed, comma, _ = incomplete.rpartition(",")
    names = [name for name in _task_names(ctx) if name not in typed.split(",")]
    return _starting([f"{typed}{comma}{name}" for name in names], incomplete)


def task(ctx: typer.Context, incomplete: str) -> list[str]:
    """One task name."""
    return _starting(_task_names(ctx), incomplete)


def task_values(ctx: typer.Context, incomplete: str) -> list[str]:
    """`task=` for every task, for options with a value a task."""
    typed, comma, _ = incomplete.rpartition(",")
    return _starting([f"{typed}{comma}{name}=" for name in _task_names(ctx)], incomplete)
