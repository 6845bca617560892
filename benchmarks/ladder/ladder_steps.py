"""A ladder's steps and stages as its TOML file has them, and the trainings that they take."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from smartcli.option_table import OPTION_OF
from smartcli.workflows.studies.cells import Cell

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """A training of the ladder: `options` go over what all trainings have in common."""

    id: str
    label: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """Steps trained on as many rows for as many seeds; `members` seeds of `ensemble_of` are combined by `vote`.

    Every step is compared with the first, and the two sides of each pair in `beside` with each other.
    """

    id: str
    title: str
    rows: int | None
    seeds: int
    steps: tuple[Step, ...]
    ensemble_of: str | None = None
    members: int = 0
    vote: str = "mode"
    beside: tuple[tuple[str, str], ...] = ()

    def cell_id(self, step: Step) -> str:
        """Return a name of step and rows, so that a glob takes the seeds of one stage only."""
        return f"{step.id}-{self.rows or 'all'}"

    def cells(self) -> list[Cell]:
        """Return the trainings, seed by seed, so that a stage which is cut short has whole seeds."""
        size = {} if self.rows is None else {"rows": self.rows}
        return [
            Cell(self.cell_id(step), step.label, {**step.options, **size}, seed)
            for seed in range(max(self.seeds, self.members))
            for step in self.steps
            if seed < (self.members if step.id == self.ensemble_of else self.seeds)
        ]


@dataclass(frozen=True)
class Ladder:
    """A ladder: what all its trainings have in common, and its stages in order."""

    id: str
    title: str
    common: Mapping[str, Any]
    stages: tuple[Stage, ...]


def names() -> list[str]:
    """Return the ladders that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> Ladder:
    """Return the ladder of `name`.toml; a step's `recipe` stands for the options of that recipe."""
    value = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    steps = {entry["id"]: _step(entry) for entry in value["step"]}
    stages = tuple(_stage(entry, steps) for entry in value["stage"])
    return Ladder(name, value["title"], _known(value["common"]), stages)


def _step(entry: Mapping[str, Any]) -> Step:
    options = _recipe(entry["recipe"]) if "recipe" in entry else {}
    return Step(entry["id"], entry["label"], {**options, **_known(entry.get("options", {}))})


def _recipe(name: str) -> dict[str, Any]:
    """Return a recipe's options as they stand in its file, so that the ladder trains what users get."""
    values = tomllib.loads((files("smartcli.recipes") / f"recipe-{name}.toml").read_text(encoding="utf-8"))
    return _known({key.replace("-", "_"): value for key, value in values.items() if key != "about"})


def _stage(entry: Mapping[str, Any], steps: Mapping[str, Step]) -> Stage:
    chosen: Sequence[str] = entry["steps"]
    return Stage(
        entry["id"],
        entry["title"],
        entry.get("rows"),
        entry["seeds"],
        tuple(steps[one] for one in chosen),
        entry.get("ensemble_of"),
        entry.get("members", 0),
        entry.get("vote", "mode"),
        tuple((a, b) for a, b in entry.get("beside", ())),
    )


def _known(options: dict[str, Any]) -> dict[str, Any]:
    unknown = set(options) - set(OPTION_OF)
    assert not unknown, f"no training options: {', '.join(sorted(unknown))}"
    return options
