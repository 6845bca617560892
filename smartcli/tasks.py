"""What a task is, and the table of tasks that a data set declares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast, get_args

from smartcli.errors import UserError, suggest
from smartcli.task_keys import (
    Shares,
    class_weights_key,
    delimiter_key,
    encoding_key,
    label_key,
    number_key,
    range_key,
    separator_key,
    shares_key,
    strings_key,
    text_key,
)

Kind = Literal["classification", "binary", "multilabel", "regression"]
Metric = Literal["accuracy", "balanced_accuracy", "f1", "mcc", "micro_f1", "macro_f1", "pearson", "spearman"]
Split = Literal["train", "dev", "test"]
Vote = Literal["mode", "mean"]
"""How an ensemble's members are combined."""

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
VOTES: tuple[Vote, ...] = ("mode", "mean")
CORRELATIONS: frozenset[str] = frozenset({"mcc", "pearson", "spearman"})
METRICS_OF_KIND: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1", "mcc"),
    "binary": ("accuracy", "balanced_accuracy", "f1", "mcc"),
    "multilabel": ("micro_f1", "macro_f1"),
    "regression": ("pearson", "spearman"),
}
GRADES = 3
"""Fewest classes that can be graded: of two none is farther than another."""
TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
RESERVED_NAMES = frozenset(
    {"checkpoint", "kind", "method", "lambda", "dropout", "seed", "overall", "default"}
    | {"event", "epoch", "step", "phase", "seconds", "train", "conflicts", "grad_share"}
)
"""Keys that stand beside task names in results, settings and the log."""


FILE_KEYS = ("delimiter", "encoding", "sheet", "split", "labels_separator")
"""Keys that say how a task's files are read; they are left out of JSON where they say nothing."""
UNSAID = (*FILE_KEYS, "class_weights")
"""Keys that JSON lacks where they say nothing."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One sentence or sentence-pair task: its columns, its labels and how it is scored."""

    name: str
    kind: Kind
    text: tuple[str, ...]
    """One or two column names."""
    label: str
    """Its column; where each class has one, their names joined by commas."""
    label_columns: tuple[str, ...] = ()
    """The columns of 0 and 1, one a class, of a multilabel task that has such; in tasks.toml a list as "label"."""
    labels_separator: str | None = None
    """What stands between the names in the label column of a multilabel task."""
    id: str | None = None
    labels: tuple[str, ...] = ()
    """Class names in order; empty until the data say how many there are, and for regression."""
    range: tuple[float, float] | None = None
    """Lowest and highest score of a regression task, after `scale`."""
    scale: float = 1.0
    metric: Metric = "accuracy"
    weight: float = 1.0
    class_weights: tuple[float, ...] | str | None = None
    """What a row of each class counts in the loss; "balanced" until the train rows are counted."""
    train: str | None = None
    dev: str | None = None
    test: str | None = None
    delimiter: str | None = None
    """Of its csv files, where it is neither comma nor tab."""
    encoding: str | None = None
    """Of its text files, where it is not UTF-8."""
    sheet: str | None = None
    """Of its xlsx files, where they have several."""
    split: Shares | None = None

    @property
    def pair(self) -> bool:
        """Whether an example has two sentences."""
        return len(self.text) == 2

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.labels)

    def file(self, split: Split) -> str | None:
        """File name declared for `split`."""
        return cast("str | None", getattr(self, split))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `Task.from_json` reads them back."""
        values = {key: _plain(getattr(self, key)) for key in KEYS}
        if self.label_columns:
            values["label"] = list(self.label_columns)
        return {key: value for key, value in values.items() if key not in UNSAID or value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        """Read what `to_json` wrote."""
        return parse_task(value, "task table")

    def with_labels(self, labels: Sequence[str]) -> Task:
        """Return the same task with its class names known."""
        return replace(self, labels=tuple(labels))


KEYS = tuple(f.name for f in fields(Task) if f.name != "label_columns")
"""What may stand in a `[[task]]` table."""


@dataclass(frozen=True)
class TaskTable:
    """Tasks in table order; the first one sets the epoch."""

    tasks: tuple[Task, ...]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def first(self) -> Task:
        return self.tasks[0]

    def get(self, name: str, option: str = "task") -> Task:
        """Return the task called `name`; a UserError naming `option` lists the known ones."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise UserError(
            f'{option}: there is no task "{name}"; expected one of {", ".join(self.names)}{suggest(name, self.names)}'
        )

    def select(self, names: Sequence[str] | None, option: str = "--tasks") -> TaskTable:
        """Return the named tasks in table order (selecting never reorders); None means all."""
        if names is None:
            return self
        for name in names:
            self.get(name, option)
        return TaskTable(tuple(task for task in self.tasks if task.name in names))

    def to_json(self) -> list[dict[str, Any]]:
        return [task.to_json() for task in self.tasks]

    @classmethod
    def from_json(cls, value: Sequence[Mapping[str, Any]]) -> TaskTable:
        return cls(tuple(Task.from_json(entry) for entry in value))


