"""Asking a server live: what it is (`probe`), and what it can do (`check`).

`check` sends a call of a few tokens for each capability, past Baton's own fills, and compares what
came with what the dialect declares. What a server accepts without any effect is found out as well
as what it refuses; what the operator forbids is not asked. Only statuses and effects are told,
never what the server said.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from baton.errors import RequestError, Unheeded
from baton.semantics.events import Call, Delta, Event, UsageReported
from baton.upstreams.base import Capabilities, HttpRequest, UpstreamError
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.headers import check_headers
from baton.upstreams.http import HttpUpstream
from baton.upstreams.overriding import forbidden
from baton.upstreams.probing import (
    BODY_BYTES_MAX,
    QUESTIONS,
    Finding,
    Told,
    recognise,
    vendor,
)
from baton.upstreams.proxy import ProxyDialer, parse_proxy
from baton.upstreams.transport import Transport

PROBE_TIMEOUT_S = 15.0
CALL_TIMEOUT_S = 30.0
PROBE_LIMITS = TransportLimits(connect_timeout_s=3.0, first_byte_timeout_s=4.0, total_timeout_s=6.0)
PROMPT = "The capital of France is"
SUFFIX = ", which lies on the Seine."
TOKENS = 6
NONE: Mapping[str, str] = MappingProxyType({})
BATON_MARK = b"\r\nx-baton-"

Effect = Literal["works", "refused", "ignored", "failed", "not asked"]


class Row(msgspec.Struct, frozen=True):
    """One capability of an upstream: as its dialect declares it, and as it was found."""

    capability: str
    declared: bool
    found: Effect
    detail: str = ""

    @property
    def differs(self) -> bool:
        return self.found != "not asked" and self.declared != (self.found == "works")


async def probe(
    url: str,
    key: str | None,
    *,
    allow_private: bool = True,
    proxy: str | None = None,
    headers: Mapping[str, str] = NONE,
) -> Finding:
    """What server answers there, asked with those headers too. Never raises for what it says;
    ValueError for a bad URL of it or of the proxy, or a header that cannot be sent."""
    check_headers(headers)
    endpoint = parse(url, allow_private=allow_private, limits=PROBE_LIMITS)
    known = vendor(endpoint.host)
    if known is not None:
        return known
    root = msgspec.structs.replace(endpoint, prefix=endpoint.prefix.removesuffix("/v1"), query="")
    keyed = (("Authorization", f"Bearer {key}"),) if key else ()
    dialer = None if proxy is None else ProxyDialer(root, parse_proxy(proxy))
    transport = Transport(root, (*keyed, *headers.items()), dialer)
    answers: dict[str, Told] = {}
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            for path in QUESTIONS:
                answers[path] = await _asked(transport, path)
    except TimeoutError:
        pass  # what was answered so far counts
    finally:
        transport.close()
    return recognise(answers)


async def _asked(transport: Transport, path: str) -> Told:
    try:
        response = await transport.send(HttpRequest(path=path, body=b"", method="GET"))
        body = await response.read_all(BODY_BYTES_MAX)
    except UpstreamError:
        return Told()
    headers = {"server": response.header("server") or ""}
    if BATON_MARK in response.head_folded:
        headers["x-baton-"] = ""
    return Told(response.status, headers, body)


async def check(upstream: HttpUpstream, model: str) -> list[Row]:
    """Every capability that its adapter can ask for, one after the other."""
    return await Checker(upstream, model).rows()


class Checker:
    """A run of tiny calls against one model of an upstream."""

    def __init__(self, upstream: HttpUpstream, model: str) -> None:
        self._upstream, self._can = upstream, upstream.capabilities
        self._forbidden = forbidden(upstream.adapter)
        self._plain = Call(model=model, prompts=[PROMPT], max_tokens=TOKENS, temperature=0.0)
        self._text = ""

    async def rows(self) -> list[Row]:
        found = [await self._row("completes", True, self._completes)]
        if found[0].found != "works":
            return found
        checks: Sequence[tuple[str, Callable[[], Awaitable[str]]]] = (
            ("streams", self._streams),
            ("stream_usage", self._stream_usage),
            ("n", self._several),
            ("echo", self._echo),
            ("logprobs", self._logprobs),
            ("prompt_logprobs", self._prompt_logprobs),
            ("suffix", self._suffix),
            ("stop_max", self._stop),
            ("seed", self._seed),
            ("prompt_arrays", self._prompt_arrays),  # from here on: a server may die of it, or
            ("token_prompts", self._token_prompts),
            ("max_tokens_zero", self._zero),  # generate for nobody until its context is full
        )
        for name, run in checks:
            if name in self._forbidden:
                found.append(Row(name, False, "not asked", "forbidden"))
                continue
            found.append(await self._row(name, bool(getattr(self._can, name)), run))
        return found

    async def _row(self, name: str, declared: bool, run: Callable[[], Awaitable[str]]) -> Row:
        """`run` returns "" where the capability works, else what was without effect."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                ignored = await run()
        except Unheeded:
            return Row(name, declared, "ignored", "accepted without effect")
        except RequestError as error:
            return Row(name, declared, "refused", f"400, param {error.param}")
        except UpstreamError as error:
            return Row(name, declared, "failed", f"{error.kind} {error.status or ''}".strip())
        except (ValueError, AssertionError):
            return Row(name, declared, "not asked", "its dialect has no words for it")
        except TimeoutError:
            return Row(name, declared, "failed", f"no end in {CALL_TIMEOUT_S:g} s")
        return Row(name, declared, "ignored" if ignored else "works", ignored)

    async def _ask(self, **changes: object) -> list[Event]:
        """ValueError where the dialect has no words for what is changed."""
        call, adapter = msgspec.structs.replace(self._plain, **changes), self._upstream.adapter
        unsaid = adapter.request(call).body == adapter.request(self._plain).body
        if unsaid and changes and "stream" not in changes:
            raise ValueError("the same request")
        stream = await self._upstream.open(call)
        try:
            found: list[Event] = []
            while events := await stream.read():
                found += events
            return found
        finally:
            stream.close()

    async def _completes(self) -> str:
        events = await self._ask()
        self._text = text(events)
        return "" if self._text else "an empty text"

    async def _streams(self) -> str:
        deltas = [event for event in await self._ask(stream=True) if isinstance(event, Delta)]
        return "" if len([d for d in deltas if d.text]) > 1 else "one piece"

    async def _stream_usage(self) -> str:
        events = await self._ask(stream=True)
        usages = [event.usage for event in events if isinstance(event, UsageReported)]
        return "" if usages and not usages[-1].estimated else "no usage that can be believed"

    async def _prompt_arrays(self) -> str:
        return indexes(await self._ask(prompts=[PROMPT, "One, two,"]), 2)

    async def _token_prompts(self) -> str:
        return "" if await self._ask(prompts=[[1, 2, 3]]) else "nothing came"

    async def _several(self) -> str:
        asked = {"n": 2} if self._can.n_greedy else {"n": 2, "temperature": 1.0}
        return indexes(await self._ask(**asked), 2)

    async def _echo(self) -> str:
        echoed = text(await self._ask(echo=True)).startswith(PROMPT)
        return "" if echoed else "the prompt did not come"

    async def _logprobs(self) -> str:
        return "" if scores(await self._ask(logprobs=1)) else "no logprobs came"

    async def _prompt_logprobs(self) -> str:
        found = scores(await self._ask(logprobs=1, echo=True))
        first_only = bool(found) and found[0] is None and None not in found[1:]
        return "" if first_only and len(found) > TOKENS else "the prompt was not scored"

    async def _suffix(self) -> str:
        filled = text(await self._ask(suffix=SUFFIX))
        unfilled = (self._text, self._text + SUFFIX)
        return "as without it" if filled in unfilled else ""

    async def _stop(self) -> str:
        middle = self._text[1:-1] or self._text
        stop = middle[len(middle) // 2 :][:3]
        return "the stop came" if stop in text(await self._ask(stop=[stop])) else ""

    async def _seed(self) -> str:
        first = text(await self._ask(seed=7, temperature=1.0))
        again = text(await self._ask(seed=7, temperature=1.0))
        return "" if first == again else "another text each time"

    async def _zero(self) -> str:
        return "" if text(await self._ask(max_tokens=0, echo=True)) == PROMPT else "it generated"


def text(events: Sequence[Event]) -> str:
    """Of all choices, as it came."""
    return "".join(event.text for event in events if isinstance(event, Delta))


def indexes(events: Sequence[Event], count: int) -> str:
    """ "" where every choice came."""
    came = {event.index for event in events if isinstance(event, Delta)}
    return "" if came == set(range(count)) else f"choices {sorted(came)}"


def scores(events: Sequence[Event]) -> list[float | None]:
    """The logprobs of all tokens, as they came."""
    found: list[float | None] = []
    for event in events:
        if isinstance(event, Delta) and event.logprobs is not None:
            found += event.logprobs.token_logprobs
    return found


def remedy(row: Row) -> str:
    """What an operator can do about a difference; "" where nothing is to be done."""
    renamed = {
        "stop_max": "stop",
        "prompt_logprobs": "echo",
        "max_tokens_zero": "echo",
        "streams": "stream",
    }
    if not row.differs:
        return ""
    if not row.declared:
        return "more than its dialect declares"
    if row.capability not in Capabilities.__struct_fields__:
        return "check address, key and model"
    if row.capability == "stream_usage":
        return "none needed: Baton counts, as an estimate"
    return f"forbid {renamed.get(row.capability, row.capability)}"
