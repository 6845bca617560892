"""One finished checkpoint: opened whole, and every byte verified before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.errors import SmartCliError, UserError
from smartcli.registry.content import ENCODER_FILES, blame, check_encoder, check_finite, check_header
from smartcli.registry.manifest import (
    MANIFEST,
    SMALL,
    Damaged,
    Manifest,
    entry_of,
    listing_problems,
    manifest_bytes,
    parse_manifest,
    read_manifest,
    read_verified,
    verify_file,
)
from smartcli.registry.meta import META, CheckpointMeta, Reference, check_meta
from smartcli.strictjson import parse_object
from smartcli.tasks import TaskTable

if TYPE_CHECKING:
    from smartcli.data.predictions import Predictions

PREDICTIONS = "predictions-dev.csv"


@dataclass(frozen=True)
class Problem:
    """Something wrong with a checkpoint; `file` is empty when it is about the whole folder."""

    checkpoint: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.checkpoint}{'/' if self.file else ''}{self.file}: {self.reason}"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose listing, sizes and smart.json were checked when it was opened."""

    name: str
    folder: Path
    meta: CheckpointMeta
    manifest: Manifest
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Open `folder`; Damaged for the first file that is not as committed."""
        manifest = read_manifest(folder)
        raw = read_verified(folder, META, manifest, SMALL)
        try:
            meta = CheckpointMeta.checked(parse_object(raw, META), folder.name)
        except SmartCliError as error:
            raise blame(folder, META, error) from None
        for name in manifest.files:
            if name.endswith(".safetensors"):
                check_header(folder, name)
        return cls(folder.name, folder, meta, manifest)

    @property
    def manifest_hash(self) -> str:
        """SHA-256 that stands for all content of the checkpoint."""
        return self.manifest.hash

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.manifest.size + len(manifest_bytes(self.manifest))

    @property
    def kind(self) -> str:
        return self.meta.kind

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data set that it was trained on."""
        return self.meta.data.fingerprint

    @property
    def heads(self) -> TaskTable:
        """Tasks that it has heads for."""
        return TaskTable.from_json(self.meta.tasks)

    @property
    def all_tasks(self) -> TaskTable:
        """Whole task table of the data set that it was trained on."""
        return TaskTable.from_json(self.meta.all_tasks)

    def reference(self) -> Reference:
        """Return the entry that a lineage keeps about this checkpoint."""
        return Reference(name=self.name, manifest=self.manifest_hash)

    def has(self, file: str) -> bool:
        """Return whether the manifest lists `file`."""
        return file in self.manifest.files

    def path(self, file: str) -> Path:
        """Return the path of a file whose content was just verified (once for each opened checkpoint)."""
        entry_of(self.folder, file, self.manifest)
        if file not in self._verified:
            try:
                verify_file(self.folder, file, self.manifest)
            except (Damaged, FileNotFoundError) as error:
                raise self._explain(error) from None
            self._verified.add(file)
        return self.folder / file

    def read(self, file: str) -> bytes:
        """Return the verified bytes of a file."""
        try:
            return read_verified(self.folder, file, self.manifest)
        except (Damaged, FileNotFoundError) as error:
            raise self._explain(error) from None

    def predictions(self) -> Predictions:
        """Return the stored predictions on dev."""
        from smartcli.data.predictions import read_predictions

        return read_predictions(self.read(PREDICTIONS), f"{self.name}/{PREDICTIONS}")

    def unchanged(self) -> bool:
        """Return whether the checkpoint is still the one that was opened, not removed and not made anew."""
        try:
            return parse_manifest(self.folder).hash == self.manifest.hash
        except FileNotFoundError:
            return False
        except Damaged:
            return True

    def _explain(self, error: Exception) -> SmartCliError:
        if not self.unchanged():
            return UserError(f'checkpoint "{self.name}" was removed or replaced by another process meanwhile')
        return error if isinstance(error, SmartCliError) else Damaged(self.folder, "", str(error))


def folder_problems(folder: Path, name: str | None = None) -> list[Problem]:
    """Return everything wrong with a checkpoint folder; nothing for one that vanishes meanwhile.

    `name` is what the checkpoint should be called, where that is not the folder's name.
    """
    own = folder.name if name is None else name
    try:
        manifest = parse_manifest(folder)
        found = list(listing_problems(folder, manifest))
        if META not in manifest.files:
            found.append(Damaged(folder, META, "the file is missing"))
        good = [file for file in manifest.files if file not in {problem.file for problem in found}]
        for file in good:
            found += _file_problems(folder, file, manifest, own)
        if not found and set(ENCODER_FILES) <= set(good):
            meta = CheckpointMeta.from_json(parse_object(read_verified(folder, META, manifest, SMALL), META))
            found += _caught(lambda: check_encoder(folder, meta))
    except Damaged as problem:
        found = [problem]
    except OSError as error:
        found = [Damaged(folder, MANIFEST, f"it cannot be read: {error.strerror}")] if folder.exists() else []
    return [Problem(own, problem.file, problem.reason) for problem in found]


def _file_problems(folder: Path, name: str, manifest: Manifest, own: str) -> list[Damaged]:
    def look() -> None:
        verify_file(folder, name, manifest)
        if name.endswith(".safetensors"):
            check_finite(folder, name)
        try:
            if name == META:
                check_meta(parse_object(read_verified(folder, name, manifest, SMALL), META), own)
            if name == PREDICTIONS:
                from smartcli.data.predictions import read_predictions

                read_predictions(read_verified(folder, name, manifest), name)
        except SmartCliError as error:
            raise blame(folder, name, error) from None

    return _caught(look)


def _caught(look: Callable[[], None]) -> list[Damaged]:
    try:
        look()
    except Damaged as problem:
        return [problem]
    return []
