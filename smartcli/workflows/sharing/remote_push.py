"""A checkpoint to a file system of fsspec's: written aside, read back and compared, then put under its name."""

from __future__ import annotations

from smartcli.errors import SmartCliError, UserError
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import MANIFEST, SMALL, Manifest, manifest_bytes
from smartcli.workflows.scoring.sources import Say
from smartcli.workflows.sharing.pushed import Pushed
from smartcli.workflows.sharing.remote_files import Remote, open_remote

PART = ".part-"
"""Stands between a folder's name and the start of its manifest's hash while it is being written."""


def push_to_url(checkpoint: Checkpoint, url: str, *, force: bool, say: Say) -> Pushed:
    """Write a verified checkpoint's files to the folder `url`; a URL that ends in / gets the checkpoint's name.

    All files go to a folder beside it first, are read back and compared with the manifest, and then get their name: by
    one rename, or in an object store by copies on its side with the manifest last, which makes a folder a checkpoint.
    A push that broke off is gone on with by the same command. Something else under the name is a UserError unless
    `force`; in an object store it then stops being a checkpoint before its files are replaced.
    """
    target = open_remote(f"{url}{checkpoint.name}" if url.endswith("/") else url)
    manifest = checkpoint.manifest
    there = target.sizes()
    if below := sorted({name.partition("/")[0] for name in there if "/" in name}):
        raise UserError(
            f"{target.shown} holds folders ({', '.join(below[:3])}), so it is no checkpoint and never replaced; end "
            f"the URL with / to put {checkpoint.name} into it"
        )
    may_replace = force
    if _is_this(target, there, manifest):
        say(f"{target.shown} names itself {checkpoint.name} already: reading it back")
        if there == _sizes(manifest) and _is_whole(target, manifest):
            return Pushed(target.shown, already=True)
        may_replace = True
    elif _half_made(target, there, manifest):
        may_replace = True
    elif (there or target.exists()) and not force:
        raise _taken(target)
    part = target.at(f"{target.path}{PART}{manifest.hash[:12]}")
    say(f"writing {checkpoint.name} to {target.shown} ({manifest.size / 1e6:,.1f} MB)")
    _upload(checkpoint, part)
    # Another push may have taken the name while this one wrote.
    if not may_replace and target.exists():
        there = target.sizes()
        if _is_this(target, there, manifest):
            part.remove_folder()
            return Pushed(target.shown, already=True)
        if not _half_made(target, there, manifest):
            part.remove_folder()
            raise _taken(target)
    if target.renames:
        _rename(part, target, may_replace)
    else:
        _copy(part, target, manifest)
    part.remove_folder()
    return Pushed(target.shown)


def _taken(target: Remote) -> UserError:
    return UserError(f"{target.shown} exists already; choose another name, or add --force to replace it")


def _is_this(target: Remote, there: dict[str, int], manifest: Manifest) -> bool:
    """Return whether the folder names itself this checkpoint."""
    return MANIFEST in there and target.read(MANIFEST, SMALL) == manifest_bytes(manifest)


def _is_whole(target: Remote, manifest: Manifest) -> bool:
    """Return whether each file, read back, is what the manifest says: equal sizes alone show no damage."""
    return all(target.hash(name) == entry.sha256 for name, entry in manifest.files.items())


def _sizes(manifest: Manifest) -> dict[str, int]:
    return {name: entry.size for name, entry in manifest.files.items()} | {MANIFEST: len(manifest_bytes(manifest))}


def _half_made(target: Remote, there: dict[str, int], manifest: Manifest) -> bool:
    """Return whether a push of this checkpoint broke off while an object store copied: nothing else lies there."""
    sizes = _sizes(manifest)
    part = target.at(f"{target.path}{PART}{manifest.hash[:12]}")
    known = all(there[name] == sizes.get(name) for name in there)
    return not target.renames and bool(there) and MANIFEST not in there and known and part.sizes() == sizes


def _upload(checkpoint: Checkpoint, part: Remote) -> None:
    """Write what is not there whole; each file is read back. The manifest comes last."""
    manifest = checkpoint.manifest
    part.make()
    there = part.sizes()
    for stray in there.keys() - _sizes(manifest).keys():
        part.remove(stray)
    for name, entry in manifest.files.items():
        if there.get(name) == entry.size and part.hash(name) == entry.sha256:
            continue
        part.put(checkpoint.folder / name, name)
        if part.hash(name) != entry.sha256:
            part.remove(name)
            raise SmartCliError(
                f"{part.shown}/{name}: what was read back is not what was written; run the same command again. If it "
                "happens again, the storage or the way to it alters files"
            )
    part.write(MANIFEST, manifest_bytes(manifest))


def _rename(part: Remote, target: Remote, may_replace: bool) -> None:
    aside = target.at(f"{target.path}.old{part.path.removeprefix(target.path)}")
    replaced = target.exists()
    if replaced and not may_replace:
        raise _taken(target)
    if replaced:
        aside.remove_folder()
        target.rename(aside)
    try:
        part.rename(target)
    except BaseException:
        if replaced:
            aside.rename(target)
        raise
    if replaced:
        aside.remove_folder()


def _copy(part: Remote, target: Remote, manifest: Manifest) -> None:
    # First of all it stops being a checkpoint, so that nobody takes a mixture of two for one.
    target.remove(MANIFEST)
    target.make()
    for name in manifest.files:
        part.copy(name, target)
    for stray in target.sizes().keys() - manifest.files.keys():
        target.remove(stray)
    sizes = {name: size for name, size in _sizes(manifest).items() if name != MANIFEST}
    if target.sizes() != sizes:
        raise SmartCliError(f"{target.shown}: the storage did not copy every file; run the same command again")
    target.write(MANIFEST, manifest_bytes(manifest))
