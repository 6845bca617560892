"""Encoders from a server that speaks the hub's protocol: what is fetched, checked, kept, and said when it fails."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcli.errors import SmartCliError, UserError
from smartcli.families.find import find_encoder, is_at_hand
from smartcli.families.hub_checks import digest_of
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.families.weights import open_weights
from tests.hub_server import Fault, Hub, git_sha1, hub_in_use
from tests.tiny import make_tiny_encoder

pytest.importorskip("huggingface_hub")
COMMIT = "a" * 40
NEWER = "b" * 40
UNWANTED = {"pytorch_model.bin": b"\x80\x02.", "tf_model.h5": b"h5", "onnx/model.onnx": b"onnx", "README.md": b"# card"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_in_use(monkeypatch, tmp_path / "hf") as hub:
        hub.add("own/tiny", make_tiny_encoder(tmp_path / "tiny"))
        yield hub


def cut_the_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError("network is cut")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    hub.faults.append(Fault("", 0))  # for connections that are still open


def test_an_encoder_is_fetched_with_its_commit_and_without_the_rest(hub: Hub) -> None:
    hub.repos["own/tiny"].files |= UNWANTED
    said: list[str] = []
    found = find_encoder("own/tiny", say=said.append)
    assert (found.id, found.revision, found.folder.name) == ("own/tiny", COMMIT, COMMIT)
    assert {path.name for path in found.folder.rglob("*")} == {"config.json", "model.safetensors", "tokenizer.json"}
    spec = read_spec(found.folder)
    open_weights(found.folder, spec)
    SentenceTokenizer.from_folder(found.folder, spec)
    assert len(said) == 1
    assert said[0].startswith("downloading own/tiny (0.")


def test_off_a_terminal_progress_is_plain_lines(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("smartcli.families.hub_progress.SECONDS", 0.0)
    hub.repos["own/tiny"].files["tokenizer.json"] += b" " * 30_000_000
    said: list[str] = []
    find_encoder("own/tiny", say=said.append)
    assert re.fullmatch(r"downloaded \d+\.\d of \d+\.\d MB", said[1])
    done = [float(line.split()[1]) for line in said[1:]]
    assert done == sorted(done)
    assert capsys.readouterr() == ("", "")


def test_without_a_listener_nothing_is_printed(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    find_encoder("own/tiny")
    assert capsys.readouterr() == ("", "")


def test_without_the_library_it_is_said_how_to_get_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'smart-finetune\[hub\]'.*--encoder minilm"):
        find_encoder("own/tiny")
    assert is_at_hand("own/tiny") is None


def test_a_second_time_nothing_is_downloaded(hub: Hub) -> None:
    find_encoder("own/tiny")
    before = len(hub.asked("/resolve/")) + len(hub.asked("/cdn/"))
    said: list[str] = []
    find_encoder("own/tiny", say=said.append)
    assert len(hub.asked("/resolve/")) + len(hub.asked("/cdn/")) == before
    assert said == []


def test_a_branch_is_recorded_as_the_commit_it_stood_for(hub: Hub) -> None:
    repo = hub.repos["own/tiny"]
    repo.refs |= {"refs/pr/7": NEWER, NEWER: NEWER}
    assert find_encoder("own/tiny", "refs/pr/7").revision == NEWER
    assert find_encoder("own/tiny").revision == COMMIT
    repo.refs["main"] = NEWER
    assert find_encoder("own/tiny").revision == NEWER


def test_a_commit_in_the_cache_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_encoder("own/tiny")
    cut_the_network(hub, monkeypatch)
    assert find_encoder("own/tiny", COMMIT) == first


def test_offline_mode_works_from_the_cache_and_names_minilm_without(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_encoder("own/tiny")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cut_the_network(hub, monkeypatch)
    assert find_encoder("own/tiny") == first
    assert is_at_hand("own/tiny") == first
    assert is_at_hand("own/other") is None
    with pytest.raises(SmartCliError, match=r"own/other: HF_HUB_OFFLINE is set and the cache .*--encoder minilm"):
        find_encoder("own/other")
    with pytest.raises(SmartCliError, match="does not hold it at revision v2"):
        find_encoder("own/tiny", "v2")


def test_offline_mode_from_the_start_of_a_process(hub: Hub, tmp_path: Path) -> None:
    found = find_encoder("own/tiny")
    code = "from smartcli.families.find import find_encoder; print(find_encoder('own/tiny').folder)"
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PATH": "", "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2]
    )
    assert (run.stdout.strip(), run.stderr) == (str(found.folder), "")


def test_an_unreachable_hub_falls_back_to_the_cache_and_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_encoder("own/tiny")
    cut_the_network(hub, monkeypatch)
    said: list[str] = []
    assert find_encoder("own/tiny", say=said.append) == first
    assert said == [f"the hub cannot be reached; taking own/tiny from the cache, commit {COMMIT}"]


def test_neither_cached_nor_reachable_names_minilm(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_the_network(hub, monkeypatch)
    with pytest.raises(
        SmartCliError, match=r"cannot be reached.*not in the cache.*`--encoder minilm` needs no netw"
    ) as e:
        find_encoder("own/tiny")
    assert e.value.exit_code == 1


def test_a_half_filled_cache_does_not_count(hub: Hub) -> None:
    (find_encoder("own/tiny").folder / "model.safetensors").unlink()
    assert is_at_hand("own/tiny") is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_where_to_ask(hub: Hub, status: int) -> None:
    hub.faults.append(Fault("own/tiny", status, {"X-Error-Code": "GatedRepo"}))
    with pytest.raises(
        UserError, match=rf"restricted \({status}\)\. Ask for it at {hub.url}/own/tiny, then set HF_TOK"
    ):
        find_encoder("own/tiny")


def test_a_missing_repository_is_told_from_a_private_one_as_far_as_can_be(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"own/typo: the hub answers 401: .*no such repo.*private.*--encoder minilm"):
        find_encoder("own/typo")
    hub.faults.append(Fault("own/typo", 404, {"X-Error-Code": "RepoNotFound"}))
    with pytest.raises(UserError, match=r"own/typo: no such repository or file on the hub \(404\)"):
        find_encoder("own/typo")
    assert len(hub.asked("own/typo")) == 2  # nothing that cannot help is tried again


def test_a_gated_file_of_an_open_listing_is_refused_the_same_way(hub: Hub) -> None:
    hub.faults.append(Fault("/resolve/", 403, {"X-Error-Code": "GatedRepo"}))
    with pytest.raises(UserError, match="access is restricted"):
        find_encoder("own/tiny")


def test_an_unknown_revision_names_it(hub: Hub) -> None:
    with pytest.raises(UserError, match='own/tiny: no revision "v9" on the hub; expected a branch'):
        find_encoder("own/tiny", "v9")


def test_too_many_requests_are_waited_out_and_else_said(hub: Hub) -> None:
    hub.faults.append(Fault("/api/", 429, {"Retry-After": "0"}, times=2))
    assert find_encoder("own/tiny").revision == COMMIT
    hub.add("own/busy", dict(hub.repos["own/tiny"].files), NEWER)
    hub.faults.append(Fault("api/models/own/busy/revision", 429, {"Retry-After": "0"}))
    with pytest.raises(SmartCliError, match="429, too many requests"):
        find_encoder("own/busy")
    assert len(hub.asked("api/models/own/busy/revision")) == 4


def test_a_server_error_is_tried_again(hub: Hub) -> None:
    hub.faults.append(Fault("/revision/", 503, times=3))
    assert find_encoder("own/tiny").revision == COMMIT
    hub.faults.append(Fault("/revision/", 500))
    hub.add("own/broken", {})
    with pytest.raises(SmartCliError, match="the hub answers 500"):
        find_encoder("own/broken")


def test_connections_that_drop_before_an_answer_are_tried_again(hub: Hub) -> None:
    hub.faults.append(Fault("/revision/", 0, times=2))
    assert find_encoder("own/tiny").revision == COMMIT


def test_a_download_cut_half_way_is_resumed(hub: Hub) -> None:
    hub.cut["model.safetensors"] = 1
    found = find_encoder("own/tiny")
    assert (found.folder / "model.safetensors").read_bytes() == hub.repos["own/tiny"].files["model.safetensors"]
    assert len(hub.asked("GET /cdn/")) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_tampered_download_is_refused_and_removed(hub: Hub, name: str) -> None:
    honest = hub.repos["own/tiny"].files[name]
    hub.tampered[name] = honest[:-1] + bytes([honest[-1] ^ 1])  # the size fits: only the checksum tells
    with pytest.raises(SmartCliError, match=rf"own/tiny: {name} differs from what the hub lists"):
        find_encoder("own/tiny")
    hub.tampered.clear()
    assert (find_encoder("own/tiny").folder / name).read_bytes() == honest


def test_a_cached_file_that_was_altered_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (find_encoder("own/tiny").folder / "model.safetensors").resolve()
    weights.chmod(0o600)
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SmartCliError, match=r"model\.safetensors differs from what the hub lists"):
        find_encoder("own/tiny")


def test_only_pickles_are_refused_before_anything_is_downloaded(hub: Hub) -> None:
    files = hub.repos["own/tiny"].files
    hub.add("own/old", {"config.json": files["config.json"], "pytorch_model.bin": b"\x80\x02."})
    with pytest.raises(UserError, match=r"own/old: .*only pytorch_model\.bin.*safe_serialization=True.*--revision"):
        find_encoder("own/old")
    assert hub.asked("own/old/resolve") == []


def test_shards_and_their_index_are_fetched(hub: Hub) -> None:
    files = dict(hub.repos["own/tiny"].files)
    part = "model-00001-of-00001.safetensors"
    files[part] = files.pop("model.safetensors")
    files["model.safetensors.index.json"] = b'{"weight_map": {"embeddings.LayerNorm.weight": "%s"}}' % part.encode()
    hub.add("own/parts", files)
    found = find_encoder("own/parts")
    assert (found.folder / part).is_file()
    assert open_weights(found.folder, read_spec(found.folder)).has_pooler


def test_a_renamed_repository_is_followed(hub: Hub) -> None:
    hub.renamed["old-tiny"] = "own/tiny"
    found = find_encoder("old-tiny")
    assert (found.id, found.revision) == ("old-tiny", COMMIT)
    assert read_spec(found.folder).hidden_size == 32


def test_the_token_is_sent_and_never_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    find_encoder("own/tiny")
    assert hub.tokens == {"api Bearer hf_secretsecret", "own Bearer hf_secretsecret"}  # never to /cdn/
    assert hub.asked("GET /cdn/")
    hub.faults.append(Fault("own/typo", 403))
    with pytest.raises(UserError) as caught:
        find_encoder("own/typo")
    assert "hf_secret" not in str(caught.value)
    kept = [path for path in (tmp_path / "hf").rglob("*") if path.is_file()]
    assert all(b"hf_secret" not in path.read_bytes() for path in kept)


def test_a_password_in_the_hubs_address_is_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("://", "://me:hush-hush@"))
    heard: list[str] = []
    find_encoder("own/tiny", say=heard.append)
    assert heard
    assert all("hush" not in line for line in heard)
    assert "***@127.0.0.1" in heard[0]


def test_git_and_sha256_checksums_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    # `git hash-object` of that file, as anyone can check
    assert digest_of(path, "0" * 40) == git_sha1(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert digest_of(path, "0" * 64) == hashlib.sha256(b"hello\n").hexdigest()
