"""smart.json: what a checkpoint says about itself, checked before anybody reads it."""

from __future__ import annotations

from typing import Any

from smartcli.errors import SmartCliError

META = "smart.json"
FORMAT = 1
KINDS = ("pretrain-qqp", "finetune", "ensemble")
_TYPES: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "command": (list,),
    "settings": (dict,),
    "tasks": (list,),
    "all_tasks": (list,),
    "encoder": (dict, type(None)),
    "data": (dict,),
    "lineage": (dict,),
    "metrics": (dict,),
    "best_epoch": (int, type(None)),
    "versions": (dict,),
    "seconds": (int, float, type(None)),
    "created": (str, int, float, type(None)),
    "machine": (dict, str, type(None)),
}
REQUIRED = ("settings", "data", "lineage")


def check_meta(meta: dict[str, Any], name: str) -> None:
    """Raise a SmartCliError that says which key of smart.json is wrong, and how."""
    if meta.get("format") != FORMAT:
        raise SmartCliError(
            f'"format" must be {FORMAT}, found {meta.get("format")!r}; a newer smartcli may have written it'
        )
    if meta.get("name") != name:
        raise SmartCliError(
            f'"name" must be {name!r} like the folder, found {meta.get("name")!r}; rename the folder back'
        )
    if meta.get("kind") not in KINDS:
        raise SmartCliError(f'"kind" must be one of {", ".join(KINDS)}; found {meta.get("kind")!r}')
    for key in REQUIRED:
        if key not in meta:
            raise SmartCliError(f'"{key}" is missing')
    for key, types in _TYPES.items():
        if key in meta and (not isinstance(meta[key], types) or isinstance(meta[key], bool)):
            raise SmartCliError(f'"{key}" must be {" or ".join(t.__name__ for t in types)}, found {meta[key]!r:.60}')
    if not isinstance(meta["data"].get("fingerprint"), str):
        raise SmartCliError('"data" must hold the data set\'s "fingerprint"')
    lineage = meta["lineage"]
    if not isinstance(lineage.get("members", []), list):
        raise SmartCliError('"lineage" must hold a list of "members"')
    for entry in _entries(meta):
        if not isinstance(entry if isinstance(entry, str) else _name_of(entry), str):
            raise SmartCliError(f'"lineage" must name checkpoints, found {entry!r:.60}')


def reference(name: str, manifest_hash: str) -> dict[str, str]:
    """Return what a lineage says about a checkpoint: its name, and which content it had."""
    return {"name": name, "manifest": manifest_hash}


def references(meta: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return name and manifest hash (None where unsaid) of the checkpoints that this one names."""
    found: list[tuple[str, str | None]] = []
    for entry in _entries(meta):
        if isinstance(entry, str):
            found.append((entry, None))
        elif isinstance(_name_of(entry), str):
            found.append((entry["name"], entry.get("manifest")))
    return found


def _entries(meta: dict[str, Any]) -> list[Any]:
    lineage = meta.get("lineage")
    if not isinstance(lineage, dict):
        return []
    members = lineage.get("members") or []
    first = lineage.get("init")
    return [*([] if first is None else [first]), *(members if isinstance(members, list) else [])]


def _name_of(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, dict) else None
