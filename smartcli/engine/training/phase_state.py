"""Everything one phase of training holds beside the model: optimizer, gradients, streams, terms, best weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from smartcli.config import Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.multitask import MultiTaskModel
from smartcli.engine.streams import Streams
from smartcli.engine.terms.base import Context
from smartcli.engine.terms.term_table import make_terms
from smartcli.engine.training.averaged_weights import AveragedWeights
from smartcli.engine.training.balance_table import make_balance
from smartcli.engine.training.fixed_step import FixedUpdater
from smartcli.engine.training.gradients import Gradients
from smartcli.engine.training.layer_decay import rates_of
from smartcli.engine.training.objective import Objective
from smartcli.engine.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from smartcli.engine.training.recorder import MakeRecorder
from smartcli.engine.training.schedule import Phase
from smartcli.engine.training.task_weights import task_weights
from smartcli.engine.training.update import Updater
from smartcli.errors import UserError


@torch.no_grad()
def load_model(model: MultiTaskModel, tensors: Mapping[str, Tensor]) -> None:
    """Copy weights by parameter name into the model; UserError where another version saved them under other names."""
    own = dict(model.named_parameters())
    if other := sorted(own.keys() ^ tensors.keys()):
        raise UserError(
            f"the saved weights have other names than this version's ({other[0]} and {len(other) - 1} more), so "
            "another version of smart-finetune saved them; go on with that one, or start the training again"
        )
    for name, parameter in own.items():
        parameter.copy_(tensors[name])


class PhaseState:
    """A phase's optimizer, streams, terms and best weights, new or restored from a snapshot."""

    def __init__(
        self,
        model: MultiTaskModel,
        phase: Phase,
        settings: Settings,
        device: torch.device,
        bf16: bool,
        processes: Processes = ALONE,
        recorder: MakeRecorder | None = None,
    ) -> None:
        """Make a phase's state; with `recorder`, which makes one from the streams, for batches of fixed shape."""
        self.model = model
        encoder = list(model.encoder.named_parameters())
        for name, parameter in encoder:
            used = model.pooling == "pooler" or not name.startswith("pooler.")
            parameter.requires_grad_(used and not settings.freeze_encoder)
        own = {task: list(model.head(task).named_parameters()) for task in phase.tasks}
        self.named = [(f"encoder.{name}", p) for name, p in encoder if p.requires_grad]
        self.named += [(f"heads.{task}.{name}", p) for task, part in own.items() for name, p in part]
        table = dict(model.encoder.words.named_parameters())["weight"]
        self.streams = Streams(settings.seed, phase.key, device)
        self.terms = make_terms(Context(model, settings, phase.tasks, bf16))
        self.best: dict[str, Tensor] | None = None
        of_fixed_shape = recorder is not None
        fixed = task_weights(settings, model.tasks)
        self.balance = make_balance(settings, [model.tasks.get(task) for task in phase.tasks], fixed, device)
        # The learning rate, and how much stays of what follows the weights.
        self.average = AveragedWeights(self.named, settings.ema) if settings.ema > 0 else None
        rates = torch.zeros(1 + len(self.terms) + (self.average is not None), device=device)
        layers = model.encoder.spec.layers
        slower = rates_of((name for name, _ in self.named), settings.layer_decay, layers)
        self.optimizer = make_optimizer(self.named, settings, rates[0] if of_fixed_shape else None, slower)
        parts: dict[str, Any] = {
            "objective": Objective(model, self.terms, bf16, fixed, self.balance),
            "settings": settings,
            "gradients": Gradients([p for _, p in self.named], table, spare_row=of_fixed_shape),
            "optimizer": self.optimizer,
            "streams": self.streams,
            "shared": [p for _, p in encoder if p.requires_grad and p is not table],
            "own": {task: [p for _, p in part] for task, part in own.items()},
            "steps": phase.steps,
            "processes": processes,
            "average": self.average,
        }
        self.updater = (
            Updater(**parts)
            if recorder is None
            else FixedUpdater(**parts, rates=rates, recorder=recorder(self.streams.on_device))
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the model hold inside what is evaluated and kept: with `--ema` the averaged weights."""
        if self.average is None:
            yield
            return
        with self.average.in_place():
            self.weights_changed()
            yield
        self.weights_changed()

    def keep_best(self) -> None:
        """Remember the model's weights as the best so far."""
        self.best = {name: tensor.clone() for name, tensor in self.model_tensors().items()}

    def restore_best(self) -> None:
        """Set the model to the best weights."""
        if self.best is not None:
            load_model(self.model, self.best)
            self.weights_changed()

    def weights_changed(self) -> None:
        """Tell the updater that something else has written weights."""
        self.updater.weights_changed()

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the model's weights by parameter name."""
        return {name: p.data for name, p in self.model.named_parameters()}

    def finite(self) -> bool:
        """Return whether every weight is a finite number."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in self.model_tensors().values())

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return all that a snapshot of this phase holds, by file."""
        return {
            "model": self.model_tensors(),
            "optimizer": optimizer_tensors(self.optimizer, self.named),
            "streams": self.streams.state(),
            "best": self.best or {},
            **{file: group for follower in self.updater.followers for file, group in follower.state().items()},
            **({} if self.balance is None else self.balance.state()),
        }

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from a snapshot; the model's own weights are loaded by the caller."""
        restore_optimizer(self.optimizer, self.named, tensors.get("optimizer", {}))
        self.streams.restore(dict(tensors["streams"]))
        for follower in self.updater.followers:
            follower.restore(tensors)
        if self.balance is not None:
            self.balance.restore(tensors)
        self.weights_changed()
        if "best" in tensors:
            device = next(self.model.parameters()).device
            self.best = {name: tensor.to(device) for name, tensor in tensors["best"].items()}
