"""How long a step's sum takes over a network: `python -m benchmarks.link`, as root on Linux with iproute2.

Two network namespaces, a process in each, gloo. Bandwidth is limited by the kernel (a veth pair, tc's tbf); delay comes
from a relay between TAP devices (tests/two_machines.py), which carries some 30 MB/s itself, so that only small sums are
measured over it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.two_machines import Machines, Relay, ip, two_machines, why_not

CHILD = """
import json, sys, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
for line in sys.stdin:
    numbers, times = int(line), []
    given = torch.ones(numbers)
    for _ in range(5):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(given.clone())
        times.append(time.perf_counter() - start)
    print(json.dumps(sorted(times)), flush=True)
"""
RATES = (None, "1gbit", "100mbit")
SIZES = (1_000_000, 11_000_000)
DELAYS = (0.0, 0.001, 0.005, 0.02)
SMALL = 1_000


@contextmanager
def cable() -> Iterator[Machines]:
    """Yield two machines joined by a veth pair."""
    names = (f"smart{os.getpid()}a", f"smart{os.getpid()}b")
    addresses = ("10.78.0.1", "10.78.0.2")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "wire0", "netns", names[0], "type", "veth", "peer", "name", "wire0", "netns", names[1])
        for name, address in zip(names, addresses, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire0")
            for device in ("lo", "wire0"):
                ip("-n", name, "link", "set", "dev", device, "up")
        yield Machines(names, addresses, Relay((-1, -1)))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def limit(machines: Machines, rate: str) -> None:
    """Let each machine send at most `rate`."""
    for name in machines.names:
        words = f"tc qdisc replace dev wire0 root tbf rate {rate} burst 256kb latency 50ms"
        subprocess.run(["ip", "netns", "exec", name, *words.split()], check=True)


@contextmanager
def pair(machines: Machines) -> Iterator[Any]:
    """Yield a function that returns the least and the median seconds of a sum of so many numbers."""
    env = {"MASTER_ADDR": machines.addresses[0], "MASTER_PORT": "29501", "WORLD_SIZE": "2"}
    words = [sys.executable, "-c", CHILD]
    running = [
        subprocess.Popen(
            ["ip", "netns", "exec", machines.names[rank], *words],
            env=os.environ | env | {"RANK": str(rank), "GLOO_SOCKET_IFNAME": "wire0", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]

    def seconds(numbers: int) -> tuple[float, float]:
        for each in running:
            assert each.stdin is not None
            each.stdin.write(f"{numbers}\n")
            each.stdin.flush()
        found = [json.loads(each.stdout.readline()) for each in running if each.stdout is not None]
        return found[0][0], found[0][2]

    yield seconds
    for each in running:
        each.communicate()


def main() -> None:
    """Print a table of seconds."""
    if (reason := why_not()) is not None:
        sys.exit(f"benchmarks.link {reason}")
    with cable() as machines, pair(machines) as seconds:
        for rate in RATES:
            if rate is not None:
                limit(machines, rate)
            for numbers in SIZES:
                least, median = seconds(numbers)
                print(
                    f"{rate or 'unlimited':>9}  {numbers * 4 / 1e6:6.1f} MB  {least:.3f} s, median {median:.3f}",
                    flush=True,
                )
    with two_machines() as machines, pair(machines) as seconds:
        for delay in DELAYS:
            machines.link.delay = delay
            least, median = seconds(SMALL)
            print(f"{1e3 * delay:6.0f} ms  {SMALL * 4 / 1e3:6.1f} kB  {least:.4f} s, median {median:.4f}", flush=True)


if __name__ == "__main__":
    main()
