"""The models behind a checkpoint in memory: its own, or those of an ensemble's members, which predict together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smartcli.data.predictions import TaskPredictions
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.voting import combine
from smartcli.workflows.scoring.model_outputs import LoadedModel
from smartcli.workflows.scoring.sources import members_of


@dataclass(frozen=True)
class Panel:
    """A checkpoint and its models, in the order of an ensemble's members."""

    checkpoint: Checkpoint
    parts: tuple[LoadedModel, ...]

    def label(self, task: Task, texts: Sequence[Sequence[str]], *, budget: int | None = None) -> TaskPredictions:
        """Return predictions for rows of one or two texts each, combined as `smart ensemble` does.

        `budget` is the most tokens of a batch (None: the usual ones).
        """
        each = [part.label(task.name, texts, budget=budget) for part in self.parts]
        if self.checkpoint.kind != "ensemble":
            return each[0]
        names = [part.checkpoint.name for part in self.parts]
        return combine([task], [{task.name: one} for one in each], names, self.checkpoint.meta.vote)[task.name]


def load_panel(home: Home, checkpoint: Checkpoint, device: str = "auto", *, int8: bool = False) -> Panel:
    """Load a checkpoint's model, or those of an ensemble's members, every file verified; with `int8` to the CPU."""
    parts = members_of(Registry(home), checkpoint) if checkpoint.kind == "ensemble" else [checkpoint]
    return Panel(checkpoint, tuple(LoadedModel(home, part, device, int8=int8) for part in parts))
