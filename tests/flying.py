"""A worker as it is served, with what became of its requests on the fast path, an upstream that
writes what a test says, and a caller that keeps its connection.

with flying(tmp_path) as sky:              # the model "m" on `sky.upstream`, at bookkeeping.PRICE
    with sky.kept() as caller:
        caller.complete()                  # in the room: its connection's first request
        sky.upstream.answers(part, part)   # the next answer, in so many writes
        caller.complete()                  # on the fast path, until it lands
    assert (1, 1, 0) == sky.course.counts
"""

import asyncio
import contextlib
import http.client
import json
import pathlib
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self

from baton.http.answering import Answering
from baton.http.exchange import Exchange as Caller
from baton.http.shared import Flight, FlightLine, Room
from baton.http.usual import Usual
from tests.asking import Answer
from tests.fakes.wire import LAST_CHUNK, Exchange, WireServer, chunk, chunked_head, whole
from tests.relaying import MODEL, THEIRS, USER, Relay, relaying

JSON = "Content-Type: application/json"
PROMPT = "the river is"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
CHOICE = {"index": 0, "text": " wide and slow", "logprobs": None, "finish_reason": "stop"}


def body(**fields: object) -> bytes:
    """An answer of one choice; fields given as `...` are left out."""
    found = {
        "id": "cmpl-theirs",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": THEIRS,
        "choices": [CHOICE],
        "usage": USAGE,
        **fields,
    }
    return json.dumps({name: value for name, value in found.items() if value is not ...}).encode()


def answer(**fields: object) -> bytes:
    """The same with its head."""
    return whole(body(**fields), JSON)


def _stream() -> bytes:
    head = chunked_head("Content-Type: text/event-stream")
    said = json.dumps({"choices": [CHOICE]}), json.dumps({"choices": [], "usage": USAGE}), "[DONE]"
    return head + b"".join(chunk(f"data: {each}\n\n".encode()) for each in said) + LAST_CHUNK


STREAM = _stream()


class Course:
    """What became of requests, by the interface between the fast path and its connections."""

    def __init__(self) -> None:
        self.boarded = self.landed = self.flown = self.failed = 0
        """Begun on the fast path; of them: went on in the room, answered, answered an error."""
        self.left = 0
        """Looked at, and left to the room."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Boarded, flown, landed."""
        return self.boarded, self.flown, self.landed


class Upstream(WireServer):
    """Answers with `answer()`, or with what was said of the next ones."""

    def __init__(self) -> None:
        super().__init__(self._give)
        self._next: deque[Callable[[Exchange], Coroutine[Any, Any, None]]] = deque()
        self.opened: asyncio.Event
        """Lets answers go on that wait (`held`)."""

    async def __aenter__(self) -> Self:
        self.opened = asyncio.Event()
        return await super().__aenter__()

    @property
    def asked(self) -> list[Any]:
        """The bodies of all requests so far."""
        return [json.loads(request.body) for request in self.requests]

    def answers(self, *parts: bytes, then: str = "", held: bool = False) -> None:
        """The next answer: each part a write; `then`: close | reset | stall; `held`: after `open`
        alone."""

        async def give(exchange: Exchange) -> None:
            if held:
                await self.opened.wait()
            for number, part in enumerate(parts):
                await exchange.send(part)
                if number < len(parts) - 1:
                    await asyncio.sleep(0.002)  # a segment of its own
            if then == "close":
                exchange.close()
            elif then == "reset":
                exchange.reset()
            elif then == "stall":
                await exchange.stall()

        self._next.append(give)

    async def _give(self, exchange: Exchange) -> None:
        if self._next:
            await self._next.popleft()(exchange)
        elif json.loads(exchange.request.body).get("stream"):
            await exchange.send(STREAM)
        else:
            await exchange.send(answer())


