"""Which terms a loss may have, in the order in which they are summed and logged."""

from __future__ import annotations

from collections.abc import Sequence

from smartcli.config import Settings
from smartcli.engine.terms.base import Context, Term
from smartcli.engine.terms.bregman import Bregman
from smartcli.engine.terms.fgm import Fgm
from smartcli.engine.terms.multi_dropout import MultiDropout
from smartcli.engine.terms.rdrop import RDrop
from smartcli.engine.terms.smoothness import Smoothness
from smartcli.engine.terms.task_loss import TaskLoss

TERMS: list[type[Term]] = [TaskLoss, MultiDropout, Smoothness, Bregman, Fgm, RDrop]


def active_tasks(settings: Settings, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return by name the terms that are on, each with its tasks among `tasks`."""
    found = {term.name: term.active(settings, tasks) for term in TERMS}
    return {name: own for name, own in found.items() if own}


def method_words(settings: Settings, tasks: Sequence[str]) -> list[str]:
    """Return the words by which a checkpoint's method names the terms that are on."""
    return [term.method for term in TERMS if term.method and term.active(settings, tasks)]


def make_terms(context: Context) -> tuple[Term, ...]:
    """Return the terms of a phase."""
    return tuple(term(context) for term in TERMS if term.active(context.settings, context.tasks))
