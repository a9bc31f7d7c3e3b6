"""What the routes need around them: the real store and gate, an engine of bytes, a real HTTP
server.
"""

import asyncio
import contextlib
import itertools
import pathlib
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized

import msgspec
import uvicorn
from starlette.types import ASGIApp

from baton.admission import issue, keys
from baton.admission.counters import MachineCounters
from baton.admission.gate import Caller, Gate
from baton.app import WebGate
from baton.config import Settings
from baton.engine.wire import Description, Tokens
from baton.ledger import audit
from baton.stores.base import Catalogue, UsageRecord
from baton.stores.book import Store, open_store
from baton.telemetry.log import AccessLog
from baton.telemetry.metrics import Metrics, Snapshot
from baton.telemetry.refused import Refusals
from baton.upstreams.base import UpstreamError
from baton.web import turns
from baton.web.front import build
from baton.web.services import Headers, Readiness, Services, Standing, UsageQuery, readiness
from tests.asking import Endpoint

USER_KEY = "sk-test-web-user-key-00000001"
ADMIN_KEY = "sk-test-web-admin-key-0000001"
MODEL = "tiny-bytes"
SPENT_NANO, HELD_NANO = 1_500, 500


class ByteEngine:
    """An engine whose tokens are bytes; 256 begins, 257 ends. `down` makes every call fail."""

    def __init__(self) -> None:
        self.model, self.created_s, self.down = MODEL, 1_700_000_000, False
        self.description: Description | None = DESCRIPTION
        self.parse_special: list[bool] = []
        self.go_on = threading.Event()
        """Until it is set, what is longer than `turns.LONG` is not answered."""
        self.go_on.set()
        self.long_begun = 0

    async def describe(self) -> Description:
        self._answer()
        return DESCRIPTION

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens:
        await self._look_at(text)
        self.parse_special.append(parse_special)
        first = [256] if add_special else []
        return Tokens([*first, *text.encode()], 128)

    async def detokenize(self, ids: list[int]) -> str:
        await self._look_at(ids)
        return bytes(one for one in ids if one < 256).decode("utf-8", "replace")

    async def _look_at(self, given: Sized) -> None:
        self._answer()
        if len(given) > turns.LONG:
            self.long_begun += 1
            await asyncio.to_thread(self.go_on.wait, 10)

    def _answer(self) -> None:
        if self.down:
            raise UpstreamError("gone", phase="connect", kind="refused", retryable=True)


DESCRIPTION = Description(
    fingerprint="test-1",
    architecture="llama",
    vocabulary_size=258,
    context_tokens_max=128,
    sequences_max=4,
    threads=1,
    eos_token="<|end|>",
    bos_token="<|begin|>",
    fim=False,
    running=1,
    waiting=2,
    steps=3,
)


