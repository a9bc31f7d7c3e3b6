"""The seams of every upstream: `Upstream` opens a call, an `Adapter` translates one dialect.

An HTTP upstream (`upstreams/http.py`) is an Adapter, which does no I/O, plus the transport
(`upstreams/transport.py`, the only outbound socket). The embedded engine implements `Upstream`
itself (`upstreams/embedded.py`).
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypedDict, TypeGuard, Unpack, runtime_checkable

import msgspec

from baton.semantics.events import Call, Event

Phase = Literal["connect", "send", "first_byte", "stream"]
Kind = Literal["refused", "timeout", "network", "protocol", "status", "overloaded"]


TakeText = Callable[[str], bool]
"""Is given the text of a delta of the first choice; whether it wants more."""
Texts = tuple[Callable[[str], None], TakeText]
"""Where such a text is kept, and then given to."""


class Told(TypedDict, total=False):
    """What an upstream said of its failure, where it said anything."""

    status: int | None
    retry_after_s: float | None
    detail: str


class UpstreamError(Exception):
    """The upstream failed, not the caller.

    `phase` tells how far the call got, `kind` what broke, `retryable` whether the same call may be
    sent to another upstream (or again) without doing work that costs twice.
    `status` is the upstream's HTTP status, where there was one. The message never holds upstream
    text (it may contain our own provider key); `detail` may hold a short sanitised reason for logs.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Phase,
        kind: Kind,
        retryable: bool,
        **told: Unpack[Told],
    ) -> None:
        super().__init__(message)
        self.phase, self.kind, self.retryable = phase, kind, retryable
        self.status = told.get("status")
        self.retry_after_s = told.get("retry_after_s")
        self.detail = told.get("detail", "")


GREEDY_BELOW = 1e-5
"""A temperature that servers take for 0."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect does natively. What is False is filled by Baton or refused with a 400."""

    prompt_arrays: bool = False
    token_prompts: bool = False
    """Accepts prompts as token ids of its own vocabulary."""
    detokenizes: bool = False
    """Tells the text of ids of its own vocabulary (`Detokenizing`)."""
    n: bool = False
    n_max: int = 128
    n_greedy: bool = True
    """Takes several samples at temperature 0 too, which are all the same."""
    best_of: bool = False
    echo: bool = False
    prompt_logprobs: bool = False
    """echo together with logprobs, scored exactly."""
    logprobs: bool = False
    logprobs_max: int = 5
    suffix: bool = False
    suffix_apart: bool = False
    """A suffix goes with one prompt a call, and that as text."""
    special_text: bool = False
    """Text in a prompt that names a special token becomes it: marks of fill-in-the-middle do."""
    fim: dict[str, str] = {}
    """The operator's word on which template (`semantics/fim.py`) a suffix takes, by the upstream's
    name of the model; "*" stands for all of them."""
    stop_max: int = 4
    """How many stop strings it takes; 0: none."""
    seed: bool = False
    penalties: bool = False
    logit_bias: bool = False
    max_tokens_zero: bool = False
    """`max_tokens: 0` with echo answers the prompt alone instead of generating or failing."""
    zero_without_echo: bool = False
    """`max_tokens: 0` without echo answers an empty text."""
    bounded: bool = False
    """Never generates more than max_tokens; else Baton cuts what overruns."""
    streams: bool = True
    """Sends increments as they come where a call asks for them."""
    stream_usage: bool = False
    """Reports exact usage in streams when asked by stream_options.include_usage."""
    exact_usage: bool = False
    """Its token counts may be billed from; False: Baton counts or flags them as estimated."""
    token_ids: bool = False
    """Tells generated token ids, so that a hand-off can resume from ids."""
    deterministic: bool = False
    replay: bool = False
    """A cut stream can be replayed exactly from its token ids."""
    scored: bool = False
    """Tells each choice's summed logprob (`Delta.score`) or logprobs to sum it from."""
    temperature_max: float = 2.0
    fields: frozenset[str] = frozenset()
    """Fields of one engine that it takes: of a dialect what it can forward, of an upstream what its
    operator lists of these."""
    vocabularies: frozenset[str] = frozenset()
    """Models, by the upstream's own names, whose vocabulary the operator gave ("*": all of them):
    Baton reads ids, counts and measures with it (`Vocabular`)."""
    wrapping_tokens: int = 0
    """At most so many tokens are put around each prompt, because it only chats: prompt (and suffix)
    go to it as a conversation that asks for the continuation, and its answer is cleaned, which is
    told as the fill `continuation`. They are in the counts that it reports and bills, so a hold has
    to cover them. 0: it takes prompts as they are."""
    within_tokens: int = 0
    """Of another Baton: what it tells and bills may be of fills of its own, as candidates for a
    suffix, and so many tokens that a chat or a template puts around each prompt. 0: of none."""
    plain: bool = False
    """Follows from the others: takes what every server does as it is, and is trusted with it."""

    def __post_init__(self) -> None:
        trusted = self.bounded and self.streams and not self.wrapping_tokens
        trusted = trusted and not self.vocabularies
        msgspec.structs.force_setattr(self, "plain", trusted and self.temperature_max >= 2)

    def samples_max(self, temperature: float) -> int:
        """Samples of one prompt that a call at this temperature may ask for."""
        if not self.n or (temperature < GREEDY_BELOW and not self.n_greedy):
            return 1
        return self.n_max

    @property
    def around_tokens(self) -> int:
        """At most so many tokens are put around each prompt, here or behind it, and counted."""
        return self.wrapping_tokens or self.within_tokens

    def has_vocabulary(self, model: str) -> bool:
        """Whether the operator gave the vocabulary of this model."""
        return model in self.vocabularies or "*" in self.vocabularies


