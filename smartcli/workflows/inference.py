"""Outputs of a registered model: on a split of a data set, or on rows that a user brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smartcli.config import Settings
from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.data.ragged import Ragged
from smartcli.data.store import DataSet
from smartcli.data.tokens import open_tokens
from smartcli.errors import SmartCliError, UserError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.content import check_tokenizer
from smartcli.workflows.finish import predictions_of

if TYPE_CHECKING:
    from smartcli.engine.model import MultiTaskModel
    from smartcli.engine.predict import Outputs, Reader


class LoadedModel:
    """A checkpoint's model in fp32, every file verified, ready to predict."""

    def __init__(self, home: Home, checkpoint: Checkpoint) -> None:
        """Load the model; an ensemble has none of its own and is a UserError."""
        from smartcli.engine.allocator import keep_freed_memory
        from smartcli.engine.build import build_model, load_heads
        from smartcli.engine.device import choose_device
        from smartcli.engine.predict import Reader

        if checkpoint.kind == "ensemble":
            raise UserError(f'"{checkpoint.name}" is an ensemble, which has no weights of its own; load its members')
        for file in ("config.json", "model.safetensors", "tokenizer.json"):
            checkpoint.path(file)
        keep_freed_memory()
        settings = Settings.from_json(checkpoint.meta["settings"])
        self.home, self.checkpoint = home, checkpoint
        self.tasks = checkpoint.heads
        spec = read_spec(checkpoint.folder)
        self.tokenizer = SentenceTokenizer.from_folder(checkpoint.folder, spec)
        check_tokenizer(checkpoint.folder, self.tokenizer.hash, checkpoint.meta)
        self.model: MultiTaskModel = build_model(checkpoint.folder, spec, self.tasks, settings)
        load_heads(
            self.model,
            checkpoint.read("heads.safetensors"),
            self.tasks.names,
            f"{checkpoint.name}/heads.safetensors",
        )
        self.model.to(choose_device("auto")).eval()
        self.reader: Reader = Reader(self.tokenizer.template, settings.max_length)

    def outputs(self, task: str, sides: Sequence[Ragged]) -> Outputs:
        """Return the outputs of every row of a task."""
        from smartcli.engine.predict import predict

        try:
            return predict(self.model, task, sides, self.reader)
        except FloatingPointError as error:
            raise SmartCliError(f'checkpoint "{self.checkpoint.name}": {error}; it cannot be used') from error

    def on_split(self, data_set: DataSet, split: str) -> Predictions:
        """Return predictions for every task of the model that has rows in the split."""
        tokens = open_tokens(data_set, self.tokenizer)
        names = [t.name for t in self.tasks if t.name in data_set.tasks and split in data_set.splits(t.name)]
        return predictions_of(data_set, split, {name: self.outputs(name, tokens.sides(name, split)) for name in names})

    def label(self, task_name: str, texts: Sequence[Sequence[str]]) -> TaskPredictions:
        """Return predictions for rows given as one or two texts each; ids are row numbers from 0."""
        task = self.tasks.get(task_name, "--task")
        sides = [Ragged.of(self.tokenizer.encode([row[side] for row in texts])) for side in range(len(task.text))]
        found = self.outputs(task_name, sides)
        ids = [str(number) for number in range(len(texts))]
        shares = found.probabilities
        if not ids and task.kind != "regression":
            shares = np.empty((0, task.classes))
        return TaskPredictions(task_name, ids, None, found.predictions, shares)


def run_model(home: Home, checkpoint: Checkpoint, data_set: DataSet, split: str) -> Predictions:
    """Return a checkpoint's predictions on a split, computed now."""
    return LoadedModel(home, checkpoint).on_split(data_set, split)


def label_rows(home: Home, checkpoint: Checkpoint, task: str, texts: Sequence[Sequence[str]]) -> TaskPredictions:
    """Return a checkpoint's predictions for rows that are in no data set."""
    return LoadedModel(home, checkpoint).label(task, texts)
