"""Several processes that train one model: sums over them, what the first one sends, and the end of one of them.

torchrun starts them; gloo carries what lies in the CPU's memory and NCCL what lies on a GPU. Each process takes a
part of every step's rows; gradients are summed, so the weights stay the same everywhere.
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from smartcli import ranks
from smartcli.engine.silence import notice_silence, silent_seconds
from smartcli.errors import SaidElsewhere, SmartCliError, UserError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another one that is there and does nothing; a killed one is noticed at once, and a
machine that cannot be reached as silence.py says."""
_SAID = "smartcli error said"


class Lost(SmartCliError):
    """Another process of the training ended or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen from number `rank` of `size`; alone, nothing is sent anywhere."""

    rank: int = 0
    size: int = 1
    store: Store | None = None

    @property
    def several(self) -> bool:
        return self.size > 1

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums over all processes of tensors of one type and device, sent as one; bit-equal everywhere."""
        if not self.several:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _connection():
            dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def any(self, value: bool) -> bool:
        """Return whether `value` holds in any process."""
        return bool(self.sum([torch.tensor([float(value)])])[0] > 0) if self.several else value

    def broadcast(self, value: Any = None) -> Any:
        """Return the JSON value of the first process, in all of them; the others wait for it."""
        if not self.several:
            return value
        raw = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([raw.numel()])
        with _connection():
            dist.broadcast(length, 0)
            sent = raw if self.is_main_process else torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(sent, 0)
        return json.loads(sent.numpy().tobytes())

    def check_same(self, tensors: Sequence[Tensor]) -> None:
        """Raise a SmartCliError where tensors do not have the same bits in every process, by their sums as integers."""
        if not self.several:
            return
        own = torch.stack([tensor.view(torch.int32).sum() for tensor in tensors]).cpu()
        first = own.clone()
        with _connection():
            dist.broadcast(first, 0)
        if self.any(not torch.equal(own, first)):
            raise SmartCliError(
                "the processes' weights are no longer the same; train on machines of one kind, with the same torch"
            )

    def device(self, chosen: torch.device) -> torch.device:
        """Return the GPU of this process where `chosen` is a GPU, else `chosen`."""
        if not self.several or chosen.type != "cuda":
            return chosen
        if ranks.local_rank() >= torch.cuda.device_count():
            raise UserError(
                f"{ranks.local_size()} processes on a machine with {torch.cuda.device_count()} GPUs; start one for "
                "each with torchrun's --nproc-per-node, or train on the CPU with --device cpu"
            )
        torch.cuda.set_device(ranks.local_rank())
        return torch.device("cuda", ranks.local_rank())

    def may_report(self) -> bool:
        """Return whether an error is this process's to say: the first one's always, else the first to have it."""
        assert self.store is not None
        # torchrun ends all as soon as one ends; the error must be said first.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            if not self.is_main_process:
                self.store.wait([_SAID], timedelta(seconds=ranks.SAY_SECONDS))
                return False
        except RuntimeError:
            pass  # Nobody has said anything meanwhile, or there is nobody left.
        try:
            return self.store.add(_SAID, 1) == 1 or self.is_main_process
        except RuntimeError:
            return True


ALONE = Processes()


@contextmanager
def join() -> Iterator[Processes]:
    """Meet the processes that torchrun started, and yield them; an error that another one says is SaidElsewhere."""
    size, rank = ranks.size(), ranks.rank()
    if size == 1:
        yield ALONE
        return
    if not dist.is_available():
        raise UserError("this build of torch has no torch.distributed; train in one process, without torchrun")
    # Not at the top: a build without it trains in one process.
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    seconds = silent_seconds()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, _, _ = next(rendezvous("env://", rank, size, timeout=TIMEOUT))
        dist.init_process_group(
            backend, store=PrefixStore("smartcli", store), rank=rank, world_size=size, timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        raise SmartCliError(
            f"the {size} processes could not meet: {_reason(error)}; see that every machine reaches "
            "MASTER_ADDR:MASTER_PORT, and set GLOO_SOCKET_IFNAME where one has several networks"
        ) from error
    notice_silence(seconds)
    processes = Processes(rank, size, store)
    try:
        yield processes
    except SmartCliError as error:
        # Not for Stopped, which a signal gives to all alike.
        if error.exit_code <= 2 and not processes.may_report():
            raise SaidElsewhere(error.exit_code) from error
        raise
    dist.destroy_process_group()


@contextmanager
def _connection() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Lost(f"another process of this training ended or cannot be reached ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Return the first line of torch's message, without the place in its source and its advice."""
    line = re.sub(r"^\[\S+:\d+\] ", "", str(error).strip().partition("\n")[0])
    return line.partition(". This is typically")[0]
