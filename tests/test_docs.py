"""Commands in the documentation exist with the options they use, links lead somewhere, the tutorial runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from smartcli.cli.app import command_tree

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
HAND_WRITTEN = [page for page in PAGES if page.name not in ("cli.md", "errors.md")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def commands(page: Path) -> list[list[str]]:
    """Every `smart …` line of the page's shell and text blocks, split as a shell would."""
    found = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("bash", "text", "console"):
            for line in block.splitlines():
                command = line.split("|")[-1].strip()
                if command.startswith("smart"):
                    found.append(shlex.split(command, comments=True))
    return found


COMMANDS = [(page.name, words) for page in HAND_WRITTEN for words in commands(page)]


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_documented_command_line_is_one(page: str, words: list[str]) -> None:
    command, rest = command_tree(), words[1:]
    context = command.make_context("smart", list(rest), resilient_parsing=True)
    while hasattr(command, "commands") and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(command.name, list(rest), parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))]
    missing = {target.relative_to(ROOT).as_posix() for target in targets if not target.exists()}
    assert not missing


def test_the_readme_names_the_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    script = "\n".join(block for language, block in BLOCK.findall(page) if language == "bash")
    runner = tmp_path / "smart"
    runner.write_text(f'#!/bin/sh\nexec {sys.executable} -m smartcli "$@"\n', encoding="utf-8")
    runner.chmod(0o755)
    (tmp_path / "pip").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "pip").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SMART_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "prediction" in done.stdout
