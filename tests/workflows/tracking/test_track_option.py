"""`--track`: what it takes, what it refuses, and that it shows no password."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.tracking import track_option
from smartcli.workflows.tracking.track_option import TrackTarget, parse, read_targets, texts
from smartcli.workflows.training.settings import resolve
from tests.training import save_small

WRONG = [
    (["tensorbord"], r'no tracker "tensorbord".*did you mean "tensorboard"'),
    (["tensorboard:"], "nothing stands after the colon"),
    (["tensorboard", "tensorboard"], "given twice"),
    (["none", "tensorboard"], "stands alone"),
    (["mlflow:https://me:hush-hush@host/x"], "MLFLOW_TRACKING_PASSWORD"),
]


@pytest.mark.parametrize(("entries", "message"), WRONG)
def test_a_wrong_tracker_is_named_and_no_password_shown(entries: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_targets(entries)
    assert "hush" not in str(caught.value)


def test_what_is_not_given_none_and_several() -> None:
    assert read_targets([]) is None
    assert read_targets(["none"]) == ()
    two = TrackTarget("tensorboard", "/a"), TrackTarget("tensorboard", "/b")
    assert read_targets(["tensorboard:/a", "tensorboard:/b"]) == two


def test_places_are_absolute_so_that_a_resumed_run_means_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = texts(
        map(parse, ["tensorboard:tb", "mlflow:sqlite:///m.db", "mlflow:runs", "mlflow:http://h:5000", "wandb:p"])
    )
    assert found == [
        f"tensorboard:{tmp_path}/tb",
        f"mlflow:sqlite:///{tmp_path}/m.db",
        f"mlflow:{tmp_path}/runs",
        "mlflow:http://h:5000",
        "wandb:p",
    ]


def test_a_missing_package_is_said_with_its_extra_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "wandb" else real(name, *more)

    monkeypatch.setattr(track_option.importlib.util, "find_spec", without)
    with pytest.raises(UserError, match=r"pip install 'smart-finetune\[wandb\]'"):
        read_targets(["wandb"])


def test_a_config_file_names_trackers_and_the_flag_wins(home: Home, tmp_path: Path) -> None:
    save_small(home)
    config = tmp_path / "c.toml"
    config.write_text('track = ["tensorboard:/from-file"]\n')
    flags: dict[str, Any] = {"encoder": "minilm"}
    assert resolve(home, "finetune", flags, config).track == (TrackTarget("tensorboard", "/from-file"),)
    assert resolve(home, "finetune", flags | {"track": ["none"]}, config).track == ()
    assert resolve(home, "finetune", flags).track is None
    config.write_text("track = 'tensorboard'\n")
    with pytest.raises(UserError, match=r'c.toml:1: "track" must be a list of non-empty strings'):
        resolve(home, "finetune", flags, config)
