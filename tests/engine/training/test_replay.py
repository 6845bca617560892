"""Recorders: what a stand-in repeats; on a GPU what a graph draws, reads, and does where it cannot be recorded."""

from __future__ import annotations

import pytest
import torch

from smartcli.engine.training.replay import CudaGraphs, EachTime, FirstCallAgain


def test_each_time_does_what_it_is_given() -> None:
    recorder = EachTime("no GPU")
    assert [recorder.run("key", lambda n=n: n) for n in range(3)] == [0, 1, 2]
    assert recorder.problem == "no GPU"


def test_the_stand_in_sees_nothing_of_later_calls_but_the_memory() -> None:
    recorder, memory, out = FirstCallAgain(), torch.zeros(2), []
    for n in range(3):
        memory.fill_(n)
        recorder.run("key", lambda n=n: out.append((n, memory.sum().item())))
    assert out == [(0, 0.0), (0, 2.0), (0, 4.0)]
    assert recorder.run("other", lambda: 7) == 7


def _done(out: torch.Tensor) -> None:
    """Nothing that later calls could read."""


gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class TestOnGpu:
    pytestmark = gpu

    def test_two_hundred_replays_draw_two_hundred_masks_and_leave_the_generator_as_two_hundred_draws(self) -> None:
        device = torch.device("cuda")
        ours, theirs = (torch.Generator(device).manual_seed(3) for _ in range(2))
        recorder = CudaGraphs(device, lambda: [ours])
        drawn, out = [], torch.empty(64, dtype=torch.int64, device=device)
        for _ in range(201):
            with recorder.stream():
                recorder.run("draw", lambda: _done(out.random_(0, 2**62, generator=ours)))
            drawn.append(tuple(out.tolist()))
        assert len(recorder) == 1
        assert len(set(drawn)) == 201
        expected = [tuple(torch.empty_like(out).random_(0, 2**62, generator=theirs).tolist()) for _ in range(201)]
        assert drawn == expected
        assert torch.equal(ours.get_state(), theirs.get_state())

    def test_graphs_share_memory_and_read_what_lies_in_it_now(self) -> None:
        device = torch.device("cuda")
        recorder = CudaGraphs(device, list)
        inputs, out = [torch.zeros(1024, device=device) for _ in range(3)], torch.zeros(3, device=device)
        for round_ in range(4):
            for at in range(3):
                inputs[at].fill_(at + 10.0 * round_)
                with recorder.stream():
                    recorder.run(at, lambda at=at: _done(out[at].copy_((inputs[at] * 2 + 1).mean())))
            assert out.tolist() == [2 * (at + 10.0 * round_) + 1 for at in range(3)]
        assert len(recorder) == 3

    def test_what_reads_a_value_is_not_recorded_and_runs_all_the_same(self) -> None:
        device = torch.device("cuda")
        recorder, x = CudaGraphs(device, list), torch.ones(3, device="cuda")
        for _ in range(4):
            with recorder.stream():
                assert recorder.run("reads", lambda: float(x.sum())) == 3.0
        assert recorder.problem is not None
        assert "could not be recorded" in recorder.problem
        with recorder.stream():
            assert recorder.run("other", lambda: 1) == 1
        assert float(x.sum()) == 3.0
