"""The registry: finished checkpoints under their names, shared by any number of processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from smartcli.atomic import DISK, clean_stale, hide, remove_folder, write_file
from smartcli.data.sealed import seal
from smartcli.disk import tree_size
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home, is_name
from smartcli.registry.checkpoint import Checkpoint, Problem, folder_problems
from smartcli.registry.commit import Fill, commit_folder
from smartcli.registry.content import check_header
from smartcli.registry.locks import Busy, hold, owner_of, registry_lock
from smartcli.registry.manifest import SMALL, Damaged, read_sealed
from smartcli.registry.meta import META, Reference, check_meta, references
from smartcli.registry.names import check_name, expand_patterns, natural_order, number_of, unknown_name
from smartcli.strictjson import parse_object

_NUMBERS = ".numbers"
_LOOKS = 5
"""Times to look at a name that other processes remove and make anew while it is read."""


class Registry:
    """Checkpoints of one home. Reading takes no lock and writes nothing."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def names(self) -> list[str]:
        """Return the names of all checkpoints in natural order, damaged ones included."""
        return natural_order(_listing(self.home.checkpoints))

    def check_free(self, name: str, option: str = "--name") -> None:
        """Raise a UserError when `name` is no name, or a checkpoint or interrupted run has it; nothing is written.

        A name that a live process holds is left to `claim`.
        """
        check_name(name, option)
        if owner_of(self.home, name) is None:
            self._refuse_taken(name, option)

    @contextmanager
    def claim(self, name: str | None, option: str = "--name") -> Iterator[str]:
        """Take `name` (None: the next ckptN, a number never given before) for this process.

        The lock is held until the block ends. UserError when a checkpoint or run has the name, Busy
        when a live process holds it.
        """
        if name is not None:
            check_name(name, option)
        self._clean()
        with ExitStack() as stack:
            if name is None:
                name = self._take_number(stack)
            else:
                stack.enter_context(hold(self.home, name, again=False))
                self._refuse_taken(name, option)
                if number_of(name):
                    with registry_lock(self.home):
                        self._remember(max(number_of(name), self._last_number()))
            yield name

    def commit(self, name: str, fill: Fill) -> Checkpoint:
        """Register what `fill` writes into a temporary folder as the checkpoint `name`, at once and for good.

        The files must hold smart.json; the manifest is written here. After an error nothing of it is left.
        """
        check_name(name)
        target = self.home.checkpoints / name
        with hold(self.home, name):
            if os.path.lexists(target):
                raise UserError(f'a checkpoint "{name}" exists already; choose another name')
            commit_folder(target, fill, check=lambda temp: _check_new(temp, name), guard=registry_lock(self.home))
            return self.open(name)

    def open(self, name: str) -> Checkpoint:
        """Return the checkpoint, its listing and sizes checked and smart.json verified.

        UserError when there is none (or it goes meanwhile), Damaged when it is not as committed.
        """
        check_name(name, "checkpoint name")
        folder = self.home.checkpoints / name
        for _ in range(_LOOKS):
            before = _identity(folder)
            if before is None:
                break
            try:
                return Checkpoint.load(folder)
            except (Damaged, FileNotFoundError):
                # Removed, or removed and made anew, between two looks: look again.
                if _identity(folder) == before:
                    raise
        raise unknown_name(name, self.names())

    def scan(self) -> tuple[list[Checkpoint], list[Problem]]:
        """Open all checkpoints; those that vanish meanwhile are left out, damaged ones become problems."""
        found: list[Checkpoint] = []
        problems: list[Problem] = []
        for name in self.names():
            try:
                found.append(self.open(name))
            except UserError:
                continue
            except SmartCliError as error:
                problems.append(_problem(name, error))
        return found, problems

    def expand(self, patterns: Sequence[str]) -> list[str]:
        """Return the names that names, ranges and globs stand for, each once, in the order given."""
        return expand_patterns(patterns, self.names())

    def verify(self, names: Sequence[str] | None = None) -> list[Problem]:
        """Hash every file of the named checkpoints (None: all) and look into them; return all that is wrong."""
        problems: list[Problem] = []
        for name in _entries(self.home.checkpoints) if names is None else names:
            folder = self.home.checkpoints / name
            if not is_name(name):
                problems.append(Problem(name, "", "this is no name of a checkpoint; remove or rename it"))
                continue
            if names is not None and not os.path.lexists(folder):
                raise unknown_name(name, self.names())
            for _ in range(_LOOKS):
                before = _identity(folder)
                found = folder_problems(folder)
                if _identity(folder) == before:
                    problems += found
                    break
        return problems

    def remove(self, name: str, force: bool = False) -> int:
        """Remove a checkpoint and its stored predictions; return the bytes that were freed.

        UserError when another checkpoint or a run in progress names it, unless `force`.
        """
        check_name(name, "checkpoint name")
        folder = self.home.checkpoints / name
        with hold(self.home, name):
            with registry_lock(self.home):
                if not os.path.lexists(folder):
                    raise unknown_name(name, self.names())
                users = [] if force else self.dependents(name)
                if users:
                    raise UserError(
                        f'"{name}" is named by {", ".join(users)}, which would then lack where it came from; '
                        "remove that first, or add --force"
                    )
                freed = tree_size(folder)
                # A run left over by a kill between commit and its removal must not rise from the dead.
                going = [self.home.runs / name, folder]
                going += [p for p in _paths(self.home.predictions) if p.name.rpartition("@")[0] == name]
                aside = [hide(path) for path in going if os.path.lexists(path)]
            for path in aside:
                DISK.remove_tree(path)
        return freed

    def removal_order(self, names: Sequence[str]) -> list[str]:
        """Return `names` so that a checkpoint stands before those that its lineage names."""
        named = {name: {one.name for one in references(_peek(self.home.checkpoints / name / META))} for name in names}
        ordered: list[str] = []
        while len(ordered) < len(named):
            left = [name for name in named if name not in ordered]
            free = [name for name in left if not any(name in named[other] for other in left if other != name)]
            ordered += free or left
        return ordered

    def dependents(self, name: str) -> list[str]:
        """Return the checkpoints whose lineage names this one, and runs in progress that started from it."""
        mine = _manifest_hash(self.home.checkpoints / name)
        users = [
            f'"{other}"'
            for other in self.names()
            if other != name and _names_it(references(_peek(self.home.checkpoints / other / META)), name, mine)
        ]
        for run in natural_order(_listing(self.home.runs)):
            settings = _peek(self.home.runs / run / "run.json").get("settings")
            if (
                isinstance(settings, dict)
                and name in (settings.get("init"), settings.get("teacher"))
                and run not in (name, *self.names())
            ):
                users.append(f'the run "{run}"')
        return users

    def _take_number(self, stack: ExitStack) -> str:
        with registry_lock(self.home):
            number = self._last_number()
            while True:
                number += 1
                with suppress(Busy):
                    stack.enter_context(hold(self.home, f"ckpt{number}", wait=0, again=False))
                    break
            self._remember(number)
            return f"ckpt{number}"

    def _last_number(self) -> int:
        numbers = [0]
        with suppress(OSError, SmartCliError, KeyError, TypeError, ValueError):
            numbers.append(int(read_sealed(self.home.checkpoints, _NUMBERS)["last"]))
        for folder in (self.home.checkpoints, self.home.runs, self.home.predictions):
            numbers += [number_of(found.name.partition("@")[0]) for found in _paths(folder)]
        return max(numbers)

    def _remember(self, number: int) -> None:
        write_file(self.home.checkpoints / _NUMBERS, seal({"last": number}))

    def _refuse_taken(self, name: str, option: str) -> None:
        if os.path.lexists(self.home.checkpoints / name):
            raise UserError(
                f'{option}: a checkpoint "{name}" exists already; choose another name, or remove it with '
                f"`smart checkpoints rm {name}`"
            )
        if os.path.lexists(self.home.runs / name):
            raise UserError(
                f'{option}: an interrupted run "{name}" exists; go on with --resume {name}, or remove it with '
                f"`smart runs rm {name}`"
            )

    def _clean(self) -> None:
        for folder in (self.home.checkpoints, self.home.runs, self.home.predictions):
            clean_stale(folder)
        for name in _listing(self.home.runs):
            if os.path.lexists(self.home.checkpoints / name) and owner_of(self.home, name) is None:
                with suppress(SmartCliError), hold(self.home, name, wait=0, again=False):
                    if os.path.lexists(self.home.checkpoints / name):
                        remove_folder(self.home.runs / name)


