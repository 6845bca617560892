"""From a finished training to a checkpoint in the registry."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli import __version__
from smartcli.atomic import DISK
from smartcli.config import Settings
from smartcli.data.predictions import Predictions, write_predictions
from smartcli.data.store import DataSet
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.meta import CheckpointMeta, DataRecord, Lineage, utc_now
from smartcli.registry.registry import Registry
from smartcli.strictjson import canonical_json
from smartcli.workflows.checkpoints.model_card import model_card
from smartcli.workflows.training.training_inputs import TrainingInputs

if TYPE_CHECKING:
    from smartcli.engine.training.job import Result


def method_name(settings: Settings, tasks: tuple[str, ...]) -> str:
    """Return `<pair mode> <schedule>[ smart][ bregman][ fgm][ rdrop][ surgery][ distilled][ init]`."""
    from smartcli.engine.terms.term_table import method_words

    parts: list[str] = [settings.pair_mode, settings.schedule, *method_words(settings, tasks)]
    parts += ["surgery"] if settings.surgery != "none" else []
    parts += ["distilled"] if settings.teacher is not None else []
    parts += ["init"] if settings.init is not None else []
    return " ".join(parts)


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    packages = ("torch", "numpy", "tokenizers", "safetensors")
    return {"smartcli": __version__, "python": platform.python_version()} | {p: metadata.version(p) for p in packages}


def describe(
    name: str,
    command: str,
    argv: list[str],
    settings: Settings,
    data_set: DataSet,
    inputs: TrainingInputs,
    result: Result,
    machine: Mapping[str, Any],
) -> CheckpointMeta:
    """Return the content of smart.json."""
    scores = result.scores.by_task(data_set.tasks)
    init = inputs.source.checkpoint
    return CheckpointMeta(
        name=name,
        kind=command,
        method=method_name(settings, inputs.trained.names),
        command=argv,
        settings=settings.to_json(),
        tasks=inputs.model.tasks.to_json(),
        all_tasks=data_set.tasks.to_json(),
        encoder=inputs.source.about,
        data=DataRecord(name=data_set.name, source=data_set.source, fingerprint=data_set.fingerprint),
        lineage=Lineage(init=None if init is None else init.reference(), teacher=inputs.teacher),
        metrics={name: scores[name] for name in data_set.tasks.names}
        | {"overall": result.scores.overall(data_set.tasks)},
        best_epoch=result.best_epoch,
        steps=result.position.total,
        truncated=result.position.truncated,
        versions=versions(),
        seconds=result.position.seconds,
        created=utc_now(),
        machine=dict(machine),
    )


def register(
    registry: Registry, meta: CheckpointMeta, inputs: TrainingInputs, predictions: Predictions, log: Path
) -> Checkpoint:
    """Commit the trained model as the checkpoint `meta.name`."""
    from smartcli.engine.model.build import encoder_bytes, head_bytes

    def fill(folder: Path) -> None:
        files = {
            "config.json": (inputs.source.folder / "config.json").read_bytes(),
            "model.safetensors": encoder_bytes(inputs.model),
            "heads.safetensors": head_bytes(inputs.model),
            "tokenizer.json": inputs.source.tokenizer.to_json().encode(),
            "smart.json": canonical_json(meta.to_json()),
            "predictions-dev.csv": write_predictions(predictions),
            "log.jsonl": log.read_bytes(),
            "README.md": model_card(meta).encode(),
        }
        for file, content in files.items():
            DISK.write(folder / file, content, shown=registry.home.checkpoints / meta.name / file)

    return registry.commit(meta.name, fill)
