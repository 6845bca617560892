"""Seeded draws that are the same in every Python release."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Draws:
    """Draws from a named stream; only `Random.random` is used, whose values Python keeps across releases."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        """Return a whole number from 0 to n - 1."""
        return int(self._random() * n)

    def one(self, items: Sequence[Item]) -> Item:
        """Return one of `items`."""
        return items[self.below(len(items))]

    def other(self, items: Sequence[Item], item: Item) -> Item:
        """Return one of `items` that is not `item`."""
        return self.one([candidate for candidate in items if candidate != item])

    def chance(self, share: float) -> bool:
        """Return True in this share of the draws."""
        return self._random() < share
