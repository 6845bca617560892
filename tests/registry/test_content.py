"""What lies in a checkpoint's files is looked at too: a consistent manifest is not enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registry_fixtures import make_fill
from safetensors.numpy import load, save
from tiny import make_tiny_encoder

from smartcli.errors import SmartCliError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.home import Home
from smartcli.registry.manifest import build_manifest, manifest_bytes
from smartcli.registry.registry import Registry


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def commit(home: Home, encoder: Path) -> Path:
    def fill(folder: Path) -> None:
        make_fill("x")(folder)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes((encoder / name).read_bytes())

    return Registry(home).commit("x", fill).folder


def reseal(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(manifest_bytes(build_manifest(folder)))


def edit_json(file: str, **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **changes}))

    return edit


def edit_weights(
    change: Callable[[dict[str, np.ndarray]], Any], file: str = "model.safetensors"
) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load((folder / file).read_bytes())
        change(tensors)
        (folder / file).write_bytes(save(tensors, metadata={"format": "pt"}))

    return edit


def poison(value: float) -> Callable[[dict[str, np.ndarray]], None]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        name = sorted(tensors)[0]
        tensors[name] = tensors[name].copy()
        tensors[name].flat[3] = value

    return change


def rewrite(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(content) and None


def more_words(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["zzzz"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(content))


CASES = [
    (edit_weights(poison(float("nan"))), "model.safetensors", "not finite"),
    (edit_weights(poison(float("inf")), "heads.safetensors"), "heads.safetensors", "not finite"),
    (edit_weights(lambda t: t.pop("embeddings.word_embeddings.weight")), "model.safetensors", "word_embeddings"),
    (
        rewrite("model.safetensors", (2**60).to_bytes(8, "little") + b"{}"),
        "model.safetensors",
        "1,152,921,504,606,846,976",
    ),
    (rewrite("heads.safetensors", b"\x80\x04\x95cos\nsystem\n"), "heads.safetensors", "pickle"),
    (rewrite("heads.safetensors", b"PK\x03\x04" + b"\0" * 40), "heads.safetensors", "zip"),
    (edit_json("config.json", hidden_size=-1), "config.json", "hidden_size"),
    (edit_json("config.json", hidden_size=10**9), "config.json", "hidden_size"),
    (edit_json("config.json", vocab_size=17), "model.safetensors", "shape"),
    (more_words, "tokenizer.json", "5000"),
    (edit_json("smart.json", kind="virus"), "smart.json", "kind"),
    (edit_json("smart.json", name="../x"), "smart.json", "name"),
    (rewrite("smart.json", b"{" * 50_000), "smart.json", "JSON"),
    (rewrite("predictions-dev.csv", b"task,id\n1,2,3\n"), "predictions-dev.csv", ""),
]


@pytest.mark.parametrize(("change", "file", "reason"), CASES)
def test_altered_content_under_a_consistent_manifest_is_found_by_verify(
    home: Home, encoder: Path, change: Callable[[Path], None], file: str, reason: str
) -> None:
    folder = commit(home, encoder)
    assert Registry(home).verify() == []
    change(folder)
    reseal(folder)
    problems = Registry(home).verify()
    assert [problem.file for problem in problems] == [file]
    assert reason in problems[0].reason


def test_a_tokenizer_whose_words_have_changed_places_is_found_by_its_hash(home: Home, encoder: Path) -> None:
    folder = commit(home, encoder)
    about = {"tokenizer": SentenceTokenizer.from_folder(encoder, read_spec(encoder)).hash}
    edit_json("smart.json", encoder=about)(folder)
    reseal(folder)
    assert Registry(home).verify() == []
    content = json.loads((folder / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    words["film"], words["book"] = words["book"], words["film"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    reseal(folder)
    (problem,) = Registry(home).verify()
    assert problem.file == "tokenizer.json"
    assert "not the tokenizer of the training" in problem.reason


@pytest.mark.parametrize("file", ["model.safetensors", "heads.safetensors"])
def test_absurd_headers_and_pickles_are_refused_when_the_checkpoint_is_opened(
    home: Home, encoder: Path, file: str
) -> None:
    for content in ((2**60).to_bytes(8, "little"), b"\x80\x02}", b"PK\x03\x04....", b""):
        folder = commit(home, encoder)
        (folder / file).write_bytes(content)
        reseal(folder)
        with pytest.raises(SmartCliError, match=file):
            Registry(home).open("x")
        Registry(home).remove("x")


def test_bfloat16_infinities_are_found(home: Home, encoder: Path) -> None:
    folder = commit(home, encoder)
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    for values, good in ((b"\x80\x3f\x7f\x7f", True), (b"\x80\x3f\x80\x7f", False), (b"\x80\x3f\xc0\xff", False)):
        (folder / "heads.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + values)
        reseal(folder)
        assert (Registry(home).verify() == []) is good
