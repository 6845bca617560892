"""The routes of a server and their description; what stands before them is in gate.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST

from smartcli import __version__
from smartcli.data.answers import answers
from smartcli.engine.memory import release_freed_memory
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.scoring.panel import Panel
from smartcli.workflows.serving.dynamic_batches import BatchDone, DynamicBatches
from smartcli.workflows.serving.gate import PREDICT, TIMEOUT, busy
from smartcli.workflows.serving.limits import Limits
from smartcli.workflows.serving.predict_request import (
    PredictAnswer,
    PredictBody,
    Refusal,
    Refused,
    objects,
    read_request,
)
from smartcli.workflows.serving.serve_metrics import ServeMetrics

WARM_UP = 8
"""Rows of each task that are predicted before the first request, since a first pass takes several times as long."""
RELEASED_EVERY = 10.0
"""Seconds after which freed memory is given back to the system."""
ABOUT = (
    "Predictions of a checkpoint of smart-finetune. Requests that arrive together share a batch. "
    "Errors are objects with the key `detail`."
)


class Service:
    """A panel of models behind a queue, with its limits and counters."""

    def __init__(self, panel: Panel, limits: Limits) -> None:
        self.name, self.tasks, self.limits = panel.checkpoint.name, panel.checkpoint.heads, limits
        self.metrics = ServeMetrics(self.name)
        longest = max(part.reader.max_length for part in panel.parts)
        self.batches = DynamicBatches(
            lambda task, rows: panel.label(task, rows, budget=limits.batch_tokens),
            limits,
            longest,
            self._heard,
        )
        self._release_at = 0.0

    def start(self) -> None:
        """Start the model's thread, and run it once for each task."""
        self.batches.start()
        for task in self.tasks:
            self.batches.submit(task, [("warm up",) * len(task.text)] * WARM_UP).result()

    def _heard(self, done: BatchDone) -> None:
        self.metrics.batch(done)
        # Batches of ever other sizes leave holes, which over days add up.
        if time.monotonic() >= self._release_at:
            release_freed_memory()
            self._release_at = time.monotonic() + RELEASED_EVERY

    async def predict(self, raw: bytes, gone: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Return the answer to a request's body; Refused says why there is none.

        `gone` is waited for beside the answer, and ends where the client has gone away.
        """
        asked = read_request(raw, self.tasks, self.limits)
        if not asked.rows:
            return {"checkpoint": self.name, "task": asked.task.name, "predictions": []}
        waiting = asyncio.wrap_future(self.batches.submit(asked.task, asked.rows))
        left = asyncio.ensure_future(gone())
        try:
            both: set[asyncio.Future[Any]] = {waiting, left}
            await asyncio.wait(both, timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                if left.done():
                    raise Refused(TIMEOUT, "the client went away")
                raise busy(self.batches.seconds_ahead(), f"no answer within {self.limits.timeout:g} s")
            found = waiting.result()
        finally:
            # A request that no batch has taken yet leaves the queue with this.
            waiting.cancel()
            left.cancel()
        self.metrics.predicted(asked.task.name, len(asked.rows))
        rows = objects(answers(asked.task, found, asked.wish))
        return {"checkpoint": self.name, "task": asked.task.name, "predictions": rows}

    def health(self) -> dict[str, Any]:
        """Return whether predictions are to be had, of what, and how many requests wait."""
        return {
            "status": "ok" if self.batches.alive else "failed",
            "checkpoint": self.name,
            "version": __version__,
            "tasks": [_task_json(task) for task in self.tasks],
            "waiting": self.batches.waiting,
        }


def _task_json(task: Task) -> dict[str, Any]:
    return {"name": task.name, "kind": task.kind, "columns": list(task.text), "labels": list(task.labels)}


def make_app(service: Service, *, token: bool = False) -> FastAPI:
    """Return the application with all routes; `token` says in the description that one is needed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batches.close)

    app = FastAPIOffline(
        redoc_url=None,
        title=f"smart serve {service.name}",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
    )
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": Refusal} for code in (400, 401, 408, 413, 415, 422, 500, 503) if token or code != 401
    }
    body = {"content": {"application/json": {"schema": _schema(service.tasks)}}, "required": True}
    extra: dict[str, Any] = {"requestBody": body}
    if token:
        extra["security"] = [{"token": []}]

    async def gone(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    @app.post(PREDICT, response_model=PredictAnswer, responses=refusals, openapi_extra=extra)
    async def predict(request: Request) -> Response:
        """Predict a task for one or more rows."""
        return JSONResponse(await service.predict(await request.body(), lambda: gone(request)))

    @app.get("/health")
    async def health() -> Response:
        """Say whether predictions are to be had, and for which tasks."""
        found = service.health()
        return JSONResponse(found, 200 if found["status"] == "ok" else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counters for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(Refused)
    async def refuse(request: Request, refused: Exception) -> Response:
        assert isinstance(refused, Refused)
        return JSONResponse({"detail": refused.message}, refused.status, refused.headers)

    @app.exception_handler(404)
    async def unknown(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": f"there is only POST {PREDICT} and GET /health, /metrics, /docs"}, 404)

    if token:
        _describe_token(app)
    return app


def _schema(tasks: TaskTable) -> dict[str, Any]:
    """Return the schema of a request's body with the checkpoint's own tasks, and an example for the first."""
    schema = PredictBody.model_json_schema()
    schema["properties"]["task"] = {
        "type": "string",
        "enum": list(tasks.names),
        "description": "Task to predict; may be left out where there is one.",
    }
    if len(tasks) > 1:
        schema["required"] = ["task", *schema["required"]]
    row = ["one sentence", "another one"] if tasks.first.pair else "a sentence"
    schema["example"] = {"task": tasks.first.name, "texts": [row]}
    return schema


def _describe_token(app: FastAPI) -> None:
    plain = app.openapi

    def described() -> dict[str, Any]:
        found = plain()
        schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        return found

    app.openapi = described  # type: ignore[method-assign]