def _plain(value: Any) -> Any:
    if isinstance(value, Shares):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def parse_task(entry: Mapping[str, Any], where: str) -> Task:
    """Check one `[[task]]` table; every error starts with `where` and names the key."""
    for key in entry:
        if key not in KEYS:
            raise UserError(f'{where}: unknown key "{key}"; known keys: {", ".join(KEYS)}{suggest(key, KEYS)}')
    name = text_key(entry, "name", where, required=True)
    assert name is not None
    if not TASK_NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise UserError(
            f'{where}: task name "{name}" must be letters, digits, "_" or "-", start with a letter, have at most '
            f"32 characters, and be none of {', '.join(sorted(RESERVED_NAMES))}"
        )
    where = f'{where}, task "{name}"'
    kind = entry.get("kind")
    if kind not in get_args(Kind):
        raise UserError(f'{where}: "kind" must be one of {", ".join(get_args(Kind))}, found {kind!r}')
    text = entry.get("text")
    columns = strings_key([text] if isinstance(text, str) else text, "text", where)
    if len(columns) not in (1, 2):
        raise UserError(f'{where}: "text" must name one or two columns, found {len(columns)}')
    label, columns_of_label = label_key(entry, cast(str, kind), where)
    labels = _labels(entry, cast(str, kind), columns_of_label, where)
    allowed = METRICS_OF_KIND[cast(Kind, kind)]
    metric = entry.get("metric", allowed[0])
    if metric not in allowed:
        raise UserError(f'{where}: "metric" of a {kind} task must be one of {", ".join(allowed)}, found {metric!r}')
    return Task(
        name=name,
        kind=cast(Kind, kind),
        text=columns,
        label=label,
        label_columns=columns_of_label,
        labels_separator=separator_key(entry, cast(str, kind), columns_of_label, where),
        id=text_key(entry, "id", where, required=False),
        labels=labels,
        range=range_key(entry.get("range"), cast(Kind, kind), where),
        scale=number_key(entry, "scale", 1.0, where),
        metric=cast(Metric, metric),
        weight=number_key(entry, "weight", 1.0, where),
        class_weights=class_weights_key(entry, cast(str, kind), labels, where),
        delimiter=delimiter_key(entry, where),
        encoding=encoding_key(entry, where),
        sheet=text_key(entry, "sheet", where, required=False),
        split=shares_key(entry, where),
        **{split: text_key(entry, split, where, required=False) for split in SPLITS},
    )


def _labels(entry: Mapping[str, Any], kind: str, columns: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return the class names in order, as far as they are declared."""
    labels = strings_key(entry.get("labels") or [], "labels", where)
    if kind == "binary":
        labels = labels or ("0", "1")
        if len(labels) != 2:
            raise UserError(f'{where}: a binary task has two "labels", found {len(labels)}')
    if kind in ("classification", "multilabel") and len(labels) == 1:
        raise UserError(f'{where}: a {kind} task needs at least two "labels", found one')
    if kind == "regression" and labels:
        raise UserError(f'{where}: a regression task has no "labels"; give its "range" instead')
    if columns and labels and len(labels) != len(columns):
        raise UserError(
            f'{where}: "labels" names the {len(columns)} columns of "label" in their order, found {len(labels)}; '
            "leave it out where the columns have the classes' names"
        )
    return labels or columns


def parse_task_table(value: Mapping[str, Any], where: str) -> TaskTable:
    """Check a whole table (the content of a tasks.toml): `[[task]]` entries with distinct names."""
    for key in value:
        if key != "task":
            raise UserError(f'{where}: unknown key "{key}"; expected [[task]] tables only')
    entries = value.get("task")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise UserError(f"{where}: expected at least one [[task]] table, found none")
    tasks = tuple(parse_task(entry, where) for entry in entries)
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            raise UserError(f'{where}: task name "{task.name}" stands twice; names must differ')
        seen.add(task.name)
    return TaskTable(tasks)
