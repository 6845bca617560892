"""The hub server with what a push needs: repositories made, large files taken once, files joined by a commit."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from hub_server import Handler, Hub, Repo, is_lfs

TOKEN = "hf_right-and-secret"
MODEL = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(/(?P<what>preupload|commit)/(?P<rev>[^/]+))?")
BATCH = re.compile(r"/(?P<id>.+)\.git/info/lfs/objects/batch")


@dataclass
class Uploads:
    """What pushes brought to the server, and how many of them it breaks off."""

    large: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""
    cut: int = 0
    """How many large files break off half-way on their way here."""
    read_only: bool = False
    """Whether the token may not write."""
    licences: dict[str, str] = field(default_factory=dict)
    commits: int = 0


class UploadHandler(Handler):
    """Answers as the hub does; a wrong token gets 401 for everything that writes."""

    uploads: Uploads

    def do_GET(self) -> None:
        found = MODEL.fullmatch(self.path.split("?")[0])
        if found and not found["what"] and found["id"] in self.uploads.licences:
            self.hub.requests.append(f"GET {self.path}")
            self.json({"_id": "1", "id": found["id"], "cardData": {"license": self.uploads.licences[found["id"]]}})
        else:
            super().do_GET()

    def do_PUT(self) -> None:
        oid = self.path.rpartition("/")[2]
        self.hub.requests.append(f"PUT {self.path}")
        size = int(self.headers["Content-Length"])
        if self.uploads.cut > 0:
            self.uploads.cut -= 1
            self.rfile.read(size // 2)
            self.close_connection = True
            self.connection.close()
            return
        content = self.rfile.read(size)
        assert hashlib.sha256(content).hexdigest() == oid
        self.uploads.large[oid] = content
        self.answer(200, b"")

    def do_POST(self) -> None:
        path = self.path.split("?")[0]
        body = self.body()
        self.hub.requests.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b'{"error":"Invalid credentials in Authorization header"}')
        elif path == "/api/validate-yaml":
            self.json({"errors": [], "warnings": []})
        elif self.uploads.read_only:
            self.answer(403, b'{"error":"You have read access but not the required permissions"}')
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif found := BATCH.fullmatch(path):
            self.json({"objects": [self.place(one) for one in json.loads(body)["objects"]]})
        elif (found := MODEL.fullmatch(path)) and found["what"] == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "lfs" if is_lfs(p) else "regular", "shouldIgnore": False} for p in paths]
            self.json({"files": modes})
        elif found and found["what"] == "commit":
            self.commit(found["id"], [json.loads(line) for line in body.splitlines() if line])
        else:
            self.answer(404, b"{}")

    def create(self, asked: dict[str, Any]) -> None:
        repo_id = f"{asked['organization']}/{asked['name']}"
        if repo_id in self.hub.repos:
            self.answer(409, b'{"error":"You already created this model repo"}')
            return
        self.hub.add(repo_id, {".gitattributes": b"*.safetensors filter=lfs\n"}, commit=self.next_commit())
        self.json({"url": f"{self.hub.url}/{repo_id}", "private": asked.get("visibility") == "private"})

    def place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.uploads.large:
            return wanted
        return {**wanted, "actions": {"upload": {"href": f"{self.hub.url}/large/{wanted['oid']}", "header": {}}}}

    def commit(self, repo_id: str, lines: list[dict[str, Any]]) -> None:
        repo = self.hub.repos[repo_id]
        if lines[0]["value"].get("parentCommit") not in (None, repo.commit):
            self.answer(412, b'{"error":"A commit has happened since"}')
            return
        files = dict(repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.uploads.large[value["oid"]]
            else:
                del files[value["path"]]
        commit = self.next_commit()
        self.hub.repos[repo_id] = Repo(files, commit, {"main": commit, commit: commit})
        self.json({"commitUrl": f"{self.hub.url}/{repo_id}/commit/{commit}", "commitOid": commit})

    def next_commit(self) -> str:
        self.uploads.commits += 1
        return f"{self.uploads.commits:040x}"

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode())

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def handler_for(uploads: Uploads) -> type[UploadHandler]:
    """Return a handler that keeps what it gets in `uploads`."""
    return type("BoundUploads", (UploadHandler,), {"uploads": uploads})


__all__ = ["TOKEN", "Hub", "UploadHandler", "Uploads", "handler_for"]
