"""An upstream over HTTP: an adapter (how it speaks) on a transport (how bytes get there).

`open` sends the call and waits for the status; the stream pulls body bytes through the adapter's
decoder only when it is read, so nothing is received that nobody has asked for yet. A non-streamed
answer goes the same way: its decoder gives all events at the end.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from baton.errors import RequestError, unsupported
from baton.semantics.events import Call, Event, Prompt
from baton.upstreams.base import (
    Adapter,
    Capabilities,
    Decoder,
    Detokenizer,
    HttpRequest,
    Texts,
    Unwatched,
    UpstreamError,
    Vocabulary,
    Watch,
)
from baton.upstreams.completions_wire import StreamDecoder
from baton.upstreams.connection import Body
from baton.upstreams.failures import failure
from baton.upstreams.refusals import CUT
from baton.upstreams.response import Response
from baton.upstreams.text_events import text_taker
from baton.upstreams.transport import Transport

MARK = "\ue000prompt\ue001"
"""Stands for a prompt, in private-use characters."""
_JSON = msgspec.json.Encoder()
ERROR_BODY_BYTES_MAX = 64 * 1024
TEXT_BYTES_MAX = 64 * 1024 * 1024
"""Of the text of a prompt that came as ids: 8 MiB of ids are at most so much, a few bytes each."""
KEY_LIKE = re.compile(r"\b(sk|pk|key|gsk|xai|hf|nvapi)[-_][A-Za-z0-9_*.-]{8,}")
"""What a provider key looks like, also half masked; callers are never shown one."""
KEY_PART_MIN = 4
"""Letters of a key's beginning that are too many to be told: fewer end any word."""


class Prepared(NamedTuple):
    """A request to an upstream but for the prompt, as it goes out."""

    head: bytes
    before: bytes
    after: bytes


class HttpStream:
    """A running call on an HTTP upstream."""

    __slots__ = (
        "_decoder",
        "_ended",
        "_last",
        "_response",
        "_secrets",
        "_watch",
        "prompt_tokens",
    )

    def __init__(
        self, response: Response, decoder: Decoder, watch: Watch, secrets: Sequence[bytes]
    ) -> None:
        self._response, self._decoder, self._watch = response, decoder, watch
        self._secrets = secrets
        self._ended = False
        self._last: Sequence[Event] | None = None
        """The last events, once the dialect's own end came while they were poured."""
        self.prompt_tokens: int | None = None
        """An HTTP upstream tells it with its usage, at the end."""

    @property
    def queued_s(self) -> float:
        """How long it waited for its turn."""
        return self._response.queued_s

    async def read(self) -> Sequence[Event]:
        """The next events; empty once the answer is whole. Raises UpstreamError."""
        if self._ended:
            return ()
        decoder = self._decoder
        if self._last is not None:
            return self._finish(self._last)
        try:
            while data := await self._response.read_some():
                events = decoder.feed(data)
                if decoder.whole:
                    return self._finish(events)
                if events:
                    return events
            return self._finish(())
        except (UpstreamError, RequestError) as error:
            self._failed(error)
            raise

    async def pour(
        self,
        take: Callable[[Sequence[Event]], bool],
        texts: Texts | None = None,
    ) -> None:
        """Give events to `take` as they come, until it says that it is enough, or there is
        something that only `read` can tell: the end, or an error. What is a text of the only choice
        and nothing else is kept by and given to `texts`, where there are any."""
        decoder = self._decoder
        if self._ended or self._last is not None:
            return

        def decode(data: bytes) -> bool:
            events = decoder.feed(data)
            if decoder.whole:
                self._last = events
                return False
            return take(events) if events else True

        take_texts = None
        if texts is not None and isinstance(decoder, StreamDecoder) and decoder.texts_alone:
            decoder.bytes_left = min(decoder.bytes_left, self._response.bytes_left)
            take_texts = text_taker(decoder, *texts)
        try:
            await self._response.pour(decode, take_texts)
        except (UpstreamError, RequestError) as error:
            self._failed(error)
            raise

    def _failed(self, error: UpstreamError | RequestError) -> None:
        if isinstance(error, RequestError):
            blot(error, self._secrets)
        elif not self._ended:  # else it was closed under the reader, by one of us
            self._watch.failed(error)
        self.close()

    def close(self) -> None:
        """Abort the upstream's socket, unless the answer was whole."""
        self._ended = True
        self._response.close()

    def _finish(self, events: Sequence[Event]) -> Sequence[Event]:
        last = self._decoder.finish()
        self._ended = True
        self._response.dismiss()
        if self._watch.troubled:
            self._watch.whole()
        return [*events, *last] if last else events


def blot(error: RequestError, secrets: Sequence[bytes]) -> None:
    """Take out of it what an upstream said of keys: its words, cut by now, may end within one."""
    known = [secret.decode("utf-8", "replace") for secret in secrets]
    for secret in known:
        error.message = error.message.replace(secret, "[key]")
        error.code = error.code and error.code.replace(secret, "[key]")
        error.param = error.param and error.param.replace(secret, "[key]")
    for secret in known:
        error.message = _ended_before(secret, error.message)
    error.message = KEY_LIKE.sub("[key]", error.message)


