"""docs/cli.md and completions/ are what the application says today."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_current(generate: ModuleType) -> None:
    assert [str(path.relative_to(ROOT)) for path in generate.stale()] == [], "run: python scripts/generate.py"


def test_the_reference_names_every_training_option(generate: ModuleType) -> None:
    from smartcli.option_table import OPTIONS

    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert all(f"`{option.flag}`" in text for option in OPTIONS)


def test_a_changed_help_text_is_noticed(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "HEAD", "another head\n")
    assert [path.name for path in generate.stale()] == ["cli.md"]
