"""`smart pretrain-text`: masked-language-model training of an encoder on the tasks' own sentences."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import DISK
from smartcli.errors import SmartCliError, UserError
from smartcli.families.mlm_names import find_mlm_head
from smartcli.families.word_starts import word_table
from smartcli.home import Home
from smartcli.log_events import EndEvent, NoteEvent, StartEvent
from smartcli.option_table import TEXT_OPTIONS
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta, DataRecord, Lineage, utc_now
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Run, RunHeader, Runs
from smartcli.strictjson import canonical_json
from smartcli.tasks import TaskTable
from smartcli.workflows.checkpoints.model_card import model_card
from smartcli.workflows.training.finish import versions
from smartcli.workflows.training.first_process import TrainOutcome
from smartcli.workflows.training.kept_run import KeptRun, Listener
from smartcli.workflows.training.resume import as_started, check_encoder, check_finished, settle
from smartcli.workflows.training.settings import Resolved
from smartcli.workflows.training.signals import StopFlag, stop_on_signals
from smartcli.workflows.training.text_rows import Sentences, read_sentences, read_splits
from smartcli.workflows.training.training_inputs import Source, read_source

if TYPE_CHECKING:
    from smartcli.engine.model.multitask import MultiTaskModel
    from smartcli.engine.training.text_loop import TextJob, TextResult

COMMAND = "pretrain-text"
HEAD = "mlm.safetensors"
"""The head that guesses words, kept for going on from the checkpoint."""


def pretrain_text(
    home: Home, resolved: Resolved, splits: str | None, argv: list[str], listener: Listener
) -> TrainOutcome:
    """Train the encoder to guess masked words of the tasks' sentences, and register it for `finetune --init`.

    `splits` is the value of `--splits`, None where it was not given. Stopped when a signal ended it after a save;
    UserError for what the user can mend.
    """
    wanted = read_splits(splits)
    settled = settle(home, COMMAND, resolved, resolved.name, resolved.resume)
    found, resolved = settled.found, settled.resolved
    if isinstance(found, Checkpoint):
        check_finished(found, COMMAND, resolved)
        _check_splits(found.name, found.meta.lineage.text, splits, wanted)
        return TrainOutcome(found.name, found.meta, already=True)
    registry, runs = Registry(home), Runs(home)
    with stop_on_signals() as stop, ExitStack() as stack:
        if found is not None:
            stack.enter_context(found.lock())
            _check_splits(found.name, found.header.text, splits, wanted)
            wanted = tuple((found.header.text or {}).get("splits", wanted))
        elif resolved.name is not None:
            registry.check_free(resolved.name)
        training = TextTraining(home, resolved, argv, listener, stop)
        training.prepare(wanted, found)
        name = found.name if found is not None else stack.enter_context(registry.claim(resolved.name))
        run = found if found is not None else runs.create(name, training.header())
        checkpoint = training.run(run, registry)
        runs.remove(name)
    return TrainOutcome(checkpoint.name, checkpoint.meta)


def _check_splits(name: str, stored: dict[str, Any] | None, given: str | None, wanted: tuple[str, ...]) -> None:
    kept = tuple((stored or {}).get("splits", wanted))
    if given is not None and kept != wanted:
        raise UserError(
            f'--splits is {",".join(wanted)} here, but "{name}" was started with {",".join(kept)}; leave the option '
            "out, or start another run under another --name"
        )


@dataclass
class TextTraining:
    """Joins the loop on text with the run folder, its log and the listener."""

    home: Home
    resolved: Resolved
    argv: list[str]
    listener: Listener
    stop: StopFlag

    def prepare(self, splits: tuple[str, ...], run: Run | None) -> None:
        """Read encoder and text; every mistake of the user shows before anything is written."""
        from smartcli.engine.device import choose_device, set_threads

        settings = self.resolved.settings
        choose_device(settings.device)
        for flag, value in (("--epochs", settings.epochs), ("--batch-size", settings.batch_size)):
            if value.by_task:
                raise UserError(f"{flag} takes one number here: the sentences of all tasks are trained on together")
        self.source: Source = read_source(self.home, settings, lambda text: self.listener(NoteEvent(text)))
        if run is not None:
            check_encoder(run, self.source.about)
            settings = as_started(settings, run.header.machine, self.resolved.given)
        most = self.source.spec.max_tokens
        if settings.max_length > most:
            raise UserError(f"--max-length is {settings.max_length}, but the encoder takes at most {most} tokens")
        tasks = self.resolved.data_set.tasks.select(settings.tasks)
        self.text: Sentences = read_sentences(self.resolved.data_set, self.source.tokenizer, tasks, splits)
        set_threads(settings.threads)
        self.job, self.model = self._job()

    def _job(self) -> tuple[TextJob, MultiTaskModel]:
        from smartcli.engine.device import choose_device
        from smartcli.engine.inference.split_outputs import Reader
        from smartcli.engine.model.build import build_model
        from smartcli.engine.training.text_loop import TextJob, TextModel
        from smartcli.engine.training.word_masks import Masker

        settings, source = self.resolved.settings, self.source
        masker = Masker.of(word_table(source.tokenizer, source.spec.vocab_size, source.folder))
        model = build_model(source.folder, source.spec, TaskTable(()), replace(settings, pooling="cls"))
        device = choose_device(settings.device)
        whole = TextModel(model.encoder, self._head(model)).to(device)
        reader = Reader(source.tokenizer.template, settings.max_length)
        return TextJob(whole, masker, self.text.train, self.text.held_out, reader, settings, device), model

    def _head(self, model: MultiTaskModel) -> Any:
        from smartcli.engine.model.mlm_head import MlmHead, count_words, read_mlm_head

        source, spec = self.source, self.source.spec
        head, table = MlmHead(spec), model.encoder.words.weight
        stored = source.checkpoint
        if stored is not None and stored.has(HEAD):
            read_mlm_head(head, {part: (stored.path(HEAD), part) for part in head.state_dict()}, table)
            return head
        found = find_mlm_head(source.folder, spec) if stored is None else None
        if found is not None and read_mlm_head(head, found, table):
            return head
        self.listener(
            NoteEvent("the encoder's files hold no head for masked words; a fresh one starts, tied to the embeddings")
        )
        head.start(self.resolved.settings.seed, count_words(self.text.train, spec.vocab_size))
        return head

    def machine(self) -> dict[str, Any]:
        """Return what the run runs on."""
        from smartcli.engine.device import Choice, machine

        precision = Choice(self.job.device.type, False, "masked words train in fp32", self.threads())
        return machine(precision) | {"processes": 1}

    def threads(self) -> int:
        from smartcli.engine.device import set_threads

        return set_threads(None)

    def _settings(self) -> dict[str, Any]:
        """Return the settings that count here; the others would only seem to."""
        return {key: value for key, value in self.resolved.settings.to_json().items() if key in TEXT_OPTIONS}

    def header(self) -> RunHeader:
        """Return what a run stores about itself."""
        resolved = self.resolved
        return RunHeader(
            command=COMMAND,
            argv=self.argv,
            settings=self._settings(),
            data=DataRecord(name=resolved.data_set.name, fingerprint=resolved.data_set.fingerprint),
            encoder=self.source.about,
            machine=self.machine(),
            created=utc_now(),
            text=self.text.to_json(),
        )

    def run(self, run: Run, registry: Registry) -> Checkpoint:
        """Train from the run's last save, or from the start, and register the result."""
        from smartcli.engine.training.text_loop import train_text

        kept = KeptRun(self.home, run, COMMAND, self.argv, self.machine(), self.listener, self.stop)
        snapshot = kept.last_save()
        with kept.recording(self._start_event(run.name), snapshot) as callbacks:
            try:
                with kept.ending():
                    result = train_text(self.job, callbacks, snapshot)
            except RuntimeError as error:
                raise self._explained(error, kept.resume_command()) from error
            at = result.position
            callbacks.record(EndEvent(step=at.total, seconds=at.seconds, examples=at.examples, tokens=at.tokens))
        return self._register(run, registry, result)

    def _explained(self, error: RuntimeError, again: str) -> BaseException:
        from smartcli.engine.memory import is_out_of_memory

        if not is_out_of_memory(error):
            return error
        return SmartCliError(
            f"out of memory; free some and go on with: {again}, or start again with a lower --batch-size"
        )

    def _start_event(self, name: str) -> StartEvent:
        header = self.header()
        return StartEvent(
            command=COMMAND,
            name=name,
            steps=self.job.steps,
            epochs=self.job.epochs,
            settings=header.settings,
            data=header.data.to_json(),
            encoder=header.encoder.to_json(),
            machine=header.machine,
        )

    def _register(self, run: Run, registry: Registry, result: TextResult) -> Checkpoint:
        from smartcli.engine.model.build import encoder_bytes, head_bytes, module_bytes

        meta = self._describe(run.name, result)

        def fill(folder: Path) -> None:
            files = {
                "config.json": (self.source.folder / "config.json").read_bytes(),
                "model.safetensors": encoder_bytes(self.model),
                "heads.safetensors": head_bytes(self.model),
                HEAD: module_bytes(self.job.model.head),
                "tokenizer.json": self.source.tokenizer.to_json().encode(),
                "smart.json": canonical_json(meta.to_json()),
                "log.jsonl": run.log_path.read_bytes(),
                "README.md": model_card(meta).encode(),
            }
            for file, content in files.items():
                DISK.write(folder / file, content, shown=registry.home.checkpoints / meta.name / file)

        return registry.commit(meta.name, fill)

    def _describe(self, name: str, result: TextResult) -> CheckpointMeta:
        data_set, init = self.resolved.data_set, self.source.checkpoint
        text = self.text.to_json() | {"before": result.before, "after": result.after, "masked": result.masked}
        return CheckpointMeta(
            name=name,
            kind=COMMAND,
            method="masked words" + (" init" if init is not None else ""),
            command=self.argv,
            settings=self._settings(),
            tasks=[],
            all_tasks=data_set.tasks.to_json(),
            encoder=self.source.about,
            data=DataRecord(name=data_set.name, source=data_set.source, fingerprint=data_set.fingerprint),
            lineage=Lineage(init=None if init is None else init.reference(), text=text),
            metrics={"held-out text": {"mlm_loss": result.after, "n": result.masked}, "overall": None},
            steps=result.position.total,
            versions=versions(),
            seconds=result.position.seconds,
            created=utc_now(),
            machine=self.machine(),
        )
