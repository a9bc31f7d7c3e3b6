"""The routes beside the completion endpoint, behind one door that costs a start nothing.

Probes are answered here at once. All other routes need Starlette, templates, texts and documents,
which take as long to load as the whole path of a completion and as much memory again as its books:
they are loaded when somebody first asks for one of them, in a thread, so that completions go on
meanwhile. Who asks while they are being loaded waits for the same rooms.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from baton.errors import internal
from baton.http.paths import ALIVE_PATH, READY_PATHS
from baton.telemetry import diary
from baton.web.envelope import STATE, Envelope
from baton.web.services import Readiness, Services

Load = Callable[[Services], ASGIApp]


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    status: str = "ok"
    version: str


async def healthz(services: Services) -> tuple[int, Alive]:
    """200 as long as the event loop turns: a probe that fails here calls for a restart."""
    return 200, Alive(version=services.version)


async def readyz(services: Services) -> tuple[int, Readiness]:
    """503 keeps load balancers away without a restart: what is missing may come back."""
    found = await services.readiness()
    return (200 if found.ready else 503), found


PROBES: dict[str, Callable[[Services], Awaitable[tuple[int, msgspec.Struct]]]] = {
    ALIVE_PATH: healthz,
    **dict.fromkeys(READY_PATHS, readyz),
}


class Web(NamedTuple):
    """What each listener answers beside completions."""

    callers: ASGIApp
    operators: ASGIApp


def load(services: Services) -> ASGIApp:
    """Everything that is not a probe. Takes a moment and blocks."""
    app: ASGIApp = importlib.import_module("baton.web.routes").build(services)
    return app


def load_for_callers(services: Services) -> ASGIApp:
    """The same, without what is for operators."""
    app: ASGIApp = importlib.import_module("baton.web.routes").build(services, for_callers=True)
    return app


def build(services: Services, load: Load = load) -> ASGIApp:
    """What answers at a listener."""
    return Envelope(Front(services, load), services)


def build_web(services: Services) -> Web:
    """The ASGI applications of one worker: one for both, unless operators' listener is apart."""
    all_of_it = build(services)
    if not services.settings.admin_listen:
        return Web(all_of_it, all_of_it)
    return Web(build(services, load_for_callers), all_of_it)


class Front:
    """Answers probes, and sends everything else on into the rooms behind it."""

    def __init__(self, services: Services, load: Load) -> None:
        self._services, self._load = services, load
        self._rooms: ASGIApp | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        probe = PROBES.get(scope["path"]) if scope["type"] == "http" else None
        if probe is not None and scope["method"] in ("GET", "HEAD"):
            status, found = await probe(self._services)
            return await _answer(send, status, msgspec.json.encode(found))
        rooms = self._rooms or await self._loaded()
        if rooms is None:
            return await _answer(send, 500, internal(scope["state"][STATE].request_id).body())
        return await rooms(scope, receive, send)

    async def _loaded(self) -> ASGIApp | None:
        """None where it failed: whoever asks next tries again."""
        async with self._loading:
            if self._rooms is None:
                try:
                    self._rooms = await asyncio.to_thread(self._load, self._services)
                except Exception:  # noqa: BLE001 — a fault of ours is told in everybody's shape
                    diary.exception("the routes cannot be loaded")
        return self._rooms


async def _answer(send: Send, status: int, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
