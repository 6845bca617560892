"""A checkpoint to a hub and back: the same bytes and scores, one commit, and no trace of a push that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, hub_in_use
from hub_uploads import TOKEN, Uploads, handler_for
from training import Shop

from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.manifest import MANIFEST
from smartcli.registry.meta import META
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.model_outputs import label_rows
from smartcli.workflows.sharing.share import pull, push

pytest.importorskip("huggingface_hub")
NAME = "lab/sentiment"
ROWS = [["a good film"], ["a bad film"]]


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uploads: Uploads) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    # The library itself waits longer and longer between its attempts.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    with hub_in_use(monkeypatch, tmp_path / "cache", handler_for(uploads)) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Another machine's home with a checkpoint."""
    folder = tmp_path_factory.mktemp("other")
    made = Shop.open(Home(folder / "home"), folder)
    made.train("ckpt3", max_steps="1")
    return made


def files(hub: Hub) -> dict[str, bytes]:
    return hub.repos[NAME].files


def test_what_is_pushed_comes_back_verifies_and_scores_the_same(shop: Shop, home: Home, hub: Hub) -> None:
    said: list[str] = []
    done = push(shop.home, "ckpt3", NAME, say=said.append)
    assert (done.address, done.already) == (f"{hub.url}/{NAME}", False)
    assert len([request for request in hub.requests if "/commit/" in request]) == 1
    source = shop.open_checkpoint("ckpt3")
    for path in source.folder.iterdir():
        assert files(hub)[f"checkpoint/{path.name}"] == path.read_bytes(), path.name
    assert set(json.loads(files(hub)["hf/sst/config.json"])["id2label"]) == set("01234")
    assert pull(home, NAME).name == "ckpt3"
    mine = Registry(home).open("ckpt3")
    assert mine.manifest_hash == source.manifest_hash
    assert Registry(home).verify() == []
    there, here = label_rows(shop.home, source, "sst", ROWS), label_rows(home, mine, "sst", ROWS)
    assert there.predictions.tolist() == here.predictions.tolist()
    assert TOKEN not in "".join(said) + "".join(str(path) for path in files(hub))
    assert pull(home, NAME).already
    assert push(shop.home, "ckpt3", NAME).already


def test_the_page_has_scores_data_encoder_and_licence(shop: Shop, hub: Hub) -> None:
    from huggingface_hub import ModelCard

    push(shop.home, "ckpt3", NAME, licence="mit", export=False)
    assert not [path for path in files(hub) if path.startswith("hf/")]
    card = ModelCard(files(hub)["README.md"].decode())
    meta = shop.open_checkpoint("ckpt3").meta
    found = {(one.dataset_name, one.metric_name): one.metric_value for one in card.data.eval_results}
    assert found[("small: sst", "accuracy")] == meta.metrics["sst"]["accuracy"]
    assert {one.dataset_split for one in card.data.eval_results} == {"dev"}
    assert (card.data.license, card.data.library_name) == ("mit", "smart-finetune")
    # The encoder was a folder: its path is nobody's business.
    assert str(shop.encoder) not in card.content
    assert meta.data.fingerprint in card.text
    assert shop.open_checkpoint("ckpt3").manifest_hash in card.text


def test_a_name_that_exists_is_refused_and_replaced_by_force_alone(shop: Shop, home: Home, hub: Hub) -> None:
    hub.add(NAME, {"README.md": b"mine", "old.bin": b"x"}, commit="c" * 40)
    with pytest.raises(UserError, match=r"exists already, with other files.*--force"):
        push(shop.home, "ckpt3", NAME, export=False)
    assert files(hub) == {"README.md": b"mine", "old.bin": b"x"}
    push(shop.home, "ckpt3", NAME, force=True, export=False)
    assert "old.bin" not in files(hub)
    assert pull(home, NAME).name == "ckpt3"


