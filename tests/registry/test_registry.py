"""The registry: names given once, commits whole and in order, removal that keeps lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forked import calls_of
from registry_fixtures import FINGERPRINT, make_fill

from smartcli.atomic import DISK
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import RunHeader, Runs


def register(home: Home, name: str | None = None, **changes: Any) -> Checkpoint:
    registry = Registry(home)
    with registry.claim(name) as given:
        return registry.commit(given, make_fill(given, **changes))


def test_a_committed_checkpoint_reads_back(home: Home) -> None:
    made = register(home, "first")
    found = Registry(home).open("first")
    assert found == made
    assert found.meta.method == "concat simultaneous smart"
    assert found.fingerprint == FINGERPRINT
    assert found.path("README.md").read_bytes() == found.read("README.md") == b"# first\n"
    assert found.predictions()["mood"].predictions.tolist() == [0, 1, 1, 1]
    assert found.size == sum(path.stat().st_size for path in found.folder.iterdir())
    assert Registry(home).verify() == []


def test_commit_follows_the_order_that_survives_a_power_cut(home: Home) -> None:
    registry = Registry(home)
    register(home, "warm-up")
    calls = calls_of(lambda: registry.commit("x", make_fill("x")))
    temp = next(path for call, path in calls if call == "mkdir")
    files = ["README.md", "heads.safetensors", "log.jsonl", "predictions-dev.csv", "smart.json"]
    final = home.checkpoints / "x"
    assert temp.parent == home.checkpoints
    assert calls == [
        ("mkdir", temp),
        *[("fsync", temp / file) for file in reversed(files)],
        ("write", temp / "manifest.json"),
        ("fsync", temp / "manifest.json"),
        ("fsync-dir", temp),
        ("rename", final),
        ("fsync-dir", home.checkpoints),
    ]


def test_files_are_private_whatever_the_umask(home: Home) -> None:
    register(home)
    modes = {oct(path.stat().st_mode & 0o777) for path in home.root.rglob("*") if path.is_file()}
    folders = {oct(path.stat().st_mode & 0o777) for path in (home.root, *home.root.rglob("*")) if path.is_dir()}
    assert (modes, folders) == ({"0o600"}, {"0o700"})


def test_same_content_has_the_same_manifest_hash(home: Home) -> None:
    first = register(home, "same")
    Registry(home).remove("same")
    assert register(home, "same").manifest_hash == first.manifest_hash
    Registry(home).remove("same")
    assert register(home, "same", seed=1).manifest_hash != first.manifest_hash


def test_a_number_is_never_given_twice(home: Home) -> None:
    registry = Registry(home)
    assert register(home).name == "ckpt1"
    assert register(home).name == "ckpt2"
    registry.remove("ckpt2")
    with registry.claim(None) as name:
        assert name == "ckpt3"
    assert register(home).name == "ckpt4"
    register(home, "ckpt9")
    registry.remove("ckpt9")
    assert register(home).name == "ckpt10"
    (home.checkpoints / ".numbers").write_text("damaged")
    assert register(home).name == "ckpt11"


@pytest.mark.parametrize("taken_by", ["checkpoint", "run"])
def test_a_taken_name_is_the_users_mistake(home: Home, taken_by: str) -> None:
    if taken_by == "run":
        Runs(home).create("mine", RunHeader(settings={}))
    else:
        register(home, "mine")
    with (
        pytest.raises(UserError, match=f'^--name: an? (interrupted )?{taken_by} "mine" exists'),
        Registry(home).claim("mine"),
    ):
        pass


def test_claims_within_one_process_exclude_each_other(home: Home) -> None:
    registry = Registry(home)
    with registry.claim("mine"), pytest.raises(UserError, match="in use by process"), registry.claim("mine"):
        pass
    with registry.claim("mine"):
        pass


def test_a_failing_fill_leaves_nothing(home: Home) -> None:
    def fill(folder: Path) -> None:
        make_fill("x")(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Registry(home).commit("x", fill)
    assert list(home.checkpoints.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "smart.json").unlink(), "smart.json is missing"),
        (lambda f: (f / "smart.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "smart.json").write_text('{"format": 1, "format": 1}'), "the key 'format' stands twice"),
        (lambda f: (f / "link").symlink_to(f), "symbolic link"),
        (lambda f: (f / "sub").mkdir(), "expected plain files"),
        (lambda f: (f / "manifest.json").write_text("{}"), "none called manifest.json"),
        (lambda f: (f / "heads.safetensors").write_bytes(b"\x80\x04pickled"), "pickle"),
        (lambda f: make_fill("y")(f), "\"name\" must be 'x'"),
        (lambda f: make_fill("x", kind="magic")(f), '"kind" must be one of'),
        (lambda f: make_fill("x", lineage={"members": [3]})(f), '"lineage" must name'),
    ],
)
def test_what_cannot_be_read_back_is_not_committed(home: Home, change: Any, message: str) -> None:
    def fill(folder: Path) -> None:
        make_fill("x")(folder)
        change(folder)

    with pytest.raises(SmartCliError, match=message):
        Registry(home).commit("x", fill)
    assert list(home.checkpoints.iterdir()) == []


def test_a_named_checkpoint_is_not_removed_without_force(home: Home) -> None:
    registry = Registry(home)
    members = [register(home).reference().to_json(), register(home).reference().to_json()]
    register(home, "both", kind="ensemble", lineage={"init": None, "members": members})
    register(home, "later", lineage={"init": members[0], "members": []})
    with pytest.raises(UserError, match='"ckpt1" is named by "both", "later"'):
        registry.remove("ckpt1")
    with pytest.raises(UserError, match='"ckpt2" is named by "both"'):
        registry.remove("ckpt2")
    assert registry.removal_order(["ckpt1", "ckpt2", "both"]) == ["both", "ckpt1", "ckpt2"]
    registry.remove("ckpt2", force=True)
    assert registry.names() == ["both", "ckpt1", "later"]
    assert registry.verify() == []


def test_a_run_in_progress_protects_what_it_started_from(home: Home) -> None:
    register(home)
    Runs(home).create("next", RunHeader(settings={"init": "ckpt1"}))
    with pytest.raises(UserError, match='named by the run "next"'):
        Registry(home).remove("ckpt1")


def test_lineage_does_not_hold_a_later_checkpoint_of_the_same_name(home: Home) -> None:
    registry = Registry(home)
    first = register(home, "base")
    register(home, "child", lineage={"init": first.reference().to_json(), "members": []})
    registry.remove("base", force=True)
    register(home, "base", seed=5)
    registry.remove("base")
    assert registry.names() == ["child"]


def test_removal_takes_a_left_over_run_and_stored_predictions_along(home: Home) -> None:
    registry = Registry(home)
    with registry.claim("x") as name:
        Runs(home).create(name, RunHeader(settings={}))
        made = registry.commit(name, make_fill(name))
    DISK.make_folder(home.predictions / f"x@{made.manifest_hash}")
    registry.remove("x")
    left = [path.relative_to(home.root).as_posix() for path in home.root.rglob("*") if "locks" not in path.parts]
    assert sorted(left) == ["checkpoints", "predictions", "runs"]


def test_the_next_claim_removes_a_run_whose_checkpoint_was_registered(home: Home) -> None:
    registry = Registry(home)
    with registry.claim("x") as name:
        Runs(home).create(name, RunHeader(settings={}))
        registry.commit(name, make_fill(name))
    assert Runs(home).names() == []
    assert (home.runs / "x").exists()
    with registry.claim("y"):
        assert not (home.runs / "x").exists()


def test_an_unknown_checkpoint_gets_a_suggestion_or_the_next_step(home: Home) -> None:
    with pytest.raises(UserError, match="there are none yet: `smart finetune`"):
        Registry(home).open("ckpt1")
    register(home)
    with pytest.raises(UserError, match='did you mean "ckpt1"'):
        Registry(home).open("ckp1")
    with pytest.raises(UserError, match="checkpoint name must be"):
        Registry(home).open("../ckpt1")


def test_reading_a_removed_checkpoint_says_so(home: Home) -> None:
    made = register(home)
    Registry(home).remove("ckpt1")
    for use in (lambda: made.read("README.md"), lambda: made.path("README.md")):
        with pytest.raises(UserError, match='"ckpt1" was removed or replaced'):
            use()


def test_reading_writes_nothing_and_takes_no_lock(home: Home) -> None:
    register(home)
    before = sorted((path, path.stat().st_mtime_ns) for path in home.root.rglob("*"))
    registry = Registry(home)
    assert calls_of(lambda: (registry.scan(), registry.verify(), registry.open("ckpt1").read("log.jsonl"))) == []
    assert sorted((path, path.stat().st_mtime_ns) for path in home.root.rglob("*")) == before
