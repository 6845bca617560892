"""What a training reads before it starts: data set, tokens, encoder or `--init` checkpoint, and the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smartcli.config import Settings, fold_of
from smartcli.data.store import DataSet
from smartcli.data.tokens import open_tokens
from smartcli.errors import UserError
from smartcli.families.find import find_encoder
from smartcli.families.spec import EncoderSpec, read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.weights import open_weights
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.content import check_tokenizer
from smartcli.registry.meta import EncoderRecord
from smartcli.registry.registry import Registry
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.training.teaching import describe_teacher, open_teacher
from smartcli.workflows.training.unlabelled import read_unlabelled

if TYPE_CHECKING:
    from smartcli.engine.inference.split_outputs import Reader
    from smartcli.engine.model.multitask import MultiTaskModel
    from smartcli.engine.training.batches import Split

Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where encoder and heads come from: a folder with an encoder's files, and maybe a checkpoint."""

    folder: Path
    spec: EncoderSpec
    tokenizer: SentenceTokenizer
    about: EncoderRecord
    """As stored in smart.json."""
    checkpoint: Checkpoint | None


@dataclass(frozen=True)
class TrainingInputs:
    """Everything a training reads, ready to use."""

    source: Source
    model: MultiTaskModel
    trained: TaskTable
    train: dict[str, Split]
    dev: dict[str, Split]
    reader: Reader
    teacher: dict[str, Any] | None = None
    """What is recorded of `--teacher`."""


def read_source(home: Home, settings: Settings, say: Say) -> Source:
    """Find and read the encoder's files, or those of the checkpoint that `--init` names (verified)."""
    if settings.init is not None:
        checkpoint = Registry(home).open(settings.init)
        for file in ("config.json", "model.safetensors", "heads.safetensors", "tokenizer.json"):
            checkpoint.path(file)
        spec = read_spec(checkpoint.folder)
        tokenizer = SentenceTokenizer.from_folder(checkpoint.folder, spec)
        check_tokenizer(checkpoint.folder, tokenizer.hash, checkpoint.meta.encoder)
        return Source(checkpoint.folder, spec, tokenizer, checkpoint.meta.encoder or EncoderRecord(), checkpoint)
    assert settings.encoder is not None
    files = find_encoder(settings.encoder, settings.revision, say=say)
    spec = read_spec(files.folder)
    tokenizer = SentenceTokenizer.from_folder(files.folder, spec)
    about = EncoderRecord(id=files.id, revision=files.revision, model_type=spec.model_type, tokenizer=tokenizer.hash)
    for note in open_weights(files.folder, spec).notes:
        say(f"{files.id}: {note}")
    return Source(files.folder, spec, tokenizer, about, None)


def read_inputs(home: Home, data_set: DataSet, settings: Settings, say: Say) -> TrainingInputs:
    """Read all that a training needs; every mistake of the user shows here, before anything is written."""
    source = read_source(home, settings, say)
    trained = data_set.tasks.select(settings.tasks)
    if settings.max_length > source.spec.max_tokens:
        raise UserError(
            f"--max-length is {settings.max_length}, but the encoder takes at most {source.spec.max_tokens} tokens"
        )
    _check_splits(data_set, trained)
    if settings.surgery != "none":
        from smartcli.engine.training.surgery import weighting

        weighting(settings.surgery)
    heads = _head_table(data_set, trained, source)
    inputs = TrainingInputs(source, *_model_and_rows(data_set, settings, source, trained, heads))
    return inputs if settings.teacher is None else _taught(home, data_set, settings, inputs, say)


def _check_splits(data_set: DataSet, trained: TaskTable) -> None:
    for task in trained:
        if "train" not in data_set.splits(task.name):
            others = [t.name for t in data_set.tasks if "train" in data_set.splits(t.name)]
            raise UserError(
                f'the task "{task.name}" of the data set "{data_set.name}" has no train rows; '
                + (f"train the others with: --tasks {','.join(others)}" if others else "no task has any")
            )
    if not any("dev" in data_set.splits(task.name) for task in trained):
        raise UserError(
            f'the data set "{data_set.name}" has no dev rows of {", ".join(trained.names)}; a checkpoint is chosen and '
            "compared by its dev predictions, so give one of these tasks a dev file"
        )


