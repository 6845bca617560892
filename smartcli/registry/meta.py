"""smart.json: what a checkpoint says about itself, checked before anybody reads it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from smartcli.errors import SmartCliError
from smartcli.registry.stored import MAY_LACK, Stored
from smartcli.tasks import VOTES, Vote

META = "smart.json"
FORMAT = 1
KINDS = ("pretrain-qqp", "finetune", "ensemble", "soup", "distill", "pretrain-text")


def utc_now() -> str:
    """Return the time as `created` has it in records: UTC to the second, such as 2026-11-27T09:30:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True, kw_only=True)
class EncoderRecord(Stored):
    """The encoder that a training started from; `tokenizer` is the hash of its tokenizer."""

    id: str = ""
    revision: str | None = None
    model_type: str | None = None
    tokenizer: str | None = None

    @property
    def revision_words(self) -> str:
        """Return the revision as it stands behind the id; empty where there is none."""
        return f" at {self.revision}" if self.revision else ""


@dataclass(frozen=True, kw_only=True)
class DataRecord(Stored):
    """The data set of a training."""

    name: str = ""
    source: str | None = field(default=None, metadata=MAY_LACK)
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class Reference(Stored):
    """A checkpoint that another one names: its name, and the hash of its manifest where that is said."""

    name: str = ""
    manifest: str | None = None

    def plain(self) -> Any:
        # One that was read as a bare name has no keys.
        return self.name if self.keys == () else self.to_json()


@dataclass(frozen=True, kw_only=True)
class Lineage(Stored):
    """Where a checkpoint comes from: its start, an ensemble's or soup's members, and how they were selected."""

    init: Reference | None = None
    members: tuple[Reference, ...] = ()
    selection: dict[str, Any] | None = field(default=None, metadata=MAY_LACK)
    vote: Vote | None = field(default=None, metadata=MAY_LACK)
    """How an ensemble's members are combined, where not by their mode."""
    teacher: dict[str, Any] | None = field(default=None, metadata=MAY_LACK)
    """What `--teacher` was: name, manifest, an ensemble's members, temperature, label share, unlabelled rows."""
    text: dict[str, Any] | None = field(default=None, metadata=MAY_LACK)
    """What pretrain-text trained on: splits, tasks, counts, and the held-out loss before and after."""

    @classmethod
    def read_field(cls, key: str, value: Any) -> Any:
        if key == "members":
            return tuple(_reference(one) for one in value)
        return _reference(value) if key == "init" and value is not None else value

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return all checkpoints that are named."""
        taught = (
            [] if self.teacher is None else [Reference(name=self.teacher["name"], manifest=self.teacher["manifest"])]
        )
        return (*([] if self.init is None else [self.init]), *self.members, *taught)


def _types(*types: type) -> dict[str, Any]:
    return {"types": types}


@dataclass(frozen=True, kw_only=True)
class CheckpointMeta(Stored):
    """Everything in smart.json; the metadata of a field are the JSON types that it may have."""

    format: int = FORMAT
    name: str
    kind: str
    method: str = field(default="", metadata=_types(str))
    command: list[str] = field(default_factory=list, metadata=_types(list))
    settings: dict[str, Any] = field(metadata=_types(dict))
    """Empty in an ensemble, in a soup those that its members share; else as `Settings.to_json` has it."""
    tasks: list[dict[str, Any]] = field(default_factory=list, metadata=_types(list))
    """Those that it has heads for."""
    all_tasks: list[dict[str, Any]] = field(default_factory=list, metadata=_types(list))
    encoder: EncoderRecord | None = field(default=None, metadata=_types(dict, type(None)))
    encoders: list[str] | None = field(default=None, metadata=MAY_LACK)
    """Ids of the encoders of an ensemble's members."""
    data: DataRecord = field(metadata=_types(dict))
    lineage: Lineage = field(metadata=_types(dict))
    metrics: dict[str, Any] = field(default_factory=dict, metadata=_types(dict))
    """Task to `{metric: value, "n": n}` on dev, or None; and `overall`, a number or None."""
    best_epoch: int | None = field(default=None, metadata=_types(int, type(None)))
    steps: int | None = field(default=None, metadata=MAY_LACK)
    truncated: int | None = field(default=None, metadata=MAY_LACK)
    versions: dict[str, str] = field(default_factory=dict, metadata=_types(dict))
    seconds: float | None = field(default=None, metadata=_types(int, float, type(None)))
    created: str | float | None = field(default=None, metadata=_types(str, int, float, type(None)))
    machine: dict[str, Any] | str | None = field(default=None, metadata=_types(dict, str, type(None)))
    imported: Reference | None = field(default=None, metadata=MAY_LACK)
    """Name and manifest in the home that it was imported from, where it had another name there."""

    @classmethod
    def checked(cls, value: Mapping[str, Any], name: str) -> Self:
        """Read a checkpoint's smart.json; a SmartCliError says which key of it is wrong, and how."""
        check_meta(value, name)
        return cls.from_json(value)

    @classmethod
    def read_field(cls, key: str, value: Any) -> Any:
        kind: type[Stored] | None = _RECORDS.get(key)
        return value if kind is None or not isinstance(value, dict) else kind.from_json(value)

    @property
    def ensemble(self) -> bool:
        """Whether it has members, and no weights of its own."""
        return self.kind == "ensemble"

    @property
    def vote(self) -> Vote:
        """How an ensemble's members are combined."""
        return self.lineage.vote or "mode"

    @property
    def task_names(self) -> list[str]:
        """Names of the tasks that it has heads for."""
        return [str(task["name"]) for task in self.tasks]

    @property
    def overall(self) -> Any:
        """Mean dev score of all tasks, or None."""
        return self.metrics.get("overall")

    @property
    def encoder_ids(self) -> list[str]:
        """Ids of its encoder, or of its members'."""
        own = self.encoder.id if self.encoder is not None else ""
        return [str(one) for one in ([own] if own else self.encoders or [])]


