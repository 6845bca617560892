"""Trainings with trackers: what these wrote is read back, and a training is the same with them, without, or resumed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training import Shop, assert_same_training, log_of
from wandb_files import history, records

from smartcli.home import Home
from smartcli.log_events import StartEvent, parse
from smartcli.workflows.studies.cell_process import from_line, to_line
from smartcli.workflows.studies.cells import Base, Cell, Planned
from smartcli.workflows.tracking import tracking
from smartcli.workflows.tracking.track_numbers import numbers_of
from smartcli.workflows.tracking.track_option import TrackTarget
from smartcli.workflows.tracking.tracker_mlflow import Mlflow
from smartcli.workflows.tracking.tracker_tensorboard import TensorBoard
from smartcli.workflows.tracking.tracker_wandb import Wandb
from smartcli.workflows.tracking.tracking import Tracking

START = StartEvent(command="finetune", name="one", settings={"lr": 0.1, "lambda": {"sst": 1.0}})
OPTIONS = {"save_every": "1", "lambda": "1"}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def logged(shop: Shop, name: str) -> dict[int, dict[str, float]]:
    """What a checkpoint's log says, by step and tracked name."""
    out: dict[int, dict[str, float]] = {}
    for line in log_of(shop.open_checkpoint(name)):
        if numbers := numbers_of(parse(line)):
            out.setdefault(line["step"], {}).update(numbers)
    return out


