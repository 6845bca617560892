"""`smart soup`: one checkpoint with the mean of several runs' weights, uniform or greedy.

Wortsman et al. 2022 (arXiv 2203.05482), recipes "uniform" and "greedy" (their Recipe 1): greedy goes through the runs
from the best to the worst and keeps one where the mean with it scores no less than the mean without it. It picks on one
half of dev, and what is reported is the other half.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import DISK
from smartcli.data.predictions import Predictions, write_predictions
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.metrics import scores_json
from smartcli.registry.checkpoint import PREDICTIONS, Checkpoint
from smartcli.registry.meta import META, CheckpointMeta, Lineage, utc_now
from smartcli.registry.registry import Registry
from smartcli.report.tables import ScoreTable
from smartcli.strictjson import canonical_json
from smartcli.tasks import Task
from smartcli.voting import halves, rank
from smartcli.workflows.checkpoints.model_card import model_card
from smartcli.workflows.scoring.evaluation import remarks_on, score_row, table_of, undefined_scores
from smartcli.workflows.scoring.soup_starts import check_one_start
from smartcli.workflows.scoring.sources import Say, Subject, silent, subject_of

if TYPE_CHECKING:
    from smartcli.engine.model.weight_mean import Weights
    from smartcli.workflows.scoring.model_outputs import LoadedModel


@dataclass(frozen=True)
class SoupOutcome:
    """The registered soup, and the table of its candidates and itself on the rows that are reported."""

    checkpoint: Checkpoint
    table: ScoreTable
    chosen: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints: evaluate's form, the soup's name, and the runs whose weights it has."""
        return {"soup": self.checkpoint.name, "members": list(self.chosen), **self.table.to_json()}


@dataclass(frozen=True)
class _Mixed:
    """Weights of a soup, the runs in it, and its predictions on dev."""

    chosen: tuple[str, ...]
    weights: Weights
    dev: Predictions


def soup(
    home: Home,
    patterns: Sequence[str],
    *,
    greedy: bool = False,
    name: str | None = None,
    argv: Sequence[str] = (),
    say: Say = silent,
) -> SoupOutcome:
    """Average the weights of the named runs of one start, and register the result as an ordinary checkpoint.

    UserErrors: fewer than two runs, runs of two starts (`check_one_start`), weights too far apart for a mean, a data
    set that is not here or has changed.
    """
    started = time.monotonic()
    registry = Registry(home)
    if name is not None:
        registry.check_free(name)
    members = [registry.open(one) for one in registry.expand(patterns)]
    check_one_start(registry, members)
    subject = subject_of(home, members)
    subject.require()
    kitchen = _Kitchen(home, subject, members)
    mixed = kitchen.greedy(say) if greedy else kitchen.uniform()
    found = _reported(subject, kitchen, mixed) if greedy else _Reported(mixed.dev, kitchen.member_dev, None)
    metrics = scores_json(subject.tasks, found.soup)
    parts = [next(member for member in members if member.name == one) for one in mixed.chosen]
    with registry.claim(name) as taken:
        meta = _meta(taken, parts, greedy, found.selection, metrics, argv, started)
        checkpoint = registry.commit(taken, lambda folder: _fill(folder, registry, meta, kitchen, mixed))
    rows = [score_row(member, subject.tasks, found.members[member.name]) for member in members]
    rows.append(score_row(checkpoint, subject.tasks, found.soup))
    remarks = [f"in the soup: {', '.join(mixed.chosen)}", *remarks_on(members, subject)]
    part = "the half of dev that did not choose" if greedy else ""
    table = table_of(subject, "dev", rows, undefined_scores(rows), remarks, part)
    return SoupOutcome(checkpoint, table, mixed.chosen)


@dataclass(frozen=True)
class _Reported:
    """Predictions that are scored, the soup's and each member's, and how a greedy soup was chosen."""

    soup: Predictions
    members: Mapping[str, Predictions]
    selection: Mapping[str, Any] | None


def _reported(subject: Subject, kitchen: _Kitchen, mixed: _Mixed) -> _Reported:
    """Return the predictions on the half of dev that did not choose."""
    first, second = halves(mixed.dev, subject.fingerprint)
    selection = {
        "top": len(mixed.chosen),
        "of": len(kitchen.members),
        "candidates": [member.name for member in kitchen.members],
        "chosen_on": {task: len(rows) for task, rows in first.items()},
        "reported_on": {task: len(rows) for task, rows in second.items()},
    }
    members = {name: halves(found, subject.fingerprint)[1] for name, found in kitchen.member_dev.items()}
    return _Reported(second, members, selection)


