"""`smartcli.finetune`: a training from DataFrames, with the registry and the resuming of the command."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.data.guess_toml import table_toml
from smartcli.errors import UserError, suggest
from smartcli.home import Home
from smartcli.log_events import Event
from smartcli.option_table import OPTION_OF
from smartcli.tasks import SPLITS, parse_task_table

if TYPE_CHECKING:
    import pandas as pd

FRAMES = "these frames"
ALONE = {"dev": 0.1, "seed": 0}
"""How a task's rows are divided where it has no dev frame."""


def finetune_frames(
    home: Home,
    frames: pd.DataFrame | Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]] | None,
    *,
    name: str | None,
    encoder: str,
    data: str | None,
    listener: Callable[[Event], None],
    options: Mapping[str, Any],
) -> str:
    """Prepare the frames as a data set, train on it, and return the checkpoint's name.

    The same frames give the same data set, and with `name` a training that was stopped goes on. UserErrors as of
    `smart prepare` and `smart finetune`.
    """
    from smartcli.workflows.preparing.preparation import prepare
    from smartcli.workflows.training.settings import resolve
    from smartcli.workflows.training.train import train

    flags = _flags(options)
    with tempfile.TemporaryDirectory(prefix="smart-frames-") as temp:
        folder = Path(temp)
        _write(folder, _by_task(frames), tasks)
        mark = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()[:12]
        report = prepare(home, temp, name=data or f"frames-{mark}", encoder=encoder)
    flags |= {"data": report.data_set.name} | ({} if "init" in flags else {"encoder": encoder})
    argv = ["smart", "finetune", "--data", report.data_set.name]
    resolved = resolve(home, "finetune", flags)
    outcome = train(
        home,
        "finetune",
        resolved,
        name=name,
        resume=None if name is None else "auto",
        argv=argv,
        listener=listener,
    )
    return outcome.name


def _flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by their key; `lam` and `lambda_` are `lambda`, which Python keeps for itself."""
    found = {}
    for word, value in options.items():
        key = "lambda" if word in ("lam", "lambda_") else word
        if key not in OPTION_OF or key in ("data", "encoder"):
            raise UserError(f'finetune: there is no option "{word}"{suggest(word, list(OPTION_OF))}')
        found[key] = value
    return found


def _by_task(frames: pd.DataFrame | Mapping[str, Any]) -> dict[str, dict[str, pd.DataFrame]]:
    """Return the frames by task and split; one frame alone is the train rows of one task."""
    import pandas as pd

    if isinstance(frames, pd.DataFrame):
        return {"task": {"train": frames}}
    if not isinstance(frames, Mapping) or not frames:
        raise UserError(
            "finetune: expected a DataFrame, frames by split, or frames by task and split, found "
            f"{type(frames).__name__}"
        )
    if set(frames) <= set(SPLITS):
        frames = {"task": frames}
    out: dict[str, dict[str, pd.DataFrame]] = {}
    for task, own in frames.items():
        splits = {"train": own} if isinstance(own, pd.DataFrame) else own
        if not isinstance(splits, Mapping) or not splits or not set(splits) <= set(SPLITS):
            raise UserError(f'finetune: "{task}": expected a DataFrame, or frames by {", ".join(SPLITS)}')
        out[str(task)] = dict(splits)
    return out


def _write(
    folder: Path, frames: Mapping[str, Mapping[str, pd.DataFrame]], tasks: Sequence[Mapping[str, Any]] | None
) -> None:
    """Write the frames as JSON lines, and the table of tasks beside them."""
    for task, splits in frames.items():
        for split, frame in splits.items():
            frame.to_json(folder / f"{task}-{split}.jsonl", orient="records", lines=True, force_ascii=False)
    table = folder / "tasks.toml"
    if tasks is None:
        from smartcli.workflows.preparing.init_table import Given, guess_table

        written = sorted(folder.glob("*.jsonl"))
        table.write_text(guess_table(written, Given(), None, "pass tasks=[{…}]").toml(FRAMES), encoding="utf-8")
        return
    entries = []
    for entry in tasks:
        name = str(entry.get("name"))
        # One task with one frame needs no name for the frame.
        key = name if name in frames else next(iter(frames)) if len(frames) == len(tasks) == 1 else None
        if key is None:
            raise UserError(f'finetune: no frame for the task "{name}"; found {", ".join(frames)}')
        files = {split: f"{key}-{split}.jsonl" for split in frames[key]}
        more = {} if "dev" in files or "split" in entry else {"split": ALONE}
        entries.append(json.loads(json.dumps({**entry, **files, **more})))
    parse_task_table({"task": entries}, "finetune, tasks")
    table.write_text(table_toml([(_listed(entry), {}, ()) for entry in entries], FRAMES), encoding="utf-8")


def _listed(entry: Mapping[str, Any]) -> dict[str, Any]:
    text = entry["text"]
    return {**entry, "text": [text] if isinstance(text, str) else text}
