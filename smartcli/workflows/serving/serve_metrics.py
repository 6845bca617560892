"""What Prometheus reads of a server; each server has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from smartcli import __version__
from smartcli.workflows.serving.dynamic_batches import BatchDone

PATHS = ("/predict", "/health", "/metrics", "/docs", "/openapi.json")
OTHER = "other"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 64, 256, 1024, 4096, 16384)


class ServeMetrics:
    """Counters of requests, rows and batches."""

    def __init__(self, checkpoint: str) -> None:
        registry = self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        info = Gauge("smart_info", "What is served, always 1.", ("checkpoint", "version"), registry=registry)
        info.labels(checkpoint, __version__).set(1)
        self._requests = Counter(
            "smart_requests", "Requests answered, by path and status code.", ("path", "code"), registry=registry
        )
        self._seconds = Histogram(
            "smart_request_seconds",
            "From a request's head to the end of its answer.",
            ("path",),
            buckets=SECONDS,
            registry=registry,
        )
        self._rows = Counter("smart_rows", "Rows predicted, by task.", ("task",), registry=registry)
        self._batch_requests = Histogram(
            "smart_batch_requests", "Requests that shared a batch.", buckets=SIZES, registry=registry
        )
        self._batch_rows = Histogram("smart_batch_rows", "Rows of a batch.", buckets=SIZES, registry=registry)
        self._batch_tokens = Histogram(
            "smart_batch_tokens", "About how many tokens a batch had.", buckets=TOKENS, registry=registry
        )
        self._batch_seconds = Histogram(
            "smart_batch_seconds", "Time of a batch in the model.", buckets=SECONDS, registry=registry
        )
        self._under_way = Gauge(
            "smart_requests_under_way", "Requests read, waiting, or in the model.", registry=registry
        )
        self._waiting = Gauge("smart_requests_waiting", "Requests that no batch has taken yet.", registry=registry)

    def watch(self, under_way: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the two gauges from these functions."""
        self._under_way.set_function(under_way)
        self._waiting.set_function(waiting)

    def answered(self, path: str, code: int, seconds: float) -> None:
        """Count an answer; unknown paths share one label, so that a scanner cannot fill the memory."""
        known = path if path in PATHS else OTHER
        self._requests.labels(known, str(code)).inc()
        self._seconds.labels(known).observe(seconds)

    def predicted(self, task: str, rows: int) -> None:
        """Count predicted rows."""
        self._rows.labels(task).inc(rows)

    def batch(self, done: BatchDone) -> None:
        """Count a batch."""
        self._batch_requests.observe(done.requests)
        self._batch_rows.observe(done.rows)
        self._batch_tokens.observe(done.tokens)
        self._batch_seconds.observe(done.seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)
