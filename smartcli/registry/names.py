"""Names of checkpoints and runs: what is allowed, natural order, ranges and globs."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

from smartcli.errors import UserError, suggest
from smartcli.home import is_name

NUMBERED = re.compile(r"ckpt([1-9][0-9]{0,8})")
"""Names that are given when the user gives none."""
_STEM = re.compile(r"(.*?)([0-9]+)")


def check_name(name: str, option: str = "--name") -> str:
    """Return `name`, or raise a UserError that starts with `option`."""
    if not is_name(name):
        raise UserError(
            f"{option} must be 1 to 64 letters, digits, '.', '_' or '-', start with a letter or digit "
            f"and hold no '..'; found {name!r}"
        )
    return name


def number_of(name: str) -> int:
    """Return N of `ckptN`, and 0 for every other name."""
    found = NUMBERED.fullmatch(name)
    return int(found[1]) if found else 0


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which ckpt2 comes before ckpt10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts if part)


def natural_order(names: Iterable[str]) -> list[str]:
    """Return `names` sorted as people count."""
    return sorted(names, key=natural_key)


def expand_patterns(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the known names that `patterns` stand for, each once, in the order of the patterns.

    A pattern is a name, a range `ckpt1..ckpt5` (both ends must exist, gaps between them are left
    out) or a glob. One that stands for nothing is a UserError.
    """
    ordered = natural_order(known)
    found: dict[str, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_expand(pattern, ordered)))
    return list(found)


def unknown_name(name: str, known: Sequence[str]) -> UserError:
    """Return the error for a checkpoint that does not exist."""
    there = (
        "`smart checkpoints list` shows those there are" if known else "there are none yet: `smart finetune` makes one"
    )
    return UserError(f'there is no checkpoint "{name}"{suggest(name, known)}; {there}')


def _expand(pattern: str, known: Sequence[str]) -> list[str]:
    if ".." in pattern:
        return _range(pattern, known)
    if any(sign in pattern for sign in "*?["):
        matching = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise UserError(f'no checkpoint matches "{pattern}"; `smart checkpoints list` shows those there are')
        return matching
    check_name(pattern, "checkpoint name")
    if pattern not in known:
        raise unknown_name(pattern, known)
    return [pattern]


def _range(pattern: str, known: Sequence[str]) -> list[str]:
    first, _, last = pattern.partition("..")
    ends = _STEM.fullmatch(first), _STEM.fullmatch(last)
    if not is_name(first) or not is_name(last) or ends[0] is None or ends[1] is None or ends[0][1] != ends[1][1]:
        raise UserError(
            f'a range of checkpoints looks like ckpt1..ckpt5, the same word before both numbers; found "{pattern}"'
        )
    for end in (first, last):
        if end not in known:
            raise UserError(f'range "{pattern}": {unknown_name(end, known)}')
    low, high = int(ends[0][2]), int(ends[1][2])
    if low > high:
        raise UserError(f'range "{pattern}" ends before it starts; expected {last}..{first}')
    inside = []
    for name in known:
        parts = _STEM.fullmatch(name)
        if parts is not None and parts[1] == ends[0][1] and low <= int(parts[2]) <= high:
            inside.append(name)
    return inside
