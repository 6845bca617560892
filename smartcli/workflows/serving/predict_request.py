"""The body of a prediction request: strict JSON, the form that the OpenAPI page shows, and the task's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartcli.data.answers import Wish
from smartcli.errors import UserError, suggest
from smartcli.strictjson import STRICT
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.serving.limits import Limits

BAD_REQUEST, TOO_LARGE, UNPROCESSABLE = 400, 413, 422
_TEXTS = {
    "items": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}]
    }
}
_SHOWN = 40


class Refused(Exception):
    """A request that gets no prediction: its status code, and why, in words for who sent it."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class PredictBody(BaseModel):
    """What to predict."""

    model_config = ConfigDict(strict=True, extra="forbid")

    task: Annotated[str | None, Field(description="Task to predict; may be left out where there is one.")] = None
    texts: Annotated[
        list[Any],
        Field(
            description="Rows: a sentence each, or [one, other] each for a task of pairs.",
            json_schema_extra=_TEXTS,
        ),
    ]
    probabilities: Annotated[bool, Field(description="Classes: add p_NAME, each class's probability.")] = False
    threshold: Annotated[
        float | None,
        Field(description="Classes: no prediction below this probability; binary: the second class from it on."),
    ] = None
    top: Annotated[int | None, Field(description="Classes: add the K best with their probabilities.")] = None


class PredictAnswer(BaseModel):
    """Predictions in the order of the rows, with the columns of `smart predict`."""

    checkpoint: str
    task: str
    predictions: list[dict[str, str | int | float | None]]


class Refusal(BaseModel):
    """Why there is no prediction."""

    detail: str


@dataclass(frozen=True)
class Asked:
    """A checked request."""

    task: Task
    rows: list[tuple[str, ...]]
    wish: Wish


def read_request(raw: bytes, tasks: TaskTable, limits: Limits) -> Asked:
    """Return what a body asks for; Refused with 400, 413 or 422 says what is wrong with it."""
    body = _body(_json(raw))
    try:
        task = _task(tasks, body.task)
        wish = Wish(body.probabilities, body.threshold, body.top)
        wish.check(task)
    except UserError as error:
        # The checks are those of the command line, where these are options.
        raise Refused(UNPROCESSABLE, str(error).replace("--", "")) from None
    if len(body.texts) > limits.max_texts:
        raise Refused(TOO_LARGE, f"texts: {len(body.texts):,} rows; expected at most {limits.max_texts:,} a request")
    return Asked(task, [_row(task, number, row, limits) for number, row in enumerate(body.texts)], wish)


def _json(raw: bytes) -> Any:
    try:
        return STRICT.decode(raw.decode("utf-8"))
    except RecursionError:
        reason = "it is nested too deeply"
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start})"
    except ValueError as error:
        reason = str(error)
    raise Refused(BAD_REQUEST, f"the body is not valid JSON: {reason}")


def _body(value: Any) -> PredictBody:
    if not isinstance(value, dict):
        raise Refused(UNPROCESSABLE, f'expected an object such as {{"texts": ["…"]}}, found {_kind(value)}')
    known = tuple(PredictBody.model_fields)
    for key in value:
        if key not in known:
            named = f'unknown key "{_shown(key)}"; known keys: {", ".join(known)}{suggest(key[:_SHOWN], known)}'
            raise Refused(UNPROCESSABLE, named)
    try:
        return PredictBody.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"])
        raise Refused(UNPROCESSABLE, f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _task(tasks: TaskTable, name: str | None) -> Task:
    if name is not None:
        return tasks.get(_shown(name))
    if len(tasks) > 1:
        raise UserError(f"task is needed: one of {', '.join(tasks.names)}")
    return tasks.first


def _row(task: Task, number: int, row: Any, limits: Limits) -> tuple[str, ...]:
    expected = "a pair [one, other] of strings" if task.pair else "a string"
    parts = (row,) if isinstance(row, str) else tuple(row) if isinstance(row, list) else ()
    if len(parts) != len(task.text) or not all(isinstance(part, str) for part in parts):
        found = f"a list of {len(row)}" if isinstance(row, list) else _kind(row)
        raise Refused(UNPROCESSABLE, f'texts[{number}]: task "{task.name}" expects {expected}, found {found}')
    for part in parts:
        _check_text(number, part, limits)
    return parts


def _check_text(number: int, text: str, limits: Limits) -> None:
    if len(text) > limits.max_chars:
        found = f"{len(text):,} characters; expected at most {limits.max_chars:,}"
        raise Refused(TOO_LARGE, f"texts[{number}]: {found}")
    if not text.strip():
        raise Refused(UNPROCESSABLE, f"texts[{number}]: no text; expected a sentence in every row")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Refused(
            UNPROCESSABLE, f"texts[{number}]: half of a surrogate pair (\\ud800 to \\udfff), which is no text"
        )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(word: str) -> str:
    """Return a word from outside as it may stand in an answer: short, and with nothing that JSON cannot carry."""
    short = word if len(word) <= _SHOWN else f"{word[:_SHOWN]}…"
    return short.encode("utf-8", "replace").decode("utf-8")


def objects(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the rows of equally long columns, a name each, as objects."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
