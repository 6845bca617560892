from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import TASKS

from smartcli.data.answers import Wish
from smartcli.tasks import TaskTable
from smartcli.workflows.serving.limits import Limits
from smartcli.workflows.serving.predict_request import Refused, objects, read_request

LIMITS = Limits(max_texts=3, max_chars=50)
ALONE = TaskTable(TASKS.tasks[:1])


def read(body: Any, tasks: TaskTable = TASKS) -> Any:
    return read_request(body if isinstance(body, bytes) else json.dumps(body).encode(), tasks, LIMITS)


def test_a_whole_request_is_read() -> None:
    asked = read({"task": "mood", "texts": ["a film", "naïve 😀"], "probabilities": True, "threshold": 0.4, "top": 2})
    assert asked.task.name == "mood"
    assert asked.rows == [("a film",), ("naïve 😀",)]
    assert asked.wish == Wish(True, 0.4, 2)
    assert read({"task": "near", "texts": [["a", "b"]]}).rows == [("a", "b")]
    assert read({"texts": []}, ALONE).rows == []


DEEP = b'{"texts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD: list[tuple[Any, int, str]] = [
    (b"", 400, "not valid JSON"),
    (b"{", 400, "not valid JSON"),
    (b'{"texts": ["\xff"]}', 400, "not UTF-8 (byte 0xff at 12)"),
    (b'{"texts": ["a"], "threshold": NaN, "task": "mood"}', 400, "NaN is not a JSON number"),
    (b'{"texts": ["a"], "threshold": -Infinity, "task": "mood"}', 400, "-Infinity is not a JSON number"),
    (b'{"texts": ["a"], "texts": ["b"]}', 400, "'texts' stands twice"),
    (b'{"texts": ["a"], "top": ' + b"9" * 5000 + b"}", 400, "not valid JSON"),
    (DEEP, 400, "nested too deeply"),
    (b"[]", 422, "expected an object"),
    (b"3", 422, "found a number"),
    (b"null", 422, "found null"),
    ({"task": "mood"}, 422, "texts: field required"),
    ({"task": "mood", "text": ["a"]}, 422, 'unknown key "text"; known keys: task, texts'),
    ({"task": "mood", "texts": "a"}, 422, "texts: input should be a valid list"),
    ({"task": "mood", "texts": {"a": 1}}, 422, "texts: input should be a valid list"),
    ({"task": 1, "texts": ["a"]}, 422, "task: input should be a valid string"),
    ({"task": "moody", "texts": ["a"]}, 422, 'did you mean "mood"?'),
    ({"texts": ["a"]}, 422, "task is needed: one of mood, same, near"),
    ({"task": "mood", "texts": [1]}, 422, 'texts[0]: task "mood" expects a string, found a number'),
    ({"task": "mood", "texts": ["a", ["a", "b"]]}, 422, "texts[1]"),
    ({"task": "mood", "texts": [None]}, 422, "found null"),
    ({"task": "same", "texts": ["a"]}, 422, "expects a pair [one, other] of strings, found a string"),
    ({"task": "same", "texts": [["a"]]}, 422, "found a list of 1"),
    ({"task": "same", "texts": [["a", 2]]}, 422, "texts[0]"),
    ({"task": "mood", "texts": ["  \n"]}, 422, "texts[0]: no text"),
    (b'{"task": "mood", "texts": ["a \\ud800 b"]}', 422, "surrogate"),
    (b'{"task": "\\ud800", "texts": ["a"]}', 422, ""),
    (b'{"\\ud800": "mood", "texts": ["a"]}', 422, "unknown key"),
    ({"task": "mood", "texts": ["a"] * 4}, 413, "4 rows; expected at most 3"),
    ({"task": "mood", "texts": ["a" * 51]}, 413, "51 characters; expected at most 50"),
    ({"task": "mood", "texts": ["a"], "threshold": 2}, 422, "threshold must be a probability"),
    ({"task": "mood", "texts": ["a"], "threshold": "0.5"}, 422, "threshold: input should be a valid number"),
    ({"task": "mood", "texts": ["a"], "threshold": True}, 422, "threshold"),
    ({"task": "mood", "texts": ["a"], "top": 4}, 422, "top must be from 1 to 3"),
    ({"task": "mood", "texts": ["a"], "top": 1.5}, 422, "top"),
    ({"task": "mood", "texts": ["a"], "probabilities": 1}, 422, "probabilities"),
    ({"task": "near", "texts": [["a", "b"]], "top": 1}, 422, '"near" is a task of scores'),
]


@pytest.mark.parametrize(("body", "status", "said"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_request_is_refused_with_what_was_expected(body: Any, status: int, said: str) -> None:
    with pytest.raises(Refused) as caught:
        read(body)
    assert (caught.value.status, said in caught.value.message) == (status, True), caught.value.message
    assert len(caught.value.message) < 400
    caught.value.message.encode("utf-8")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("task", "texts", "probabilities", "threshold", "top")
BODIES = st.fixed_dictionaries({}, optional={key: JSON | st.sampled_from(["mood", "same", "near"]) for key in KEYS})


@settings(max_examples=50, deadline=None)
@given(BODIES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    refused, asked = None, None
    try:
        asked = read(raw)
    except Refused as error:
        refused = error
    if refused is not None:
        assert 400 <= refused.status < 500
        refused.message.encode("utf-8")
    else:
        assert all(len(row) == len(asked.task.text) and all(part.strip() for part in row) for row in asked.rows)


def test_columns_become_objects() -> None:
    assert objects({"a": [1, 2], "b": ["x", None]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
