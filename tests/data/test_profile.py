"""What a file's first rows say of its columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smartcli.data.profile import Column, Profile, profile
from smartcli.data.readers.sniff import sniff
from smartcli.errors import UserError

OBJECTS = [{"id": i, "text": f"the lamp at gate {i} is dark", "label": "ab"[i % 2], "ok": i % 3 == 0} for i in range(9)]


def look(path: Path, content: str) -> Profile:
    path.write_text(content, encoding="utf-8")
    return profile(path, sniff(path))


def column(found: Profile, name: str) -> Column:
    return next(column for column in found.columns if column.name == name)


def lines(objects: list[dict[str, object]]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in objects)


def test_columns_of_json_lines_are_known_beside_lists_and_objects(tmp_path: Path) -> None:
    nested = [{**entry, "tags": ["x"], "from": {"town": "here"}} for entry in OBJECTS]
    found = look(tmp_path / "a.jsonl", lines(nested))
    assert found.names == ("id", "text", "label", "ok")
    assert found.rows == 9
    assert column(found, "text").text
    assert column(found, "label").values == ("a", "b")


def test_columns_of_parquet_are_known_beside_lists(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "a.parquet"
    pandas.DataFrame(OBJECTS).assign(tags=[["x"]] * 9).to_parquet(path)
    found = profile(path, sniff(path))
    assert found.names == ("id", "text", "label", "ok")
    assert column(found, "id").numeric


def test_a_line_that_is_no_json_is_said_where_no_row_is_left(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl:1: not a JSON object"):
        look(tmp_path / "a.jsonl", "hello\n")


@pytest.mark.parametrize("content", ["message,topic\n", "message,topic"])
def test_a_header_alone_is_no_table(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"a\.csv: a header but no rows"):
        look(tmp_path / "a.csv", content)
