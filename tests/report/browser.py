"""Headless Chromium through chromedriver's HTTP protocol, with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
MISSING = "needs chromium and chromedriver (Debian: chromium, chromium-driver)"
PATIENCE = 60.0


class Browser:
    """One page at a time: open it, run a script in it, photograph it, read its console and its requests."""

    def __init__(self, base: str, session: str) -> None:
        self._at = f"{base}/session/{session}"

    def open(self, page: Path) -> None:
        _call(f"{self._at}/url", {"url": page.absolute().as_uri()})

    def run(self, script: str) -> Any:
        """Return what the script returns."""
        return _call(f"{self._at}/execute/sync", {"script": script, "args": []})

    def screenshot(self, target: Path) -> bytes:
        raw = base64.b64decode(_call(f"{self._at}/screenshot"))
        target.write_bytes(raw)
        return raw

    def console(self) -> list[dict[str, Any]]:
        """Return what the console said since it was last asked."""
        return list(_call(f"{self._at}/se/log", {"type": "browser"}))

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since it was last asked."""
        entries = _call(f"{self._at}/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start chromedriver and a headless Chromium with a profile of its own; both end with the block."""
    # A short path: Chromium's socket lies beside its profile, and a socket's path has at most 107 characters.
    folders = tempfile.TemporaryDirectory(prefix="c-", ignore_cleanup_errors=True)
    with folders as folder, _chromium(Path(folder)) as browser:
        yield browser


@contextmanager
def _chromium(folder: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    assert DRIVER is not None
    port = _free_port()
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base)
        switches = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1200,1600",
        ]
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": [*switches, f"--user-data-dir={folder / 'profile'}"]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = _call(f"{base}/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
        try:
            yield Browser(base, session)
        finally:
            _call(f"{base}/session/{session}", method="DELETE")
    finally:
        driver.terminate()
        driver.wait(timeout=PATIENCE)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(base: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if _call(f"{base}/status")["ready"]:
                return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def _call(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())["value"]
