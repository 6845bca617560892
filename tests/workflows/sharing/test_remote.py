"""A checkpoint to file systems and back: local, in memory, and an S3 server on this machine."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from cutting_proxy import Proxy, cutting_proxy
from training import Shop

from smartcli.errors import SmartCliError, UserError
from smartcli.hidden import hidden
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import MANIFEST
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.model_outputs import label_rows
from smartcli.workflows.sharing import remote_files, remote_pull, remote_push
from smartcli.workflows.sharing.remote_files import open_remote
from smartcli.workflows.sharing.share import pull, push

ROWS = [["a good film"], ["a bad film"]]
BUCKET = "models"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "RETRY_DELAYS", (0.0,))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Another machine's home with two checkpoints."""
    folder = tmp_path_factory.mktemp("other")
    made = Shop.open(Home(folder / "home"), folder)
    for name, seed in (("ckpt3", "0"), ("ckpt4", "1")):
        made.train(name, max_steps="1", seed=seed)
    return made


@pytest.fixture(scope="module")
def s3_server() -> Iterator[int]:
    """An S3 server on this machine; its port."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'smart-finetune[s3]'")
    server = pytest.importorskip("moto.server", reason="needs moto: pip install 'moto[server,s3]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()[1]
    running.stop()


@pytest.fixture
def s3(s3_server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The S3 server behind a proxy, with a bucket of its own content."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_server}")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    if files.exists(BUCKET):
        files.rm(BUCKET, recursive=True)
    files.mkdir(BUCKET)
    with cutting_proxy(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[str]:
    """An SFTP server on this machine that asks for a password; its address with it."""
    asyncssh = pytest.importorskip("asyncssh", reason="needs asyncssh: pip install asyncssh")
    pytest.importorskip("paramiko", reason="needs paramiko: pip install 'smart-finetune[sftp]'")

    class Server(asyncssh.SSHServer):  # type: ignore[misc]
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("me", "hush-hush")

    def session(channel: Any) -> Any:
        return asyncssh.SFTPServer(channel, chroot=str(tmp_path))

    loop = asyncio.new_event_loop()
    key = asyncssh.generate_private_key("ssh-ed25519")
    listening = asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key], sftp_factory=session)
    server = loop.run_until_complete(listening)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"sftp://me:hush-hush@127.0.0.1:{server.get_port()}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("s3", "sftp")]


@pytest.fixture(params=["file", "memory", *SLOW])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty folder on each kind of file system."""
    if request.param == "file":
        return f"file://{tmp_path / 'shared'}"
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    if request.param == "sftp":
        return f"{request.getfixturevalue('sftp')}/shared"
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/team"


def listed(url: str) -> dict[str, int]:
    return open_remote(url).sizes()


def same(source: Checkpoint, home: Home, name: str) -> bool:
    """Whether the checkpoint here is the other one, verified, and predicts the same."""
    mine = Registry(home).open(name)
    here, there = (
        label_rows(where, one, "sst", ROWS) for where, one in ((home, mine), (Home(source.folder.parents[1]), source))
    )
    return (
        Registry(home).verify() == []
        and mine.manifest_hash == source.manifest_hash
        and here.predictions.tolist() == there.predictions.tolist()
    )


def test_what_is_pushed_comes_back_verifies_and_scores_the_same(shop: Shop, home: Home, place: str) -> None:
    source = shop.open_checkpoint("ckpt3")
    done = push(shop.home, "ckpt3", f"{place}/")
    assert done.address == hidden(f"{place}/ckpt3")
    assert "hush" not in done.address
    assert {name.partition("/")[0] for name in listed(place)} == {"ckpt3"}, "nothing beside it is left"
    assert set(listed(f"{place}/ckpt3")) == {path.name for path in source.folder.iterdir()}
    assert pull(home, f"{place}/ckpt3").name == "ckpt3"
    assert same(source, home, "ckpt3")
    assert list((home.root / remote_pull.INCOMING).iterdir()) == []
    assert pull(home, f"{place}/ckpt3").already
    assert push(shop.home, "ckpt3", f"{place}/ckpt3").already


