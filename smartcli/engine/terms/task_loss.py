"""Each task's own loss: cross entropy, binary cross entropy, or squared error (losses.task_loss)."""

from __future__ import annotations

from collections.abc import Sequence

from smartcli.config import Settings
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import CleanPass, Measured, Term


class TaskLoss(Term):
    """ℓ: the loss against the labels, for every task."""

    name = "loss"

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(tasks)

    def weight(self, task: str) -> float:
        """Return 1, or with multi-sample dropout the share of the clean pass's own sample."""
        return 1.0 / self.settings.dropout_samples

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        given = clean.given
        values = {task: self.loss(task, clean.logits[task], given) for task in given.batch.outputs}
        return Measured(values)
