"""`smart checkpoints import`: a checkpoint folder of another home, verified and then taken in whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from smartcli.atomic import DISK
from smartcli.config import Settings
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import PREDICTIONS, folder_problems
from smartcli.registry.content import ENCODER_FILES
from smartcli.registry.manifest import MANIFEST, SMALL, Damaged, Manifest, parse_manifest, read_verified
from smartcli.registry.meta import META, CheckpointMeta, Reference
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json, parse_object
from smartcli.tasks import TaskTable
from smartcli.workflows.checkpoints.model_card import model_card

CARD = "README.md"


@dataclass(frozen=True)
class Imported:
    """The checkpoint's name here; `already` says that this very content was here before."""

    name: str
    warnings: list[str]
    already: bool = False


def import_folder(home: Home, source: Path, name: str | None = None) -> Imported:
    """Verify `source` by the registry's own checks and register a copy under its name, or under `name`.

    With its own name every byte stays, the manifest's hash too, so that lineages go on naming it. Under another
    one smart.json says whence it came. UserError: no such folder, or the name is taken by another content; a
    SmartCliError names the file at fault.
    """
    folder = _folder(source)
    manifest, meta = verified(folder)
    own = meta.name
    target = own if name is None else name
    registry = Registry(home)
    if target == own and _is_here(registry, own, manifest):
        return Imported(own, _lacking(registry, meta), already=True)
    renamed = None if target == own else _renamed(meta, target, manifest)

    def fill(temp: Path) -> None:
        for file in manifest.files:
            raw = read_verified(folder, file, manifest)
            if renamed is not None and file == META:
                raw = canonical_json(renamed.to_json())
            elif renamed is not None and file == CARD and not meta.ensemble:
                raw = model_card(renamed).encode()
            DISK.write(temp / file, raw, shown=home.checkpoints / target / file)

    try:
        with registry.claim(target, "--name") as taken:
            registry.commit(taken, fill)
    except UserError as error:
        if name is None:
            raise UserError(f'{error} (the name stands in {folder / META}; give another with "--name NAME")') from None
        raise
    return Imported(target, _lacking(registry, meta))


def verified(folder: Path) -> tuple[Manifest, CheckpointMeta]:
    """Return manifest and smart.json of a folder whose every file was hashed and looked into.

    The folder itself may have any name. Damaged for the first problem.
    """
    manifest = parse_manifest(folder)
    if META not in manifest.files:
        raise Damaged(folder, META, "the file is missing")
    name = parse_object(read_verified(folder, META, manifest, SMALL), META).get("name")
    for problem in folder_problems(folder, str(name)):
        raise Damaged(folder, problem.file, problem.reason)
    meta = CheckpointMeta.checked(parse_object(read_verified(folder, META, manifest, SMALL), META), str(name))
    try:
        Settings.from_json(meta.settings)
        tasks = TaskTable.from_json(meta.tasks)
        TaskTable.from_json(meta.all_tasks)
    except (SmartCliError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(
            folder, META, f"its settings or tasks are not such as this smart-finetune writes ({error})"
        ) from None
    own_files = () if meta.ensemble else (*ENCODER_FILES, "heads.safetensors")
    headless = meta.kind == "pretrain-text"
    for file in (*own_files, *([] if headless else [PREDICTIONS])):
        if file not in manifest.files:
            raise Damaged(folder, file, f"the file is missing; a checkpoint of kind {meta.kind} has one")
    if not len(tasks) and not headless:
        raise Damaged(folder, META, "it names no task")
    return manifest, meta


def already_here(home: Home, folder: Path, name: str | None) -> Imported | None:
    """Return the checkpoint whose manifest and smart.json lie in `folder`, where it is registered already.

    UserError where its name (or `name`) is taken by something else.
    """
    manifest = parse_manifest(folder)
    own = str(parse_object(read_verified(folder, META, manifest, SMALL), META).get("name"))
    target, registry = name or own, Registry(home)
    if target == own and own in registry.names() and registry.open(own).manifest_hash == manifest.hash:
        return Imported(own, [], already=True)
    try:
        registry.check_free(target, "--name")
    except UserError as error:
        raise UserError(f"{error}; --name gives it another name here") from None
    return None


def _folder(source: Path) -> Path:
    if not source.is_dir():
        raise UserError(f"{source}: {'not a folder' if source.exists() else 'there is no such folder'}")
    # A link to the folder is the user's own way of naming it; links inside are refused.
    folder = source.resolve()
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{source}: no {MANIFEST}; expected a checkpoint's folder, as it lies in checkpoints/ of a smartcli home"
        )
    return folder


def _is_here(registry: Registry, name: str, manifest: Manifest) -> bool:
    return name in registry.names() and registry.open(name).manifest_hash == manifest.hash


def _renamed(meta: CheckpointMeta, name: str, manifest: Manifest) -> CheckpointMeta:
    return replace(meta, name=name, imported=Reference(name=meta.name, manifest=manifest.hash))


def _lacking(registry: Registry, meta: CheckpointMeta) -> list[str]:
    """Say which checkpoints of the lineage are not here: an ensemble needs its members to label new rows."""
    here = registry.names()
    missing = [one.name for one in meta.lineage.references if one.name not in here]
    if not missing:
        return []
    use = "it cannot label new rows without them" if meta.ensemble else "it works without"
    return [f"{', '.join(missing)}, named by its lineage, {'is' if len(missing) == 1 else 'are'} not here; {use}"]
