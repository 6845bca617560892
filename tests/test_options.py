"""The table of options and the type of the settings say the same."""

from __future__ import annotations

from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from smartcli.config import Settings, field_of
from smartcli.option_table import OPTIONS, Option

HINTS = get_type_hints(Settings)


def test_every_option_is_a_field_of_the_settings_in_the_same_order() -> None:
    assert [field_of(option.key) for option in OPTIONS] == list(HINTS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_the_choices_of_an_option_are_the_values_of_its_field(option: Option) -> None:
    hint = HINTS[field_of(option.key)]
    assert option.choices == (get_args(hint) if get_origin(hint) is Literal else ())
