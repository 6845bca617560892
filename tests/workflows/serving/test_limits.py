from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from smartcli.errors import UserError
from smartcli.workflows.serving.limits import Limits


def test_the_defaults_are_allowed_and_so_is_no_wait() -> None:
    Limits().check()
    Limits(wait_ms=0).check()
    Limits(timeout=0.5, body_timeout=0.1).check()


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_limit_that_makes_no_sense_is_named(name: str, value: float) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be"):
        Limits(**wrong).check()


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if field.name != "wait_ms"])
def test_nothing_at_all_is_no_limit(name: str) -> None:
    nothing: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=name.replace("_", "-")):
        Limits(**nothing).check()
