"""A run that was stopped, at whatever step, ends as if it had not been; and what `--resume` finds."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hand_made import make_checkpoint
from training import STEPS, Event, Shop, assert_same_training, comparable, log_of, save_small

from smartcli.errors import SmartCliError, Stopped, UserError
from smartcli.home import Home
from smartcli.registry.locks import hold
from smartcli.registry.meta import DataRecord
from smartcli.registry.run_folders import RunHeader, Runs
from smartcli.workflows.training.resume import find_run


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


VARIANTS: dict[str, tuple[dict[str, Any], list[int]]] = {
    # Stops: step 1, mid-epoch, an epoch's end, the last step.
    "plain": ({"dropout": "0.2", "warmup": "0.3", "lr_schedule": "linear", "clip_norm": "1"}, [1, 2, 3, STEPS]),
    "smart": ({"lambda": "1", "keep": "last", "weight_decay": "0.01"}, [1, 2, 3, 5, STEPS]),
    "bregman": ({"mu": "1", "keep": "last"}, [1, 3, 4, STEPS]),
    "surgery": ({"surgery": "pcgrad", "lambda": "1", "keep": "last"}, [1, 2, 3, STEPS]),
    "pretrain-qqp": ({"command": "pretrain-qqp", "lambda": "1"}, [1, 2, 3, 4]),
    # Phases: qqp to step 2, sts to 6, sst to 9.
    "sequential": ({"schedule": "sequential", "epochs": "1", "mu": "1"}, [1, 2, 4, 6, 9]),
    "rows": ({"rows": "5", "save_every": "1", "pair_mode": "cosine"}, [1, 2, 4]),
    "max-steps": ({"max_steps": "5", "lr_schedule": "linear"}, [3, 4, 5]),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_stopped_again_and_again_ends_as_if_it_had_not_been(shop: Shop, variant: str) -> None:
    options, stops = VARIANTS[variant]
    shop.train("whole", **options)
    for at in stops:
        error = shop.stopped("parts", stop=at, resume="auto", **options)
        assert error.exit_code == 130
        assert f"stopped after step {at}, and saved" in str(error)
    shop.train("parts", resume="auto", **options)
    whole, parts = shop.open_checkpoint("whole"), shop.open_checkpoint("parts")
    assert_same_training(whole, parts)
    resumed = [event["step"] for event in log_of(parts) if event["event"] == "resume"]
    assert resumed == stops
    assert Runs(shop.home).names() == []


def test_what_was_trained_since_the_last_save_is_trained_again(shop: Shop) -> None:
    """An end without a save, as by kill -9: here an error out of the middle of step 5; step 3 was saved."""

    def fail(event: Event) -> None:
        if event["event"] == "step" and event["step"] == 5:
            raise RuntimeError("power cut")

    options = {"lambda": "1", "keep": "last"}
    shop.train("whole", **options)
    with pytest.raises(RuntimeError, match="power cut"):
        shop.train("parts", listener=fail, **options)
    run = Runs(shop.home).open("parts")
    assert run.position()["total"] == 3
    shop.train("parts", resume="parts", **options)
    assert [event["step"] for event in shop.events if event["event"] == "resume"] == [3]
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


def test_a_run_that_was_never_saved_starts_again(shop: Shop) -> None:
    def fail(event: Event) -> None:
        if event["event"] == "step":
            raise RuntimeError("power cut")

    shop.train("whole")
    with pytest.raises(RuntimeError):
        shop.train("parts", listener=fail)
    shop.train("parts", resume="auto")
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))
    assert "resume" not in [event["event"] for event in log_of(shop.open_checkpoint("parts"))]


def test_a_second_ctrl_c_ends_at_once_and_keeps_the_last_save(shop: Shop) -> None:
    def twice(event: Event) -> None:
        if event["event"] == "step" and event["step"] == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    shop.train("whole")
    with pytest.raises(Stopped, match=r"stopped at once; .* since step 3 .*smart finetune --resume parts") as caught:
        shop.train("parts", listener=twice)
    assert caught.value.exit_code == 130
    shop.train(None, resume="auto")
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


def test_sigterm_ends_after_the_step_with_143_and_the_command_to_go_on(shop: Shop) -> None:
    def terminate(event: Event) -> None:
        if event["event"] == "step" and event["step"] == 2:
            signal.raise_signal(signal.SIGTERM)

    argv = ["smart", f"--home={shop.home.root}", "finetune", "--name", "parts"]
    with pytest.raises(Stopped) as caught:
        shop.train("parts", listener=terminate, argv=argv)
    assert caught.value.exit_code == 143
    command = f"smart --home {shop.home.root} finetune --resume parts"
    assert str(caught.value) == f"stopped after step 2, and saved; go on with: {command}"
    assert Runs(shop.home).open("parts").position()["total"] == 2


# What --resume finds: runs and checkpoints that stand there without a training, since only their headers are read.


def interrupted(shop: Shop, name: str, command: str = "finetune", /, **options: Any) -> None:
    resolved = shop.resolve(command, **options)
    data = DataRecord(name=resolved.data_set.name, fingerprint=resolved.data_set.fingerprint)
    Runs(shop.home).create(name, RunHeader(command=command, settings=resolved.settings.to_json(), data=data))


def finished(shop: Shop, name: str, /, **options: Any) -> None:
    resolved = shop.resolve(**options)
    make_checkpoint(shop.home, name, resolved.data_set, settings=resolved.settings.to_json())


def found(shop: Shop, name: str | None, resume: str, command: str = "finetune", /) -> Any:
    return find_run(shop.home, command, name, resume)


def test_auto_finds_nothing_where_nothing_was_interrupted(shop: Shop) -> None:
    assert found(shop, None, "auto") is None
    assert found(shop, "mine", "auto") is None
    finished(shop, "other")
    assert found(shop, None, "auto") is None


def test_auto_goes_on_with_the_one_interrupted_run(shop: Shop) -> None:
    interrupted(shop, "mine")
    assert found(shop, None, "auto").name == "mine"
    assert found(shop, "mine", "auto").name == "mine"
    assert found(shop, "other", "auto") is None


def test_auto_lists_several_and_takes_the_named_one(shop: Shop) -> None:
    for name in ("one", "two"):
        interrupted(shop, name)
    with pytest.raises(UserError, match=r"several finetune runs are interrupted: one, two; .*--resume one"):
        found(shop, None, "auto")
    assert found(shop, "two", "auto").name == "two"
    assert found(shop, None, "one").name == "one"


def test_auto_looks_at_runs_of_its_own_command_alone(shop: Shop) -> None:
    interrupted(shop, "pre", "pretrain-qqp")
    assert found(shop, None, "auto") is None
    assert found(shop, None, "auto", "pretrain-qqp").name == "pre"
    with pytest.raises(UserError, match=r'"pre" was started by smart pretrain-qqp; .*smart pretrain-qqp --resume pre'):
        found(shop, None, "pre")


def test_auto_leaves_a_run_that_a_live_process_trains_alone(shop: Shop) -> None:
    interrupted(shop, "live")
    with hold(shop.home, "live"):
        assert found(shop, None, "auto") is None
    assert found(shop, None, "auto").name == "live"


@pytest.mark.parametrize("given", [{"dropout": "0.2"}, {"lr": "1e-3"}, {"threads": "2", "save_every": "2"}])
def test_a_finished_name_with_the_same_settings_is_done(shop: Shop, given: dict[str, str]) -> None:
    finished(shop, "mine", dropout="0.2")
    for name, resume in (("mine", "auto"), (None, "mine")):
        again = shop.train(name, resume=resume, **given)
        assert (again.name, again.already) == ("mine", True)


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("finetune", {"dropout": "0.3"}, r"finished already, with --dropout 0\.2, not 0\.3"),
        ("finetune", {"lambda": "sts=1"}, r"finished already, with --lambda 0, not 1 \(sts=1\)"),
        ("pretrain-qqp", {}, "exists already, as a checkpoint of kind finetune"),
    ],
)
def test_a_finished_name_with_other_settings_is_refused(
    shop: Shop, command: str, given: dict[str, str], message: str
) -> None:
    finished(shop, "mine", dropout="0.2")
    with pytest.raises(UserError, match=message):
        shop.train("mine", command=command, resume="auto", **given)


def test_a_finished_name_is_refused_when_its_data_set_was_changed(shop: Shop) -> None:
    finished(shop, "mine")
    save_small(shop.home, seed=1, force=True)
    with pytest.raises(UserError, match="finished already, on other content of the data set"):
        shop.train("mine", resume="auto")


def test_without_resume_a_taken_name_is_refused(shop: Shop) -> None:
    interrupted(shop, "mine")
    with pytest.raises(UserError, match=r'an interrupted run "mine" exists; go on with --resume mine'):
        shop.train("mine")
    finished(shop, "other")
    with pytest.raises(UserError, match='a checkpoint "other" exists already'):
        shop.train("other")


@pytest.mark.parametrize(("resume", "name"), [("mine", "other"), ("nobody", None)])
def test_a_run_that_is_not_there_is_refused(shop: Shop, resume: str, name: str | None) -> None:
    interrupted(shop, "mine")
    with pytest.raises(UserError, match=resume):
        found(shop, name, resume)


def test_an_option_that_differs_from_the_runs_is_refused(shop: Shop) -> None:
    interrupted(shop, "mine")
    with pytest.raises(UserError, match=r'--lr is 0\.002 here, but the run "mine" was started with 0\.001'):
        shop.train(None, resume="mine", lr="2e-3")


def test_a_run_whose_data_set_was_changed_is_refused(shop: Shop) -> None:
    interrupted(shop, "mine")
    save_small(shop.home, seed=1, force=True)
    with pytest.raises(UserError, match=r'data set "small" was changed since the run "mine" started'):
        shop.train(None, resume="mine")


def test_a_run_keeps_its_data_set_when_another_was_prepared_since(shop: Shop) -> None:
    shop.stopped("mine", stop=1)
    save_small(shop.home, "newer", seed=1)
    assert shop.train("mine", resume="auto").meta.data.name == "small"


def test_a_run_whose_encoder_was_changed_is_refused(shop: Shop) -> None:
    shop.stopped("mine", stop=1)
    path = shop.encoder / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    with pytest.raises(UserError, match=r'the encoder ".*" was changed since the run "mine" started: its tokenizer'):
        shop.train("mine", resume="auto")


def test_threads_and_precision_are_the_runs_own_unless_given(shop: Shop) -> None:
    shop.stopped("mine", stop=2)
    shop.stopped(None, stop=3, resume="mine", threads=None, precision=None)
    (event,) = shop.of_kind("resume")
    assert (event["threads"], event["precision"]) == (1, "fp32")
    assert shop.of_kind("warning") == []
    shop.train(None, resume="mine", threads="2")
    messages = [event["message"] for event in shop.of_kind("warning")]
    assert any("threads is 2, but the run started with 1" in message for message in messages)


def test_a_shortened_log_is_refused_by_name(shop: Shop) -> None:
    shop.stopped("mine", stop=2)
    path = Runs(shop.home).open("mine").log_path
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SmartCliError, match=r"log\.jsonl: has \d+ bytes, but \d+ were written"):
        shop.train("mine", resume="auto")


def test_log_lines_after_the_last_save_are_cut(shop: Shop) -> None:
    shop.train("whole")
    shop.stopped("mine", stop=2)
    with Runs(shop.home).open("mine").log_path.open("ab") as file:
        file.write(b'{"event": "step", "step": 3, "half a li')
    shop.train("mine", resume="auto")
    assert comparable(log_of(shop.open_checkpoint("mine"))) == comparable(log_of(shop.open_checkpoint("whole")))


def test_stopping_leaves_no_thread_behind(shop: Shop) -> None:
    kept = shop.stopped("mine", stop=2)
    assert [thread.name for thread in threading.enumerate() if thread.name == "packing"] == []
    assert kept.__traceback__ is not None  # which would hold the loop