def test_a_name_that_exists_is_refused_and_replaced_by_force_alone(shop: Shop, home: Home, place: str) -> None:
    push(shop.home, "ckpt4", f"{place}/best")
    before = listed(f"{place}/best")
    with pytest.raises(UserError, match=r"/best exists already.*--force"):
        push(shop.home, "ckpt3", f"{place}/best")
    assert listed(f"{place}/best") == before
    assert pull(home, f"{place}/best").name == "ckpt4"
    open_remote(f"{place}/best").write("stray.bin", b"x")
    push(shop.home, "ckpt3", f"{place}/best", force=True)
    assert {name.partition("/")[0] for name in listed(place)} == {"best"}
    assert pull(home, f"{place}/best").name == "ckpt3"
    assert same(shop.open_checkpoint("ckpt3"), home, "ckpt3")


def test_a_folder_that_holds_others_is_never_replaced(shop: Shop, place: str) -> None:
    push(shop.home, "ckpt4", f"{place}/best")
    before = listed(place)
    for force in (False, True):
        with pytest.raises(UserError, match=r"holds folders \(best\).*end the URL with /"):
            push(shop.home, "ckpt3", place, force=force)
    assert listed(place) == before


def test_a_folder_of_something_else_is_no_checkpoint(shop: Shop, home: Home, place: str) -> None:
    there = open_remote(f"{place}/photos")
    there.make()
    there.write("holiday.jpg", b"x")
    with pytest.raises(UserError, match="exists already"):
        push(shop.home, "ckpt3", f"{place}/photos")
    with pytest.raises(UserError, match=rf"holds no checkpoint.*{MANIFEST}"):
        pull(home, f"{place}/photos")
    assert listed(f"{place}/photos") == {"holiday.jpg": 1}
    assert not home.root.exists() or list(Registry(home).names()) == []


