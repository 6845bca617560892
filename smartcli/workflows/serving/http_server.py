"""A server on a socket of its own: started when its models are loaded, ended by a signal once its answers are out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smartcli.errors import Stopped, UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.workflows.serving.limits import Limits
from smartcli.workflows.training.signals import stop_on_signals

if TYPE_CHECKING:
    from smartcli.workflows.serving.gate import Gate

TOKEN_VARIABLE = "SMART_SERVE_TOKEN"
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
BACKLOG = 2048
IDLE = 30.0
"""Seconds after which a connection without a request is closed."""
HEAD = 32_768
"""Bytes of a request's head."""
TICKS = 10
"""uvicorn's ticks, of a tenth of a second, from one look at idle connections to the next."""
LAST_REQUESTS = 0.2
"""Seconds in which a stopping server still takes what its clients sent before they knew."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Address:
    """Where a server listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000

    def bind(self) -> socket.socket:
        """Return a bound socket, not yet listening; a UserError says why there is none."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError):
            raise UserError(
                f"--host {self.host}: no such address; expected one of this machine's, or 0.0.0.0"
            ) from None
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            bound.close()
            remedy = "choose another --port (0 takes a free one), or another --host"
            raise UserError(f"cannot listen on {self.host} port {self.port}: {error.strerror}; {remedy}") from None
        return bound


class IdleConnections:
    """Connections without a request under way, closed after a time: also those that never send a head's end.

    One that is to be closed waits until its client has read what was sent; after as long again it is cut.
    """

    def __init__(self, seconds: float = IDLE) -> None:
        self._seconds = seconds
        self._since: dict[Any, tuple[Any, float]] = {}

    def sweep(self, connections: Iterable[Any], now: float) -> None:
        """Close those of uvicorn's connections that have waited for a request for too long."""
        found: dict[Any, tuple[Any, float]] = {}
        for connection in connections:
            cycle, closing = connection.cycle, connection.transport.is_closing()
            if not closing and cycle is not None and not cycle.response_complete:
                continue
            before = self._since.get(connection)
            # Another cycle: a request came and was answered since the last look.
            state = (cycle, closing)
            found[connection] = before if before is not None and before[0] == state else (state, now)
            if now - found[connection][1] > self._seconds:
                connection.transport.abort() if closing else connection.transport.close()
        self._since = found


def url_of(bound: socket.socket) -> str:
    """Return the address of a bound socket as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def token_from_environment() -> str | None:
    """Return the token that clients must send; a UserError that does not show it where it cannot be one."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and not TOKEN.fullmatch(token):
        raise UserError(
            f"${TOKEN_VARIABLE} must be 16 to 512 letters, digits or characters of ._~+/=- (its value is not shown); "
            'make one with: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token


def need_packages() -> None:
    """Raise a UserError where a package of the extra is missing."""
    try:
        import fastapi_offline  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        missing = (error.name or "a package").partition(".")[0]
        raise UserError(f"smart serve needs {missing}; install it with: pip install 'smart-finetune[serve]'") from None


def serve(
    home: Home,
    name: str,
    address: Address,
    limits: Limits,
    *,
    device: str = "auto",
    threads: int | None = None,
    int8: bool = False,
    say: Say,
    warn: Say,
    ready: Say,
) -> None:
    """Serve a checkpoint or an ensemble until a signal comes, then raise Stopped.

    `ready` is told the URL when the first request can be answered; `say` is told of progress, `warn` of faults. With
    `int8` linear layers multiply in int8, on the CPU.
    """
    limits.check()
    checkpoint = Registry(home).open(name)
    if checkpoint.kind == "pretrain-text":
        raise UserError(
            f"{name} has no head, and so nothing to predict; fine-tune from it: smart finetune --init {name}"
        )
    token = token_from_environment()
    need_packages()
    with contextlib.closing(address.bind()) as bound:
        from smartcli.engine.device import set_threads
        from smartcli.workflows.scoring.panel import load_panel
        from smartcli.workflows.serving.gate import Gate
        from smartcli.workflows.serving.web_app import Service, make_app

        if token is None and not _is_loopback(bound):
            warn(f"anyone who reaches {url_of(bound)} is answered: ${TOKEN_VARIABLE} names no token")
        used = set_threads(threads)
        say(f"{name}: loading")
        service = Service(load_panel(home, checkpoint, device, int8=int8), limits)
        service.start()
        app = make_app(service, token=token is not None)
        gate = Gate(
            app,
            limits,
            token=token,
            seconds_ahead=service.batches.seconds_ahead,
            answered=service.metrics.answered,
            failed=lambda error: warn(f"a request failed: {type(error).__name__}: {error}"),
        )
        service.metrics.watch(lambda: gate.under_way, lambda: service.batches.waiting)
        url = url_of(bound)
        tasks = ", ".join(service.tasks.names)
        _run(
            gate,
            bound,
            limits,
            lambda: ready(f"serving {name} ({tasks}) on {url} with {used} threads{' in int8' if int8 else ''}"),
        )


def _is_loopback(bound: socket.socket) -> bool:
    host = str(bound.getsockname()[0])
    return host.startswith("127.") or host == "::1"


def _run(gate: Gate, bound: socket.socket, limits: Limits, ready: Callable[[], None]) -> None:
    """Listen until a signal; raise Stopped with its exit code when all that was under way is answered."""
    import uvicorn

    idle = IdleConnections()
    with stop_on_signals() as flag:

        class Server(uvicorn.Server):
            """A server that is ended by our signals, and last answers what its clients have sent already."""

            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                ready()

            async def on_tick(self, counter: int) -> bool:
                if counter % TICKS == 0:
                    idle.sweep(list(self.server_state.connections), time.monotonic())
                return await super().on_tick(counter) or flag()

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                for listener in self.servers:
                    listener.close()
                gate.stopping = True
                await asyncio.sleep(LAST_REQUESTS)
                await super().shutdown(sockets)

        Server(
            uvicorn.Config(
                gate,
                # Of uvicorn's parsers the one that bounds what a request's head may hold.
                http="h11",
                loop="asyncio",
                h11_max_incomplete_event_size=HEAD,
                backlog=BACKLOG,
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                timeout_keep_alive=int(IDLE),
                timeout_graceful_shutdown=int(limits.timeout + limits.body_timeout) + 1,
            )
        ).run([bound])
        raise Stopped("stopped: everything that was under way is answered", flag.exit_code)
