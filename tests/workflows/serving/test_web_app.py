"""A real server of a tiny model in a process of its own, asked over real sockets."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import TASKS, Answer, Served, make_served, receive, request, sentence, served
from typer.testing import Result

from smartcli.data.predictions import TaskPredictions
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task
from smartcli.workflows.scoring.model_outputs import label_rows
from smartcli.workflows.scoring.panel import Panel
from smartcli.workflows.serving.limits import Limits
from smartcli.workflows.serving.predict_request import Refused
from smartcli.workflows.serving.web_app import Service

LIMITS = Limits(max_body=100_000, max_texts=40, max_chars=2000, body_timeout=0.5, queue=80)
THRESHOLD = "0.36"
GOOD = {"task": "mood", "texts": ["a good film"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def own_home(place: Path) -> Home:
    home = Home(place / "home")
    make_served(home, place, ("first", "second"))
    return home


@pytest.fixture(scope="module")
def server(own_home: Home, place: Path) -> Iterator[Served]:
    with served(own_home, "first", place / "first", LIMITS) as found:
        yield found
    assert found.ended is not None
    assert found.ended.exit_code == 143, found.ended
    assert found.warnings == []


def test_answers_have_the_columns_of_predict(server: Served, own_home: Home, smart: Callable[..., Result]) -> None:
    texts = [sentence(n) for n in range(20)]
    given = "text\n" + "".join(f"{text}\n" for text in texts)
    options = ["--probabilities", "--threshold", THRESHOLD, "--top", "2"]
    ran = smart(
        "--home", str(own_home.root), "predict", "first", "--task", "mood", "--input", "-", *options, input=given
    )
    expected = list(csv.DictReader(io.StringIO(ran.stdout)))
    status, answer = server.ask(
        {"task": "mood", "texts": texts, "probabilities": True, "threshold": float(THRESHOLD), "top": 2}
    )
    assert (status, answer["checkpoint"], answer["task"]) == (200, "first", "mood")
    assert {row["prediction"] is None for row in answer["predictions"]} == {False, True}
    for row, own in zip(answer["predictions"], expected, strict=True):
        assert ["text", *row] == list(own)
        for name, value in row.items():
            if isinstance(value, float):
                assert value == pytest.approx(float(own[name]), abs=1e-5)
            else:
                assert own[name] == ("" if value is None else str(value))


def test_scores_pairs_and_no_rows_at_all(server: Served) -> None:
    status, answer = server.ask({"task": "near", "texts": [["a film", "a song"], ["one", "two"]]})
    assert status == 200
    assert [list(row) for row in answer["predictions"]] == [["prediction"], ["prediction"]]
    assert all(math.isfinite(row["prediction"]) for row in answer["predictions"])
    assert server.ask({"task": "same", "texts": []})[1]["predictions"] == []


def test_health_says_what_can_be_asked(server: Served) -> None:
    answer = server.get("/health")
    found = json.loads(answer.body)
    assert (answer.status, found["status"], found["checkpoint"]) == (200, "ok", "first")
    assert found["tasks"][0] == {
        "name": "mood", "kind": "classification", "columns": ["text"], "labels": ["bad", "so so", "good"]
    }  # fmt: skip


def metric(server: Served, name: str, **labels: str) -> float:
    text = server.get("/metrics").body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_metrics_count_requests_rows_and_batches(server: Served) -> None:
    before = [metric(server, "smart_requests_total", path="/predict", code="200"), metric(server, "smart_rows_total")]
    server.ask({"task": "mood", "texts": ["a", "b", "c"]})
    server.ask({"task": "mood", "texts": [1]})
    after = [metric(server, "smart_requests_total", path="/predict", code="200"), metric(server, "smart_rows_total")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 3]
    assert metric(server, "smart_requests_total", path="/predict", code="422") >= 1
    assert metric(server, "smart_batch_rows_count") >= 1
    for n in range(3):
        server.get(f"/wp-admin-{n}")
    assert metric(server, "smart_requests_total", path="other", code="404") >= 3
    assert metric(server, "smart_requests_under_way") == 0


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(server: Served) -> None:
    page = server.get("/docs").body.decode()
    assert "//cdn" not in page
    assert "https://" not in page
    script = page.split('script src="')[1].split('"')[0]
    assert len(server.get(script).body) > 1_000_000
    schema = json.loads(server.get("/openapi.json").body)
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["task"]["enum"] == list(TASKS.names)
    assert set(body["properties"]) == {"task", "texts", "probabilities", "threshold", "top"}
    assert server.ask(body["example"])[0] == 200


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def head(**headers: str) -> bytes:
    return request(b"", **{"content_length": "", **headers})


RAW = json.dumps(GOOD).encode()
DEEP = b'{"task": "mood", "texts": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"
HOSTILE: dict[str, tuple[bytes, int]] = {
    "ten megabytes": (request(b'{"texts": ["' + b"a" * 10_000_000 + b'"]}'), 413),
    "ten megabytes in chunks": (head(transfer_encoding="chunked") + chunked(b"a" * 10_000_000, b""), 413),
    "a huge body is announced": (head(content_length="99999999999"), 413),
    "a huge body is asked about": (request(b"", content_length="9999999", expect="100-continue"), 413),
    "ten megabytes to nowhere": (request(b"a" * 10_000_000, "/nothing"), 413),
    "deep nesting": (request(DEEP), 400),
    "not a number": (request(b'{"task": "mood", "texts": ["a"], "threshold": NaN}'), 400),
    "infinity": (request(b'{"task": "mood", "texts": ["a"], "threshold": 1e999}'), 422),
    "not UTF-8": (request(b'{"task": "mood", "texts": ["\xff\xfe"]}'), 400),
    "half a surrogate pair": (request(b'{"task": "mood", "texts": ["\\udc00"]}'), 422),
    "wrong types": (request(b'{"task": ["mood"], "texts": {"a": 1}}'), 422),
    "numbers for texts": (request(b'{"task": "mood", "texts": [1, 2.5, null]}'), 422),
    "a list": (request(b"[1]"), 422),
    "nothing": (request(b""), 400),
    "a form": (request(b"task=mood", content_type="application/x-www-form-urlencoded"), 415),
    "no type": (request(RAW, content_type=""), 415),
    "another encoding": (request(RAW, content_type="application/json; charset=latin-1"), 415),
    "compressed": (request(RAW, content_encoding="gzip"), 415),
    "too many texts": (request(json.dumps({"task": "mood", "texts": ["a"] * 41}).encode()), 413),
    "a long text": (request(json.dumps({"task": "mood", "texts": ["a" * 2001]}).encode()), 413),
    "chunks without end": (head(transfer_encoding="chunked") + b"5\r\n{\"tex\r\n", 408),
    "a body that stops": (request(RAW, content_length="5000"), 408),
    "a chunk without a size": (head(transfer_encoding="chunked") + b"zz\r\n", 400),
    "a length that is none": (request(RAW, content_length="-5"), 400),
    "two lengths": (request(RAW, content_length="5\r\ncontent-length: 7"), 400),
    "length and chunks": (request(chunked(RAW, b""), transfer_encoding="chunked", content_length="5"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "an endless header": (b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 40_000, 400),
    "GET": (b"GET /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    "nowhere": (b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
    "below the page": (b"GET /static-offline-docs/../core.py HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_gets_4xx_and_the_next_request_its_answer(server: Served, name: str) -> None:
    raw, status = HOSTILE[name]
    answer = endless(server, raw) if name == "chunks without end" else server.send(raw)
    assert answer.status == status, answer
    assert len(answer.body) < 500
    assert server.ask(GOOD)[0] == 200


def endless(server: Served, raw: bytes) -> Answer:
    """Send chunks for as long as the other side takes them."""
    with server.connect() as own:
        own.sendall(raw)
        own.settimeout(0.05)
        for _ in range(200):
            own.sendall(chunked(b"a"))
            try:
                if own.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        own.settimeout(10)
        return receive(own)


def test_a_connection_stays_open_after_a_refusal(server: Served) -> None:
    with server.connect() as own:
        for body, status in ((b"{", 400), (b"a" * 200_000, 413), (RAW, 200)):
            own.sendall(request(body, connection="keep-alive"))
            assert receive(own).status == status


def test_clients_that_go_away_leave_nothing_behind(server: Served) -> None:
    for _ in range(20):
        with server.connect() as own:
            own.sendall(request(RAW))
        with server.connect() as own:
            own.sendall(request(RAW)[:-5])
    end = time.monotonic() + 10
    while metric(server, "smart_requests_under_way") > 0:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert server.ask(GOOD)[0] == 200


def test_a_request_whose_client_has_gone_leaves_the_queue() -> None:
    begun, free, seen = threading.Event(), threading.Event(), []

    def label(task: Task, rows: Any, budget: int) -> TaskPredictions:
        begun.set()
        free.wait(20)
        seen.append([row[0] for row in rows])
        n = len(rows)
        return TaskPredictions("mood", [str(row) for row in range(n)], None, np.zeros(n), np.full((n, 3), 1 / 3))

    part = SimpleNamespace(reader=SimpleNamespace(max_length=64))
    panel: Any = SimpleNamespace(checkpoint=SimpleNamespace(name="first", heads=TASKS), parts=[part], label=label)
    service = Service(panel, Limits())

    async def stays() -> None:
        await asyncio.sleep(60)

    async def goes() -> None:
        await asyncio.to_thread(begun.wait, 20)

    async def both() -> Any:
        first = asyncio.ensure_future(service.predict(RAW, stays))
        await asyncio.to_thread(begun.wait, 20)
        with pytest.raises(Refused, match="the client went away") as refused:
            await service.predict(json.dumps({"task": "mood", "texts": ["never"]}).encode(), goes)
        assert refused.value.status == 408
        free.set()
        return await first

    service.batches.start()
    answer = asyncio.run(both())
    service.batches.close()
    assert len(answer["predictions"]) == 1
    assert seen == [GOOD["texts"]]


def test_a_socket_that_closes_while_its_request_waits_frees_its_place(
    own_home: Home, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label, seen = Panel.label, place / "seen.txt"
    seen.touch()

    def slow(self: Panel, task: Task, texts: Any, *, budget: int | None = None) -> TaskPredictions:
        with seen.open("a") as file:
            file.write("".join(f"{row[0]}\n" for row in texts))
        if ("slow",) in [tuple(row) for row in texts]:
            time.sleep(4)
        return label(self, task, texts, budget=budget)

    # The server is a forked child, which has this too.
    monkeypatch.setattr(Panel, "label", slow)
    with served(own_home, "first", place / "gone") as server, server.connect() as one:
        one.sendall(request(json.dumps({"task": "mood", "texts": ["slow"]}).encode()))
        wait_until(lambda: "slow" in seen.read_text())
        with server.connect() as two:
            two.sendall(request(json.dumps({"task": "mood", "texts": ["never"]}).encode()))
            wait_until(lambda: metric(server, "smart_requests_under_way") == 2)
        began = time.monotonic()
        wait_until(lambda: metric(server, "smart_requests_under_way") == 1)
        assert time.monotonic() - began < 2, "long before the model is free"
        assert receive(one).status == 200
        assert server.ask(GOOD)[0] == 200
    assert "never" not in seen.read_text()


def test_more_requests_than_the_queue_holds_get_503_and_when_to_come_again(own_home: Home, place: Path) -> None:
    limits = Limits(queue=2, body_timeout=30)
    with served(own_home, "first", place / "full", limits) as server, server.connect() as one, server.connect() as two:
        for own in (one, two):
            own.sendall(request(RAW)[:-1])
        wait_until(lambda: metric(server, "smart_requests_under_way") == 2)
        refused = server.send(request(RAW))
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "2 requests are under way" in json.loads(refused.body)["detail"]
        assert server.get("/health").status == 200
        for own in (one, two):
            own.sendall(RAW[-1:])
            assert receive(own).status == 200
        assert server.ask(GOOD)[0] == 200


def test_no_answer_in_time_is_503(own_home: Home, place: Path) -> None:
    with served(own_home, "first", place / "slow", Limits(timeout=0.001)) as server:
        answer = server.send(request(json.dumps({"task": "mood", "texts": [sentence(n) for n in range(256)]}).encode()))
    assert answer.status == 503
    assert "no answer within 0.001 s" in json.loads(answer.body)["detail"]


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_token_is_asked_of_every_client_but_a_probe(
    own_home: Home, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "0123456789-abcdef-XYZ"
    monkeypatch.setenv("SMART_SERVE_TOKEN", token)
    with served(own_home, "first", place / "token", LIMITS) as server:
        for given in ("", "Bearer", "Bearer wrong", f"Basic {token}", f"Bearer {token}x", "Bearer \xe9"):
            answer = server.send(request(RAW, authorization=given))
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert server.get("/metrics", authorization=given).status == 401
        assert server.send(request(b"a" * 10_000_000)).status == 401
        assert server.ask(GOOD, authorization=f"Bearer {token}")[0] == 200
        assert server.get("/health").status == 200
        assert "bearer" in server.get("/openapi.json").body.decode()
        assert token not in server.get("/openapi.json").body.decode()


@pytest.mark.parametrize(("number", "code"), [(15, 143), (2, 130), (1, 129)])
def test_a_signal_lets_what_is_under_way_finish(
    own_home: Home, place: Path, number: int, code: int, sighup_heard: None
) -> None:
    """Half a body is there when the signal comes; its rest is still read, and answered."""
    with served(own_home, "first", place / f"signal-{number}", Limits()) as server:
        with server.connect() as half, server.connect() as idle:
            idle.sendall(request(RAW, connection="keep-alive"))
            assert receive(idle).status == 200
            half.sendall(request(RAW, connection="keep-alive")[:-1])
            wait_until(lambda: metric(server, "smart_requests_under_way") == 1)
            ended: list[Any] = []
            stopping = threading.Thread(target=lambda: ended.append(server.stop(number)))
            stopping.start()
            assert idle.recv(1) == b""
            half.sendall(RAW[-1:])
            answer = receive(half)
            stopping.join(20)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert (ended[0].exit_code, ended[0].crash) == (code, None)
        with pytest.raises(OSError, match="refused"):
            server.connect()


def test_in_int8_it_answers_as_predict_does_in_int8(own_home: Home, place: Path) -> None:
    texts = [sentence(n) for n in range(12)]
    with served(own_home, "first", place / "int8", int8=True) as server:
        _, answer = server.ask({"task": "mood", "texts": texts, "probabilities": True})
    assert "in int8" in (place / "int8" / "ready").read_text()
    found = np.array([[row[f"p_{name}"] for name in TASKS.get("mood").labels] for row in answer["predictions"]])
    rows = [(text,) for text in texts]
    checkpoint = Registry(own_home).open("first")
    small, plain = (label_rows(own_home, checkpoint, "mood", rows, int8=int8).probabilities for int8 in (True, False))
    np.testing.assert_allclose(found, small, atol=1e-5)
    assert np.abs(found - plain).max() > 1e-5


def test_an_ensemble_answers_as_its_members_vote(own_home: Home, place: Path, smart: Callable[..., Result]) -> None:
    home = ["--home", str(own_home.root)]
    assert smart(*home, "ensemble", "first", "second", "--name", "both").exit_code == 0
    texts = [[sentence(n), sentence(n + 5)] for n in range(12)]
    given = "".join(json.dumps({"one": one, "other": other}) + "\n" for one, other in texts)
    ran = smart(*home, "predict", "both", "--task", "near", "--input", "-", input=given)
    with served(own_home, "both", place / "both", LIMITS) as server:
        status, answer = server.ask({"task": "near", "texts": texts})
    assert status == 200
    expected = [json.loads(line)["prediction"] for line in ran.stdout.splitlines()]
    assert [row["prediction"] for row in answer["predictions"]] == pytest.approx(expected, abs=1e-5)
    assert Registry(own_home).open("both").kind == "ensemble"
