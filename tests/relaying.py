"""A whole worker in this process: real store, ledger and listener; its upstreams are fakes.

with relaying(tmp_path) as relay:          # the model "m" on one fake, at bookkeeping.PRICE
    relay.user.complete(prompt="a b")
    relay.fake.fault(status=500)
[row] = relay.rows()                       # the book, once the worker has ended in order
"""

import asyncio
import contextlib
import json
import pathlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, cast

from starlette.types import Receive, Scope, Send

from baton.app import Worker
from baton.config import Settings
from baton.http.exchange import Exchange
from baton.stores.base import Duplicate, RequestRecord, UpstreamRecord
from baton.stores.book import Store
from baton.stores.usage import REQUESTS_MAX
from tests.asking import Endpoint
from tests.bookkeeping import PRICE, new_key, new_store
from tests.fakes import word_model
from tests.fakes.dialects import FAKES
from tests.fakes.fake_completions import FakeCompletions
from tests.http.serving import Listener

MODEL = "m"
THEIRS = "theirs"
"""What the upstream calls it."""
USER = "user"
TIMEOUT_S = 10.0
Result = TypeVar("Result")


class Relay(Listener):
    """A worker on a loop in a thread. `fakes` are upstreams by name, all of them with MODEL."""

    def __init__(self, home: pathlib.Path, dialects: dict[str, str], **settings: Any) -> None:
        given = Settings(**{"home": str(home), "model": "none", **settings})
        super().__init__(self._room, given, self._web)
        self.home = home
        self.fakes = {name: fake_of(dialect) for name, dialect in dialects.items()}
        self.worker: Worker
        self.store: Store = new_store(home)
        """A handle of the test's own on the worker's book."""
        if not self.store.keys.all():
            new_key(self.store, USER)
        self.store.prices.set(PRICE, "test")
        self.ready = threading.Event()
        self.failure: BaseException | None = None

    @property
    def fake(self) -> FakeCompletions:
        """The first upstream."""
        return next(iter(self.fakes.values()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def user(self) -> Endpoint:
        """An ordinary key without limits."""
        return self.endpoint(USER)

    def key(self, name: str, **options: Any) -> Endpoint:
        """A further key with these options."""
        new_key(self.store, name, **options)
        return self.endpoint(name)

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(self.url, f"sk-test-{name:_<40}", MODEL, TIMEOUT_S)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """On the worker's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the fakes or the worker will make true."""
        self.run(self.fake.until(condition))

    def seen(self) -> None:
        """Wait until the first upstream has a request."""
        self.until(lambda: bool(self.fake.seen))

    def ask(self, once: str = "", **fields: Any) -> socket.socket:
        """A connection on which a request has been sent, and nothing read; `once` is its
        idempotency key."""
        body = json.dumps({"model": MODEL, "prompt": "a b", **fields})
        client = self.connect()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Idempotency-Key: {once}\r\n" if once else ""
        client.sendall(f"{head}Authorization: Bearer {self.user.key}\r\n\r\n{body}".encode())
        return client

    def rows(self) -> list[RequestRecord]:
        """The requests on the ledger, oldest first. Only after the end."""
        with contextlib.closing(new_store(self.home)) as store:
            rows = store.usage.requests(REQUESTS_MAX)[::-1]
        for row in rows:
            assert 0 <= row.charge <= row.hold, row
            assert row.overrun == 0 or row.charge == row.hold, row
        return rows

    def add_upstream(self, name: str, fake: FakeCompletions, **fields: Any) -> None:
        self.add_upstream_at(name, fake.url, fake.dialect, THEIRS, **fields)

    def add_upstream_at(
        self, name: str, url: str, dialect: str, theirs: str, **fields: Any
    ) -> None:
        """Any server, with MODEL by the name that it has there; in place of one of that name, in
        one step, as between two a worker would know the model nowhere."""
        record = UpstreamRecord(
            name=name, url=url, dialect=dialect, models={MODEL: theirs}, **fields
        )
        try:
            self.store.upstreams.add(record, "test")
        except Duplicate:
            told = {each: getattr(record, each) for each in record.__struct_fields__}
            del told["name"]
            self.store.upstreams.update(name, "test", **told)

    async def _serve(self) -> None:
        try:
            async with contextlib.AsyncExitStack() as ending:
                for number, (name, fake) in enumerate(self.fakes.items()):
                    await ending.enter_async_context(fake)
                    self.add_upstream(name, fake, priority=number)
                self.worker = await ending.enter_async_context(Worker(self.shared.settings))
                self.shared.board, self.shared.note = self.worker.board, self.worker.note
                self.loop = asyncio.get_running_loop()
                self.ready.set()
                await super()._serve()
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            self.store.close()
            self.ready.set()

    async def _room(self, exchange: Exchange) -> None:
        await self.worker.answer(exchange)

    async def _web(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.worker.web.callers(scope, receive, send)


def fake_of(dialect: str) -> FakeCompletions:
    """The dialect's fake. Those of chats have what tests of the relay use of one, and no more."""
    return cast(FakeCompletions, FAKES[dialect]())


@contextlib.contextmanager
def relaying(
    home: pathlib.Path, dialects: dict[str, str] | None = None, **settings: Any
) -> Iterator[Relay]:
    """Run a worker while the block runs; `dialects` of its upstreams by name, tried in order."""
    relay = Relay(home, dialects or {"fake": "vllm"}, **settings)
    relay.thread.start()
    try:
        assert relay.ready.wait(TIMEOUT_S)
        assert relay.failure is None, relay.failure
        yield relay
    finally:
        relay.server.should_exit = True
        relay.thread.join(TIMEOUT_S)
        assert not relay.thread.is_alive()


def generated(prompt: str, max_tokens: int = 16, **sampling: Any) -> word_model.Generated:
    """What the fake's model makes of a prompt (at temperature 1, seed 0)."""
    return word_model.generate(prompt, word_model.Sampling(max_tokens, **sampling))


def text_of(prompt: str, max_tokens: int = 16, **sampling: Any) -> str:
    return "".join(generated(prompt, max_tokens, **sampling).pieces)