_RECORDS: dict[str, type[Stored]] = {
    "encoder": EncoderRecord,
    "data": DataRecord,
    "lineage": Lineage,
    "imported": Reference,
}


def check_meta(meta: Mapping[str, Any], name: str) -> None:
    """Raise a SmartCliError that says which key of smart.json is wrong, and how."""
    if meta.get("format") != FORMAT:
        raise SmartCliError(
            f'"format" must be {FORMAT}, found {meta.get("format")!r}; a newer smart-finetune may have written it'
        )
    if meta.get("name") != name:
        raise SmartCliError(
            f'"name" must be {name!r} like the folder, found {meta.get("name")!r}; rename the folder back'
        )
    if meta.get("kind") not in KINDS:
        raise SmartCliError(f'"kind" must be one of {", ".join(KINDS)}; found {meta.get("kind")!r}')
    typed = [one for one in fields(CheckpointMeta) if "types" in one.metadata]
    for one in typed:
        if one.default is MISSING and one.default_factory is MISSING and one.name not in meta:
            raise SmartCliError(f'"{one.name}" is missing')
    for one in typed:
        key, types = one.name, one.metadata["types"]
        if key in meta and (not isinstance(meta[key], types) or isinstance(meta[key], bool)):
            raise SmartCliError(f'"{key}" must be {" or ".join(t.__name__ for t in types)}, found {meta[key]!r:.60}')
    if not isinstance(meta["data"].get("fingerprint"), str):
        raise SmartCliError('"data" must hold the data set\'s "fingerprint"')
    lineage = meta["lineage"]
    if lineage.get("vote") not in (None, *VOTES):
        raise SmartCliError(f'"lineage" must have one of {", ".join(VOTES)} as "vote", found {lineage["vote"]!r:.60}')
    if not isinstance(lineage.get("members", []), list):
        raise SmartCliError('"lineage" must hold a list of "members"')
    for entry in _entries(meta):
        if not isinstance(entry if isinstance(entry, str) else _name_of(entry), str):
            raise SmartCliError(f'"lineage" must name checkpoints, found {entry!r:.60}')


def references(unchecked: Mapping[str, Any]) -> list[Reference]:
    """Return the checkpoints that a smart.json names which nobody has checked; what is no name is left out."""
    named = (entry for entry in _entries(unchecked) if isinstance(entry, str) or isinstance(_name_of(entry), str))
    return [_reference(entry) for entry in named]


def _reference(entry: Any) -> Reference:
    return Reference(name=entry, keys=()) if isinstance(entry, str) else Reference.from_json(entry)


def _entries(meta: Mapping[str, Any]) -> list[Any]:
    lineage = meta.get("lineage")
    if not isinstance(lineage, dict):
        return []
    members = lineage.get("members") or []
    ones = [one for one in (lineage.get("init"), lineage.get("teacher")) if one is not None]
    return [*ones, *(members if isinstance(members, list) else [])]


def _name_of(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, dict) else None
