"""The encoder and the heads of all tasks, as one module over packed batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import Dropout, no_dropout
from smartcli.engine.model.encoder import Encoder, Pooling
from smartcli.engine.model.heads import Head
from smartcli.engine.model.packing import PackedBatch
from smartcli.tasks import TaskTable


class MultiTaskModel(nn.Module):
    """One encoder pass over the sentences of all tasks, then each task's head."""

    def __init__(self, encoder: Encoder, tasks: TaskTable, *, pair_mode: str, pooling: Pooling) -> None:
        super().__init__()
        self.encoder = encoder
        self.tasks = tasks
        self.pair_mode = pair_mode
        self.pooling: Pooling = pooling
        heads = {_key(task.name): Head(task, pair_mode, encoder.spec.hidden_size) for task in tasks}
        self.heads = nn.ModuleDict(heads)

    def head(self, task: str) -> Head:
        """Return the head of `task`."""
        module = self.heads[_key(task)]
        assert isinstance(module, Head)
        return module

    def forward(
        self,
        words: Tensor,
        batch: PackedBatch,
        dropout: Dropout = no_dropout,
        keep: dict[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Return each task's logits in fp32 or wider: (n, C) or (n,), from word vectors `words` (T, E).

        With `keep` the vectors (n, D) that each head reads, a side each, are left there, without dropout.
        """
        vectors = self.encoder(words, batch, pooling=self.pooling, dropout=dropout)
        out: dict[str, Tensor] = {}
        for task, indices in batch.outputs.items():
            sides = [pick(vectors, index) for index in indices]
            if keep is not None:
                keep[task] = sides
            out[task] = self.read_out(task, sides, dropout)
        return out

    def read_out(self, task: str, sides: Sequence[Tensor], dropout: Dropout, place: str = "head") -> Tensor:
        """Return a task's logits (n, C) or (n,) from the vectors (n, D) of its sides, with dropout at `place`."""
        dropped = [
            dropout(vectors, self.encoder.dropout, f"example:{task}", f"{place}.{task}.{side}")
            for side, vectors in enumerate(sides)
        ]
        logits: Tensor = self.head(task)(dropped)
        return logits.float() if logits.element_size() < 4 else logits


def _key(task: str) -> str:
    # A task may be called "type" or "values", which a ModuleDict has already.
    return f"task {task}"


def head_tensors(model: MultiTaskModel) -> dict[str, Tensor]:
    """Return every head's tensors as `TASK.weight` and `TASK.bias` (no entry for a head without weights)."""
    out: dict[str, Tensor] = {}
    for name in model.tasks.names:
        linear = model.head(name).linear
        if linear is not None:
            out[f"{name}.weight"], out[f"{name}.bias"] = linear.weight.data, linear.bias.data
    return out


def fill_heads(model: MultiTaskModel, tensors: Mapping[str, Tensor], tasks: Sequence[str]) -> None:
    """Copy stored head tensors into the heads of `tasks`."""
    own = head_tensors(model)
    for task in tasks:
        for part in ("weight", "bias"):
            if f"{task}.{part}" in own:
                own[f"{task}.{part}"].copy_(tensors[f"{task}.{part}"])
