"""Files of options: unknown keys, wrong values and broken TOML are named by file and line."""

from __future__ import annotations

import string
import tomllib
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.workflows.training.setting_sources import config_source, preset_source, recipe_names, recipe_source
from tests.tiny import make_tiny_encoder


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "c.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


BROKEN: list[tuple[str | bytes, str]] = [
    ("lr = 1e-5\nlamda = 2\n", r'c\.toml:2: unknown key "lamda"; did you mean "lambda"'),
    ("lr = 1e-5\n\ndropout = 1.5\n", r"c\.toml:3, \"dropout\" must be a number at least 0 and below 1, found 1.5"),
    ("epochs = 2.5\n", r"c\.toml:1, \"epochs\" must be a whole number, found 2.5"),
    ("seed = true\n", r"must be a whole number, found True"),
    ("lr = \n", r"c\.toml:1: this is not valid TOML"),
    ("[lambda]\nsts = -1\n", r"c\.toml:1, \"lambda\" must be a number at least 0"),
    ("batch-size = 4\nbatch_size = 8\n", r'c\.toml:2: "batch_size" stands twice'),
    ("name = 3\n", r'c\.toml:1: "name" must be a non-empty string, found 3'),
    ("tasks = []\n", r"must be a list of task names"),
    (b"lr = \xe9\n", r"expected UTF-8 text, found byte 0xe9"),
    ("a = " + "[" * 5000 + "]" * 5000, r"nested too deeply|not valid TOML"),
    ("x = " + "1" * 5000, r"c\.toml"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_source(write(tmp_path, content)).put_on(Settings())


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.toml: cannot be read"):
        config_source(tmp_path / "no.toml")
    with pytest.raises(UserError, match="cannot be read"):
        config_source(tmp_path)


def test_dashes_underscores_tables_and_a_bom_are_fine(tmp_path: Path) -> None:
    text = "\ufeffbatch-size = 4\nsmart_dropout = 'off'\ntasks = ['a', 'b']\n[lambda]\nsts = 2\n"
    settings = config_source(write(tmp_path, text)).put_on(Settings())
    assert (settings.batch_size["a"], settings.smart_dropout, settings.tasks) == (4, "off", ("a", "b"))
    assert (settings.lam["sts"], settings.lam["sst"]) == (2.0, 1.0)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    recipe_source(name).put_on(Settings())
    assert tomllib.loads((files("smartcli.recipes") / f"recipe-{name}.toml").read_text("utf-8"))["about"]


# A recipe "best-…" is for encoders of one size, and so holds what suits these too.
@pytest.mark.parametrize("name", [name for name in recipe_names() if not name.startswith("best-")])
def test_a_recipe_leaves_learning_rate_epochs_and_decay_to_the_preset(name: str) -> None:
    assert not set(recipe_source(name).values) & {"lr", "epochs", "weight_decay", "warmup", "lr_schedule", "encoder"}


def test_only_a_known_encoder_has_a_preset() -> None:
    assert preset_source("minilm") is not None
    assert preset_source("bert-base-uncased") is None


@pytest.mark.parametrize(
    ("encoder", "preset"),
    [
        ("FacebookAI/xlm-roberta-base", "xlm-roberta"),
        ("almanach/camembert-base", "xlm-roberta"),
        ("answerdotai/ModernBERT-base", "modernbert"),
        ("microsoft/deberta-v3-base", "deberta"),
        ("microsoft/mdeberta-v3-base", "deberta"),
        ("microsoft/deberta-v2-xlarge", "deberta"),
        ("microsoft/deberta-base", None),
        ("FacebookAI/roberta-base", None),
    ],
)
def test_the_presets_of_types_know_the_public_names(encoder: str, preset: str | None) -> None:
    found = preset_source(encoder)
    assert (found and found.source) == (preset and f"preset {preset}")


def test_a_folder_has_the_preset_of_its_type_whatever_it_is_called(tmp_path: Path) -> None:
    own = make_tiny_encoder(tmp_path / "mine", "camembert")
    other = make_tiny_encoder(tmp_path / "not-camembert", "bert")
    found = preset_source(str(own))
    assert found is not None
    assert found.source == "preset xlm-roberta"
    assert preset_source(str(other)) is None
    (own / "config.json").write_text("{")
    assert preset_source(str(own)) is None
    assert preset_source(str(make_tiny_encoder(tmp_path / "minilm", "bert"))) is not None


@settings(max_examples=150, deadline=2000)
@given(st.text(alphabet=string.printable + "äλ🦁\x00", max_size=200))
def test_any_text_is_settings_or_a_clean_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    with suppress(UserError):
        assert isinstance(config_source(path).put_on(Settings()), Settings)
