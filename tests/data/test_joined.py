"""Which columns hold several names in a cell, and which only look so."""

from __future__ import annotations

import pytest

from smartcli.data.joined import joined_names


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", "/"])
def test_names_that_stand_alone_and_together_are_joined(separator: str) -> None:
    values = ["roads", "waste", f"roads{separator}waste", f"parks{separator}roads", f"waste{separator}parks"]
    found = joined_names(values)
    assert found is not None
    assert (found.separator, found.names, found.sure) == (separator.strip(), ("parks", "roads", "waste"), True)


def test_names_that_never_stand_alone_are_not_sure() -> None:
    found = joined_names(["Sales, EU", "Sales, US", "Help, EU", "Help, US"])
    assert found is not None
    assert not found.sure


def test_the_separator_that_leaves_fewer_names_is_taken() -> None:
    found = joined_names(["bins/bags", "roads", "bins/bags;roads", "bins/bags;parks", "parks;roads", "parks"])
    assert found is not None
    assert (found.separator, found.names) == (";", ("bins/bags", "parks", "roads"))


@pytest.mark.parametrize(
    "values",
    [
        ["roads", "waste", "parks"],
        ["Billing, payments", "Shipping, returns", "Other"],
        ["1,5", "2,5", "3,5", "1,0", "2"],
        ["Paris, France", "Lyon, France", "Rome, Italy"],
        ["the bins, which are full, smell", "the road, too, is broken", "the bins, too"],
        ["a|a", "b|b", "a|b", "a"],
    ],
)
def test_other_values_are_not_joined(values: list[str]) -> None:
    assert joined_names(values) is None