@runtime_checkable
class Detokenizing(Protocol):
    """An upstream that tells the text of its model's token ids (`Capabilities.detokenizes`)."""

    async def detokenize(self, model: str, ids: list[int]) -> str:
        """Text of ids, special tokens by name. Raises RequestError for ids that do not exist."""
        ...


class Vocabulary(Protocol):
    """A model's division of text into tokens, at hand in this machine."""

    async def counts(self, texts: list[str], *, start: bool) -> list[int] | None:
        """Tokens of each text, as prompts (`start`) or as texts that go on; None where they cannot
        be counted."""
        ...

    async def text(self, ids: list[int]) -> str:
        """Of ids. Raises UpstreamError while that cannot be known, RequestError for unknown ids."""
        ...

    async def measure(self, text: str, tokens_max: int) -> tuple[int, int] | None:
        """Tokens of a text that was generated, and how many code points its first `tokens_max` are;
        None where it cannot be measured."""
        ...


@runtime_checkable
class Vocabular(Protocol):
    """An upstream that has vocabularies (`Capabilities.vocabularies`)."""

    def vocabulary(self, model: str) -> Vocabulary | None:
        """Of a model by the upstream's own name."""
        ...


class HttpRequest(msgspec.Struct, frozen=True):
    """One request to an upstream; the transport adds host, length and connection headers."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"


class Decoder(Protocol):
    """Bytes of one response body in, events out. Any split of the same bytes gives the same events.

    Raises UpstreamError(kind="protocol", phase="stream") on what the dialect does not allow. The
    bytes are untrusted: every count is bounded before anything is allocated for it.
    """

    media_type: bytes
    """What the body must be: a dialect may stream from a server although the caller does not."""
    whole: bool
    """The dialect's own end mark came: nothing more is to be read, only `finish` to be called."""

    def feed(self, data: bytes) -> Sequence[Event]: ...

    def finish(self) -> Sequence[Event]:
        """The body ended. Raises if the answer was not whole: a choice without finish_reason."""
        ...


