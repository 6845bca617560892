"""Whether checkpoints have one start, without which the mean of their weights is no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.strictjson import parse_object
from smartcli.workflows.scoring.sources import data_words

NO_PART = ("class_weights", "weight")
"""Keys of a task that say how it was trained, and not what its head is."""


def check_one_start(registry: Registry, members: Sequence[Checkpoint]) -> None:
    """Raise a UserError that names what two members differ in: data, tasks, encoder, `--init`, or the heads' seed.

    The encoder starts as its files, or as the checkpoint of `--init` says; heads that this does not bring are drawn
    from `--init-seed`, or without it from `--seed`.
    """
    if len(members) < 2:
        raise UserError(f"a soup needs at least two members, found {members[0].name} alone")
    for member in members:
        if not member.meta.tasks:
            raise UserError(f"{member.name} is an encoder without a head; a soup is of trained runs")
        if member.kind in ("ensemble", "soup"):
            raise UserError(f"{member.name} is {_article(member.kind)} itself; name its members, or leave it out")
    first, *others = members
    same = _must_be_same(first)
    start = _start(registry, first)
    for other in others:
        for what, value in _must_be_same(other).items():
            if value != same[what]:
                raise UserError(
                    f"{first.name} and {other.name} differ in {what} ({_shown(same[what])}, {_shown(value)}), so the "
                    "mean of their weights is no model; leave one of them out"
                )
        for what, value in _start(registry, other).items():
            if value != start[what]:
                raise UserError(
                    f"{first.name} and {other.name} have two starts: {what} is {_shown(start[what])} and "
                    f"{_shown(value)}; train runs for a soup from one --init that has all heads, or with one "
                    "--init-seed and several --seed"
                )


def _article(kind: str) -> str:
    return "an ensemble" if kind == "ensemble" else "a soup"


def _must_be_same(member: Checkpoint) -> dict[str, Any]:
    """Return what a mean of weights cannot join, the data first."""
    meta = member.meta
    settings = Settings.from_json(meta.settings)
    heads = [{key: value for key, value in task.items() if key not in NO_PART} for task in meta.tasks]
    by_name = {str(task["name"]): task for task in heads}
    out: dict[str, Any] = {"the data set": data_words(member), "their heads": ", ".join(by_name)}
    out |= {f'the labels of "{name}"': task.get("labels") for name, task in by_name.items()}
    out |= {f'the task "{name}"': task for name, task in by_name.items()}
    out |= {f"--{key.replace('_', '-')}": getattr(settings, key) for key in ("pair_mode", "pooling", "max_length")}
    out["the encoder's config.json"] = parse_object(member.read("config.json"), f"{member.name}/config.json")
    out["the tokenizer"] = None if meta.encoder is None else meta.encoder.tokenizer
    out["tokenizer.json"] = hashlib.sha256(member.read("tokenizer.json")).hexdigest()
    return out


def _start(registry: Registry, member: Checkpoint) -> dict[str, Any]:
    """Return what a member's weights were before training."""
    meta = member.meta
    encoder, init = meta.encoder, meta.lineage.init
    out: dict[str, Any] = {
        "the encoder": None if encoder is None else f"{encoder.id}{encoder.revision_words}",
        "--init": None if init is None else f"{init.name} ({(init.manifest or '')[:12]})",
    }
    if set(meta.task_names) - _brought(registry, member):
        settings = Settings.from_json(meta.settings)
        out["the seed of the heads"] = settings.heads_seed
    return out


def _brought(registry: Registry, member: Checkpoint) -> set[str]:
    """Return the heads that `--init` brought; none where that checkpoint is gone or another one by now."""
    init = member.meta.lineage.init
    if init is None or init.name not in registry.names():
        return set()
    found = registry.open(init.name)
    return set(found.meta.task_names) if found.manifest_hash == init.manifest else set()


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
