"""What a run needs to go on: tensors by file, and its position as JSON values; no pickle anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from smartcli.disk import explain_os_errors
from smartcli.engine.model.build import METADATA


@dataclass
class Position:
    """Where a run stands, and the numbers that go on counting."""

    phase: int = 0
    step: int = 0
    """Updates done in this phase."""
    total: int = 0
    """Updates done in the run."""
    examples: int = 0
    tokens: int = 0
    truncated: int = 0
    seconds: float = 0.0
    bad_steps: int = 0
    skipped_penalties: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    conflicts: dict[str, list[float]] = field(default_factory=dict)
    """For each pair `a,b` in this epoch: steps in conflict, sum of cosines, steps."""
    task_norms: dict[str, float] = field(default_factory=dict)
    """By task: the sum of its gradient's norms over this epoch's measured steps."""
    log_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        return cls(**value)


@dataclass(frozen=True)
class Snapshot:
    """A saved run: `position`, and tensors by file: model, optimizer, streams, teacher, average, balance, best."""

    position: Position
    tensors: Mapping[str, Mapping[str, Tensor]]

    def write(self, folder: Path) -> None:
        """Write one safetensors file a group into `folder`."""
        from safetensors.torch import save_file

        for name, group in self.tensors.items():
            if group:
                plain = {key: value.detach().cpu().contiguous() for key, value in group.items()}
                path = folder / f"{name}.safetensors"
                needed = sum(value.numel() * value.element_size() for value in plain.values())
                with explain_os_errors(path, "write", needed=needed):
                    save_file(plain, path, metadata=METADATA)

    @classmethod
    def read(cls, folder: Path, position: Mapping[str, Any]) -> Snapshot:
        """Read what `write` wrote."""
        from safetensors.torch import load_file

        tensors = {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        return cls(Position.from_json(position), tensors)
