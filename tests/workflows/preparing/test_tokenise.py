"""The token cache is filled where the tokenizer is at hand; where not, that is said and nothing breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from saved_rows import save_rows

from smartcli.data.tokens import open_tokens
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.tasks import parse_task_table
from smartcli.workflows.preparing.tokenise import find_tokenizer, make_tokens
from tests.tiny import make_tiny_encoder

TASKS = parse_task_table({"task": [{"name": "t", "kind": "binary", "text": ["a", "b"], "label": "y"}]}, "t")
ROWS = {"t": {"train": [("1", ("the film", "a film"), 1.0), ("2", ("good", ""), 0.0)]}}


def test_tokens_are_made_once_and_found_again(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartcli.workflows.preparing.tokenise.SAY_EVERY", -1.0)
    found = find_tokenizer(str(make_tiny_encoder(tmp_path / "tiny")), named=True)
    data = save_rows(home, "d", TASKS, ROWS)
    said: list[str] = []
    state = make_tokens(data, found, said.append)
    assert (state.stored, state.reason) == (True, "stored")
    assert said[-1] == "tokenising: 4 of 4 sentences"
    assert make_tokens(data, found, said.append).reason == "stored already"
    assert found.tokenizer is not None
    first, second = open_tokens(data, found.tokenizer, build=False).sides("t", "train")
    expected = found.tokenizer.encode(["the film", "a film"])
    assert first[0].tolist() == expected[0].tolist()
    assert second[0].tolist() == expected[1].tolist()


def test_an_encoder_that_is_not_here_leaves_the_tokens_to_the_first_training(home: Home) -> None:
    found = find_tokenizer("own/absent", named=True)
    state = make_tokens(save_rows(home, "d", TASKS, ROWS), found, print)
    assert not state.stored
    at = "the encoder is not on this machine yet; the first training downloads it"
    assert state.reason == f"{at} (`--encoder minilm` needs no network)"


def test_without_the_hub_extra_a_hub_id_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartcli.workflows.preparing.tokenise.find_spec", lambda name: None)
    found = find_tokenizer("bert-base-uncased", named=True)
    assert found.tokenizer is None
    assert "the extra hub is not installed" in found.reason


def test_a_wrong_encoder_is_an_error_only_where_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        find_tokenizer(str(tmp_path / "empty"), named=True)
    found = find_tokenizer(str(tmp_path / "empty"), named=False)
    assert found.tokenizer is None
    assert found.reason