class _Kitchen:
    """The runs' weights, one run in memory at a time, and a model that takes their means and predicts dev."""

    def __init__(self, home: Home, subject: Subject, members: Sequence[Checkpoint]) -> None:
        from smartcli.workflows.scoring.model_outputs import LoadedModel

        self.home, self.subject, self.members = home, subject, members
        self.model: LoadedModel = LoadedModel(home, members[0])
        self.first = self._weights(self.model)
        self.member_dev = {member.name: member.predictions() for member in members}

    def uniform(self) -> _Mixed:
        """Return the mean of all runs."""
        from smartcli.engine.model.weight_mean import WeightSum

        total = WeightSum()
        for member in self.members:
            total = total.plus(self.load(member))
        weights = total.mean()
        return _Mixed(tuple(member.name for member in self.members), weights, self.predict(weights))

    def greedy(self, say: Say) -> _Mixed:
        """Return the mean that Recipe 1 of the paper finds, by the overall score on the half of dev that chooses."""
        from smartcli.engine.model.weight_mean import WeightSum

        key, tasks = self.subject.fingerprint, self._scored()
        firsts = {name: halves(found, key)[0] for name, found in self.member_dev.items()}
        order = [name for name, _ in rank(tasks, firsts)]
        by_name = {member.name: member for member in self.members}
        total, best = WeightSum(), -1.0
        mixed: _Mixed | None = None
        for name in order:
            tried = total.plus(self.load(by_name[name]))
            weights = tried.mean()
            dev = self.predict(weights)
            score = rank(tasks, {name: halves(dev, key)[0]})[0][1]
            taken = mixed is None or score >= best
            say(f"{'with' if taken else 'without'} {name}: {score:.4f} on the half of dev that chooses")
            if taken:
                chosen = (*(mixed.chosen if mixed is not None else ()), name)
                total, best, mixed = tried, score, _Mixed(chosen, weights, dev)
        assert mixed is not None, "the first run is always taken"
        return mixed

    def _scored(self) -> list[Task]:
        """Return the tasks by whose mean score a greedy soup picks: those with a head and dev labels."""
        dev = self.member_dev[self.members[0].name]
        found = [task for task in self.subject.tasks if task.name in dev and dev[task.name].labels is not None]
        if not found:
            raise UserError("a greedy soup picks by dev scores, but no dev row here has a label; leave out --greedy")
        return found

    def load(self, member: Checkpoint) -> Weights:
        """Return a run's weights; a UserError where they are too far from the first one's for a mean."""
        from smartcli.engine.model.weight_mean import far_tensor
        from smartcli.workflows.scoring.model_outputs import LoadedModel

        first = self.members[0]
        if member is first:
            return self.first
        found = self._weights(LoadedModel(self.home, member))
        try:
            far = far_tensor(self.first, found)
        except ValueError as error:
            raise UserError(f"{first.name} and {member.name} have different weights: {error}; leave one out") from error
        if far is not None:
            raise UserError(
                f'the weights of {first.name} and {member.name} are no two runs of one start: their "{far[0]}" point '
                f"apart (cosine {far[1]:.2f}, where fine-tuning leaves it near 1); train both from one start, or leave "
                "one out"
            )
        return found

    def _weights(self, model: LoadedModel) -> Weights:
        from smartcli.engine.model.weight_mean import weights_of

        return weights_of(model.model)

    def predict(self, weights: Weights) -> Predictions:
        """Return the predictions on dev of a model with these weights, which the kitchen's model has from now on."""
        from smartcli.engine.model.weight_mean import set_weights

        set_weights(self.model.model, weights)
        try:
            return self.model.on_split(self.subject.require(), "dev")
        except SmartCliError as error:
            raise SmartCliError(f"the mean of the weights gives no finite output ({error})") from error


def _meta(
    name: str,
    parts: Sequence[Checkpoint],
    greedy: bool,
    selection: Mapping[str, Any] | None,
    metrics: Mapping[str, Any],
    argv: Sequence[str],
    started: float,
) -> CheckpointMeta:
    """Return the soup's smart.json; of a greedy one the metrics are those of the half that did not choose."""
    from smartcli.workflows.training.finish import versions

    first = parts[0].meta
    shared = {key: value for key, value in first.settings.items() if _all_have(parts, key, value)}
    return CheckpointMeta(
        name=name,
        kind="soup",
        method=f"{'greedy' if greedy else 'uniform'} soup of {len(parts)}",
        command=list(argv),
        settings=shared,
        tasks=first.tasks,
        all_tasks=first.all_tasks,
        encoder=first.encoder,
        data=first.data,
        lineage=Lineage(
            members=tuple(part.reference() for part in parts),
            selection=None if selection is None else {**selection, "metrics": dict(metrics)},
        ),
        metrics=dict(metrics),
        versions=versions(),
        seconds=round(time.monotonic() - started, 3),
        created=utc_now(),
    )


def _all_have(parts: Sequence[Checkpoint], key: str, value: Any) -> bool:
    return all(part.meta.settings.get(key) == value for part in parts)


def _fill(folder: Path, registry: Registry, meta: CheckpointMeta, kitchen: _Kitchen, mixed: _Mixed) -> None:
    from smartcli.engine.model.build import encoder_bytes, head_bytes
    from smartcli.engine.model.weight_mean import set_weights

    first = kitchen.members[0]
    set_weights(kitchen.model.model, mixed.weights)
    files = {
        "config.json": first.read("config.json"),
        "model.safetensors": encoder_bytes(kitchen.model.model),
        "heads.safetensors": head_bytes(kitchen.model.model),
        "tokenizer.json": first.read("tokenizer.json"),
        META: canonical_json(meta.to_json()),
        PREDICTIONS: write_predictions(mixed.dev),
        "README.md": model_card(meta).encode(),
    }
    for file, content in files.items():
        DISK.write(folder / file, content, shown=registry.home.checkpoints / meta.name / file)
