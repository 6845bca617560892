"""Fine-tune one small encoder for several sentence tasks at once, with SMART regularisation.

In Python: `smartcli.load("ckpt3").predict("sts", pairs)` and `smartcli.results()`. Importing this package imports
nothing heavy: torch comes with the first `load`, pandas with the first `results`.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from smartcli.errors import SmartCliError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from smartcli.workflows.api import Model

__all__ = ["SmartCliError", "UserError", "__version__", "load", "results"]

__version__ = "0.1.0"


def load(name: str, *, home: str | PathLike[str] | None = None) -> Model:
    """Return a checkpoint or an ensemble by name, every file verified, ready to predict.

    `home` is the folder of `--home`; by default $SMART_HOME, else the user's data folder. UserError where there
    is no such checkpoint, SmartCliError where a file of it is not as it was committed.
    """
    from pathlib import Path

    from smartcli.home import find_home
    from smartcli.workflows.api import load_model

    return load_model(find_home(None if home is None else Path(home)), name)


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
