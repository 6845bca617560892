"""A checkpoint's folder from another home is taken in whole after every file was verified, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from training import Shop
from typer.testing import Result

from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import MANIFEST, build_manifest, manifest_bytes
from smartcli.registry.meta import META
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json
from smartcli.workflows.scoring.model_outputs import label_rows

Smart = Callable[..., Result]
ROWS = [["a good film"], ["a bad film"]]


@pytest.fixture
def other(tmp_path: Path) -> Shop:
    """Another machine's home."""
    return Shop.open(Home(tmp_path / "other"), tmp_path)


def words(result: Result) -> str:
    return " ".join(result.stderr.split())


def trained(shop: Shop, name: str = "ckpt3") -> Checkpoint:
    shop.train(name, max_steps="1")
    return shop.open_checkpoint(name)


def reseal(folder: Path) -> None:
    """Make the manifest fit what now lies in the folder, as an attacker or a careless tool would."""
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(manifest_bytes(build_manifest(folder)))


def test_with_its_own_name_every_byte_stays(smart: Smart, home: Home, other: Shop) -> None:
    source = trained(other)
    assert smart("checkpoints", "import", source.folder).exit_code == 0
    mine = Registry(home).open("ckpt3")
    assert mine.manifest_hash == source.manifest_hash
    assert Registry(home).verify() == []
    there, here = label_rows(other.home, source, "sst", ROWS), label_rows(home, mine, "sst", ROWS)
    assert there.predictions.tolist() == here.predictions.tolist()
    with Registry(home).claim(None) as following:
        assert following == "ckpt4", "the number of an imported checkpoint is never given again"


def test_the_folder_may_have_been_renamed_on_its_way(smart: Smart, home: Home, other: Shop, tmp_path: Path) -> None:
    shutil.copytree(trained(other).folder, tmp_path / "ckpt3 (copy)")
    (tmp_path / "link").symlink_to(tmp_path / "ckpt3 (copy)")
    assert smart("checkpoints", "import", tmp_path / "link").exit_code == 0
    assert Registry(home).names() == ["ckpt3"]


def test_another_name_says_whence_it_came_and_predicts_the_same(smart: Smart, home: Home, other: Shop) -> None:
    source = trained(other)
    assert smart("checkpoints", "import", source.folder, "--name", "lab").exit_code == 0
    mine = Registry(home).open("lab")
    assert mine.meta.to_json()["imported"] == {"name": "ckpt3", "manifest": source.manifest_hash}
    assert mine.read("README.md").startswith(b"# lab\n")
    assert mine.read("predictions-dev.csv") == source.read("predictions-dev.csv")
    assert Registry(home).verify() == []


def test_the_same_content_again_is_nothing_to_do(smart: Smart, other: Shop) -> None:
    source = trained(other)
    smart("checkpoints", "import", source.folder)
    again = smart("checkpoints", "import", source.folder)
    assert again.exit_code == 0
    assert "is here already" in again.stderr


def test_a_taken_name_is_refused_and_the_way_out_named(smart: Smart, home: Home, other: Shop, tmp_path: Path) -> None:
    mine = trained(Shop.open(home, tmp_path / "mine"))
    source = other
    source.train("ckpt3", max_steps="2")
    result = smart("checkpoints", "import", source.open_checkpoint("ckpt3").folder)
    assert result.exit_code == 2
    assert "--name NAME" in words(result)
    assert Registry(home).open("ckpt3").manifest_hash == mine.manifest_hash


@pytest.mark.parametrize("file", ["model.safetensors", "heads.safetensors", "predictions-dev.csv", "log.jsonl"])
def test_an_altered_file_is_named_and_nothing_is_taken_in(smart: Smart, home: Home, other: Shop, file: str) -> None:
    path = trained(other).folder / file
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    result = smart("checkpoints", "import", path.parent)
    assert result.exit_code == 1
    assert f"{file}: its content does not match the manifest" in words(result)
    assert Registry(home).names() == []
    assert [entry for entry in home.checkpoints.glob("*") if entry.name != ".numbers"] == []


def test_content_that_is_sealed_but_wrong_is_refused(smart: Smart, home: Home, other: Shop, tmp_path: Path) -> None:
    source = trained(other)
    cases: list[tuple[str, Callable[[Path], object], str]] = [
        ("settings", lambda folder: change(folder, settings={"lr": "fast"}), "its settings or tasks"),
        ("tasks", lambda folder: change(folder, tasks=[{"name": "x"}]), "its settings or tasks"),
        ("name", lambda folder: change(folder, name="../../etc"), "must be 1 to 64 letters"),
        ("heads", lambda folder: (folder / "heads.safetensors").unlink(), "heads.safetensors: the file is missing"),
        ("extra", lambda folder: (folder / "link").symlink_to("/etc/passwd"), "link"),
    ]
    for name, damage, message in cases:
        folder = tmp_path / name
        shutil.copytree(source.folder, folder)
        damage(folder)
        if name != "extra":
            reseal(folder)
        result = smart("checkpoints", "import", folder)
        assert result.exit_code in (1, 2), name
        assert message in words(result), name
        assert Registry(home).names() == [], name


def change(folder: Path, **values: object) -> None:
    meta = json.loads((folder / META).read_bytes()) | values
    (folder / META).write_bytes(canonical_json(meta))


def test_an_ensemble_finds_its_members_when_they_come_too(smart: Smart, home: Home, other: Shop) -> None:
    for name in ("a", "b"):
        other.train(name, max_steps="1", seed="1" if name == "a" else "2")
    assert smart("--home", other.home.root, "ensemble", "a", "b", "--name", "ab").exit_code == 0
    first = smart("checkpoints", "import", other.home.checkpoints / "ab")
    assert "a, b, named by its lineage, are not here" in words(first)
    for name in ("a", "b"):
        assert smart("checkpoints", "import", other.home.checkpoints / name).exit_code == 0
    labelled = smart("predict", "ab", "--task", "sst", "--input", "-", input="sentence\na good film\n")
    assert labelled.exit_code == 0, labelled.stderr


@pytest.mark.parametrize("what", ["missing", "file", "empty"])
def test_what_is_no_checkpoint_folder_is_refused(smart: Smart, tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    result = smart("checkpoints", "import", tmp_path / what)
    assert result.exit_code == 2
    assert "folder" in words(result)
