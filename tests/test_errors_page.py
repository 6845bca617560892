"""Every message of docs/errors.md is what the command says. `UPDATE_ERRORS=1` writes the page's messages anew."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import make_tiny_encoder
from typer.testing import Result

from smartcli.home import Home

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
SHOWN = re.compile(r"^\$ (.+)\n((?:(?!\$ |```).*\n)+)", re.MULTILINE)
ENTRIES = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
TASKS = """[[task]]
name = "mood"
kind = "classification"
text = "line"
label = "mood"
labels = ["bad", "good"]
train = "train.csv"
dev = "dev.csv"
"""
TRAIN: dict[str, bytes] = {
    "good": b"line,mood\na warm evening,good\na cold soup,bad\n",
    "label": b"line,mood\na warm evening,great\n",
    "column": b"text,mood\na warm evening,good\n",
    "latin": b"line,mood\ncaf\xe9 noir,good\n",
    "empty": b"",
    "quote": b'line,mood\n"no end,good\n',
    "key": b"line,mood\na warm evening,good\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smart: Callable[..., Result]) -> Path:
    """A working folder with the inputs that the page speaks of, and the data set `good`."""
    monkeypatch.chdir(tmp_path)
    for name, train in TRAIN.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tasks.toml").write_text(TASKS.replace("kind", "knd") if name == "key" else TASKS)
        (folder / "train.csv").write_bytes(train)
        (folder / "dev.csv").write_bytes(b"line,mood\nfine weather,good\n")
    (tmp_path / "settings.toml").write_text("seed = 3\nlamda = 5\n")
    pickled, other = make_tiny_encoder(tmp_path / "pickled"), make_tiny_encoder(tmp_path / "other-type")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "t5"}))
    assert smart("prepare", "good", "--encoder", str(make_tiny_encoder(tmp_path / "tiny"))).exit_code == 0
    return tmp_path


def message(smart: Callable[..., Result], command: str, home: str) -> str:
    result = smart(*shlex.split(command)[1:])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1].replace(home, "~/smart").replace(str(Path.cwd()), "~/here") + "\n"


def left_behind(home: Home) -> list[str]:
    folders = (home.data, home.checkpoints, home.runs, home.predictions)
    return sorted(str(path.relative_to(home.root)) for folder in folders for path in folder.rglob("*"))


def test_the_page_shows_what_is_said_and_nothing_is_left_behind(
    place: Path, smart: Callable[..., Result], home: Home
) -> None:
    before = left_behind(home)
    said = {command: message(smart, command, str(home.root)) for command, _ in ENTRIES}
    assert left_behind(home) == before
    if os.environ.get("UPDATE_ERRORS"):
        text = PAGE.read_text(encoding="utf-8")
        for command, shown in ENTRIES:
            text = text.replace(f"$ {command}\n{shown}", f"$ {command}\n{said[command]}")
        PAGE.write_text(text, encoding="utf-8")
    else:
        assert said == dict(ENTRIES)


def test_the_page_has_messages_of_every_kind() -> None:
    assert len(ENTRIES) >= 20