def _ended_before(secret: str, message: str) -> str:
    """The message without a first part of the secret at its end."""
    words = message.removesuffix(CUT)
    for size in range(min(len(secret), len(words)), KEY_PART_MIN - 1, -1):
        if words.endswith(secret[:size]):
            return f"{words[:-size]}[key]{CUT}"
    return message


class HttpUpstream:
    """Implements base.Upstream. `secrets` are blotted out of what the upstream says of errors."""

    fingerprint: str | None = None

    def __init__(
        self, name: str, adapter: Adapter, transport: Transport, secrets: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.capabilities: Capabilities = adapter.capabilities
        self._adapter, self._transport = adapter, transport
        self._secrets = tuple(secret.encode() for secret in secrets if secret)
        self.watch: Watch = Unwatched()
        self.vocabularies: Mapping[str, Vocabulary] = {}

    def __repr__(self) -> str:
        return f"<HttpUpstream {self.name} {self._adapter.name} {self._transport!r}>"

    def prepared(self, call: Call) -> Prepared | None:
        """What calls like this one are sent as, but for their prompt; None where the prompt may
        change more than its own place."""
        if not self._adapter.opaque_prompt or type(self._transport) is not Transport:
            return None
        request = self._adapter.request(msgspec.structs.replace(call, prompts=[MARK]))
        before, mark, after = request.body.partition(_JSON.encode(MARK))
        if not mark or _JSON.encode(MARK) in after:
            return None
        return Prepared(self._transport.head(request), before, after)

    def begin(
        self, prepared: Prepared, prompt: Prompt, written: memoryview | None = None
    ) -> Response | None:
        """Send a call at once, without waiting; None where no connection is free. What comes of it
        is for `receive`, or taken whole by whoever listens. `written`: the prompt's own JSON."""
        body: Body
        if written is None:
            body = prepared.before + _JSON.encode(prompt) + prepared.after
        else:
            body = prepared.before, written, prepared.after
        return self._transport.begin(prepared.head, body)

    async def open(self, call: Call) -> HttpStream:
        """Raises RequestError (the caller's fault) or UpstreamError."""
        request = self._adapter.request(call)
        return await self._opened(call, self._transport.send(request, call.tenant))

    async def receive(self, call: Call, begun: Response) -> HttpStream:
        """As `open`, of a call that was sent already."""
        request = self._adapter.request(call)
        return await self._opened(call, self._transport.receive(begun, request, call.tenant))

    async def _opened(self, call: Call, answer: Awaitable[Response]) -> HttpStream:
        try:
            response = await answer
            if response.status != 200:
                raise await self._refusal(response)
            decoder = self._adapter.decoder(call)
            if not response.is_of(decoder.media_type):
                response.close()
                raise failure("first_byte", "protocol", "an answer of another media type")
        except UpstreamError as error:
            self.watch.failed(error)
            raise
        except RequestError:
            self.watch.accepted()
            raise
        if self.watch.troubled:
            self.watch.accepted()
        return HttpStream(response, decoder, self.watch, self._secrets)

    async def detokenize(self, model: str, ids: list[int]) -> str:
        """Text of ids. Raises RequestError (the caller's fault) or UpstreamError."""
        if (vocabulary := self.vocabulary(model)) is not None:
            return await vocabulary.text(ids)
        adapter = self._adapter
        if not (self.capabilities.detokenizes and isinstance(adapter, Detokenizer)):
            raise unsupported("prompt", model, "it takes text, not token ids.")
        response = await self._transport.send(adapter.detokenization(model, ids))
        if response.status != 200:
            raise await self._refusal(response)
        return adapter.detokenized(await response.read_all(TEXT_BYTES_MAX))

    def vocabulary(self, model: str) -> Vocabulary | None:
        """What the operator gave of this model; "*" stands for all that have none of their own."""
        return self.vocabularies.get(model) or self.vocabularies.get("*")

    async def fetch(self, request: HttpRequest, body_bytes_max: int) -> tuple[int, bytes]:
        """Status and body of any other request to this upstream: probes, tokenizer routes."""
        response = await self._transport.send(request)
        return response.status, await response.read_all(body_bytes_max)

    async def status(self, request: HttpRequest) -> int:
        """Of any other request, whose answer is not read. Raises UpstreamError."""
        response = await self._transport.send(request)
        response.close()
        return response.status

    def retire(self) -> None:
        """It is no longer configured: its connections close as they become idle."""
        self._transport.retire()

    async def close(self) -> None:
        """Abort what runs and close all connections."""
        self._transport.close()

    @property
    def adapter(self) -> Adapter:
        """How it speaks."""
        return self._adapter

    @property
    def in_flight_max(self) -> int:
        """Calls under way at once; more wait."""
        return self._transport.limits.connections_max

    @property
    def in_flight(self) -> int:
        """Calls under way, and those that wait for a connection."""
        return self._transport.lent + self._transport.waiting

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return self._transport.waiting

    async def _refusal(self, response: Response) -> Exception:
        """What an answer other than 200 means. A redirect is never followed: it is a refusal."""
        retry_after = response.header("retry-after")
        try:
            body = await response.read_all(ERROR_BODY_BYTES_MAX)
        except UpstreamError:
            body = b""  # the status is what counts
        for secret in self._secrets:
            body = body.replace(secret, b"[key]")
        error = self._adapter.error(response.status, body, retry_after)
        if isinstance(error, RequestError):
            blot(error, self._secrets)
        return error
