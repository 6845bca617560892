"""A worker: exactly N trials are trained by all workers together, each counts once, and nothing begun is lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartcli.errors import SmartCliError, Stopped, UserError
from smartcli.home import Home
from smartcli.log_events import DevEvent, Event
from smartcli.processes import Process
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.search import search_storage, worker
from smartcli.workflows.search.bounds import Choice, Range
from smartcli.workflows.search.liveness import Watch
from smartcli.workflows.search.search_plan import Search, plan_search
from smartcli.workflows.search.search_results import results_of, run_search
from smartcli.workflows.search.search_storage import Patience
from smartcli.workflows.search.slots import RELEASED, Slot
from smartcli.workflows.search.study import Study
from smartcli.workflows.studies.cells import Planned
from tests.hand_made import make_data
from tests.tiny import make_tiny_encoder
from tests.workflows.search.thread_job import Killed, ThreadJob
from tests.workflows.studies.test_grid import Silent

BOUNDS = {"lr": Range(1e-5, 1e-2, log=True), "dropout": Range(0.0, 0.5)}


class Hearing(Silent):
    """Hears what a worker does, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pruned: list[str] = []
        self.told: list[str] = []

    def prune(self, planned: Planned, epochs: int) -> None:
        self.pruned.append(planned.name)

    def tell(self, message: str) -> None:
        self.told.append(message)


@pytest.fixture(autouse=True)
def _in_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker, "CellJob", ThreadJob)
    monkeypatch.setattr(worker, "WAKE_SECONDS", 0.01)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    yield
    ThreadJob.trouble = None


@pytest.fixture
def flags(home: Home, tmp_path: Path) -> dict[str, object]:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    return {"encoder": encoder, "epochs": 2, "lambda": 0, "precision": "fp32", "threads": 1, "name": "try"}


def planned(home: Home, flags: dict[str, object], trials: int, storage: str | None = None, **more: object) -> Search:
    return plan_search(home, BOUNDS, flags, trials=trials, storage=storage, **more)  # type: ignore[arg-type]


def study_of(search: Search) -> Study:
    search.place.path.parent.mkdir(parents=True, exist_ok=True)  # type: ignore[union-attr]
    patience = Patience(search.place, print)
    return Study(patience, search.name, search.bounds, search.about, search.seed, search.prune)


def states(slots: list[Slot]) -> list[str]:
    return [slot.result.state if slot.result else "failed" if slot.failure else "open" for slot in slots]


def test_trials_are_checkpoints_and_the_same_command_again_trains_nothing_and_more_trials_go_on(
    home: Home, flags: dict[str, object]
) -> None:
    search = planned(home, flags, 2, top=2)
    watcher = Hearing()
    results = run_search(search, ["smart", "sweep"], watcher, top=2)
    assert sorted(watcher.trained) == sorted(results.checkpoints)
    assert all(name.startswith("try-trial") for name in results.checkpoints)
    value = results.to_json()
    (best, other) = sorted(value["trials"], key=lambda one: -one["score"])
    assert value["best"]["options"] == best["options"]
    meta = Registry(home).open(best["checkpoint"]).meta
    assert best["score"] == meta.overall
    assert meta.settings["lr"] == best["options"]["lr"]
    assert max(best["epochs"].values()) == best["score"], "the kept epoch is the best"
    assert best["score"] >= other["score"]
    assert Registry(home).open(value["ensemble"]).meta.lineage.members[0].name == best["checkpoint"]

    again = Hearing()
    assert run_search(search, ["smart"], again).to_json()["trials"] == value["trials"]
    assert (again.trained, again.reused) == ([], [])
    more = Hearing()
    found = run_search(planned(home, flags, 3), ["smart"], more)
    assert len(more.trained) == 1
    assert found.to_json()["trials"][:2] == value["trials"]


