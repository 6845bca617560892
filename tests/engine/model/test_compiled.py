"""`--compile`: what torch.compile traces gives the uncompiled layers' numbers and gradients, for any number of rows.

torch's own tracing backend runs here: the kernels' compiler takes up to a minute the first time, so that it
runs where SMART_TEST_COMPILE is set.
"""

from __future__ import annotations

import os

import pytest
import torch
from small_model import gradients_of, phase_state, settings, small_model, small_step
from torch import nn
from torch._dynamo.utils import counters
from torch.testing import assert_close

from smartcli.engine.model.compiled import compile_layers
from smartcli.engine.model.encoder import Encoder
from smartcli.engine.model.feed_forward import feed_forward
from smartcli.engine.model.layer import Layer
from smartcli.errors import UserError

FULL = "inductor"
BACKENDS = [
    "aot_eager",
    pytest.param(
        FULL,
        marks=pytest.mark.skipif("SMART_TEST_COMPILE" not in os.environ, reason="SMART_TEST_COMPILE is not set: slow"),
    ),
]
ROWS = [{"mood": range(4), "same": range(4), "near": range(4)}, {"mood": [3], "near": [1, 9]}, {"mood": [5]}]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_layers_give_the_same_gradients_for_any_number_of_tokens(backend: str, model_type: str) -> None:
    chosen = settings(lam=1.0, mu=1.0)
    plain, compiled = (
        phase_state(chosen, torch.float32, model=small_model(chosen, torch.float32, model_type=model_type))
        for _ in range(2)
    )
    compile_layers(compiled.model.encoder, bf16=False, backend=backend)
    for number, rows in enumerate(ROWS, 1):
        step = small_step(chosen, torch.float32, rows=rows, number=number, model_type=model_type)
        found, expected = gradients_of(compiled, step), gradients_of(plain, step)
        assert set(found) == set(expected)
        for name in expected:
            assert_close(found[name], expected[name], atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_bf16_smarts_ascent_goes_through_compiled_layers_too(backend: str) -> None:
    chosen = settings(lam=1.0, compile=True)
    plain, compiled = (phase_state(chosen, torch.float32, bf16=True) for _ in range(2))
    compile_layers(compiled.model.encoder, bf16=True, backend=backend)
    step = small_step(chosen, torch.float32)
    found, expected = gradients_of(compiled, step), gradients_of(plain, step)
    for name in expected:
        assert (found[name] - expected[name]).norm() <= 0.05 * expected[name].norm() + 1e-6, name


def test_another_number_of_rows_compiles_nothing_anew() -> None:
    encoder = small_model(settings(), torch.float32).encoder
    compile_layers(encoder, bf16=False, backend="aot_eager")
    before = counters["stats"]["unique_graphs"]
    assert before == 1
    for layer in encoder.layers:
        assert isinstance(layer, Layer)
        for rows in (2, 57, 256, 1000):
            x = torch.randn(rows, encoder.spec.hidden_size, requires_grad=True)
            out = layer.feed(x, *layer.feed_weights(), layer.act)
            assert torch.equal(out, feed_forward(x, *layer.feed_weights(), layer.act))
    assert counters["stats"]["unique_graphs"] == before


def test_scoring_runs_the_plain_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(settings(), torch.float32)
    batch = small_step(settings(), torch.float32).batches[0].batch

    def never(*_: object) -> torch.Tensor:
        raise AssertionError("compiled layers ran without gradients")

    for layer in model.encoder.layers:
        monkeypatch.setattr(layer, "feed", never)
    with torch.no_grad():
        assert model(model.encoder.look_up(batch), batch)
    with pytest.raises(AssertionError, match="compiled layers ran"):
        model(model.encoder.look_up(batch), batch)


def test_a_compiler_that_does_not_work_is_named_with_what_to_do() -> None:
    encoder = small_model(settings(), torch.float32).encoder

    def broken(graph: nn.Module, inputs: object) -> object:
        raise RuntimeError("no working C++ compiler found")

    with pytest.raises(UserError, match=r"--compile: torch.compile does not work here .*no working.*leave the option"):
        compile_layers(encoder, bf16=False, backend=broken)  # type: ignore[arg-type]
    assert all(layer.feed is feed_forward for layer in encoder.layers if isinstance(layer, Layer))
    assert isinstance(encoder, Encoder)
