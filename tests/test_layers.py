"""Imports point down, torch stays in the engine, and no module but the paper's names the paper's tasks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "smartcli"
ORDER = (
    ("errors",),
    ("home", "counts", "disk", "hidden", "processes", "ranks", "strictjson", "visible"),
    ("atomic",),
    ("task_keys",),
    ("tasks", "option_table", "log_events"),
    ("config",),
    ("recipes",),
    ("families",),
    ("data",),
    ("metrics", "voting", "explain", "significance"),
    ("engine", "registry", "report"),
    ("workflows",),
    ("cli",),
    ("__init__", "__main__"),
)
LEVEL = {layer: level for level, layers in enumerate(ORDER) for layer in layers}
FILES = sorted(ROOT.rglob("*.py"))
SEPARATE = {"engine", "registry", "report"}
TORCH_FREE = set(LEVEL) - {"engine"}
NAMES_OF_THE_PAPER = re.compile(r"[\"'](sst|qqp|sts)[\"']")
MAY_NAME_TASKS = {"data/paper.py", "data/cs224n.py", "data/submission.py"}


def layer_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Full module names, also those of imports inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a reader sees the layer"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward(file: Path, source: str) -> list[str]:
    """Modules of a higher layer, or of a separate neighbour, that `source` imports."""
    own = layer_of(file.relative_to(ROOT).parts)
    found = []
    for module in imported(ast.parse(source)):
        parts = module.split(".")
        if parts[0] != "smartcli" or len(parts) < 2 or parts[1] not in LEVEL:
            continue
        other = parts[1]
        above = LEVEL[other] > LEVEL[own]
        if above or (other != own and {own, other} <= SEPARATE):
            found.append(module)
    return found


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(file.relative_to(ROOT).parts) for file in FILES} <= set(LEVEL)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_point_down(file: Path) -> None:
    assert upward(file, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_only_the_engine_imports_torch(file: Path) -> None:
    if layer_of(file.relative_to(ROOT).parts) in TORCH_FREE:
        modules = {module.split(".")[0] for module in imported(ast.parse(file.read_text(encoding="utf-8")))}
        assert not modules & {"torch", "torchjd", "transformers"}


def test_an_upward_import_is_seen_even_inside_a_function() -> None:
    source = "def f():\n    from smartcli.registry.registry import Registry\n"
    assert upward(ROOT / "engine" / "train.py", source) == [
        "smartcli.registry.registry",
        "smartcli.registry.registry.Registry",
    ]
    assert upward(ROOT / "workflows" / "train.py", source) == []


def module_name(file: Path) -> str:
    parts = ("smartcli", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_time_imports(tree: ast.AST) -> Iterator[str]:
    """As `imported`, without those under TYPE_CHECKING, which no process runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(ast.Module([node], []))
        else:
            yield from run_time_imports(node)


def circles(sources: dict[str, str]) -> list[list[str]]:
    """Groups of modules of which each imports every other one, over others or not; of names and sources.

    The package itself does not count: Python runs it before any module of it, and its functions load the API.
    """
    names = {
        name: set(run_time_imports(ast.parse(source))) & set(sources) - {name, "smartcli"}
        for name, source in sources.items()
    }

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = names[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    reach = {name: reached(name) for name in names}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in names}
    return sorted([*group] for group in groups if group)


def test_no_modules_import_each_other_not_even_inside_functions() -> None:
    assert circles({module_name(file): file.read_text(encoding="utf-8") for file in FILES}) == []


def test_a_circle_of_imports_is_seen_over_other_modules_and_not_under_type_checking() -> None:
    sources = {
        "p": "",
        "p.a": "from p import b",
        "p.b": "def f():\n    import p.c",
        "p.c": "if True:\n    from p.a import x",
        "p.d": "from p.a import x",
        "p.e": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.f import x",
        "p.f": "from p.e import x",
    }
    assert circles(sources) == [["p.a", "p.b", "p.c"]]


def test_only_the_papers_modules_name_the_papers_tasks() -> None:
    named = {
        file.relative_to(ROOT).as_posix()
        for file in FILES
        if NAMES_OF_THE_PAPER.search(_without_docstrings(file.read_text(encoding="utf-8")))
    }
    assert named <= MAY_NAME_TASKS


def _without_docstrings(source: str) -> str:
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return " ".join(repr(value) for value in strings if isinstance(value, str) and value in {"sst", "qqp", "sts"})


FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "yaml.load", "pandas.read_pickle", "pd.read_pickle"}


def unsafe(source: str) -> list[str]:
    """What in `source` could run code that stands in a file."""
    tree = ast.parse(source)
    found = [module for module in imported(tree) if module.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            allows = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
            found += [name] if name in FORBIDDEN_CALLS or allows else []
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_runs_what_it_reads(file: Path) -> None:
    assert unsafe(file.read_text(encoding="utf-8")) == []


def test_an_unsafe_call_is_seen() -> None:
    assert unsafe("import pickle\nx = torch.load(p)\ny = np.load(p, allow_pickle=True)\nmodel.eval()") == [
        "pickle",
        "torch.load",
        "np.load",
    ]
