"""The loss of one update: a clean pass over one packed batch, and a sum over terms.

Axes: T tokens, E embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smartcli.engine.model.dropout import fresh_dropout
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import Streams
from smartcli.engine.terms.ascent_by_derivatives import outputs_and_change
from smartcli.engine.terms.base import CleanPass, Measured, Term, TrainingBatch
from smartcli.engine.training.balance import Balance
from smartcli.engine.training.outcome import TOTAL, Key, part_of, square_of


@dataclass
class StepLoss:
    """What a step's terms found, by term; `total` is what is differentiated."""

    total: Tensor
    found: dict[str, Measured]
    parts: dict[str, Tensor] = field(default_factory=dict)
    """By task, where weights are learnt: its part of the total before the task's weights."""
    squares: dict[str, Tensor] = field(default_factory=dict)
    """By task, where it was asked for: the squared norm of its gradient (gradient_share.py)."""

    def numbers(self) -> dict[Key, Tensor]:
        """Return every scalar under a name of its own, the total first, without graph."""
        out = {TOTAL: self.total, **{name: group[name[2]] for name, group in self._places()}}
        for term, measured in self.found.items():
            if isinstance(measured.skipped, Tensor):
                out[term, "skipped", ""] = measured.skipped
        out |= {part_of(task): part for task, part in self.parts.items()}
        out |= {square_of(task): square for task, square in self.squares.items()}
        return {name: value.detach() for name, value in out.items()}

    def floats(self) -> dict[Key, float]:
        """Return the same as Python numbers."""
        out = {name: float(value) for name, value in self.numbers().items()}
        return out | {(term, "skipped", ""): 1.0 for term, found in self.found.items() if found.skipped is True}

    def replace(self, numbers: Mapping[Key, Tensor]) -> None:
        """Set every scalar to that of its name, as when `numbers` of several processes were added."""
        self.total = numbers[TOTAL]
        for name, group in self._places():
            group[name[2]] = numbers[name]
        self.parts = {task: numbers[part_of(task)] for task in self.parts}
        self.squares = {task: numbers[square_of(task)] for task in self.squares}

    def _places(self) -> Iterator[tuple[Key, dict[str, Tensor]]]:
        for term, measured in self.found.items():
            groups = {"value": measured.values, "scalar": measured.scalars, **measured.logged}
            for kind, group in groups.items():
                for key in group:
                    yield (term, kind, key), group


@dataclass(frozen=True)
class Objective:
    """What a step computes: the model, the terms of its loss, and the precision."""

    model: MultiTaskModel
    terms: tuple[Term, ...]
    bf16: bool = False
    fixed: Mapping[str, float] = field(default_factory=dict)
    """What each task's part is multiplied by (task_weights.py); of one that is not there the table's weight."""
    balance: Balance | None = None
    """A further factor that is learnt."""

    def loss(
        self, given: TrainingBatch, words: Tensor, streams: Streams, *, probe: bool = False, check: bool = False
    ) -> StepLoss:
        """Return the loss of one step from looked-up word vectors `words` (T, E).

        `probe` and `check` ask the terms for what only logged steps show. Autocast is opened here, per step: its
        weight cache would go stale around a loop. Of several processes each gets its part of every sum.
        """
        with torch.autocast(words.device.type, torch.bfloat16, enabled=self.bf16):
            # Surgery gives each task a batch of its own, which a term may have nothing to do with.
            terms = [term for term in self.terms if term.name in given.of_term]
            clean = self._clean(terms, given, words, streams)
            total: Tensor | None = None
            found: dict[str, Measured] = {}
            parts: dict[str, Tensor] = {}
            for term in terms:
                found[term.name] = term.measure(clean, streams, probe=probe, check=check)
                for task, value in found[term.name].values.items():
                    weighted = self.fixed.get(task, self.model.tasks.get(task).weight) * term.weight(task) * value
                    if self.balance is not None:
                        weighted = self.balance.weight(task).to(value.dtype) * weighted
                        part = term.weight(task) * value.detach()
                        parts[task] = parts[task] + part if task in parts else part
                    total = weighted if total is None else total + weighted
        assert total is not None
        return StepLoss(total, found, parts)

    def _clean(self, terms: list[Term], given: TrainingBatch, words: Tensor, streams: Streams) -> CleanPass:
        """Return f(x), in the same pass with a derivative where a term asks for one (one term at most can)."""
        asked = {term.name: term.request(given, words, streams) for term in terms}
        requests = {name: request for name, request in asked.items() if request is not None}
        record = any(term.replays for term in terms)
        dropout = fresh_dropout(streams["dropout"], given.batch, record=record)
        keep: dict[str, list[Tensor]] | None = {} if any(term.reads_vectors for term in terms) else None
        along = [name for name, request in requests.items() if request.derivative]
        if not along:
            logits = self.model(words, given.batch, dropout, keep)
            return CleanPass(given, words, logits, dropout, requests, {}, keep or {})
        direction = requests[along[0]].direction
        logits, change = outputs_and_change(self.model, words, direction, given.batch, dropout, keep)
        return CleanPass(given, words, logits, dropout, requests, {along[0]: change}, keep or {})
