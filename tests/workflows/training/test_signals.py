"""The first signal sets a flag, a second Ctrl-C raises, and the handlers before come back."""

from __future__ import annotations

import signal
import threading

import pytest

from smartcli.workflows.training.signals import StopFlag, stop_on_signals

pytestmark = pytest.mark.usefixtures("sighup_heard")

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_sets_the_flag_and_its_exit_code(number: int, code: int) -> None:
    with stop_on_signals() as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert stop.exit_code == code


def test_a_second_ctrl_c_raises_whatever_the_first_signal_was() -> None:
    for first in (signal.SIGINT, signal.SIGTERM):
        with stop_on_signals():
            signal.raise_signal(first)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_waits_like_the_first() -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 143


def test_the_handlers_before_come_back_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ValueError, match="x"), stop_on_signals():
        raise ValueError("x")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_gets_a_flag_that_stays_unset() -> None:
    found: list[StopFlag] = []

    def work() -> None:
        with stop_on_signals() as stop:
            found.append(stop)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert not found[0]()
