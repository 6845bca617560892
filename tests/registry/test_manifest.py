"""A manifest: one byte form, and every alteration of a folder is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_fixtures import make_fill

from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import Damaged, read_manifest, read_verified, verify_file
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json


@pytest.fixture
def made(home: Home) -> Checkpoint:
    return Registry(home).commit("x", make_fill("x"))


def use_all(folder: Path) -> None:
    opened = Checkpoint.load(folder)
    for file in opened.manifest.files:
        opened.path(file)


def refused(made: Checkpoint) -> str:
    """The file that is named when the checkpoint is opened and all its files are used."""
    with pytest.raises(Damaged) as raised:
        use_all(made.folder)
    assert str(made.folder) in str(raised.value)
    return raised.value.file


def test_manifest_lists_size_and_hash_and_ends_in_its_own(made: Checkpoint) -> None:
    raw = (made.folder / "manifest.json").read_bytes()
    value = json.loads(raw)
    assert list(value) == ["format", "files", "sha256"]
    assert value["files"]["README.md"] == {"size": 4, "sha256": hashlib.sha256(b"# x\n").hexdigest()}
    rest = {"format": value["format"], "files": value["files"]}
    assert value["sha256"] == hashlib.sha256(canonical_json(rest)).hexdigest() == made.manifest_hash
    assert raw == canonical_json(value)


def test_every_flipped_byte_is_noticed_and_its_file_named(made: Checkpoint) -> None:
    for path in sorted(made.folder.iterdir()):
        whole = path.read_bytes()
        for at in range(0, len(whole), 1 + len(whole) // 40):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
            assert refused(made) == path.name
            assert [problem.file for problem in Registry(home_of(made)).verify()] == [path.name]
        path.write_bytes(whole)
    assert Registry(home_of(made)).verify() == []


def home_of(made: Checkpoint) -> Home:
    return Home(made.folder.parents[1])


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda f: (f / "README.md").write_bytes(b"# x"), "README.md"),
        (lambda f: (f / "README.md").unlink(), "README.md"),
        (lambda f: (f / "extra").write_bytes(b""), "extra"),
        (lambda f: (f / ".hidden").mkdir(), ".hidden"),
        (lambda f: swap_for_link(f / "README.md"), "README.md"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json"),
        (lambda f: ((f / "manifest.json").unlink(), (f / "manifest.json").mkdir()), "manifest.json"),
        (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json"),
        (lambda f: (f / "manifest.json").write_text('{"sha256": NaN}'), "manifest.json"),
        (lambda f: respace(f / "manifest.json"), "manifest.json"),
        (lambda f: swap_for_link(f), ""),
        (lambda f: swap_for_zip(f), ""),
    ],
)
def test_altered_folders_are_refused_by_name(made: Checkpoint, change: Callable[[Path], None], file: str) -> None:
    change(made.folder)
    assert refused(made) == file
    assert file in [problem.file for problem in Registry(home_of(made)).verify()]


def swap_for_link(path: Path) -> None:
    path.rename(path.parents[1] / "elsewhere")
    path.symlink_to(path.parents[1] / "elsewhere")


def swap_for_zip(path: Path) -> None:
    path.rename(path.parents[1] / "elsewhere")
    path.write_bytes(b"PK\x03\x04")


def respace(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text())))


def test_verified_reading_refuses_what_is_not_listed_or_too_large(made: Checkpoint) -> None:
    manifest = read_manifest(made.folder)
    with pytest.raises(Damaged, match="does not list such a file"):
        read_verified(made.folder, "../x/README.md", manifest)
    with pytest.raises(Damaged, match="more than the 3 that are read"):
        read_verified(made.folder, "README.md", manifest, limit=3)
    verify_file(made.folder, "README.md", manifest)