class Kept:
    """A caller that keeps its connection and sends each request in one write."""

    def __init__(self, sky: "Sky", key: str) -> None:
        self.key = key
        self.socket = sky.relay.connect()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, path: str = "/v1/completions", lines: str = "", **fields: object) -> bytes:
        given = {"model": MODEL, "prompt": PROMPT, "max_tokens": 9, **fields}
        return self.raw(json.dumps(given).encode(), path, lines)

    def raw(self, data: bytes, path: str = "/v1/completions", lines: str = "") -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n{lines}"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data

    def send(self, **fields: object) -> None:
        self.socket.sendall(self.request(**fields))  # type: ignore[arg-type]

    def receive(self) -> Answer:
        """The next answer, where nothing comes behind it."""
        response = http.client.HTTPResponse(self.socket, method="POST")
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())

    def complete(self, **fields: object) -> Answer:
        self.send(**fields)
        return self.receive()

    def post(self, data: bytes, path: str = "/v1/completions", lines: str = "") -> Answer:
        self.socket.sendall(self.raw(data, path, lines))
        return self.receive()


class Sky:
    """A relay, its upstream, and what became of its flights."""

    def __init__(self, relay: Relay, upstream: Upstream) -> None:
        self.relay, self.upstream = relay, upstream
        self.course = Course()

    @property
    def key(self) -> str:
        return self.relay.endpoint(USER).key

    def kept(self, name: str = USER) -> Kept:
        return Kept(self, self.relay.endpoint(name).key)

    @contextlib.contextmanager
    def warm(self, name: str = USER) -> Iterator[Kept]:
        """A caller whose next plain request goes on the fast path: there was one before, and an
        idle connection of the upstream is left of it."""
        with self.kept(name) as caller:
            assert 200 == caller.complete().status
            yield caller

    def until(self, condition: Callable[[], bool]) -> None:
        self.relay.run(self.upstream.until(condition))

    def asked(self, count: int) -> None:
        """Wait until the upstream has so many requests."""
        self.until(lambda: len(self.upstream.requests) >= count)

    def open(self) -> None:
        """Let held answers go on."""
        self.relay.loop.call_soon_threadsafe(self.upstream.opened.set)

    def quiet(self) -> None:
        """Nothing is under way any more, by any count; AssertionError where one stays."""
        relay = self.relay
        site = next(iter(relay.worker._configured.sites.values()), None)
        metrics = relay.worker.room.books.metrics

        def counts() -> tuple[int, ...]:
            calls = 0 if site is None else site.in_flight
            turns = len(relay.worker.room.under_way.turns)
            told = metrics.snapshot()
            return relay.shared.exchanges, told.in_flight, told.holds_open, calls, turns

        with contextlib.suppress(TimeoutError):
            self.until(lambda: counts() == (0,) * 5)
        assert (0,) * 5 == counts()


@contextlib.contextmanager
def flying(home: pathlib.Path, *, fast: bool = True, **settings: Any) -> Iterator[Sky]:
    """`fast`: with the fast path; else all is for the room."""
    with relaying(home, **settings) as relay:
        sky = Sky(relay, Upstream())
        relay.run(sky.upstream.__aenter__())
        relay.add_upstream_at("fake", sky.upstream.url, "vllm", THEIRS)
        relay.run(relay.worker.refresh())
        _watch(sky, fast=fast)
        try:
            yield sky
        finally:
            relay.run(sky.upstream.stop())


def _watch(sky: Sky, *, fast: bool) -> None:
    relay, course = sky.relay, sky.course
    board, made = relay.worker.board, relay.server.config.http
    assert board is not None
    assert isinstance(made, type)
    assert issubclass(made, Answering)
    land, flown, answers = made.land, made.flown, made.answers

    def boarding(line: FlightLine, head: Usual, data: bytes) -> Flight | None:
        flight = board(line, head, data)
        if flight is None:
            course.left += 1
        else:
            course.boarded += 1
        return flight

    def landing(
        line: Answering, exchange: Caller, room: Room, forsaken: Callable[[], None]
    ) -> None:
        course.landed += 1
        land(line, exchange, room, forsaken)

    def out(line: Answering, flight: Flight) -> None:
        course.flown += 1
        flown(line, flight)

    def failing(line: Answering, exchange: Caller) -> None:
        course.failed += 1
        answers(line, exchange)

    relay.shared.board = boarding if fast else None
    made.land = landing  # type: ignore[method-assign, assignment]
    made.flown = out  # type: ignore[method-assign, assignment]
    made.answers = failing  # type: ignore[method-assign, assignment]
