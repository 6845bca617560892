"""Named random generators, so that a draw added in one place changes no other."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seed_of(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream called by `names` under the run's `seed`."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for the stream called by `names`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(seed_of(seed, *names))
    return generator


def shuffled(seed: int, task: str, passage: str | int, n: int) -> Tensor:
    """Return a permutation (n,) of a task's rows for one pass; the same for the same arguments."""
    return torch.randperm(n, generator=stream(seed, "order", task, passage))


ON_CPU = frozenset({"surgery"})
"""Streams whose few draws decide what is done: the same on every device."""


class Streams:
    """The generators of one training phase, by name; made on first use, saved and restored whole."""

    def __init__(self, seed: int, phase: str, device: torch.device | str = "cpu") -> None:
        self.seed, self.phase, self.device = seed, phase, device
        self._made: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._made:
            device = "cpu" if name in ON_CPU else self.device
            self._made[name] = stream(self.seed, "phase", self.phase, name, device=device)
        return self._made[name]

    def on_device(self) -> list[torch.Generator]:
        """Return the generators made so far that draw on the phase's own device."""
        return [generator for name, generator in self._made.items() if name not in ON_CPU]

    def state(self) -> dict[str, Tensor]:
        """Return each used generator's state as a uint8 tensor."""
        return {name: generator.get_state() for name, generator in self._made.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Set generators to saved states; names not given start afresh, as do states of another kind of device."""
        self._made.clear()
        for name, value in state.items():
            if self[name].get_state().shape == value.shape:
                self[name].set_state(value.cpu())
