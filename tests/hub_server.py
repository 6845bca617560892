"""A small server on this machine that speaks the Hugging Face hub's protocol, with faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LFS_ENDINGS = (".safetensors", ".bin", ".h5", ".onnx", ".msgpack", ".parquet")
API = re.compile(r"/api/(?P<kind>models|datasets)/(?P<id>.+)/(?P<what>revision|tree)/(?P<rev>[^/]+)")
RESOLVE = re.compile(r"/(?P<kind>datasets/)?(?P<id>.+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")


@dataclass
class Repo:
    """Files of one repository; `commit` is what its branch `main` stands for."""

    files: dict[str, bytes]
    commit: str
    refs: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """Answers `status` to requests that match, `times` often."""

    pattern: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000


@dataclass
class Hub:
    """What the server offers, and what was asked of it."""

    url: str
    repos: dict[str, Repo] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    """File -> how many downloads of it break off half-way."""
    tampered: dict[str, bytes] = field(default_factory=dict)
    """File -> bytes that are sent in its place."""
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """First part of the path, and the Authorization header that came with it."""

    def add(self, repo_id: str, files: dict[str, bytes] | Path, commit: str = "a" * 40) -> Repo:
        """Offer a repository: a dict of files, or the files of a folder. Data sets: `datasets/ID`."""
        if isinstance(files, Path):
            files = {str(p.relative_to(files)): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        self.repos[repo_id] = Repo(files, commit, {"main": commit, commit: commit})
        return self.repos[repo_id]

    def asked(self, part: str) -> list[str]:
        """Requests (`METHOD path`) that hold `part`."""
        return [request for request in self.requests if part in request]


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_ENDINGS)


def listing(files: dict[str, bytes]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for path, content in sorted(files.items()):
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
        if is_lfs(path):
            pointer = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            entry |= {"oid": git_sha1(json.dumps(pointer).encode()), "lfs": pointer}
        out.append(entry)
    return out


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve(body=True)

    def do_HEAD(self) -> None:
        self.serve(body=False)

    def reply(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def serve(self, *, body: bool) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        hub.requests.append(f"{self.command} {path}")
        if self.headers.get("Authorization"):
            hub.tokens.add(f"{path.split('/')[1]} {self.headers['Authorization']}")
        for fault in hub.faults:
            if fault.times > 0 and re.search(fault.pattern, f"{self.command} {path}"):
                fault.times -= 1
                if fault.status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.reply(fault.status, b"{}", fault.headers)
                return
        for old, new in hub.renamed.items():
            if re.search(rf"/{old}/", path) and f"/{new}/" not in path:
                target = self.path.replace(f"/{old}/", f"/{new}/", 1)
                self.reply(307, b"", {"Location": target})
                return
        if path.startswith("/cdn/"):
            self.send_file(path.removeprefix("/cdn/").split("/", 1)[1])
        elif found := API.fullmatch(path):
            self.api(found)
        elif found := RESOLVE.fullmatch(path):
            self.resolve(found)
        else:
            self.reply(404, b"{}")

    def find(self, found: re.Match[str]) -> tuple[Repo, str] | None:
        repo_id = ("datasets/" if (found["kind"] or "").startswith("datasets") else "") + found["id"]
        repo = self.hub.repos.get(repo_id)
        if repo is None:
            # The real hub answers 401 to strangers, so that names of private repositories do not leak.
            self.reply(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return None
        commit = repo.refs.get(found["rev"].replace("%2F", "/"))
        if commit is None:
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repo, commit

    def api(self, found: re.Match[str]) -> None:
        target = self.find(found)
        if target is None:
            return
        repo, commit = target
        answer: Any = listing(repo.files)
        if found["what"] == "revision":
            siblings = [{"rfilename": path} for path in sorted(repo.files)]
            answer = {"_id": "1", "id": found["id"], "sha": commit, "private": False, "tags": [], "siblings": siblings}
        self.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def resolve(self, found: re.Match[str]) -> None:
        target = self.find(found)
        if target is None:
            return
        repo, commit = target
        content = repo.files.get(found["path"])
        if content is None:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if is_lfs(found["path"]):
            digest = hashlib.sha256(content).hexdigest()
            key = ("datasets/" if found["kind"] else "") + found["id"]
            # Another host name, as the real hub's: the library then drops the token and keeps the hub's own headers.
            location = f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn/{digest}/{key}|{found['path']}"
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content)), "Location": location}
            self.reply(302, b"", headers | linked)
            return
        self.send_bytes(found["path"], content, headers | {"ETag": f'"{git_sha1(content)}"'})

    def send_file(self, key: str) -> None:
        repo_id, path = key.replace("%7C", "|").split("|")
        content = self.hub.repos[repo_id].files[path]
        self.send_bytes(path, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"})

    def send_bytes(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        content = self.hub.tampered.get(path, content)
        status, start = 200, 0
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        part = content[start:]
        if self.command == "GET" and self.hub.cut.get(path, 0) > 0:
            self.hub.cut[path] -= 1
            self.reply(status, part[: len(part) // 2], headers | {"Content-Length": str(len(part))})
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        if self.command == "HEAD":
            headers["Content-Length"] = str(len(part))
        self.reply(status, part, headers)


@contextmanager
def hub_server(base: type[Handler] = Handler) -> Iterator[Hub]:
    """Run the server on a free port of this machine."""
    hub = Hub("")
    handler = type("BoundHandler", (base,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hub_in_use(monkeypatch: pytest.MonkeyPatch, cache: Path, base: type[Handler] = Handler) -> Iterator[Hub]:
    """Run the server and point HF_ENDPOINT and HF_HOME at it and at an empty cache; pauses are cut to nothing."""
    with hub_server(base) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(cache))
        monkeypatch.setattr("smartcli.families.hub_client.RETRY_DELAYS", (0.0, 0.0, 0.0))
        yield hub