def _check_new(temp: Path, name: str) -> None:
    try:
        raw = (temp / META).read_bytes()
    except FileNotFoundError:
        raise SmartCliError(f'checkpoint "{name}" cannot be committed: {META} is missing') from None
    meta = parse_object(raw, META)
    try:
        check_meta(meta, name)
    except SmartCliError as error:
        raise SmartCliError(f'checkpoint "{name}" cannot be committed: {META}: {error}') from None
    for path in sorted(temp.glob("*.safetensors")):
        check_header(temp, path.name)


def _problem(name: str, error: SmartCliError) -> Problem:
    return Problem(name, error.file, error.reason) if isinstance(error, Damaged) else Problem(name, "", str(error))


def _paths(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _entries(folder: Path) -> list[str]:
    return natural_order(path.name for path in _paths(folder))


def _listing(folder: Path) -> list[str]:
    return [path.name for path in _paths(folder) if is_name(path.name)]


def _identity(folder: Path) -> tuple[int, ...] | None:
    try:
        found = folder.lstat()
    except OSError:
        return None
    # Inode numbers are soon used again, so the moment of the last rename counts too.
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _peek(path: Path) -> dict[str, Any]:
    """Read a JSON object without trusting it; {} when it cannot be read."""
    with suppress(OSError, SmartCliError):
        if path.lstat().st_size <= SMALL and not path.is_symlink():
            return parse_object(path.read_bytes(), path)
    return {}


def _manifest_hash(folder: Path) -> str | None:
    found = _peek(folder / "manifest.json").get("sha256")
    return found if isinstance(found, str) else None


def _names_it(named: list[Reference], name: str, manifest_hash: str | None) -> bool:
    """Tell whether a lineage means this checkpoint, and not an earlier one of the same name."""
    return any(
        one.name == name and (None in (one.manifest, manifest_hash) or one.manifest == manifest_hash) for one in named
    )
