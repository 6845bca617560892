"""Every message that docs/ shows is what the command says. `UPDATE_ERRORS=1` writes the pages' messages anew."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import make_tiny_encoder
from typer.testing import Result

from smartcli.data.store import open_data
from smartcli.home import Home
from tests.hand_made import make_checkpoint

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = re.compile(r"^\$ (.+)\n((?:(?!\$ |```).*\n)+)", re.MULTILINE)
ENTRIES = {page: SHOWN.findall(page.read_text(encoding="utf-8")) for page in sorted(DOCS.glob("*.md"))}
LATER = [command for command, _ in SHOWN.findall((DOCS / "errors.md").read_text("utf-8").split("## Results\n")[1])]
"""These need checkpoints; some of the others say that there are none."""
TASKS = """[[task]]
name = "mood"
kind = "classification"
text = "line"
label = "mood"
labels = ["bad", "good"]
train = "train.csv"
dev = "dev.csv"
"""
SCORED = TASKS.replace("classification", "regression").replace('["bad", "good"]', "[0, 1]").replace("labels", "range")
TABLES = {
    "key": TASKS.replace("kind", "knd"),
    "metric": TASKS + 'metric = "pearson"\n',
    "numbers": TASKS.replace('["bad", "good"]', "[0, 1]"),
    "no-file": TASKS.replace("dev.csv", "deb.csv"),
    "no-range": SCORED.replace("range = [0, 1]\n", ""),
    "no-scale": SCORED,
    "twice": TASKS + 'id = "key"\n',
}
"""Where they differ from TASKS."""
GOOD = b"line,mood\na warm evening,good\na cold soup,bad\n"
TRAIN: dict[str, bytes] = {
    "good": GOOD,
    "label": b"line,mood\na warm evening,great\n",
    "column": b"text,mood\na warm evening,good\n",
    "latin": b"line,mood\ncaf\xe9 noir,good\n",
    "empty": b"",
    "quote": b'line,mood\n"no end,good\n',
    "key": GOOD,
    "metric": GOOD,
    "numbers": GOOD,
    "no-file": GOOD,
    "no-range": GOOD,
    "no-scale": b"line,mood\na warm evening,80\n",
    "comma": b"line,mood\na warm evening,good\na cold, thin soup,bad\n",
    "twice": b"key,line,mood\na1,a warm evening,good\na1,a cold soup,bad\n",
    "gap": b"line,mood\na warm evening,good\na cold soup,\n",
}
DEV = {"no-scale": b"line,mood\nfine weather,1\n", "twice": b"key,line,mood\nd1,fine weather,good\n"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smart: Callable[..., Result]) -> Path:
    """A working folder with the inputs that the page speaks of, and the data set `good`."""
    monkeypatch.chdir(tmp_path)
    for name, train in TRAIN.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tasks.toml").write_text(TABLES.get(name, TASKS))
        (folder / "train.csv").write_bytes(train)
        (folder / "dev.csv").write_bytes(DEV.get(name, b"line,mood\nfine weather,good\n"))
    (tmp_path / "settings.toml").write_text("seed = 3\nlamda = 5\n")
    pickled, other = make_tiny_encoder(tmp_path / "pickled"), make_tiny_encoder(tmp_path / "other-type")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "t5"}))
    assert smart("prepare", "good", "--encoder", str(make_tiny_encoder(tmp_path / "tiny"))).exit_code == 0
    return tmp_path


def add_checkpoints(smart: Callable[..., Result], home: Home) -> None:
    """Register two checkpoints and their ensemble, and lay a damaged copy into the working folder."""
    data = open_data(home, "good")
    for name in ("first", "second"):
        make_checkpoint(home, name, data)
    combined = smart("ensemble", "first", "second", "--name", "both")
    assert combined.exit_code == 0, combined.stderr
    shutil.copytree(home.checkpoints / "first", "cut")
    Path("cut", "smart.json").write_text("{")


def message(smart: Callable[..., Result], command: str, home: str) -> str:
    result = smart(*shlex.split(command)[1:])
    assert result.exit_code in (1, 2), command
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1].replace(home, "~/smart").replace(str(Path.cwd()), "~/here") + "\n"


def left_behind(home: Home) -> list[str]:
    folders = (home.data, home.checkpoints, home.runs, home.predictions)
    return sorted(str(path.relative_to(home.root)) for folder in folders for path in folder.rglob("*"))


def test_the_pages_show_what_is_said_and_nothing_is_left_behind(
    place: Path, smart: Callable[..., Result], home: Home
) -> None:
    said: dict[str, str] = {}
    for later in (False, True):
        if later:
            add_checkpoints(smart, home)
        before = left_behind(home)
        for command in (command for page in ENTRIES.values() for command, _ in page):
            if (command in LATER) == later:
                said[command] = message(smart, command, str(home.root))
        assert left_behind(home) == before
    for page, entries in ENTRIES.items():
        if os.environ.get("UPDATE_ERRORS"):
            text = page.read_text(encoding="utf-8")
            for command, shown in entries:
                text = text.replace(f"$ {command}\n{shown}", f"$ {command}\n{said[command]}")
            page.write_text(text, encoding="utf-8")
        else:
            assert {command: said[command] for command, _ in entries} == dict(entries)


def test_the_page_of_errors_has_messages_of_every_kind_and_nothing_else_in_its_blocks() -> None:
    page = DOCS / "errors.md"
    shown = "".join(f"$ {command}\n{message}" for command, message in ENTRIES[page])
    assert shown == "".join(re.findall(r"^```\w+\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    assert len(ENTRIES[page]) >= 30
