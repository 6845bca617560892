from __future__ import annotations

import numpy as np
import pytest

from smartcli.data.predictions import TaskPredictions
from smartcli.data.submission import COURSE_TASKS, check_rows, submission_text
from smartcli.errors import SmartCliError

SST, QQP, STS = COURSE_TASKS
KINDS = {"sst": "classification", "qqp": "binary", "sts": "regression"}

EXPECTED = {
    "sst": "id \t Predicted_Sentiment \nab1 , 4 \nc2 , 0 \n",
    "qqp": "id \t Predicted_Is_Paraphrase \nab1 , 1.0 \nc2 , 0.0 \n",
    "sts": "id \t Predicted_Similiary \nab1 , 3.75 \nc2 , 1e-05 \n",
}
VALUES = {"sst": [4.0, 0.0], "qqp": [1.0, 0.0], "sts": [3.75, 1e-5]}


@pytest.mark.parametrize("course", COURSE_TASKS, ids=lambda course: course.task)
def test_file_is_spelt_and_spaced_as_the_courses_own_code_does(course) -> None:  # type: ignore[no-untyped-def]
    rows = TaskPredictions(course.task, [" AB1 ", "c2"], None, np.array(VALUES[course.task]))
    assert submission_text(course, rows, KINDS[course.task]) == EXPECTED[course.task]


def test_the_six_files_have_the_courses_names() -> None:
    assert {course.file(split) for course in COURSE_TASKS for split in ("dev", "test")} == {
        "sst-dev-output.csv",
        "sst-test-output.csv",
        "para-dev-output.csv",
        "para-test-output.csv",
        "sts-dev-output.csv",
        "sts-test-output.csv",
    }


WRONG = [
    (["a", "b"], ["a"], "1 predictions for 2 rows"),
    (["a", "b"], ["a", "c"], 'row 2 of the data is "b", but its prediction is for "c"'),
    (["a", "b"], ["b", "a"], 'row 1 of the data is "a"'),
    (["a", "A "], ["a", "A "], 'ids "a" and "A " are the same'),
]


@pytest.mark.parametrize(("expected", "found", "message"), WRONG)
def test_rows_that_do_not_match_the_data_are_refused(expected: list[str], found: list[str], message: str) -> None:
    with pytest.raises(SmartCliError, match="sst, dev: ") as error:
        check_rows("sst", "dev", expected, found)
    assert message in str(error.value)


def test_matching_rows_pass() -> None:
    check_rows("sst", "dev", ["a", "b"], ["a", "b"])
