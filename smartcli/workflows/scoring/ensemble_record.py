"""What a registered ensemble says about itself: smart.json, its predictions and its card."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smartcli import __version__
from smartcli.atomic import DISK
from smartcli.counts import counted
from smartcli.data.predictions import Predictions, write_predictions
from smartcli.metrics import scores_json
from smartcli.registry.checkpoint import PREDICTIONS, Checkpoint
from smartcli.registry.meta import META, CheckpointMeta, Lineage, utc_now
from smartcli.report.tables import three
from smartcli.strictjson import canonical_json
from smartcli.tasks import Vote
from smartcli.workflows.scoring.sources import Subject

HOW: dict[Vote, str] = {
    "mode": "for classes the members' most frequent prediction (a tie goes to the highest mean probability among the "
    "tied), for scores their median",
    "mean": "for classes the highest of the members' mean probabilities, for scores their mean",
}


def ensemble_meta(
    name: str,
    members: Sequence[Checkpoint],
    subject: Subject,
    combined: Predictions,
    selection: Mapping[str, Any] | None,
    reported: Predictions,
    argv: Sequence[str],
    started: float,
    vote: Vote = "mode",
) -> CheckpointMeta:
    """Return the ensemble's smart.json; `started` is a time.monotonic(), `reported` what the selection scored."""
    first = members[0].meta
    found = None if selection is None else {**selection, "metrics": scores_json(subject.tasks, reported)}
    return CheckpointMeta(
        name=name,
        kind="ensemble",
        method=f"ensemble of {len(members)}" + (" by mean" if vote == "mean" else ""),
        command=list(argv),
        settings={},
        tasks=first.all_tasks,
        all_tasks=first.all_tasks,
        encoder=None,
        encoders=sorted({one for member in members for one in member.meta.encoder_ids}),
        data=first.data,
        lineage=Lineage(
            members=tuple(member.reference() for member in members),
            selection=found,
            vote=None if vote == "mode" else vote,
        ),
        metrics=scores_json(subject.tasks, combined),
        versions=_versions(),
        seconds=round(time.monotonic() - started, 3),
        created=utc_now(),
    )


def _versions() -> dict[str, str]:
    import numpy as np

    return {"smartcli": __version__, "python": platform.python_version(), "numpy": np.__version__}


def fill_folder(folder: Path, meta: CheckpointMeta, combined: Predictions, files: Mapping[str, bytes]) -> None:
    """Write the files of an ensemble but its manifest, and `files` beside them."""
    for name, content in files.items():
        DISK.write(folder / name, content)
    DISK.write(folder / META, canonical_json(meta.to_json()))
    DISK.write(folder / PREDICTIONS, write_predictions(combined))
    DISK.write(folder / "README.md", _card(meta).encode())


def _card(meta: CheckpointMeta) -> str:
    members = [f"- {one.name} (manifest {(one.manifest or '')[:12]})" for one in meta.lineage.members]
    lines = [
        f"# {meta.name}",
        "",
        f"A smart-finetune {meta.method}: {HOW[meta.vote]}.",
        "",
        *members,
        "",
        f"Data set: {meta.data.name} (fingerprint {meta.data.fingerprint[:12]}). Scores on dev:",
        "",
        *(f"- {key}: {value}" for key, value in _scores(meta.metrics)),
    ]
    chosen = meta.lineage.selection
    if chosen is not None:
        lines += [
            "",
            f"The members were chosen from {chosen['of']} checkpoints on one half of dev; a fair score is the one on "
            "the other half, which smart.json has under lineage, selection, metrics.",
        ]
    return "\n".join(lines) + "\n"


def _scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, found in metrics.items():
        if isinstance(found, Mapping):
            metric = next(one for one in found if one != "n")
            yield key, f"{metric} {three(found[metric])} ({counted(found['n'], 'row')})"
        else:
            yield key, three(found)
