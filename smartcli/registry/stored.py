"""JSON objects of our files as records that are written as they were read, keys of newer versions included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

MAY_LACK: Mapping[str, bool] = {"may_lack": True}
"""Metadata of a field that a new record lacks where it is None."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record whose fields are the keys of a JSON object, in the order in which a new one has them."""

    keys: tuple[str, ...] | None = field(default=None, repr=False, compare=False)
    """The keys in the order in which they were read; None in a new record."""
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keys that this version does not know, kept for the one that wrote them."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a key that is absent has the field's default."""
        names = {one.name for one in _own(cls)}
        known = {key: cls.read_field(key, found) for key, found in value.items() if key in names}
        more = {key: found for key, found in value.items() if key not in names}
        return cls(**known, keys=tuple(value), more=more)

    @classmethod
    def read_field(cls, key: str, value: Any) -> Any:
        """Return the field's value for a JSON value."""
        return value

    def to_json(self) -> dict[str, Any]:
        """Return the object: keys in the order in which they were read, those set since at the end."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in _own(type(self))}
        if self.keys is None:
            lacks = {one.name for one in _own(type(self)) if one.metadata.get("may_lack") and plain[one.name] is None}
            return {key: value for key, value in plain.items() if key not in lacks} | dict(self.more)
        default = {one.name: one.default for one in _own(type(self))}
        out = {key: plain[key] if key in plain else self.more[key] for key in self.keys}
        return out | {key: value for key, value in plain.items() if key not in out and value and value != default[key]}

    def plain(self) -> Any:
        """Return the JSON value that stands for this record inside another one."""
        return self.to_json()


def _own(cls: type[Stored]) -> list[Any]:
    return [one for one in fields(cls) if one.name not in ("keys", "more")]


def _plain(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.plain()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