class Parts:
    """The services of one application, and what tests turn on them."""

    def __init__(self, home: pathlib.Path, **settings: object) -> None:
        defaults = {"home": str(home), "public_url": "https://relay.test/base"}
        self.settings = Settings(**{**defaults, **settings})  # type: ignore[arg-type]
        self.store: Store = open_store(self.settings)
        self.user = issue.import_key(self.store, "user", USER_KEY, "test")
        self.admin = issue.import_key(self.store, "admin", ADMIN_KEY, "test", role="admin")
        self.engine = ByteEngine()
        self.metrics = Metrics()
        self.refusals = Refusals(self.metrics)
        self.counters = MachineCounters(home / "run/rates")
        self.gate = Gate(self.store, self.counters)
        self.catalogue: Catalogue = self.store.catalogue()
        self.ready = readiness(store=True, engine="ok", upstreams=0)
        self.access = AccessLog("")
        self.asked: list[UsageQuery] = []
        self.turns = turns.Turns()
        self._ids = itertools.count(1)

    async def refresh(self) -> None:
        self.catalogue = await asyncio.to_thread(self.store.catalogue)
        self.gate.changed()

    async def identify(self, headers: Headers, peer: str) -> Caller:
        return await WebGate(self.gate, self.store).identify(headers, peer)

    async def sign_in(self, value: str, headers: Headers, peer: str) -> tuple[Caller, str]:
        return await WebGate(self.gate, self.store).sign_in(value, headers, peer)

    async def signed_in(self, headers: Headers, peer: str) -> tuple[Caller, str]:
        return await WebGate(self.gate, self.store).signed_in(headers, peer)

    async def sign_out(self, headers: Headers) -> None:
        await WebGate(self.gate, self.store).sign_out(headers)

    def conceal(self, value: str, about: str) -> str:
        return WebGate(self.gate, self.store).conceal(value, about)

    def revealed(self, sealed: str, about: str) -> str | None:
        return WebGate(self.gate, self.store).revealed(sealed, about)

    async def standing(self, caller: Caller, further: Sequence[str] = ()) -> Standing:
        """As it is, but that every key has spent something."""
        found = await WebGate(self.gate, self.store).standing(caller, further)
        own = found.balances[caller.record.account]
        own = msgspec.structs.replace(own, posted_nano=SPENT_NANO, leased_nano=HELD_NANO)
        return Standing(balances={**found.balances, own.id: own}, left=found.left)

    async def readiness(self) -> Readiness:
        return self.ready

    def numbers(self) -> Snapshot:
        return self.metrics.snapshot()

    def usage(self, query: UsageQuery) -> Sequence[UsageRecord]:
        self.asked.append(query)
        return self.store.usage.sums(*query.told())

    def services(self) -> Services:
        return Services(
            settings=self.settings,
            version="0.0-test",
            gate=self,
            keys=self.store.keys,
            parties=self.store.parties,
            accounts=self.store.accounts,
            upstreams=self.store.upstreams,
            prices=self.store.prices,
            changes=self.store.changes,
            usage=self.usage,
            ledger=self.store.usage,
            contents=self.store.contents,
            refusals=self.store.refusals,
            note_refusal=self.refusals.note,
            traffic=self.store.traffic,
            history=self.store.history,
            audit=lambda: audit.run(self.store),
            catalogue=lambda: self.catalogue,
            refresh=self.refresh,
            vocabulary=lambda model: None,
            turns=self.turns,
            embedded=self.engine,
            readiness=self.readiness,
            draining=lambda: self.ready.draining,
            numbers=self.numbers,
            access_log=self.access,
            clock_us=lambda: time.time_ns() // 1000,
            mint_key=lambda: keys.mint(secrets.token_bytes(keys.RANDOM_BYTES)),
            new_id=lambda word: f"{word}_{next(self._ids)}",
            dialects=lambda: {"openai": "any server", "vllm": "vLLM", "anthropic": "a chat"},
        )


class Web:
    """A running application and three ways to ask it."""

    def __init__(self, parts: Parts, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.parts, self.port, self._loop = parts, port, loop
        address = f"http://127.0.0.1:{port}"
        self.user = Endpoint(address, USER_KEY, MODEL)
        self.admin = Endpoint(address, ADMIN_KEY, MODEL)

    def run(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something on the application's own loop."""

        async def once() -> None:
            await act()

        asyncio.run_coroutine_threadsafe(once(), self._loop).result(10)

    def key(self, **options: object) -> Endpoint:
        """Somebody else's endpoint: a new key with these options."""
        _, value = issue.create(self.parts.store, "other", "test", **options)
        return Endpoint(self.user.base_url, value, MODEL)


@contextlib.contextmanager
def web(parts: Parts) -> Iterator[Web]:
    """Serve the parts' application on a free port of 127.0.0.1, in a thread."""
    with serving(build(parts.services())) as (port, loop):
        yield Web(parts, port, loop)
    parts.counters.close()
    parts.store.close()


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[tuple[int, asyncio.AbstractEventLoop]]:
    """Any ASGI application under uvicorn."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none")
    )
    found: dict[str, asyncio.AbstractEventLoop] = {}

    async def serve() -> None:
        found["loop"] = asyncio.get_running_loop()
        await server.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], found["loop"]
    finally:
        server.should_exit = True
        thread.join(10)