def test_a_push_that_stops_anywhere_shows_nothing_and_goes_on(
    shop: Shop, home: Home, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops after each file in turn; only what was not there whole is written again."""
    source, put, written = shop.open_checkpoint("ckpt3"), remote_files.Remote.put, []

    def stopping(self: Any, path: Path, name: str) -> None:
        if written and written[-1] is not None:
            written.append(None)
            raise KeyboardInterrupt
        put(self, path, name)
        written.append(name)

    monkeypatch.setattr(remote_files.Remote, "put", stopping)
    stops = 0
    while True:
        try:
            push(shop.home, "ckpt3", f"{place}/ckpt3")
            break
        except KeyboardInterrupt:
            stops += 1
            assert listed(f"{place}/ckpt3") == {}
            with pytest.raises(UserError, match="holds no checkpoint"):
                pull(home, f"{place}/ckpt3")
    assert stops == len(source.manifest.files) - 1
    assert [name for name in written if name] == list(source.manifest.files)
    assert pull(home, f"{place}/ckpt3").name == "ckpt3"


@pytest.mark.parametrize("forced", [False, True])
def test_a_copy_in_an_object_store_that_stops_is_never_taken_for_a_checkpoint(
    shop: Shop, home: Home, monkeypatch: pytest.MonkeyPatch, forced: bool
) -> None:
    url, copy = f"memory://{uuid.uuid4().hex}/best", remote_files.Remote.copy
    if forced:
        push(shop.home, "ckpt4", url)

    def stopping(self: Any, name: str, target: Any) -> None:
        copy(self, name, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(remote_files.Remote, "copy", stopping)
    with pytest.raises(KeyboardInterrupt):
        push(shop.home, "ckpt3", url, force=forced)
    with pytest.raises(UserError, match="holds no checkpoint"):
        pull(home, url)
    monkeypatch.setattr(remote_files.Remote, "copy", copy)
    # What a broken copy left is its own, so it needs no --force; files of another checkpoint do.
    push(shop.home, "ckpt3", url, force=forced)
    assert pull(home, url).name == "ckpt3"


def test_bytes_altered_on_the_way_there_are_found(shop: Shop, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = remote_files.Remote.put

    def altering(self: Any, path: Path, name: str) -> None:
        put(self, path, name)
        if name == "heads.safetensors":
            self.write(name, bytes(path.stat().st_size))

    monkeypatch.setattr(remote_files.Remote, "put", altering)
    with pytest.raises(SmartCliError, match=r"heads.safetensors: what was read back is not what was written"):
        push(shop.home, "ckpt3", f"{place}/ckpt3")
    assert listed(f"{place}/ckpt3") == {}


def test_bytes_altered_there_are_found_and_nothing_is_registered(shop: Shop, home: Home, place: str) -> None:
    push(shop.home, "ckpt3", f"{place}/ckpt3")
    there = open_remote(f"{place}/ckpt3")
    there.write("heads.safetensors", bytes(there.sizes()["heads.safetensors"]))
    with pytest.raises(SmartCliError, match=r"heads.safetensors: it is not what the manifest says"):
        pull(home, f"{place}/ckpt3")
    assert Registry(home).names() == []
    there.write("heads.safetensors", b"short")
    with pytest.raises(SmartCliError):
        pull(home, f"{place}/ckpt3")
    assert Registry(home).names() == []


def test_bytes_altered_there_are_put_right_by_the_same_push(shop: Shop, home: Home, place: str) -> None:
    push(shop.home, "ckpt3", f"{place}/ckpt3")
    there = open_remote(f"{place}/ckpt3")
    there.write("heads.safetensors", bytes(there.sizes()["heads.safetensors"]))
    assert not push(shop.home, "ckpt3", f"{place}/ckpt3").already
    assert push(shop.home, "ckpt3", f"{place}/ckpt3").already
    assert pull(home, f"{place}/ckpt3").name == "ckpt3"
    assert {name.partition("/")[0] for name in listed(place)} == {"ckpt3"}


@pytest.mark.parametrize("other", ["ckpt4", "ckpt3"])
def test_of_two_pushes_at_once_the_later_replaces_nothing(
    shop: Shop, place: str, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    upload = remote_push._upload

    def beside(checkpoint: Checkpoint, part: Any) -> None:
        upload(checkpoint, part)
        monkeypatch.setattr(remote_push, "_upload", upload)
        push(shop.home, other, f"{place}/best")

    monkeypatch.setattr(remote_push, "_upload", beside)
    if other == "ckpt3":
        assert push(shop.home, "ckpt3", f"{place}/best").already
    else:
        with pytest.raises(UserError, match=r"/best exists already.*--force"):
            push(shop.home, "ckpt3", f"{place}/best")
    assert open_remote(f"{place}/best").read("smart.json", 10**6) == shop.open_checkpoint(other).read("smart.json")


def test_what_was_fetched_is_kept_where_registering_fails(
    shop: Shop, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(shop.home, "ckpt3", f"file://{tmp_path}/there")

    def full(*_: Any) -> None:
        raise SmartCliError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(remote_pull, "import_folder", full)
        with pytest.raises(SmartCliError, match="no space left"):
            pull(home, f"file://{tmp_path}/there")
    (tmp_path / "there" / "model.safetensors").unlink()
    assert pull(home, f"file://{tmp_path}/there").name == "ckpt3"
    assert list((home.root / remote_pull.INCOMING).iterdir()) == []


def test_a_damaged_checkpoint_is_not_pushed(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(shop.home.root, tmp_path / "home")
    heads = tmp_path / "home" / "checkpoints" / "ckpt3" / "heads.safetensors"
    heads.write_bytes(bytes(heads.stat().st_size))
    with pytest.raises(SmartCliError, match=r"heads.safetensors"):
        push(Home(tmp_path / "home"), "ckpt3", f"file://{tmp_path}/there")
    assert not (tmp_path / "there").exists()


def test_a_name_taken_here_costs_no_download(shop: Shop, home: Home, tmp_path: Path) -> None:
    push(shop.home, "ckpt3", f"file://{tmp_path}/there")
    mine = Shop.open(home, tmp_path / "mine", seed=1)
    mine.train("ckpt3", max_steps="1")
    (tmp_path / "there" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r'"ckpt3" exists already.*--name gives it another name'):
        pull(home, f"file://{tmp_path}/there")


def test_a_pull_goes_on_in_the_middle_of_a_file(
    shop: Shop, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(shop.home, "ckpt3", f"file://{tmp_path}/there")
    monkeypatch.setattr(remote_pull, "CHUNK", 1000)
    source = shop.open_checkpoint("ckpt3")
    sought: list[int] = []
    reading = fsspec.implementations.local.LocalFileOpener

    class Breaking(reading):  # type: ignore[misc]
        left = 50

        def read(self, *size: int) -> bytes:
            if self.path.endswith("model.safetensors"):
                Breaking.left -= 1
                if Breaking.left < 0:
                    raise ConnectionResetError("reset")
            return bytes(super().read(*size))

        def seek(self, at: int, *more: int) -> int:
            sought.append(at)
            return int(super().seek(at, *more))

    monkeypatch.setattr(fsspec.implementations.local, "LocalFileOpener", Breaking)
    with pytest.raises(SmartCliError, match="run the same command again"):
        pull(home, f"file://{tmp_path}/there")
    assert Registry(home).names() == []
    sought.clear()
    Breaking.left = 10_000
    assert pull(home, f"file://{tmp_path}/there").name == "ckpt3"
    assert 50_000 in sought
    assert same(source, home, "ckpt3")


@pytest.mark.slow
def test_a_connection_to_s3_that_drops_half_way(shop: Shop, home: Home, s3: Proxy) -> None:
    s3.limit = 100_000
    with pytest.raises(SmartCliError, match="run the same command again") as caught:
        push(shop.home, "ckpt3", f"s3://{BUCKET}/ckpt3")
    assert s3.broken
    assert "hush" not in str(caught.value)
    s3.limit = None
    assert listed(f"s3://{BUCKET}/ckpt3") == {}
    left = fsspec.filesystem("s3", skip_instance_cache=True).find(BUCKET)
    assert left
    assert all(f"/ckpt3{remote_push.PART}" in path for path in left)
    push(shop.home, "ckpt3", f"s3://{BUCKET}/ckpt3")
    s3.limit, s3.broken = 100_000, 0
    with pytest.raises(SmartCliError, match="run the same command again"):
        pull(home, f"s3://{BUCKET}/ckpt3")
    assert s3.broken
    assert Registry(home).names() == []
    s3.limit = None
    assert pull(home, f"s3://{BUCKET}/ckpt3").name == "ckpt3"
    assert same(shop.open_checkpoint("ckpt3"), home, "ckpt3")


@pytest.mark.slow
def test_wrong_credentials_and_buckets_are_the_users_to_mend(
    shop: Shop, home: Home, s3: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"not found.*a bucket must be there already"):
        push(shop.home, "ckpt3", "s3://nobodys-bucket/ckpt3")

    def ask_who_comes(after: bytes) -> None:
        """Set how many requests are free."""
        url = f"http://127.0.0.1:{s3.server}/moto-api/reset-auth"
        asked = urllib.request.Request(url, data=after, headers={"Content-Type": "text/plain"}, method="POST")
        urllib.request.urlopen(asked).close()

    ask_who_comes(b"0")
    try:
        with pytest.raises(UserError, match=r"access is refused.*AWS_ACCESS_KEY_ID") as caught:
            push(shop.home, "ckpt3", f"s3://{BUCKET}/ckpt3")
        assert "hush" not in str(caught.value)
        with pytest.raises(UserError, match="access is refused"):
            pull(home, f"s3://{BUCKET}/ckpt3")
    finally:
        ask_who_comes(b"inf")


@pytest.mark.slow
def test_a_wrong_password_is_said_and_not_shown(shop: Shop, sftp: str) -> None:
    with pytest.raises(UserError, match="access is refused") as caught:
        push(shop.home, "ckpt3", f"{sftp.replace('hush-hush', 'hush-wrong')}/ckpt3")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://a/b", "expected a URL such as s3://BUCKET/ckpt1"),
        ("memory://", "names no folder"),
        ("file:///nowhere/to/be/found", "holds no checkpoint"),
    ],
)
def test_a_url_that_names_nothing(home: Home, url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pull(home, url)


def test_a_missing_package_and_a_password_in_the_url(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # The module; the package has a mapping of the same name.
    known = importlib.import_module("fsspec.registry")
    missing = {"class": "no_such_module.X", "err": "Install s3fs"}
    monkeypatch.setitem(known.known_implementations, "s3", missing)
    monkeypatch.delitem(known._registry, "s3", raising=False)
    with pytest.raises(UserError, match=r"Install s3fs.*pip install 'smart-finetune\[s3\]'"):
        pull(home, "s3://bucket/ckpt3")
    assert open_remote("memory://me:hush@host/x").shown == "memory://***@host/x"


def test_options_that_do_not_go_with_a_url(shop: Shop, home: Home) -> None:
    with pytest.raises(UserError, match="about a hub's repository"):
        push(shop.home, "ckpt3", "memory://x/y", private=True)
    with pytest.raises(UserError, match="only repositories on the hub have revisions"):
        pull(home, "memory://x/y", revision="v1")