def drawn(folder: Path) -> dict[int, dict[str, float]]:
    """What TensorBoard's own reader finds, by step and tag; a step that stands twice is an error."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    out: dict[int, dict[str, float]] = {}
    for tag in found.Tags()["scalars"]:
        for event in found.Scalars(tag):
            row = out.setdefault(event.step, {})
            assert tag not in row, (tag, event.step)
            row[tag] = event.value
    return out


def same(found: dict[int, dict[str, float]], expected: dict[int, dict[str, float]]) -> bool:
    """Equal but for single precision, in which TensorBoard keeps numbers."""
    return found.keys() == expected.keys() and all(
        found[step] == pytest.approx(expected[step], rel=1e-6, abs=1e-30) for step in expected
    )


def warnings(shop: Shop) -> list[str]:
    return [event["message"] for event in shop.of_kind("warning")]


def test_tensorboard_shows_what_the_log_has_and_the_training_is_the_same(shop: Shop, tmp_path: Path) -> None:
    shop.train("plain", **OPTIONS)
    assert not (shop.home.root / "track").exists()
    shop.train("seen", track=[f"tensorboard:{tmp_path / 'tb'}"], **OPTIONS)
    assert_same_training(shop.open_checkpoint("plain"), shop.open_checkpoint("seen"))
    assert same(drawn(tmp_path / "tb" / "seen"), logged(shop, "seen"))
    assert warnings(shop) == []
    assert f"tracked by tensorboard: look with: tensorboard --logdir {tmp_path / 'tb'}" in [
        event["message"] for event in shop.of_kind("note")
    ]


def test_a_resumed_run_goes_on_in_its_tracker_without_being_told_again(shop: Shop) -> None:
    shop.stopped("run", stop=3, track=["tensorboard"], **OPTIONS)
    assert (shop.home.runs / "run" / tracking.STATE).is_file()
    shop.train("run", resume="run", **OPTIONS)
    folder = shop.home.root / "track" / "tensorboard"
    assert [path.name for path in folder.iterdir()] == ["run"]
    assert len(list((folder / "run").iterdir())) == 2
    found, expected = drawn(folder / "run"), logged(shop, "run")
    # Seconds of the interrupted part stand in the log too, so all of it is the same.
    assert same(found, expected)


def test_none_ends_the_tracking_of_a_resumed_run(shop: Shop) -> None:
    shop.stopped("run", stop=2, track=["tensorboard"], **OPTIONS)
    shop.stopped("run", stop=4, resume="run", track=["none"], **OPTIONS)
    shop.train("run", resume="run", **OPTIONS)
    (file,) = (shop.home.root / "track" / "tensorboard" / "run").iterdir()
    assert max(drawn(file.parent)) <= 2 < max(logged(shop, "run"))


def test_a_tracker_that_cannot_write_is_one_warning_and_the_training_goes_on(shop: Shop, tmp_path: Path) -> None:
    shop.train("plain", **OPTIONS)
    (tmp_path / "file").write_text("")
    shop.train("blind", track=[f"tensorboard:{tmp_path / 'file'}"], **OPTIONS)
    assert_same_training(shop.open_checkpoint("plain"), shop.open_checkpoint("blind"))
    (said,) = warnings(shop)
    assert said.startswith(f"--track tensorboard:{tmp_path / 'file'} is given up: ")


def test_steps_that_were_logged_after_the_last_save_are_drawn_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = TensorBoard(tmp_path)
    known = first.open(START, None, {})
    for step in range(1, 6):
        first.log(step, {"loss/a": float(step)}, 100.0 + step)
    first.close("stopped")
    second = TensorBoard(tmp_path)
    assert second.open(START, 3, known) == known
    for step in range(4, 7):
        second.log(step, {"loss/a": 10.0 * step}, 200.0 + step)
    second.close("finished")
    values = {step: row["loss/a"] for step, row in drawn(tmp_path / "one").items()}
    assert values == {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0, 5: 50.0, 6: 60.0}


def test_another_training_of_the_same_name_has_a_folder_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for expected in ("one", "one-2", "one-3"):
        board = TensorBoard(tmp_path)
        assert board.open(START, None, {}) == {"name": expected}
        board.close("finished")


def test_wandb_offline_has_what_the_log_has_under_one_id(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    shop.stopped("run", stop=3, track=["wandb:proj"], **OPTIONS)
    shop.train("run", resume="run", **OPTIONS)
    assert warnings(shop) == []
    folders = sorted(path for path in (tmp_path / "wandb").glob("offline-run-*") if not path.is_symlink())
    assert len(folders) == 2
    assert len({path.name.rpartition("-")[2] for path in folders}) == 1
    rows: dict[int, dict[str, float]] = {}
    for folder in folders:
        for row in history(folder):
            numbers = {key: value for key, value in row.items() if not key.startswith("_")}
            rows.setdefault(row["_step"], {}).update(numbers)
    assert rows == logged(shop, "run")
    (path,) = folders[0].glob("run-*.wandb")
    runs = [record.run for record in records(path) if record.HasField("run")]
    assert {(run.project, run.display_name) for run in runs} == {("proj", "run")}
    config = {item.key: json.loads(item.value_json) for run in runs for item in run.config.update}
    assert config["settings"]["batch_size"] is not None
    requirements = [file.name for folder in folders for file in (folder / "files").iterdir()]
    assert "wandb-metadata.json" not in requirements


def test_wandb_without_a_key_is_one_warning_that_says_what_to_do(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    shop.train("run", track=["wandb"])
    (said,) = warnings(shop)
    assert "no API key; run `wandb login`" in said


@pytest.mark.slow
def test_mlflow_has_what_the_log_has_in_one_run(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = pytest.importorskip("mlflow.tracking")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr(tracking, "WAIT_SECONDS", 300.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shop.stopped("run", stop=3, track=["mlflow:sqlite:///m.db"], **OPTIONS)
    client = tracked.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'm.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'smart-finetune'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "KILLED")
    shop.train("run", resume="run", **OPTIONS)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    found: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            assert name not in found.setdefault(metric.step, {})
            found[metric.step][name] = metric.value
    assert found == logged(shop, "run")
    assert run.data.params["seed"] == "0"
    assert run.data.tags["data.fingerprint"] == shop.open_checkpoint("run").fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "m.db"]
    _goes_on_after_a_kill(client, tmp_path)


def _goes_on_after_a_kill(client: Any, folder: Path) -> None:
    """Steps that a killed training logged after its save are kept once."""
    place = f"sqlite:///{folder / 'm.db'}"
    first = Mlflow(place, folder)
    known = first.open(START, None, {})
    for step in (1, 2, 3):
        first.log(step, {"examples": float(step)}, 0.0)
    second = Mlflow(place, folder)
    second.open(START, 1, known)
    for step in (2, 3, 4):
        second.log(step, {"examples": float(step)}, 0.0)
    second.close("finished")
    history = client.get_metric_history(known["run_id"], "examples")
    assert [metric.step for metric in history] == [1, 2, 3, 4]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for one in taken:
            one.close()


@pytest.mark.slow
def test_a_server_that_never_answers_holds_nothing_up(
    shop: Shop, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow.tracking")
    monkeypatch.setattr(tracking, "WAIT_SECONDS", 0.5)
    shop.train("run", track=[f"mlflow:{silent_server}"], **OPTIONS)
    (said,) = warnings(shop)
    assert "did not take everything within" in said


def test_a_full_queue_gives_the_tracker_up(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that hangs in `open` takes nothing; what waits for it has a limit."""
    hung, said = threading.Event(), []

    class Hung(TensorBoard):
        def open(self, *_: Any) -> Any:
            hung.wait(10)

    monkeypatch.setattr(tracking, "make_tracker", lambda *_: Hung(tmp_path))
    monkeypatch.setattr(tracking, "MOST_WAITING", 3)
    event = parse({"event": "step", "step": 1, "loss": {"a": 1.0}})
    with Tracking(home, tmp_path, [TrackTarget("tensorboard")], START, None, say=said.append, warn=said.append) as one:
        for _ in range(20):
            one.hear(event)
        hung.set()
    assert [line for line in said if "given up" in line] == [said[1]]
    assert "did not take 3 events in time" in said[1]


def test_the_error_of_a_tracker_shows_no_secret(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Wandb):
        def open(self, *_: Any) -> Any:
            raise ConnectionError("cannot reach https://me:hush@host with key hush-hush-key")

    said: list[str] = []
    monkeypatch.setenv("WANDB_API_KEY", "hush-hush-key")
    monkeypatch.setattr(tracking, "make_tracker", lambda *_: Failing(None, tmp_path))
    with Tracking(home, tmp_path, [TrackTarget("wandb")], START, None, say=said.append, warn=said.append):
        pass
    assert "ConnectionError: cannot reach https://***@host with key ***" in said[-1]
    assert "hush" not in "".join(said)


def test_a_cell_of_a_sweep_is_told_its_trackers(home: Home) -> None:
    flags = {"track": ["tensorboard:/tb"]}
    cell = Cell("a", "a", {}, 0)
    base, planned, _ = from_line(to_line(Base(home, "sweep", flags), Planned(cell, "n", "finetune", flags), []))
    assert base.flags["track"] == planned.flags["track"] == ["tensorboard:/tb"]