def _check_frozen(model: MultiTaskModel, settings: Settings, trained: TaskTable) -> None:
    """Refuse a phase or step without a weight to train: a frozen encoder, and heads that have none."""
    alone = [task for task in trained.names if not list(model.head(task).parameters())]
    apart = settings.schedule == "sequential" or settings.task_sampling != "all"
    if settings.freeze_encoder and alone and (apart or len(alone) == len(trained)):
        raise UserError(
            f"--freeze-encoder: with --pair-mode {settings.pair_mode} the head of {', '.join(alone)} has no weights, "
            "so there is nothing to train; leave the task out, or train the encoder too"
        )


def _head_table(data_set: DataSet, trained: TaskTable, source: Source) -> TaskTable:
    """Return the tasks with a head, in table order: those to train, and those that the checkpoint brings."""
    brought = source.checkpoint.heads if source.checkpoint is not None else TaskTable(())
    for task in brought:
        if task.name in data_set.tasks and not _same_head(task, data_set.tasks.get(task.name)):
            assert source.checkpoint is not None
            raise UserError(
                f'--init {source.checkpoint.name}: its head for "{task.name}" is for another task '
                f"({task.kind}, {task.classes} classes) than the data set's "
                f"({data_set.tasks.get(task.name).kind}, {data_set.tasks.get(task.name).classes} classes)"
            )
    names = set(trained.names) | set(brought.names)
    return TaskTable(tuple(task for task in data_set.tasks if task.name in names))


def _same_head(one: Task, other: Task) -> bool:
    return (one.kind, one.classes, one.pair, one.range) == (other.kind, other.classes, other.pair, other.range)


def _model_and_rows(
    data_set: DataSet, settings: Settings, source: Source, trained: TaskTable, heads: TaskTable
) -> tuple[MultiTaskModel, TaskTable, dict[str, Split], dict[str, Split], Reader]:
    from smartcli.engine.inference.split_outputs import Reader
    from smartcli.engine.model.build import build_model, load_heads, start_heads

    tokens = open_tokens(data_set, source.tokenizer)

    def split(task: str, name: str, keep: NDArray[np.int64] | None = None) -> Split:
        from smartcli.engine.training.batches import Split
        from smartcli.engine.training.row_sets import take

        rows = data_set.rows(task, name)
        whole = Split(tokens.sides(task, name), rows.labels, rows.id)
        return whole if keep is None else take(whole, keep)

    train, dev = {}, {}
    for task in heads:
        if task.name in trained:
            kept = train_rows(data_set, task, settings)
            train[task.name] = split(task.name, "train", kept)
        if "dev" in data_set.splits(task.name):
            dev[task.name] = split(task.name, "dev")
    weights = {t.name: class_weights(t, settings.class_weights, _labels(train[t.name])) for t in trained}
    heads, trained = (
        TaskTable(tuple(replace(t, class_weights=weights.get(t.name)) for t in table)) for table in (heads, trained)
    )
    model = build_model(source.folder, source.spec, heads, settings)
    means = {t.name: float(np.mean(_labels(train[t.name]))) for t in trained if t.kind == "regression"}
    start_heads(model, settings.heads_seed, means)
    if source.checkpoint is not None:
        brought = tuple(name for name in source.checkpoint.heads.names if name in heads)
        raw = source.checkpoint.read("heads.safetensors")
        load_heads(model, raw, brought, f"{source.checkpoint.name}/heads.safetensors")
    _check_frozen(model, settings, trained)
    return model, trained, train, dev, Reader(source.tokenizer.template, settings.max_length)


