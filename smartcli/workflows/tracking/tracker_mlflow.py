"""MLflow, by its client: a run with parameters, tags and metrics, in a local database or on a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartcli.hidden import hidden
from smartcli.log_events import StartEvent
from smartcli.workflows.tracking.track_numbers import plain_settings
from smartcli.workflows.tracking.tracker import Ending, Known

EXPERIMENT = "smart-finetune"
STATUS: dict[str, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
"""MLflow's words; a stopped run is RUNNING again once it goes on."""
COUNTER = "examples"
"""The metric that every step logs."""
_PARAMS, _METRICS, _VALUE = 100, 1000, 6000
"""MLflow's limits: parameters and metrics a request, characters of a value."""


def address_of(place: str | None, folder: Path, *, shown: bool = False) -> str:
    """Return the tracking address: `--track mlflow:URI`, else $MLFLOW_TRACKING_URI, else a database in `folder`."""
    found = place or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    return hidden(found) if shown else found


class Mlflow:
    """Writes a run named like the checkpoint into $MLFLOW_EXPERIMENT_NAME (smart-finetune where it is not set)."""

    def __init__(self, place: str | None, folder: Path) -> None:
        self.place, self.folder = place, folder
        self._client: Any = None
        self._run = ""
        self._last = -1

    def open(self, start: StartEvent, after: int | None, known: Known) -> Known:
        # Before the first import: it says on stderr what it does to its tables.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow.tracking import MlflowClient

        address = address_of(self.place, self.folder)
        if address.startswith(f"sqlite:///{self.folder}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=address)
        if "run_id" in known:
            self._run = str(known["run_id"])
            self._client.update_run(self._run, status="RUNNING")
            # A killed training logged more than it saved; those steps are trained again, to the same numbers.
            history = self._client.get_metric_history(self._run, COUNTER)
            self._last = max((metric.step for metric in history), default=-1)
        else:
            self._begin(start)
        return {"run_id": self._run}

    def log(self, step: int, numbers: Mapping[str, float], seconds: float) -> None:
        from mlflow.entities import Metric

        if COUNTER in numbers and step <= self._last:
            return
        moment = round(seconds * 1000)
        metrics = [Metric(name, number, moment, step) for name, number in numbers.items()]
        for at in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._run, metrics=metrics[at : at + _METRICS])

    def close(self, ending: Ending) -> None:
        self._client.set_terminated(self._run, status=STATUS[ending])

    def _begin(self, start: StartEvent) -> None:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        tags = {
            "command": start.command,
            "data": str(start.data.get("name", "")),
            "data.fingerprint": str(start.data.get("fingerprint", "")),
            "encoder": str(start.encoder.get("id", "")),
            "device": str(start.machine.get("device", "")),
        }
        self._run = self._client.create_run(experiment, run_name=start.name, tags=tags).info.run_id
        params = [Param(key, str(value)[:_VALUE]) for key, value in plain_settings(start.settings).items()]
        for at in range(0, len(params), _PARAMS):
            self._client.log_batch(self._run, params=params[at : at + _PARAMS])
