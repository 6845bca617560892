"""One training in a process of its own: the engine's loop joined with the run folder, its log and the listener."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from smartcli.config import Settings
from smartcli.data.store import DataSet
from smartcli.home import Home
from smartcli.log_events import NoteEvent, StartEvent, WarningEvent
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta, DataRecord, utc_now
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Run, RunHeader
from smartcli.workflows.scoring.model_outputs import predictions_of
from smartcli.workflows.tracking.tracking import Tracking
from smartcli.workflows.training.finish import describe, register
from smartcli.workflows.training.kept_run import KeptRun, Listener, step_of
from smartcli.workflows.training.remarks import remarks
from smartcli.workflows.training.resume import as_started, check_encoder
from smartcli.workflows.training.run_log import end_event, start_event
from smartcli.workflows.training.scale_out import check_same_facts, facts_of_first, with_first_ones_choices
from smartcli.workflows.training.settings import Resolved
from smartcli.workflows.training.signals import StopFlag
from smartcli.workflows.training.teaching import check_same_teacher, check_taught
from smartcli.workflows.training.training_inputs import TrainingInputs, read_inputs

if TYPE_CHECKING:
    from smartcli.engine.device import Choice, TimedSteps
    from smartcli.engine.distributed import Processes
    from smartcli.engine.training.job import Callbacks, Job, Result
    from smartcli.engine.training.snapshot import Snapshot


@dataclass(frozen=True)
class TrainOutcome:
    """The checkpoint of a training; `already` says that it was there before, with the same settings."""

    name: str
    meta: CheckpointMeta | None
    """None in a process that follows the first one."""
    already: bool = False


class Training:
    """Joins the engine's loop with the run folder, its log and the listener."""

    def __init__(
        self,
        home: Home,
        command: str,
        resolved: Resolved,
        argv: list[str],
        listener: Listener,
        stop: StopFlag,
        processes: Processes | None = None,
    ) -> None:
        self.home, self.command, self.resolved = home, command, resolved
        self.argv, self.listener, self.stop = argv, listener, stop
        self.processes = processes
        self.inputs: TrainingInputs
        self.choice: Choice
        self.job: Job

    @property
    def data_set(self) -> DataSet:
        return self.resolved.data_set

    def warn(self, message: str) -> None:
        """Tell the listener what is not wrong but worth knowing."""
        self.listener(WarningEvent(message))

    def prepare(self, run: Run | None = None) -> None:
        """Read data, encoder and device; every mistake of the user shows before anything is written.

        With `run`, the interrupted one, threads, precision and encoder must be or become what they were.
        """
        from smartcli.engine.device import choose, choose_device
        from smartcli.engine.distributed import ALONE
        from smartcli.engine.training.job import Job
        from smartcli.metrics import score

        settings = self.resolved.settings
        check_taught(settings, self.command)
        choose_device(settings.device)
        first_ones = facts_of_first(self.processes)
        say = lambda text: self.listener(NoteEvent(text))  # noqa: E731
        self.inputs = read_inputs(self.home, self.data_set, settings, say)
        started = run.header.machine if run is not None else {}
        if run is not None:
            check_encoder(run, self.inputs.source.about)
            check_same_teacher(run.header.teacher, self.inputs.teacher, run.name)
        asked = (
            as_started(settings, started, self.resolved.given)
            if first_ones is None
            else with_first_ones_choices(settings, first_ones)
        )
        self.choice = choose(asked, self.home, self._timed_steps(asked))
        if self.choice.precision == started.get("precision"):
            self.choice = replace(self.choice, reason=started.get("precision_reason", self.choice.reason))
        saved = {"last save": 0 if run is None else step_of(run)}
        check_same_facts(self.processes, first_ones, self._facts(asked) | saved)
        if self.choice.warning:
            self.warn(self.choice.warning)

        processes = self.processes or ALONE
        device = processes.device(choose_device(self.choice.device))
        self.inputs.model.to(device)
        if settings.compile:
            from smartcli.engine.model.compiled import compile_layers

            self.listener(NoteEvent("compiling the layers (a minute or more the first time)"))
            compile_layers(self.inputs.model.encoder, bf16=self.choice.bf16)
        self.job = Job(
            model=self.inputs.model,
            tasks=self.inputs.trained,
            table=self.data_set.tasks,
            settings=settings,
            train=self.inputs.train,
            dev=self.inputs.dev,
            reader=self.inputs.reader,
            bf16=self.choice.bf16,
            device=device,
            score=score,
            processes=processes,
        )
        for remark in remarks(self.job) if run is None else ():
            self.warn(remark)

    def _timed_steps(self, settings: Settings) -> TimedSteps:
        """Return how this training's steps are timed on a GPU, where --precision auto asks for it."""
        from smartcli.engine.device import TimedSteps, choose_device
        from smartcli.engine.training.step_probe import step_key, time_formats

        inputs = self.inputs

        def measure() -> dict[str, Any]:
            self.listener(NoteEvent("timing a few steps in fp32 and in bf16 (once on this machine)"))
            device = choose_device(settings.device)
            return time_formats(inputs.model, inputs.trained, inputs.train, inputs.reader, settings, device)

        return TimedSteps(step_key(inputs.model, settings), measure)

    def machine(self) -> dict[str, Any]:
        """Return what the run ran on."""
        from smartcli.engine.device import machine

        return machine(self.choice) | {"processes": self.processes.size if self.processes is not None else 1}

    def _facts(self, asked: Settings) -> dict[str, Any]:
        """Return what all processes of a training must have alike, and the threads that were asked for."""
        return {
            "settings": self.resolved.settings.to_json(),
            "data set": self.data_set.fingerprint,
            "encoder": self.inputs.source.about.to_json(),
            "torch": self.machine()["torch"],
            "device": self.choice.device,
            "precision": self.choice.precision,
            "threads": asked.threads,
        }

    def header(self) -> RunHeader:
        """Return what a run stores about itself."""
        return RunHeader(
            command=self.command,
            argv=self.argv,
            settings=self.resolved.settings.to_json(),
            data=DataRecord(name=self.data_set.name, fingerprint=self.data_set.fingerprint),
            encoder=self.inputs.source.about,
            machine=self.machine(),
            created=utc_now(),
            teacher=self.inputs.teacher,
        )

    def run(self, run: Run, registry: Registry) -> Checkpoint:
        """Train from the run's last save, or from the start, and register the result."""
        kept = self.kept(run)
        snapshot = kept.last_save()
        start = start_event(run.name, self.job, self.header())
        with self._tracking(run, start, snapshot) as tracking:
            with kept.recording(start, snapshot, tracking.hear) as callbacks:
                result = self._train(kept, callbacks, snapshot)
            return self._register(result, run, registry)

    def kept(self, run: Run) -> KeptRun:
        """Return the run as this training reads and writes it."""
        return KeptRun(self.home, run, self.command, self.argv, self.machine(), self.listener, self.stop)

    def _tracking(self, run: Run, start: StartEvent, snapshot: Snapshot | None) -> Tracking:
        after = None if snapshot is None else snapshot.position.total
        say = lambda text: self.listener(NoteEvent(text))  # noqa: E731
        return Tracking(self.home, run.folder, self.resolved.track, start, after, say=say, warn=self.warn)

    def _train(self, kept: KeptRun, callbacks: Callbacks, snapshot: Snapshot | None) -> Result:
        from smartcli.engine.training.loop import train

        with kept.ending():
            result = train(self.job, callbacks, snapshot)
        for warning in result.warnings:
            self.warn(warning)
        callbacks.record(end_event(result))
        return result

    def _register(self, result: Result, run: Run, registry: Registry) -> Checkpoint:
        meta = describe(
            run.name,
            self.command,
            self.argv,
            self.resolved.settings,
            self.data_set,
            self.inputs,
            result,
            self.machine(),
        )
        predictions = predictions_of(self.data_set, "dev", result.outputs)
        return register(registry, meta, self.inputs, predictions, run.log_path)
