"""Our loop, ready to take one step at a time, and the clock that both benchmarks use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice

import torch

from smartcli.config import Settings
from smartcli.data.store import DataSet
from smartcli.engine.distributed import ALONE
from smartcli.engine.training.batches import Batcher, Prepared
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.recorder import recorder_for
from smartcli.engine.training.schedule import Phase, Step, steps
from smartcli.home import Home
from smartcli.workflows.training.training_inputs import TrainingInputs, read_inputs

CPU = torch.device("cpu")
WARM = 3
"""Steps before the ones that count."""
ON_GPU = 6
"""Different batches on a GPU."""
BATCH = 8
"""Examples of a task in a step."""


@dataclass(frozen=True)
class Runner:
    """Model, optimizer and batches of one setting."""

    inputs: TrainingInputs
    state: PhaseState
    batcher: Batcher
    warmed: set[int] = field(default_factory=set)

    def steps(self, count: int) -> Iterator[Step]:
        """Yield the first `count` steps and `WARM` before them; on a GPU the first `ON_GPU` of them again and again."""
        sizes = {task: len(self.inputs.train[task]) for task in self.inputs.trained.names}
        first = steps(0, sizes, dict.fromkeys(sizes, BATCH), self.inputs.trained.names, 1)
        # Each new shape is done anew and recorded before it is replayed, which takes as long as a hundred replays.
        repeated = cycle(list(islice(first, ON_GPU))) if self.batcher.device.type == "cuda" else first
        return islice(repeated, count + WARM)

    def seconds(self, prepared: Prepared) -> float:
        """Return the seconds of one packed step; training packs on a thread of its own."""
        return timed(lambda: self.state.updater.run(prepared, probe=False))

    def warm(self, prepared: Prepared) -> None:
        """On a GPU do a step that is new twice: the first use of a shape is done anew, and the second recorded."""
        number = prepared.step.number
        if self.batcher.device.type == "cuda" and number not in self.warmed:
            self.warmed.add(number)
            for _ in range(2):
                self.seconds(prepared)


def make_runner(
    home: Home,
    data_set: DataSet,
    settings: Settings,
    *,
    bf16: bool,
    device: torch.device = CPU,
    say: Callable[[str], object] = print,
) -> Runner:
    """Return the loop as training builds it."""
    inputs = read_inputs(home, data_set, settings, say)
    inputs.model.to(device)
    recorder = recorder_for(settings, device, ALONE)
    phase = Phase(inputs.trained.names, 1, 10_000, 10_000)
    state = PhaseState(inputs.model, phase, settings, device, bf16, recorder=recorder)
    words = None if recorder is None else inputs.model.encoder.spec.vocab_size
    batcher = Batcher(inputs.train, inputs.reader.template, settings, settings.max_length, device, vocabulary=words)
    return Runner(inputs, state, batcher)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes, what it left running on a GPU included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
