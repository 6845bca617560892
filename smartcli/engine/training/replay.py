"""Work that is done again and again on the same memory: each time anew, or on a GPU recorded once and replayed.

What is given to a `Recorder` must read and write nothing but tensors that stay where they are, read no value on the
host, and return the same Python value every time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from smartcli.engine.memory import is_out_of_memory

MOST_GRAPHS = 128
"""Recordings that are kept; the one that was used the longest ago goes first."""


class Recorder(Protocol):
    """Does work under a key, which names everything that its kernels depend on."""

    problem: str | None
    """Why nothing is recorded; None where it is."""

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """Do `work`, or what was recorded of it under `key`, and return what it returned."""
        ...

    def stream(self) -> Any:
        """Return a context in which all work must be given, that which is not recorded too."""
        ...


class EachTime:
    """Does the work anew each time."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        return work()

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield


class FirstCallAgain(EachTime):
    """Stands in for CUDA graphs where there is no GPU: calls again what was first given under a key.

    As with a graph, nothing that later calls bring but the contents of the memory can have an effect.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[Hashable, Callable[[], Any]] = {}

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        return self._first.setdefault(key, work)()


class CudaGraphs:
    """Records work as CUDA graphs: the first time under a key it is done, the second recorded, then replayed.

    All graphs share one pool of memory: one at a time runs, and none leaves anything in it. `generators` returns
    those that the work draws from, so that each replay draws on where the one before stopped.
    """

    def __init__(self, device: torch.device, generators: Callable[[], list[torch.Generator]]) -> None:
        self.problem: str | None = None
        self._generators = generators
        # Never the default stream, which cannot be recorded; autograd keeps to the stream of the pass before.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._made: OrderedDict[Hashable, tuple[torch.cuda.CUDAGraph, Any]] = OrderedDict()
        self._seen: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._made)

    @contextmanager
    def stream(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def run(self, key: Hashable, work: Callable[[], Any]) -> Any:
        found = self._made.get(key)
        if found is None:
            if self.problem is not None or key not in self._seen:
                # Done once before it is recorded: libraries set themselves up, and optimizers make their state.
                self._seen.add(key)
                return work()
            found = self._record(key, work)
            if found is None:
                return work()
        self._made.move_to_end(key)
        graph, result = found
        graph.replay()
        return result

    def _record(self, key: Hashable, work: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, Any] | None:
        while len(self._made) >= MOST_GRAPHS:
            self._made.popitem(last=False)[1][0].reset()
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators():
            graph.register_generator_state(generator)
        torch.cuda.synchronize()
        try:
            # Not torch.cuda.graph, which collects garbage and empties the cache each time. Other threads pack batches.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                result = work()
            finally:
                graph.capture_end()
        except (RuntimeError, MemoryError) as error:
            # From here on each step is done anew, which needs nothing that a recording does not.
            reason = "not enough memory" if is_out_of_memory(error) else str(error).strip().partition("\n")[0]
            self.problem = f"a step could not be recorded ({reason})"
            for made, _ in self._made.values():
                made.reset()
            self._made.clear()
            return None
        self._made[key] = (graph, result)
        return self._made[key]
