"""Terms of a text put in place of each other: `--swap old=new`, and lists of pairs exchanged both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from smartcli.errors import UserError


class Exchange:
    """Replaces terms by others, all at once: what was put in is not replaced again.

    Terms are found as whole words, in whatever case; spaces in a term stand for any white space. The case of the
    text is kept: all capitals, or the first letter.
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        """Take old to new; of two old terms the longer one is looked for first."""
        self.terms = dict(terms)
        self._old = sorted(self.terms, key=lambda term: (-len(term), term))
        pattern = "|".join(f"({_whole(term)})" for term in self._old)
        self._pattern = re.compile(pattern, re.IGNORECASE) if self._old else None

    def __call__(self, text: str) -> str:
        """Return `text` with every term replaced."""
        return self.counted(text)[0]

    def counted(self, text: str) -> tuple[str, dict[str, int]]:
        """Return `text` with every term replaced, and how often each of the terms that occur was found."""
        found: dict[str, int] = {}
        if self._pattern is None:
            return text, found

        def put(match: re.Match[str]) -> str:
            assert match.lastindex is not None
            old = self._old[match.lastindex - 1]
            found[old] = found.get(old, 0) + 1
            return like(match.group(), old, self.terms[old])

        return self._pattern.sub(put, text), found


def _whole(term: str) -> str:
    """Return a pattern of the term that is no part of a longer word; marks at its ends need no gap beside them."""
    middle = r"\s+".join(re.escape(part) for part in term.split())
    before = r"(?<!\w)" if re.match(r"\w", term) else ""
    # An accent may follow its letter as a character of its own.
    after = r"(?![\w\u0300-\u036f])" if re.search(r"\w\Z", term) else ""
    return f"{before}{middle}{after}"


def like(found: str, old: str, new: str) -> str:
    """Return `new` in the case that `old` was found in: as given, all capitals, or its first letter alone."""
    if found == old:
        return new
    if found.isupper() and len(found) > 1:
        return new.upper()
    if found[:1].isupper():
        return new[:1].upper() + new[1:]
    return new[:1].lower() + new[1:] if found[:1].islower() else new


def parse_swaps(values: Sequence[str], option: str = "--swap") -> dict[str, str]:
    """Return old to new of values like `old=new`; a UserError says what is wrong with which."""
    swaps: dict[str, str] = {}
    for value in values:
        old, equals, new = (part.strip() for part in value.partition("="))
        if not equals or not old or not new:
            what = "nothing before the =" if equals and not old else "nothing after the =" if equals else "no ="
            raise UserError(f'{option}: expected old=new, as in {option} preference=taste; found "{value}" ({what})')
        if _same(old, new):
            raise UserError(f'{option}: "{old}" and "{new}" are the same term, so nothing would change; give another')
        if twice := next((other for other in swaps if _same(other, old)), None):
            raise UserError(f'{option}: "{old}" is replaced twice, by "{swaps[twice]}" and by "{new}"; leave one out')
        swaps[old] = new
    return swaps


def both_ways(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each term's partner; a term of several pairs takes the partner of its first one."""
    partners: dict[str, str] = {}
    known: set[str] = set()
    for pair in pairs:
        for old, new in (pair, pair[::-1]):
            if old.casefold() not in known:
                known.add(old.casefold())
                partners[old] = new
    return partners


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()
