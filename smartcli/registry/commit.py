"""The one way in which a checkpoint or a run's state comes to be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from smartcli.atomic import DISK, publish, sync_tree, temp_folder
from smartcli.registry.manifest import MANIFEST, Manifest, build_manifest, manifest_bytes

Fill = Callable[[Path], None]


def commit_folder(
    target: Path,
    fill: Fill,
    *,
    check: Callable[[Path], None] | None = None,
    guard: AbstractContextManager[object] | None = None,
) -> Manifest:
    """Make `target` from the files that `fill` writes into a temporary folder beside it.

    Order: write, fsync files, manifest last, fsync folder, rename, fsync parent. `check` looks at
    the files before they are sealed; `guard` is held around the rename. `target` must not exist.
    """
    with temp_folder(target) as temp:
        fill(temp)
        if check is not None:
            check(temp)
        sync_tree(temp)
        manifest = build_manifest(temp)
        DISK.write(temp / MANIFEST, manifest_bytes(manifest))
        DISK.sync_folder(temp)
        with guard or nullcontext():
            publish(temp, target)
    return manifest
