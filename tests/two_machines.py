"""Two machines in one: network namespaces joined by a link that can be slow, lossy, or cut.

As root on Linux with iproute2. The link is a pair of TAP devices with
a relay between them that delays and drops whole frames, as tc netem would, which not every kernel has.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FRAME = 65536
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def why_not() -> str | None:
    """Return why two machines cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2 (apt-get install iproute2)"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces cannot be made here ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Relay:
    """Carries frames between two TAP devices, `delay` seconds later, without a share `loss` of them."""

    ends: tuple[int, int]
    delay: float = 0.0
    loss: float = 0.0
    cut: bool = False
    bits_a_second: float = 0.0
    """0: as fast as the relay is."""
    bytes_carried: int = 0
    _waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _free: dict[int, float] = field(default_factory=dict)
    stopped: bool = False

    def run(self) -> None:
        draw, number = random.Random(0), 0
        while not self.stopped:
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, _, to, frame = heapq.heappop(self._waiting)
                if not self.cut:
                    os.write(to, frame)
            wait = min(0.05, self._waiting[0][0] - now) if self._waiting else 0.05
            for end in select.select(self.ends, [], [], max(0.0, wait))[0]:
                frame, to = os.read(end, FRAME), self.ends[1] if end == self.ends[0] else self.ends[0]
                if self.cut or draw.random() < self.loss:
                    continue
                self.bytes_carried += len(frame)
                due = time.monotonic()
                if self.bits_a_second:
                    due = self._free[to] = max(due, self._free.get(to, 0.0)) + len(frame) * 8 / self.bits_a_second
                if due + self.delay <= now and not self._waiting:
                    os.write(to, frame)
                else:
                    heapq.heappush(self._waiting, (due + self.delay, number, to, frame))
                    number += 1

    def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True)
class Machines:
    """Two namespaces, their addresses, and the link between them."""

    names: tuple[str, str]
    addresses: tuple[str, str]
    link: Relay

    def start(self, number: int, words: Sequence[str], **env: str) -> subprocess.Popen[str]:
        """Start a command on a machine."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[number], *words],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "wire0"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self, number: int) -> list[int]:
        """Return the processes that run on a machine."""
        found = subprocess.run(["ip", "netns", "pids", self.names[number]], capture_output=True, text=True, check=True)
        return [int(pid) for pid in found.stdout.split()]

    def kill(self, number: int) -> None:
        """End all of a machine's processes at once, as when it loses power; its kernel still closes connections."""
        for pid in self.pids(number):
            os.kill(pid, signal.SIGKILL)


def _tap(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return end


@contextmanager
def two_machines(mtu: int = 9000) -> Iterator[Machines]:
    """Yield two machines with a fast link; nothing of them is left afterwards."""
    tag = f"{os.getpid() % 100000:05d}"
    names = (f"smart{tag}a", f"smart{tag}b")
    addresses = ("10.77.0.1", "10.77.0.2")
    ends: list[int] = []
    relay = None
    try:
        for name, address in zip(names, addresses, strict=True):
            ip("netns", "add", name)
            device = f"t{name[-6:]}"
            ends.append(_tap(device))
            ip("link", "set", "dev", device, "netns", name)
            ip("-n", name, "link", "set", "dev", device, "name", "wire0", "mtu", str(mtu))
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire0")
            ip("-n", name, "link", "set", "lo", "up")
            # torchrun's own connection has the kernel's patience, a quarter of an hour; so it is some 15 seconds.
            ip("netns", "exec", name, "sh", "-c", "echo 6 > /proc/sys/net/ipv4/tcp_retries2")
            ip("-n", name, "link", "set", "dev", "wire0", "up")
        relay = Relay((ends[0], ends[1]))
        carrier = threading.Thread(target=relay.run, daemon=True)
        carrier.start()
        machines = Machines(names, addresses, relay)
        yield machines
        for number in (0, 1):
            machines.kill(number)
    finally:
        if relay is not None:
            relay.stop()
            carrier.join()
        for end in ends:
            os.close(end)
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def torchrun(machines: Machines, number: int, each: int = 1) -> list[str]:
    """Return the start of the command line that every machine runs, `each` processes on each."""
    # A real machine finds out by its name whether it is the first one.
    where = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{machines.addresses[0]}:29500", "--rdzv-id", "1")
    more = ("--rdzv-conf", f"is_host={1 - number}", *where, "--local-addr", machines.addresses[number])
    return [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", str(each), *more]


ROOT = Path(__file__).parents[1]
