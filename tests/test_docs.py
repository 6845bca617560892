"""Commands in the documentation exist with the options they use, links lead somewhere, shell blocks run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from shell import run_script
from tiny import make_tiny_encoder

from smartcli.cli.app import command_tree
from smartcli.cli.arguments import rewrite
from tests.data.files import write_course

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
    command, rest = command_tree(), rewrite(words[1:])
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


def script_of(page: str, changes: Mapping[str, str] = MappingProxyType({})) -> str:
    """The page's `bash` blocks in order; pip does nothing, and `changes` replaces words, which must be there."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    script = "\n".join(block for language, block in BLOCK.findall(text) if language == "bash")
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    return f"pip() {{ :; }}\n{script}"


DEMO = "smart --quiet prepare demo\n"
FIRST = DEMO + "smart --quiet finetune --schedule simultaneous --epochs 1 --rows 16 --name ckpt1\n"
FEW = {"--epochs 2": "--epochs 1 --rows 16"}
RUN: list[tuple[str, str, dict[str, str], str]] = [
    ("tutorial.md", "", FEW, "probability"),
    ("own-data.md", "", {" --encoder minilm": ""}, "A branch lies on the tracks."),
    ("cs224n.md", "", {}, "submission/para-test-output.csv"),
    ("settings.md", DEMO, {}, "parameters"),
    ("resume.md", DEMO, {}, "long: dev scores"),
    ("sweep.md", DEMO, {}, "together"),
    ("pretrain-text.md", DEMO, {"--rows 48": "--rows 16", "--max-steps 20": "--max-steps 4"}, "masked words:"),
    ("tracking.md", DEMO, {"--rows 48": "--rows 16"}, "watched: dev scores"),
    ("share.md", FIRST, {}, "shared/ckpt1"),
    ("distill.md", DEMO, {"--rows 48": "--rows 16"}, "greedy soup"),
    ("compare.md", DEMO, {"--rows 48": "--rows 16"}, "B = smart-* (2 checkpoints)"),
    ("gpu.md", DEMO, {}, "memory"),
    ("export.md", FIRST, {}, ""),
    ("explain.md", FIRST, {}, "look alike to the model"),
    ("serve.md", FIRST, {"--seconds 2": "--seconds 0.5"}, "times as many answers"),
]
"""Page, what comes before it, what is made smaller, and a word that its commands print."""
FAST = {"own-data.md", "cs224n.md"}
"""Their data sets are a few rows; the demo's dev split of 600 rows is scored on the others."""


def test_every_page_with_shell_blocks_is_run() -> None:
    with_blocks = {page.name for page in (ROOT / "docs").glob("*.md") if script_of(page.name).count("\n") > 1}
    assert with_blocks == {page for page, *_ in RUN}


@pytest.mark.parametrize(
    ("page", "before", "changes", "word"),
    [pytest.param(*run, id=run[0], marks=() if run[0] in FAST else pytest.mark.slow) for run in RUN],
)
def test_a_pages_shell_blocks_run(page: str, before: str, changes: dict[str, str], word: str, tmp_path: Path) -> None:
    write_course(tmp_path / "path" / "to" / "data")
    env = {"SMART_HOME": str(tmp_path / "home"), "SMART_ENCODER": str(make_tiny_encoder(tmp_path / "tiny"))}
    ran = run_script(before + script_of(page, changes), tmp_path, env)
    assert ran.code == 0, ran.stderr
    assert word in ran.stdout


def test_the_site_and_its_first_page_lead_to_every_page() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    assert set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == pages
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert {target for target in LINK.findall(start) if target.endswith(".md")} == pages - {"index.md"}


def test_the_site_builds_strictly_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    mkdocs = shutil.which("mkdocs", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mkdocs is None:
        pytest.skip("needs mkdocs-material: pip install '.[docs]', which `make docs` does")
    command = [mkdocs, "build", "--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    tags = [
        tag
        for page in tmp_path.glob("*.html")
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
    ]
    assert tags
    assert not [tag for tag in tags if re.search(r"(?:src|href)=.?(?:https?:)?//", tag)]


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    ran = run_script(script_of("tutorial.md"), tmp_path, {"SMART_HOME": str(tmp_path / "home")})
    assert ran.code == 0, ran.stderr
    assert "probability" in ran.stdout


def test_the_files_that_the_architecture_page_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:smartcli|tests|docs)/[\w./-]+)`", text)
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]
    for short in re.findall(r"`((?:engine|workflows|registry|cli|data)/[\w/]+\.py)`", text):
        assert (ROOT / "smartcli" / short).exists(), short