class Adapter(Protocol):
    """One dialect. Pure: no sockets, no clock, no globals."""

    name: str
    capabilities: Capabilities
    opaque_prompt: bool
    """Whether the text of a single prompt stands in the body as it is, and changes nothing else."""

    def request(self, call: Call) -> HttpRequest: ...

    def decoder(self, call: Call) -> Decoder: ...

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        """UpstreamError, or RequestError where the caller is at fault and can act on it."""
        ...


class Watch(Protocol):
    """Is told how the calls of an upstream fare, on the loop, so that a bad one is passed over.

    Successes need only be told while `troubled`: a healthy upstream's good calls cost nothing."""

    @property
    def troubled(self) -> bool: ...

    def failed(self, error: UpstreamError) -> None:
        """A call could not be placed, or broke off (phase `stream`); not: the caller left."""
        ...

    def accepted(self) -> None:
        """It took a call, or said what is wrong with it."""
        ...

    def whole(self) -> None:
        """An answer came to its end."""
        ...


class Unwatched:
    """A Watch that nobody reads."""

    troubled = False

    def failed(self, error: UpstreamError) -> None: ...

    def accepted(self) -> None: ...

    def whole(self) -> None: ...


@runtime_checkable
class Detokenizer(Protocol):
    """An Adapter whose server has a route that tells the text of ids."""

    def detokenization(self, model: str, ids: list[int]) -> HttpRequest: ...

    def detokenized(self, body: bytes) -> str:
        """The text in the answer. Raises UpstreamError where there is none."""
        ...


class UpstreamStream(Protocol):
    """A running call. Pull-based: what is not read is not received, so that a slow client slows its
    upstream. One reader; `close` may be called from anywhere, any number of times, also mid-read.
    A cancelled `read` closes it."""

    prompt_tokens: int | None
    """Exact tokens of all prompts, where the upstream tells them on acceptance; else None."""

    async def read(self) -> Sequence[Event]:
        """The next events, at least one; an empty sequence once the answer is whole.

        Raises UpstreamError when it is cut, stalls or speaks nonsense."""
        ...

    def close(self) -> None:
        """Let go: unless whole, the upstream is told at once (its socket is aborted)."""
        ...


class Pouring(Protocol):
    """A running call that can give its events in the call in which their bytes came."""

    async def pour(
        self, take: Callable[[Sequence[Event]], bool], texts: Texts | None = None
    ) -> None:
        """Until `take` says that it is enough, or there is something that only `read` can tell.
        What is a text of the only choice and nothing else may go to `texts`, if there are any.
        Raises UpstreamError, and what `take` raises."""
        ...


def pours(stream: UpstreamStream) -> TypeGuard[Pouring]:
    """Whether it is Pouring. Asking `isinstance` about a protocol is 250 bytecodes each time."""
    return hasattr(stream, "pour")


def queued_s(stream: UpstreamStream) -> float:
    """How long a call waited before its upstream took it up: for a place at an HTTP upstream,
    or for its first step in the engine. 0 of a stream that does not tell."""
    found: float = getattr(stream, "queued_s", 0.0)
    return found


class Begun(msgspec.Struct, frozen=True):
    """What a call has given already, by choice."""

    ids: list[list[int]]
    echoed: list[bool]
    """Whether the echo came (it may have come without any id)."""


class Replaying(Protocol):
    """An upstream that can compute again what it computed before it was lost."""

    async def replay(self, lost: "UpstreamStream", call: Call, begun: Begun) -> "UpstreamStream":
        """The same call from where it was; its usage is that of the whole. Raises as Upstream.open
        does; UpstreamError of phase `send` where it would not compute the same any more."""
        ...


class Upstream(Protocol):
    """Anything that can answer a call."""

    name: str
    capabilities: Capabilities
    fingerprint: str | None
    """What the caller sees as system_fingerprint, where Baton vouches for it."""

    async def open(self, call: Call) -> UpstreamStream:
        """Send the call; return once the upstream has accepted it.

        Raises RequestError (the caller's fault, with OpenAI's fields) or UpstreamError."""
        ...

    async def close(self) -> None: ...