def test_one_worker_draws_and_trains_the_same_again(home: Home, flags: dict[str, object], tmp_path: Path) -> None:
    first = run_search(planned(home, flags, 2), ["smart"], Hearing()).to_json()["trials"]
    weights = [Registry(home).open(one["checkpoint"]).read("model.safetensors") for one in first]
    for one in first:
        Registry(home).remove(one["checkpoint"])
    second = run_search(planned(home, flags, 2, str(tmp_path / "other")), ["smart"], Hearing()).to_json()["trials"]
    assert second == first
    assert [Registry(home).open(one["checkpoint"]).read("model.safetensors") for one in second] == weights


def test_a_trial_below_the_median_ends_early_counts_and_leaves_no_run(
    home: Home, flags: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = planned(home, {**flags, "epochs": 6}, 2)
    monkeypatch.setattr(Study, "report", lambda self, number, epoch, score: number == 1 and epoch == 2)
    watcher = Hearing()
    slots = worker.Worker(search, study_of(search), ["smart"], watcher).run()
    assert states(slots) == ["complete", "pruned"]
    assert (len(watcher.trained), len(watcher.pruned)) == (1, 1)
    assert Runs(home).names() == []
    assert len(Registry(home).names()) == 1


def test_a_training_with_an_error_of_its_own_counts_as_failed_and_the_others_go_on(
    home: Home, flags: dict[str, object]
) -> None:
    def fail_first(one: Planned, event: Event) -> None:
        if "trial0" in one.name and isinstance(event, DevEvent):
            raise SmartCliError("step 3: the loss is not finite")

    ThreadJob.trouble = fail_first
    search = planned(home, flags, 3)
    slots = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert states(slots) == ["failed", "complete", "complete"]
    found = results_of(search, slots)
    assert "trial 0 failed: step 3: the loss is not finite" in found.notes
    assert found.notes[0] == "3 trials: 2 completed, 0 pruned below the median, 1 failed."


def test_values_that_do_not_go_together_are_failed_trials_and_the_search_goes_on(
    home: Home, flags: dict[str, object]
) -> None:
    bounds = {"task_sampling": Choice(("all", "proportional")), "surgery": Choice(("none", "pcgrad"))}
    search = plan_search(home, bounds, {**flags, "schedule": "simultaneous", "epochs": 1}, trials=8)
    hearing = Hearing()
    slots = worker.Worker(search, study_of(search), ["smart"], hearing).run()
    failed = [slot for slot in slots if slot.failure is not None]
    assert len(slots) == 8
    assert failed
    for slot in slots:
        both = slot.params == {"task_sampling": "proportional", "surgery": "pcgrad"}
        assert (slot.failure is not None) == both, slot
    assert len([said for said in hearing.told if "cannot be" in said]) == len(failed)
    # The same command again has nothing left to do.
    again = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert [slot.root for slot in again] == [slot.root for slot in slots]


def test_three_failures_in_a_row_stop_the_worker_before_it_uses_up_all_trials(
    home: Home, flags: dict[str, object]
) -> None:
    def full(one: Planned, event: Event) -> None:
        raise SmartCliError("No space left on device")

    ThreadJob.trouble = full
    search = planned(home, flags, 9)
    with pytest.raises(SmartCliError, match=r"3 trials failed one after the other: .*No space left"):
        worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert len(study_of(search).slots()) == 3


def test_a_users_mistake_stops_the_work_and_the_trial_waits(home: Home, flags: dict[str, object]) -> None:
    def wrong(one: Planned, event: Event) -> None:
        raise UserError("the encoder was changed")

    ThreadJob.trouble = wrong
    search = planned(home, flags, 2)
    with pytest.raises(UserError, match="the encoder was changed"):
        worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    (slot,) = study_of(search).slots()
    assert slot.orphaned
    assert RELEASED in slot.attempts[0].notes
    ThreadJob.trouble = None
    assert states(worker.Worker(search, study_of(search), ["smart"], Hearing()).run()) == ["complete"] * 2


@pytest.mark.parametrize("first", [True, False])
def test_values_that_training_refuses_are_a_failed_trial_at_the_second_try_or_where_others_got_through(
    home: Home, flags: dict[str, object], first: bool
) -> None:
    def wrong(one: Planned, event: Event) -> None:
        if ("trial0" in one.name) == first and "trial2" not in one.name:
            raise UserError("--max-length 9 is too long")

    ThreadJob.trouble = wrong
    search = planned(home, flags, 3)
    if first:
        with pytest.raises(UserError, match="--max-length 9 is too long"):
            worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    slots = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert states(slots) == (["failed", "complete", "complete"] if first else ["complete", "failed", "complete"])
    assert {slot.failure for slot in slots} == {None, "--max-length 9 is too long"}


def test_a_killed_process_is_begun_again_and_counts_once(home: Home, flags: dict[str, object]) -> None:
    kills = iter([True, False, False, False])

    def kill_once(one: Planned, event: Event) -> None:
        if isinstance(event, DevEvent) and next(kills, False):
            raise Killed

    ThreadJob.trouble = kill_once
    search = planned(home, flags, 2)
    slots = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert states(slots) == ["complete", "complete"]
    assert [len(slot.attempts) for slot in slots] == [2, 1]
    assert slots[0].attempts[0].params == slots[0].attempts[1].params


def test_a_dead_workers_trial_goes_on_from_its_last_save_with_the_same_bits(
    home: Home, flags: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = planned(home, {**flags, "epochs": 4}, 1)

    def die(one: Planned, event: Event) -> None:
        if isinstance(event, DevEvent) and event.epoch == 3:
            raise KeyboardInterrupt

    gone = study_of(search)
    attempt = gone.ask()
    one = search.planned(attempt.root, attempt.params)
    from smartcli.workflows.studies.cells import train_cell

    with pytest.raises((KeyboardInterrupt, Stopped)):
        train_cell(search.base, one, ["smart"], lambda event: die(one, event))
    assert Runs(home).open(one.name).position() is not None
    watch = worker.Watch()
    monkeypatch.setattr(watch, "dead", lambda attempt: True)
    taker = worker.Worker(search, study_of(search), ["smart"], watcher := Hearing())
    taker.watch = watch
    slots = taker.run()
    assert states(slots) == ["complete"]
    assert len(slots[0].attempts) == 2
    assert len(watcher.told) == 1
    result = slots[0].result
    assert result is not None
    assert sorted(result.reports) == [1, 2, 3, 4], "also what was scored before the kill"
    log = [json.loads(line) for line in Registry(home).open(one.name).read("log.jsonl").splitlines()]
    assert [line["event"] for line in log].count("resume") == 1
    weights = Registry(home).open(one.name).read("model.safetensors")
    Registry(home).remove(one.name)
    train_cell(search.base, one, ["smart"], lambda event: None)
    assert Registry(home).open(one.name).read("model.safetensors") == weights


def test_the_trial_of_a_worker_elsewhere_whose_heartbeat_stands_still_is_taken_over(
    home: Home, flags: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = planned(home, flags, 1)
    other = study_of(search)
    monkeypatch.setattr(other, "_me", Process(1, "7", "0123abcd").token)
    gone = other.ask()
    assert other.beat(gone.number)
    taker = worker.Worker(search, study_of(search), ["smart"], watcher := Hearing())
    taker.watch = Watch(grace=0.3)
    (slot,) = taker.run()
    assert [one.number for one in slot.attempts] == [gone.number, 1]
    assert slot.params == gone.params
    assert len(watcher.told) == 1
    assert not other.complete(gone.number, 0.9, {}), "should it come back, its result does not count"


def test_of_two_that_look_at_the_same_moment_one_queues_a_dead_workers_trial(
    home: Home, flags: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = planned(home, flags, 1)
    study_of(search).ask()
    monkeypatch.setattr(worker.Watch, "dead", lambda self, attempt: True)
    one, other = (worker.Worker(search, study_of(search), ["smart"], Hearing()) for _ in range(2))
    for each in (one, other):
        each._look()
    monkeypatch.setattr(one.study, "retry", lambda slot: other._rescue())
    one._rescue()
    assert [len(slot.attempts) for slot in study_of(search).slots()] == [1], "the other leaves it to who buried it"
    other._look()
    other._rescue()
    assert [len(slot.attempts) for slot in study_of(search).slots()] == [2], "unless that one died in between"


def test_a_signal_gives_the_trial_back_and_the_same_command_goes_on(home: Home, flags: dict[str, object]) -> None:
    search = planned(home, {**flags, "epochs": 6}, 2)

    def stop(one: Planned, event: Event) -> None:
        if isinstance(event, DevEvent) and event.epoch == 3:
            ThreadJob.trouble = None
            signal.raise_signal(signal.SIGTERM)

    ThreadJob.trouble = stop
    with pytest.raises(Stopped, match="finished trials are kept: run the same command again to go on") as end:
        worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert end.value.exit_code == 143
    (slot,) = study_of(search).slots()
    assert slot.orphaned
    slots = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert states(slots) == ["complete", "complete"]


def test_a_checkpoint_that_was_there_already_is_taken(home: Home, flags: dict[str, object], tmp_path: Path) -> None:
    search = planned(home, flags, 1)
    first = run_search(search, ["smart"], Hearing()).to_json()["trials"]
    watcher = Hearing()
    again = planned(home, flags, 1, str(tmp_path / "other"))
    assert run_search(again, ["smart"], watcher).to_json()["trials"] == first
    assert (watcher.trained, len(watcher.reused)) == ([], 1)


def test_trials_of_a_worker_that_lives_are_left_to_it_and_none_is_one_too_many(
    home: Home, flags: dict[str, object]
) -> None:
    search = planned(home, flags, 2)
    other = study_of(search)
    held = other.ask()
    watcher = Hearing()
    taker = worker.Worker(search, study_of(search), ["smart"], watcher)
    ended: list[int] = []

    def finish_later(planned: object) -> None:
        Hearing.end(watcher, planned)  # type: ignore[arg-type]
        other.complete(held.number, 0.5, {"checkpoint": "elsewhere", "scores": {}})
        ended.append(held.number)

    watcher.end = finish_later  # type: ignore[method-assign, assignment]
    slots = taker.run()
    assert len(watcher.trained) == 1
    assert states(slots) == ["complete", "complete"]
    assert ended == [held.number]


def test_a_storage_that_goes_away_ends_the_worker_with_exit_1_and_loses_nothing(
    home: Home, flags: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_storage, "WAITS", (0.0, 0.0))
    path = tmp_path / "away" / "s.journal"
    path.parent.mkdir()
    search = planned(home, {**flags, "epochs": 6}, 2, str(path))

    def take_away(one: Planned, event: Event) -> None:
        if isinstance(event, DevEvent) and event.epoch == 2 and path.parent.exists():
            path.parent.rename(tmp_path / "kept")

    ThreadJob.trouble = take_away
    with pytest.raises(SmartCliError, match=r"does not answer, after 3 tries: .*finished trials are kept") as error:
        worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert error.value.exit_code == 1
    ThreadJob.trouble = None
    (tmp_path / "kept").rename(path.parent)
    monkeypatch.setattr(worker.Watch, "dead", lambda self, attempt: True)
    slots = worker.Worker(search, study_of(search), ["smart"], Hearing()).run()
    assert states(slots) == ["complete", "complete"]


def test_without_dev_labels_of_a_task_there_is_nothing_to_search_by(home: Home) -> None:
    from smartcli.workflows.search.trial_scores import dev_score

    scores = {"a": {"accuracy": 0.5, "n": 4}, "b": {"pearson": 0.0, "n": 4}, "c": None}
    assert dev_score(scores, ["a", "b"]) == 0.5
    assert dev_score(scores, ["a", "c"]) is None
