"""Who hears what happens to the trials of a worker."""

from __future__ import annotations

from typing import Protocol

from smartcli.workflows.studies.cells import Planned, Watcher


class SearchWatcher(Watcher, Protocol):
    """Hears of trials as of the cells of a plan, and besides what only trials do."""

    def prune(self, planned: Planned, epochs: int) -> None: ...

    def tell(self, message: str) -> None: ...
