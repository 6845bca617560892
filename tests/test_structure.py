"""The house rules that a program can see: sizes, names, and what a folder says about its modules."""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "smartcli"
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
FOLDERS = sorted({path.parent for path in MODULES if path.is_relative_to(ROOT / "engine")})
LONGEST_MODULE, MEDIAN_MODULE, LONGEST_FUNCTION = 300, 130, 60
WINGS = ("kernels", "model", "terms", "inference", "export", "training")
"""Folders of the engine; each imports only itself and those before it, and export's neighbour inference."""


def long_functions(source: str, most: int) -> list[str]:
    """Return the functions whose statements, without the signature, take more than `most` lines."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in found if (node.end_lineno or 0) - node.body[0].lineno + 1 > most]


def test_modules_are_short() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}
    assert statistics.median(sizes.values()) <= MEDIAN_MODULE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_are_short(path: Path) -> None:
    assert long_functions(path.read_text("utf-8"), LONGEST_FUNCTION) == []


def test_a_long_function_is_seen() -> None:
    assert long_functions("def f():\n" + "    x = 1\n" * 61, 60) == ["f"]
    assert long_functions("def f():\n" + "    x = 1\n" * 60, 60) == []


def test_a_name_stands_for_one_module_below_the_commands() -> None:
    names = Counter(path.name for path in MODULES if path.parent != ROOT / "cli")
    assert [name for name, count in names.items() if count > 1] == []


def test_no_command_module_has_the_name_of_another_module() -> None:
    others = {path.name for path in MODULES if path.parent != ROOT / "cli"}
    assert sorted(path.name for path in (ROOT / "cli").glob("*.py") if path.name in others) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_an_engine_folder_lists_its_modules(folder: Path) -> None:
    doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    listed = {line[2:].partition(":")[0] for line in doc.splitlines() if line.startswith("- ")}
    assert listed - {f"{wing}/" for wing in WINGS} == {path.stem for path in MODULES if path.parent == folder}


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_of_the_engine_imports_only_those_before_it(wing: str) -> None:
    later = WINGS[WINGS.index(wing) + 1 :]
    for path in (ROOT / "engine" / wing).glob("*.py"):
        source = path.read_text("utf-8")
        assert [other for other in later if f"smartcli.engine.{other}" in source] == [], path.name
