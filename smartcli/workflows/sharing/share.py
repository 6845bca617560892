"""What the target of a push and the source of a pull mean: a hub's repository, or a file system's URL."""

from __future__ import annotations

import re

from smartcli.errors import UserError
from smartcli.hidden import hidden
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.workflows.checkpoints.checkpoint_import import Imported, verified
from smartcli.workflows.scoring.sources import Say, silent
from smartcli.workflows.sharing.pushed import Pushed

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def is_url(place: str) -> bool:
    """Return whether `place` is a URL of fsspec's; else it is a repository."""
    return "://" in place


def push(
    home: Home,
    name: str,
    target: str,
    *,
    force: bool = False,
    private: bool = False,
    licence: str | None = None,
    export: bool = True,
    say: Say = silent,
) -> Pushed:
    """Verify the checkpoint `name` and write it to `target`; see `push_to_hub` and `push_to_url`.

    UserError: no such checkpoint, a target that is neither, options that do not go with it.
    """
    _check(target)
    checkpoint = Registry(home).open(name)
    # Every byte, before it is copied anywhere.
    verified(checkpoint.folder)
    if is_url(target):
        if private or licence is not None or not export:
            raise UserError("--private, --license and --no-export are about a hub's repository; leave them out")
        from smartcli.workflows.sharing.remote_push import push_to_url

        return push_to_url(checkpoint, target, force=force, say=say)
    from smartcli.workflows.sharing.hub_repository import push_to_hub

    return push_to_hub(home, checkpoint, target, force=force, private=private, licence=licence, export=export, say=say)


def pull(
    home: Home, source: str, *, name: str | None = None, revision: str | None = None, say: Say = silent
) -> Imported:
    """Fetch a checkpoint from `source`, verify it and register it under its own name, or under `name`."""
    _check(source)
    if is_url(source):
        if revision is not None:
            raise UserError(f"--revision {revision}: only repositories on the hub have revisions; leave it out")
        from smartcli.workflows.sharing.remote_pull import pull_from_url

        return pull_from_url(home, source, name, say)
    from smartcli.workflows.sharing.hub_repository import pull_from_hub

    return pull_from_hub(home, source, revision, name, say)


def _check(place: str) -> None:
    if not is_url(place) and (REPOSITORY.fullmatch(place) is None or ".." in place or "--" in place):
        raise UserError(
            f"{hidden(place)!r} is neither a repository of the hub (ORG/NAME) nor a URL such as s3://BUCKET/ckpt1 or "
            "file:///shared/ckpt1"
        )
