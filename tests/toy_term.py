"""A regulariser that the package does not know: predictions under random noise, weighted by a state of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from smartcli.config import Settings
from smartcli.engine.streams import Streams
from smartcli.engine.terms import term_table as table
from smartcli.engine.terms.base import CleanPass, Context, Measured, Term


class Toy(Term):
    """mean (f(x + noise) − f(x))², for the tasks with λ > 0; each update raises `level`, which multiplies it."""

    name = "toy"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.level = torch.tensor(1.0)

    @classmethod
    def active(cls, settings: Settings, tasks: Sequence[str]) -> tuple[str, ...]:
        return tuple(task for task in tasks if settings.lam[task] > 0)

    def weight(self, task: str) -> float:
        return 0.5

    def measure(self, clean: CleanPass, streams: Streams, *, probe: bool, check: bool) -> Measured:
        part = clean.given.of_term[self.name]
        words = clean.words.index_select(0, part.tokens)
        noise = part.batch.by_token(lambda n: torch.randn(n, words.shape[1], generator=streams[self.name]))
        moved = self.model(words + 0.1 * noise, part.batch)
        values = {}
        for task in part.batch.outputs:
            change = (moved[task] - clean.logits[task]).square()
            each = change if change.dim() == 1 else change.sum(dim=1)
            values[task] = self.level * part.batch.mean(each, task)
        largest = {"toy_level": self.level.clone()} if probe and part.batch.part is None else {}
        return Measured(values, scalars=largest)

    def follow(self, number: int, steps: int) -> None:
        self.level = self.level + number / steps

    def state(self) -> dict[str, dict[str, Tensor]]:
        return {"toy": {"level": self.level}}

    def restore(self, files: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.level = files["toy"]["level"]


@contextmanager
def registered() -> Iterator[None]:
    """Train with the term, which is one line in the table of terms."""
    table.TERMS.append(Toy)
    try:
        yield
    finally:
        table.TERMS.remove(Toy)
