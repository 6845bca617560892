"""The training core; the only package that imports torch. Each of its folders imports only those above it here.

- device: where and in which number format to train: device, threads, and a timed probe of bf16
- distributed: several processes that train one model
- memory: blocks that stay in the process, the peak so far, and which errors mean that it ran out
- silence: connections that notice a machine that cannot be reached
- streams: named random generators, so that a draw added in one place changes no other
- kernels/: Triton kernels for what a GPU would otherwise do in many small launches
- model/: encoder and heads over packed batches
- terms/: what a step's loss is a sum of
- inference/: outputs of a trained model
- export/: a model in the form of other tools
- training/: batches, update and loop
"""

from __future__ import annotations

import os

# Read by libgomp as torch loads it. By default a thread that waits for the others spins for milliseconds, so where
# another process holds a core every operation waits that long: measured 8 x a step's time. 5,000 turns (tens of
# microseconds) are as fast on an idle machine.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
