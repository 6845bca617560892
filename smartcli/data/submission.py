"""The course's six submission files, spelt and spaced as its own code writes and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartcli.data.predictions import TaskPredictions
from smartcli.errors import SmartCliError


@dataclass(frozen=True)
class CourseTask:
    """How one task's files are called, and the second word of their header."""

    task: str
    prefix: str
    column: str

    def file(self, split: str) -> str:
        return f"{self.prefix}-{split}-output.csv"


COURSE_TASKS: tuple[CourseTask, ...] = (
    CourseTask("sst", "sst", "Predicted_Sentiment"),
    CourseTask("qqp", "para", "Predicted_Is_Paraphrase"),
    CourseTask("sts", "sts", "Predicted_Similiary"),
)
COURSE_SPLITS: tuple[str, ...] = ("dev", "test")


def course_id(row_id: str) -> str:
    """Return an id as the course's loader has it."""
    return row_id.lower().strip()


def check_rows(task: str, split: str, expected: Sequence[str], found: Sequence[str]) -> None:
    """Raise a SmartCliError unless predictions are for exactly the accepted rows, in their order.

    Two rows whose ids differ only in case or outer blanks are refused too: the course's files could not
    tell them apart.
    """
    where = f"{task}, {split}"
    if len(expected) != len(found):
        raise SmartCliError(f"{where}: {len(found)} predictions for {len(expected)} rows of the data; nothing written")
    for at, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a != b:
            raise SmartCliError(
                f'{where}: row {at + 1} of the data is "{a}", but its prediction is for "{b}"; nothing written'
            )
    seen: dict[str, str] = {}
    for row_id in expected:
        other = seen.setdefault(course_id(row_id), row_id)
        if other is not row_id:
            raise SmartCliError(f'{where}: ids "{other}" and "{row_id}" are the same in a submission; nothing written')


def submission_text(course: CourseTask, rows: TaskPredictions, kind: str) -> str:
    """Return a file's content: the header `id \\t NAME `, then `ID , VALUE ` a row, in order."""
    lines = [f"id \t {course.column} "]
    lines += [f"{course_id(i)} , {v} " for i, v in zip(rows.ids, _values(rows.predictions, kind), strict=True)]
    return "\n".join(lines) + "\n"


def _values(predictions: np.ndarray, kind: str) -> list[str]:
    numbers = predictions.astype(np.float64).tolist()
    # Classes are whole numbers; the course's paraphrase and similarity values are floats: 0.0, 1.0, 3.72.
    return [str(int(number)) if kind == "classification" else repr(number) for number in numbers]
