"""A name has one owner: live ones are named, dead ones are forgotten."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from forked import Child, in_child

from smartcli.home import Home
from smartcli.processes import parse_token, this_process
from smartcli.registry.locks import Busy, hold, owner_of


def hold_forever(home: Home, name: str) -> Child:
    def work() -> None:
        with hold(home, name):
            time.sleep(60)

    child = Child(work)
    while owner_of(home, name) is None:
        time.sleep(0.005)
    return child


def try_to_hold(home: Home, name: str) -> bool:
    with hold(home, name, wait=0):
        return True


def test_a_live_owner_is_named_and_a_killed_one_is_forgotten(home: Home) -> None:
    child = hold_forever(home, "x")
    owner = owner_of(home, "x")
    assert owner is not None
    assert owner.pid == child.pid
    assert (home.locks / "x.pid").read_text().split()[0] == str(child.pid)
    with pytest.raises(Busy, match=f'"x" is in use by process {child.pid}, which is still running'):
        try_to_hold(home, "x")
    child.kill()
    assert child.wait().killed
    assert (home.locks / "x.pid").exists()
    assert owner_of(home, "x") is None
    assert try_to_hold(home, "x")
    assert not (home.locks / "x.pid").exists()


def test_a_killed_owner_is_forgotten_before_its_parent_has_reaped_it(home: Home) -> None:
    child = hold_forever(home, "x")
    child.kill()
    # A busy machine may take a while to end the process; nobody reaps it meanwhile.
    end = time.monotonic() + 20
    while owner_of(home, "x") is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert owner_of(home, "x") is None
    assert try_to_hold(home, "x")
    child.wait()


def test_the_same_thread_may_hold_twice_and_another_may_not(home: Home) -> None:
    found: list[str] = []

    def other() -> None:
        try:
            found.append(str(try_to_hold(home, "x")))
        except Busy as error:
            found.append(str(error))

    with hold(home, "x"):
        with hold(home, "x"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(Busy), hold(home, "x", again=False):
            pass
    assert len(found) == 1
    assert f"process {os.getpid()}" in found[0]
    assert try_to_hold(home, "x")


def test_a_forked_child_does_not_inherit_the_hold(home: Home) -> None:
    with hold(home, "x"):
        ended = in_child(lambda: try_to_hold(home, "x"))
        assert ended.exit_code == 2
        assert owner_of(home, "x") == this_process()


def test_a_pid_given_to_another_process_since_is_not_its_owner(home: Home) -> None:
    me = this_process()
    assert me.alive() is True
    if me.started == "0":
        pytest.skip("this system does not tell when a process started")
    other = parse_token(f"{me.pid}.{int(me.started) + 1}.{me.machine}")
    assert other is not None
    assert other.alive() is False


def test_an_owner_on_another_machine_counts_while_the_lock_is_held(home: Home) -> None:
    token = f"{os.getpid()}.1.00000000"
    with hold(home, "x"):
        (home.locks / "x.pid").write_text(f"{os.getpid()}\n{token}\n")
        found = in_child(lambda: owner_of(home, "x") is not None)
        assert found.value is True
    (home.locks / "x.pid").write_text(f"{os.getpid()}\n{token}\n")
    assert owner_of(home, "x") is None


@pytest.mark.parametrize("content", [b"", b"12", b"\xff\xfe", b"0\n0.0.00000000\n", b"99999999999999999999\n9.9\n"])
def test_a_damaged_pid_file_names_nobody(home: Home, content: bytes) -> None:
    home.locks.mkdir(parents=True)
    (home.locks / "x.pid").write_bytes(content)
    assert owner_of(home, "x") is None
    assert try_to_hold(home, "x")


def test_lock_files_hold_no_content_to_lose(home: Home, tmp_path: Path) -> None:
    assert try_to_hold(home, "x")
    assert {path.name: path.stat().st_size for path in home.locks.iterdir()} == {"x.lock": 0}
