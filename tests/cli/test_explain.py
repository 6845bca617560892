"""`smart explain` on the command line: what it prints, JSON, and what it says to wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smartcli.home import Home
from tests.explaining import make_words_data
from tests.hand_made import make_checkpoint, make_model
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]
NASTY = "<script>alert(1)</script> [red]x[/red] \x1b[31mred \u202eback"
MARKS = "\x1b\u202e"


@pytest.fixture
def model(home: Home, tmp_path: Path) -> str:
    make_model(home, "ckpt1", make_words_data(home), make_tiny_encoder(tmp_path / "encoder"))
    return "ckpt1"


def test_a_row_is_printed_with_words_and_nearest_training_rows(model: str, smart: Smart) -> None:
    result = smart("explain", model, "--task", "qqp", "--row", "d0", "--swap", "dog=cat")
    assert result.exit_code == 0, result.stderr
    for said in (
        "ckpt1, qqp: dev row d0 of demo",
        "sentence1: the clever old man and his dog",
        "; the label is 1",
        "less p(",
        "among all 30 train rows of qqp",
        "1.000 (same text)",
        "swap: dog → cat (1 ×)",
        "sentence1: the clever old man and his cat",
    ):
        assert said in result.stdout
    assert "vectors of the train rows of qqp (once): 30 of 30" in result.stderr
    again = smart("explain", model, "--task", "qqp", "--row", "d0", "--swap", "dog=cat")
    assert again.stdout == result.stdout
    assert "vectors" not in again.stderr


def test_the_json_is_one_object_and_says_the_same(model: str, smart: Smart) -> None:
    result = smart("--quiet", "explain", model, "--task", "sts", "--text", "a dog", "--text2", "a cat", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert (found["row"], found["label"], found["probabilities"]) == (None, None, None)
    assert [word["word"] for word in found["words"]] == ["a", "dog", "a", "cat"]
    assert len(found["neighbours"]) == 5
    few = smart("explain", model, "--task", "sts", "--text", "a dog", "--text2", "a cat", "--neighbours", "0", "--json")
    assert json.loads(few.stdout)["neighbours_among"] is None


def test_without_neighbours_no_vectors_are_computed(model: str, home: Home, smart: Smart) -> None:
    assert smart("explain", model, "--task", "sst", "--row", "d0", "--neighbours", "0").exit_code == 0
    assert not home.predictions.exists()


def test_a_swap_that_changes_nothing_says_so(model: str, smart: Smart) -> None:
    result = smart("explain", model, "--task", "sst", "--row", "d1", "--swap", "taste=preference", "--neighbours", "0")
    assert "nothing changes: no term occurs in the text" in result.stdout
    assert '"taste" does not occur in the text' in result.stderr


def test_a_split_is_printed_with_intervals_and_the_rows_that_moved_most(model: str, smart: Smart) -> None:
    result = smart("explain", model, "--task", "sst", "--swap-file", "gender", "--top", "1")
    assert result.exit_code == 0, result.stderr
    assert "3 of 4 rows hold a term" in result.stdout
    assert "of 3 (" in result.stdout
    assert " to " in result.stdout
    assert result.stdout.count("+ ") == 1
    facts = smart("explain", model, "--task", "qqp", "--swap-file", "facts", "--json")
    assert json.loads(facts.stdout)["planted"]["paper"]["texts"][0] == "Paris is the capital of France"
    shown = smart("explain", model, "--task", "sts", "--swap-file", "facts").stdout
    assert 'the paper\'s pair, "Paris is the capital of France" and "Shanghai is the capital of China"' in shown
    none = smart("explain", model, "--task", "sst", "--swap-file", "facts")
    assert "none of the terms of named facts occurs" in none.stderr


def test_text_of_whatever_origin_shows_as_text(model: str, smart: Smart, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text(f'dog,"{NASTY}"\n', encoding="utf-8")
    for words in (
        ["--task", "sst", "--text", NASTY, "--swap", f"red={NASTY}"],
        ["--task", "sst", "--text", NASTY, "--json"],
        ["--task", "sst", "--swap-file", str(path)],
        ["--task", "sst", "--swap-file", str(path), "--json"],
        ["--task", "sst", "--row", NASTY],
        ["--task", NASTY, "--row", "d0"],
        ["--task", "sst", "--swap-file", NASTY],
    ):
        result = smart("explain", model, *words)
        assert not any(mark in result.stdout + result.stderr for mark in MARKS), words
        assert "[red]x[/red]" in result.stdout + result.stderr
        assert "Traceback" not in result.stderr


BAD: list[tuple[list[str], str]] = [
    (["--task", "sst"], "--row ID, --text TEXT or --swap-file gender|facts|FILE is needed; found none"),
    (["--row", "d0"], "--task is needed: ckpt1 has heads for sst, qqp, sts"),
    (["--task", "mood", "--row", "d0"], '--task for ckpt1: there is no task "mood"; expected one of sst, qqp, sts'),
    (["--task", "sst", "--row", "d9"], 'there is no row "d9" in the dev split of sst ("demo", 4 rows'),
    (["--task", "sst", "--row", "D0"], 'did you mean "d0"?'),
    (["--task", "sst", "--row", "t3"], "it stands in train: give --split train"),
    (["--task", "sst", "--row", "d0", "--split", "test"], "has no test split; it has train, dev"),
    (["--task", "sst", "--row", "d0", "--split", "dve"], 'found "dve"; did you mean "dev"?'),
    (["--task", "sst", "--row", "d0", "--data", "dem"], 'there is no data set "dem"'),
    (["--task", "sst", "--row", "d0", "--text", "x"], "--text has no place here: --row names the text already"),
    (["--task", "sst", "--row", "d0", "--text2", "x"], "--text2 has no place here"),
    (["--task", "sst", "--text", "a", "--split", "dev"], "--split has no place here"),
    (["--task", "sst", "--text", "a", "--data", "demo"], "--data has no place here"),
    (["--task", "sst", "--text", "a", "--text2", "b"], 'the task sst has one text, "sentence"; leave'),
    (["--task", "sts", "--text", "a"], '--text2 is needed: the task sts is on pairs, "sentence1" and "sentence2"'),
    (["--task", "sts", "--text2", "a"], "--text2 alone: the task sts needs --text"),
    (["--task", "sst", "--text", ""], "--text: expected a text, found nothing but blanks"),
    (["--task", "sts", "--text", "a", "--text2", " \t"], "--text2: expected a text, found nothing but blanks"),
    (["--task", "sst", "--text", "\udcff"], "--text: expected UTF-8 text, found other bytes"),
    (["--task", "sst", "--row", "\udcff"], "--row: expected UTF-8 text, found other bytes"),
    (["--task", "sst", "--text", "a", "--swap", "a=\udcff"], "--swap: expected UTF-8 text, found other bytes"),
    (["--task", "sst", "--text", "a", "--swap", "taste"], 'expected old=new, as in --swap preference=taste; found'),
    (["--task", "sst", "--text", "a", "--swap", "=taste"], "(nothing before the =)"),
    (["--task", "sst", "--text", "a", "--swap", "x=X"], "are the same term, so nothing would change"),
    (["--task", "sst", "--text", "a", "--swap", "x=y", "--swap", "x=z"], '"x" is replaced twice'),
    (["--task", "sst", "--text", "a", "--neighbours", "-1"], "Invalid value for '--neighbours'"),
    (["--task", "sst", "--text", "a", "--top", "3"], "--top has no place here: it belongs to --swap-file"),
    (["--task", "sts", "--row", "d0", "--swap-in", "first"], "--swap-in has no place here"),
    (["--task", "sst", "--swap-file", "gendr"], 'gendr: no such file; expected gender or facts, or a file of'),
    (["--task", "sst", "--swap-file", "."], ".: a folder; expected"),
    (["--task", "sst", "--swap-file", "one.csv"], "one.csv:2: expected two terms with a comma or a tab between them"),
    (["--task", "sst", "--swap-file", "empty.csv"], "empty.csv: no pair of terms in it"),
    (["--task", "sst", "--swap-file", "gender", "--row", "d0"], "--row has no place here: --swap-file is about"),
    (["--task", "sst", "--swap-file", "gender", "--text", "d0"], "--text has no place here"),
    (["--task", "sst", "--swap-file", "gender", "--swap", "a=b"], "--swap has no place here"),
    (["--task", "sst", "--swap-file", "gender", "--neighbours", "3"], "--neighbours has no place here"),
    (["--task", "sst", "--swap-file", "gender", "--swap-in", "first"], "--swap-in has no place here: the task sst"),
    (["--task", "sts", "--swap-file", "gender", "--swap-in", "frist"], '--swap-in must be one of both, first, second'),
    (["--task", "sst", "--swap-file", "gender", "--split", "test"], "has no test split"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose checkpoint has no weights: everything is checked before a model is loaded."""
    home = Home(tmp_path_factory.mktemp("bare"))
    make_checkpoint(home, "ckpt1", make_words_data(home))
    return home


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda value: value if isinstance(value, str) else None)
def test_bad_input_exits_2_and_says_what_was_expected(
    bare: Home, smart: Smart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setenv("SMART_HOME", str(bare.root))
    monkeypatch.chdir(tmp_path)
    Path("one.csv").write_text("he,she\nking\n")
    Path("empty.csv").write_text("# nothing\n")
    result = smart("explain", "ckpt1", *words)
    assert result.exit_code == 2, result.stderr
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not bare.predictions.exists()


def test_a_data_set_with_another_head_for_the_task_is_refused(home: Home, smart: Smart) -> None:
    from saved_rows import save_rows

    from smartcli.tasks import parse_task_table

    make_checkpoint(home, "ckpt1", make_words_data(home))
    entry = {"name": "sst", "kind": "regression", "text": ["s"], "label": "y", "range": [0, 1]}
    rows = {"sst": {"train": [("1", ("a",), 1.0)], "dev": [("1", ("a",), 1.0)]}}
    save_rows(home, "other", parse_task_table({"task": [entry]}, "t"), rows)
    result = smart("explain", "ckpt1", "--task", "sst", "--row", "1", "--data", "other")
    assert result.exit_code == 2
    assert 'its head for "sst" is for' in result.stderr
    missing = smart("explain", "ckpt1", "--task", "qqp", "--row", "1", "--data", "other")
    assert missing.exit_code == 2


def test_a_checkpoint_without_weights_is_named(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "ckpt1", make_words_data(home))
    result = smart("explain", "ckpt1", "--task", "sst", "--row", "d0")
    assert result.exit_code == 1
    assert "config.json" in result.stderr
    assert "Traceback" not in result.stderr


def test_looking_at_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom smartcli.cli.app import run\n"
        "try:\n    run(['explain', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pandas', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stderr.splitlines()[-1] == "[]"
