"""The training core; the only package that imports torch."""

from __future__ import annotations

import os

# Read by libgomp as torch loads it. By default a thread that waits for the others spins for milliseconds, so where
# another process holds a core every operation waits that long: measured 8 x a step's time. 5,000 turns (tens of
# microseconds) are as fast on an idle machine.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
