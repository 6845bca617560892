"""Fine-tune one small encoder for several sentence tasks at once, with SMART regularisation.

In Python: `smartcli.finetune(frame)`, `smartcli.load("ckpt3").predict("sts", pairs)` and `smartcli.results()`.
Importing this package imports nothing heavy: torch comes with the first `load`, pandas with the first `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

from smartcli.errors import SmartCliError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from smartcli.log_events import Event
    from smartcli.workflows.api import Model

__all__ = ["SmartCliError", "UserError", "__version__", "finetune", "load", "results"]

__version__ = "0.1.0"


def load(name: str, *, home: str | PathLike[str] | None = None, device: str = "auto") -> Model:
    """Return a checkpoint or an ensemble by name, every file verified, ready to predict.

    `home` is the folder of `--home`; by default $SMART_HOME, else the user's data folder. `device` is auto, cpu or
    cuda. UserError where there is no such checkpoint, SmartCliError where a file of it is not as it was committed.
    """
    from pathlib import Path

    from smartcli.home import find_home
    from smartcli.workflows.api import load_model

    return load_model(find_home(None if home is None else Path(home)), name, device)


def finetune(
    frames: pd.DataFrame | Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]] | None = None,
    *,
    name: str | None = None,
    encoder: str = "minilm",
    data: str | None = None,
    home: str | PathLike[str] | None = None,
    progress: bool = True,
    **options: Any,
) -> Model:
    """Train on DataFrames as `smart finetune` does, register the checkpoint, and return its model.

    `frames` is one DataFrame, frames by split (`{"train": …, "dev": …}`), or those by task. `tasks` are the `[[task]]`
    tables of a tasks.toml as dictionaries, without file names; left out, they are guessed as by `smart init`. Rows
    without a dev frame are divided. `options` are those of the command (`schedule=`, `lam=5`, `epochs=`, `seed=`). With
    `name`, a training that was stopped goes on when the same call is made again. The errors are those of the commands.
    """
    from pathlib import Path

    from smartcli.home import find_home
    from smartcli.workflows.api import load_model
    from smartcli.workflows.api_training import finetune_frames

    place = find_home(None if home is None else Path(home))
    with _view(progress) as listener:
        made = finetune_frames(
            place, frames, tasks, name=name, encoder=encoder, data=data, listener=listener, options=options
        )
    return load_model(place, made, options.get("device", "auto"))


@contextmanager
def _view(progress: bool) -> Iterator[Callable[[Event], None]]:
    """Yield what shows a training's events: a bar on a terminal, lines in a notebook or a file."""
    if not progress:
        yield lambda event: None
        return
    from rich.console import Console

    from smartcli.cli.progress import TrainingView

    with TrainingView(Console(stderr=True)) as view:
        yield view.record


def results(
    *names: str,
    split: str = "dev",
    data: str | None = None,
    paper: bool = False,
    home: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """Return the table of `smart evaluate` as a DataFrame, a row a checkpoint.

    Without names it has every checkpoint that was trained on the data set `data` (by default the one prepared last).
    Columns: checkpoint, kind, method, lambda (text), dropout, seed, `TASK_METRIC` and `TASK_n` for every task,
    overall. The errors are those of the command.
    """
    from pathlib import Path

    from smartcli.home import find_home
    from smartcli.workflows import api_frames as frames

    return frames.results(find_home(None if home is None else Path(home)), names, split=split, data=data, paper=paper)