def _taught(home: Home, data_set: DataSet, settings: Settings, inputs: TrainingInputs, say: Say) -> TrainingInputs:
    """Return the same inputs with what `--teacher` says of every train row; rows of `--unlabelled` come last."""
    from smartcli.data.ragged import Ragged
    from smartcli.engine.training.batches import Split
    from smartcli.engine.training.row_sets import joined

    unlabelled = read_unlabelled(settings.unlabelled, inputs.trained)
    teacher = open_teacher(home, settings, inputs.trained, f'the data set "{data_set.name}"', say)
    train = {}
    for task in inputs.trained:
        split = inputs.train[task.name]
        sampled, kept = sampled_rows(data_set, task.name, settings.rows), train_rows(data_set, task, settings)
        shares = teacher.on_train(data_set, task, settings.rows, sampled)
        if settings.fold is not None and kept is not None:
            # Predicted for all folds at once: each takes its own.
            shares = shares[kept if sampled is None else np.searchsorted(sampled, kept)]
        more = unlabelled.get(task.name)
        if more is not None:
            encoded = [
                inputs.source.tokenizer.encode([row[side] for row in more.texts]) for side in range(len(task.text))
            ]
            name = more.path.name
            rows = Split([Ragged.of(side) for side in encoded], None, lambda row, name=name: f"{name}:{row + 1}")  # type: ignore[misc]
            split = joined(split, rows)
            shares = np.concatenate([shares, teacher.on_texts(task, more)])
        train[task.name] = replace(split, teacher=shares)
    return replace(inputs, train=train, teacher=describe_teacher(teacher, settings, unlabelled))


def class_weights(task: Task, how: str, labels: NDArray[np.float64]) -> tuple[float, ...] | None:
    """Return what a row of each class counts (C), None for all the same; `how` is the option's value.

    Balanced weights are n / (C · n_c): every class counts the same in all. Of a multilabel task they are
    (n − n_c) / n_c, which multiplies the rows that have a label: these count as much as those without it. A class
    without a row counts 1.
    """
    asked = task.class_weights if how == "table" else "balanced" if how == "balanced" else None
    if task.kind == "regression" or asked is None:
        return None
    if not isinstance(asked, str):
        return asked
    if labels.ndim == 2:
        has = labels.sum(axis=0, dtype=np.int64).tolist()
        return tuple((len(labels) - count) / count if 0 < count < len(labels) else 1.0 for count in has)
    counts = np.bincount(labels.astype(np.int64), minlength=task.classes)
    return tuple(float(len(labels) / (task.classes * count)) if count else 1.0 for count in counts)


def _labels(split: Split) -> NDArray[np.float64]:
    assert split.labels is not None
    return split.labels


def train_rows(data_set: DataSet, task: Task, settings: Settings) -> NDArray[np.int64] | None:
    """Return the train rows that a training takes, in order: those of `--rows` without `--fold`'s; None: all."""
    kept = sampled_rows(data_set, task.name, settings.rows)
    if settings.fold is None:
        return kept
    left_out, folds = fold_of(settings.fold)
    rows, of_row = fold_rows(data_set, task, settings.rows, folds)
    return np.asarray(rows[of_row != left_out - 1])


def fold_rows(
    data_set: DataSet, task: Task, rows: int | None, folds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the train rows of `--rows`, in order, and the fold of each, from 0; errors as in `assign_folds`."""
    from smartcli.data.folds import assign_folds, texts_of

    kept = sampled_rows(data_set, task.name, rows)
    split = data_set.rows(task.name, "train")
    every = np.arange(len(split), dtype=np.int64) if kept is None else kept
    assert split.labels is not None, "train rows have labels"
    return every, assign_folds(task, texts_of(split, kept), split.labels[every], folds, data_set.fingerprint)


def sampled_rows(data_set: DataSet, task: str, rows: int | None) -> NDArray[np.int64] | None:
    """Return the train rows that `--rows N` keeps, in order: drawn by the fingerprint, the same for every seed."""
    total = data_set.count(task, "train")
    if rows is None or rows >= total:
        return None
    seed = [int.from_bytes(bytes.fromhex(data_set.fingerprint)[:8], "big"), *task.encode()]
    return np.sort(np.random.default_rng(seed).permutation(total)[:rows]).astype(np.int64)
