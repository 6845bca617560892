"""The journal stays readable: half a record never stays, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.storages import JournalStorage

from smartcli.workflows.search.journal_file import Journal

RECORD = {"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [2]}


def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append_logs([{**RECORD, "study_name": "a"}, {**RECORD, "study_name": "b"}])
    journal.append_logs([{**RECORD, "study_name": "c"}])
    assert [one["study_name"] for one in Journal(tmp_path / "j").read_logs(0)] == ["a", "b", "c"]
    assert [one["study_name"] for one in journal.read_logs(2)] == ["c"]


@pytest.mark.parametrize("half", [b'{"op_code":0,"wor', b'{"op_code":8,"x":"' + b"y" * 9000])
def test_half_a_record_is_gone_before_the_next(tmp_path: Path, half: bytes) -> None:
    journal = Journal(tmp_path / "j")
    journal.append_logs([RECORD])
    with (tmp_path / "j").open("ab") as file:
        file.write(half)
    assert len(list(Journal(tmp_path / "j").read_logs(0))) == 1
    journal.append_logs([{**RECORD, "study_name": "t"}])
    assert [one["study_name"] for one in Journal(tmp_path / "j").read_logs(0)] == ["s", "t"]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    journal.append_logs([RECORD])
    before = (tmp_path / "j").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append_logs([{**RECORD, "study_name": "t"}])
    assert (tmp_path / "j").read_bytes() == before
    journal.append_logs([{**RECORD, "study_name": "t"}])
    JournalStorage(Journal(tmp_path / "j"))


def test_a_process_that_is_killed_while_it_holds_the_lock_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "j"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from filelock import FileLock\n"
        f"FileLock({str(path)!r} + '.lock').acquire(); print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    begin = time.monotonic()
    Journal(path).append_logs([RECORD])
    assert time.monotonic() - begin < 5
    assert json.loads(path.read_text())["study_name"] == "s"