@pytest.mark.parametrize(
    ("token", "read_only", "message"),
    [("hf_wrong-secret", False, r"refuses the token \(401\)"), (TOKEN, True, r"may not write there \(403\)")],
)
def test_a_wrong_token_is_said_and_not_shown(
    shop: Shop,
    hub: Hub,
    uploads: Uploads,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    read_only: bool,
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    uploads.read_only = read_only
    with pytest.raises(UserError, match=message) as caught:
        push(shop.home, "ckpt3", NAME, export=False)
    assert "secret" not in str(caught.value)
    assert NAME not in hub.repos


def test_without_a_token_nothing_is_asked(shop: Shop, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="set HF_TOKEN"):
        push(shop.home, "ckpt3", NAME)
    assert hub.requests == []


def test_a_connection_that_drops_leaves_nothing_to_see_and_the_next_push_goes_on(
    shop: Shop, home: Home, hub: Hub, uploads: Uploads
) -> None:
    uploads.cut = 1000
    with pytest.raises(SmartCliError, match=r"the connection dropped.*run the same command again"):
        push(shop.home, "ckpt3", NAME, export=False)
    assert list(files(hub)) == [".gitattributes"]
    with pytest.raises(UserError, match="holds no checkpoint"):
        pull(home, NAME)
    # One file arrives, the next breaks off for good.
    uploads.cut = 0
    source = shop.open_checkpoint("ckpt3")
    uploads.large[source.manifest.files["model.safetensors"].sha256] = source.read("model.safetensors")
    hub.requests.clear()
    push(shop.home, "ckpt3", NAME, export=False)
    sent = [request for request in hub.requests if request.startswith("PUT")]
    assert [request.rpartition("/")[2] for request in sent] == [source.manifest.files["heads.safetensors"].sha256]
    assert pull(home, NAME).name == "ckpt3"


def test_a_download_that_drops_registers_nothing_and_goes_on(shop: Shop, home: Home, hub: Hub) -> None:
    push(shop.home, "ckpt3", NAME, export=False)
    hub.cut["checkpoint/model.safetensors"] = 1000
    with pytest.raises(SmartCliError):
        pull(home, NAME)
    assert Registry(home).names() == []
    hub.cut.clear()
    assert pull(home, NAME).name == "ckpt3"


def test_altered_bytes_are_found_on_both_ends(
    shop: Shop, home: Home, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(shop.home, "ckpt3", NAME, export=False)
    hub.tampered["checkpoint/heads.safetensors"] = bytes(len(files(hub)["checkpoint/heads.safetensors"]))
    with pytest.raises(SmartCliError, match="differs from what the hub lists"):
        pull(home, NAME)
    hub.tampered.clear()
    # The hub serves its own hash with it: only the manifest knows better.
    files(hub)["checkpoint/heads.safetensors"] = bytes(len(files(hub)["checkpoint/heads.safetensors"]))
    with pytest.raises(SmartCliError, match="does not match the manifest"):
        pull(home, NAME)
    assert Registry(home).names() == []
    with pytest.raises(SmartCliError, match=r"does not list checkpoint/heads.safetensors as it was sent"):
        push(shop.home, "ckpt3", NAME, export=False)


def test_a_name_taken_here_costs_no_download(shop: Shop, home: Home, hub: Hub, tmp_path: Path) -> None:
    mine = Shop.open(home, tmp_path / "mine", seed=1)
    mine.train("ckpt3", max_steps="1")
    push(shop.home, "ckpt3", NAME, export=False)
    with pytest.raises(UserError, match=r'"ckpt3" exists already.*--name gives it another name'):
        pull(home, NAME)
    assert not hub.asked("resolve/" + hub.repos[NAME].commit + "/checkpoint/model.safetensors")
    assert pull(home, NAME, name="theirs").name == "theirs"


def test_a_repository_of_something_else_and_odd_targets(home: Home, hub: Hub, shop: Shop) -> None:
    hub.add("some/encoder", {"config.json": b"{}", "model.safetensors": b""})
    with pytest.raises(UserError, match=rf"holds no checkpoint of smart-finetune.*{MANIFEST}"):
        pull(home, "some/encoder")
    for wrong in ("sentiment", "a/b/c", "../b", "/abs/path"):
        with pytest.raises(UserError, match="neither a repository of the hub"):
            push(shop.home, "ckpt3", wrong)


def test_the_licence_is_the_encoders_on_the_hub(
    shop: Shop, hub: Hub, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smartcli.workflows.sharing import hub_repository

    done = push(shop.home, "ckpt3", NAME, export=False)
    assert "licence of the encoder is not known" in done.notes[-1]
    assert b"license: unknown" in files(hub)["README.md"]
    monkeypatch.setattr(hub_repository, "base_models", lambda meta: ["google/tiny"])
    uploads.licences["google/tiny"] = "bigscience-openrail-m"
    assert push(shop.home, "ckpt3", NAME, export=False, force=True).notes == []
    assert b"license: bigscience-openrail-m" in files(hub)["README.md"]


def test_the_commands_say_what_they_did(shop: Shop, home: Home, hub: Hub, smart: Any) -> None:
    done = smart("--home", shop.home.root, "checkpoints", "push", "ckpt3", NAME, "--no-export")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == f"{hub.url}/{NAME}"
    assert TOKEN not in done.stderr
    pulled = smart("checkpoints", "pull", NAME, "--name", "theirs")
    assert "registered theirs" in pulled.stderr
    assert json.loads((home.checkpoints / "theirs" / META).read_bytes())["imported"]["name"] == "ckpt3"
    assert smart("checkpoints", "pull", "nobody/nothing").exit_code == 2
