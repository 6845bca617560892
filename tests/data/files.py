"""Small data files for the tests of readers and prepare; every sentence is made up."""

from __future__ import annotations

from pathlib import Path

SST = "\tid\tsentence\tsentiment\n0\ts1\ta lovely quiet film\t4\n1\ts2\tso very dull\t0\n2\ts3\tit has an ending\t2\n"
QQP = (
    "\tid\tsentence1\tsentence2\tis_duplicate\n"
    "0\tq1\tHow do I bake bread?\tHow can I bake bread?\t1.0\n"
    "1\tq2\tHow do I bake bread?\tHow do I bake a cake?\t0.0\n"
)
STS = (
    "\tid\tsentence1\tsentence2\tsimilarity\n"
    "7\tp1\tA dog runs.\tA dog is running.\t4.8\n"
    "9\tp2\tA dog runs.\tA cat sleeps.\t0.6\n"
)
SST_TEST = "0\t\tid\tsentence\n0\t0.0\tt1\tit was fine\n1\t1.0\tt2\tit was not\n"
PAIR_TEST = "\tid\tsentence1\tsentence2\n0\tt1\tone\ttwo\n1\tt2\tthree\tfour\n"

COURSE = {
    "ids-sst-train.csv": SST,
    "ids-sst-dev.csv": SST,
    "ids-sst-test-student.csv": SST_TEST,
    "quora-train.csv": QQP,
    "quora-dev.csv": QQP,
    "quora-test-student.csv": PAIR_TEST,
    "sts-train.csv": STS,
    "sts-dev.csv": STS,
    "sts-test-student.csv": PAIR_TEST,
}


def write_course(folder: Path, **changed: str | bytes) -> Path:
    """Write the course's nine files; `ids_sst_train=...` gives that file other content."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in COURSE.items():
        given = changed.get(name.removesuffix(".csv").replace("-", "_"), content)
        (folder / name).write_bytes(given.encode() if isinstance(given, str) else given)
    return folder
