"""The answer of an OpenAI-shaped completions server, as bytes in and events out.

Two decoders with one core: `StreamDecoder` for server-sent events, `BodyDecoder` for one JSON body.
Both turn each wire choice into at most one `Delta` and each believable usage into `UsageReported`.

What is tolerated, because servers do it: `data: null` events, a missing `[DONE]` when every choice
has its finish_reason, a finish_reason said twice, usage on any chunk, usage of zeros, logprobs in
the chat shape. What is not: an index out of range, text after a finish_reason, an unknown
finish_reason, more bytes than the call can explain, an error event, and an end before every choice
has finished. An answer is whole only when each has.

A server that does not heed a field is told apart from one that fails, so that nobody takes it for
ill: where choices never came, an echo is another text, or logprobs are not there, it is refused.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from baton.errors import Unheeded
from baton.semantics.events import Call, Delta, Event, FinishReason, Usage, UsageReported
from baton.semantics.usage import possible
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE, BoundedBody, BoundedEvents, answer_bytes_max
from baton.upstreams.refusals import error_within
from baton.upstreams.wire_logprobs import LogprobsReader

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
}
"""Anything else ("abort", "error", "insufficient_system_resource") means that it did not finish."""

FINISHED, UNSEEN = 1, 2
"""What is known of a choice; 0: it runs."""
TOKENS_MAX = 10**9
"""A count beyond it is nonsense, and no report at all."""


class WireChoice(msgspec.Struct):
    index: int = -1
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    token_ids: list[int] | None = None


class WirePromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cache_write_tokens: int | None = None


class WireCompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: WirePromptDetails | None = None
    completion_tokens_details: WireCompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class WireChunk(msgspec.Struct):
    """A chunk of a stream, or the whole answer."""

    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: object = None
    kind: str = msgspec.field(default="", name="object")


class WireChunkOddUsage(msgspec.Struct):
    """The same where usage has a shape of its own: it is not believed, the rest is."""

    choices: list[WireChoice] | None = None
    usage: object = None
    error: object = None
    kind: str = msgspec.field(default="", name="object")


_NO_PROMPT_DETAILS = WirePromptDetails()
_NO_COMPLETION_DETAILS = WireCompletionDetails()
_CHUNK = msgspec.json.Decoder(WireChunk)
_CHUNK_ODD_USAGE = msgspec.json.Decoder(WireChunkOddUsage)


def decode_chunk(payload: bytes) -> WireChunk:
    """Raises UpstreamError where it is no chunk."""
    try:
        return _CHUNK.decode(payload)
    except msgspec.ValidationError:
        pass
    except UNREADABLE as error:
        raise failure("stream", "protocol", "no JSON") from error
    try:
        odd = _CHUNK_ODD_USAGE.decode(payload)
    except UNREADABLE as error:  # also what is no JSON behind the part that has another shape
        raise failure("stream", "protocol", "an answer of another shape") from error
    return WireChunk(odd.choices, None, odd.error, odd.kind)


def believable(wire: WireUsage, *, thinks: bool = False) -> Usage | None:
    """A usage object as an event's payload; None where it is zero or nonsense. `thinks`: of a chat,
    whose model may think without saying how much."""
    prompt, completion = wire.prompt_tokens, wire.completion_tokens
    if prompt is None or completion is None or prompt + completion == 0:
        return None
    if not (0 <= prompt <= TOKENS_MAX and 0 <= completion <= TOKENS_MAX):
        return None
    details, generated = wire.prompt_tokens_details, wire.completion_tokens_details
    cached = wire.prompt_cache_hit_tokens if details is None else details.cached_tokens
    if details is None and generated is None and not thinks:
        return Usage(prompt, completion, None if cached is None else count(cached, prompt))
    if details is None:
        details = _NO_PROMPT_DETAILS
    if generated is None:
        generated = _NO_COMPLETION_DETAILS
    thought = generated.reasoning_tokens
    if apart := _apart(wire, thought, thinks=thinks):
        thought = apart
        completion += apart
    usage = Usage(
        prompt,
        completion,
        cached,
        thought,
        details.audio_tokens,
        details.image_tokens,
        generated.audio_tokens,
        details.cache_write_tokens,
    )
    return usage if possible(usage) else _believable_part(usage)


def _apart(wire: WireUsage, thought: int | None, *, thinks: bool) -> int:
    """Tokens of thought that the completion leaves out and the total counts: xAI names their
    number, Gemini's chat for OpenAI's clients tells them by the total alone."""
    prompt, completion, total = wire.prompt_tokens, wire.completion_tokens, wire.total_tokens
    if total is None or prompt is None or completion is None or total > TOKENS_MAX:
        return 0
    rest = total - prompt - completion
    return rest if rest > 0 and (thought == rest or (thinks and not thought)) else 0


def _believable_part(usage: Usage) -> Usage:
    """Without the details that cannot be: a wrong one says nothing of the totals."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return Usage(
        prompt,
        completion,
        count(usage.cached_tokens, prompt),
        count(usage.reasoning_tokens, completion),
        count(usage.audio_prompt_tokens, prompt),
        count(usage.image_prompt_tokens, prompt),
        count(usage.audio_completion_tokens, completion),
        count(usage.cache_write_tokens, prompt),
    )


def count(number: int | None, number_max: int = TOKENS_MAX) -> int | None:
    """A count of tokens that can be; None for nonsense."""
    return number if number is not None and 0 <= number <= number_max else None


class Manner(NamedTuple):
    """What a server tells otherwise than OpenAI."""

    per_choice_usage: bool = False
    """Usage comes with each choice and has to be summed (llama-server)."""
    exact: bool = False
    """Logprobs are of the text's tokens alone, also where a stop cut it (another Baton)."""
    lettered: bool = False
    """Logprobs name parts of a character by letters of Latin-1 (SGLang)."""


AS_OPENAI = Manner()


class Choices:
    """What is known of each choice: the core of both decoders."""

    __slots__ = (
        "_call",
        "_finished",
        "_logprobs",
        "_per_choice_usage",
        "_usages",
        "texts_alone",
        "unfinished",
    )

    def __init__(self, call: Call, manner: Manner) -> None:
        self._call = call
        self.unfinished = len(call.prompts) * call.n
        self._finished = bytearray(self.unfinished)
        if self.unfinished > 1 or call.echo:
            self._finished = bytearray([UNSEEN] * self.unfinished)
        wanted = call.logprobs is not None or call.scored
        self._logprobs = (
            LogprobsReader(call, exact=manner.exact, lettered=manner.lettered) if wanted else None
        )
        self._per_choice_usage = manner.per_choice_usage
        self.texts_alone = self.unfinished == 1 and not call.echo and not wanted
        self._usages: dict[int, Usage] = {}

    def events(self, payload: bytes) -> list[Event]:
        """The events of one chunk (or of the whole answer)."""
        try:
            chunk = _CHUNK.decode(payload)
        except UNREADABLE:
            chunk = decode_chunk(payload)
        choices = chunk.choices
        if choices and len(choices) == 1 and chunk.usage is None and chunk.error is None:
            choice = choices[0]  # by far the most chunks of a stream: it runs on, a text alone
            if (
                choice.finish_reason is None
                and choice.text
                and self._logprobs is None
                and 0 <= choice.index < len(self._finished)
                and not self._finished[choice.index]
            ):
                return [Delta(choice.index, choice.text, None, None, choice.token_ids)]
        if chunk.error is not None or chunk.kind == "error":
            raise error_within(payload)
        return self._all_of(chunk)

    def _all_of(self, chunk: WireChunk) -> list[Event]:
        events: list[Event] = []
        choices = chunk.choices or ()
        if len(choices) > len(self._finished):
            raise failure("stream", "protocol", "more choices than were asked for")
        for choice in choices:
            delta = self._delta(choice)
            if delta is not None:
                events.append(delta)
        if chunk.usage is not None:
            usage = believable(chunk.usage)
            if usage is not None:
                self._report(usage, choices, events)
        return events

    def finish(self) -> list[Event]:
        """Raises unless every choice has finished."""
        if self.unfinished:
            self._check_heeded()
            raise failure("stream", "protocol", "ended before every choice had finished")
        if not self._usages:
            return []
        return [UsageReported(self._summed())]

    def _delta(self, choice: WireChoice) -> Delta | None:
        index, text = choice.index, choice.text or ""
        if index == -1 and len(self._finished) == 1:
            index = 0
        if not 0 <= index < len(self._finished):
            raise failure("stream", "protocol", "a choice index out of range")
        reason = _reason(choice)
        state = self._finished[index]
        if state == FINISHED:
            if text:
                raise failure("stream", "protocol", "text after the end of a choice")
            return None
        if state == UNSEEN:
            self._begin(index, text)
        if reason is not None:
            self._finished[index] = FINISHED
            self.unfinished -= 1
        elif not (text or choice.token_ids or self._tells_logprobs(choice)):
            return None
        if self._logprobs is None:
            return Delta(index, text, reason, None, choice.token_ids)
        raw = bytes(choice.logprobs)
        return self._logprobs.delta(index, text, reason, raw, choice.token_ids)

    def _begin(self, index: int, text: str) -> None:
        """A choice is there. RequestError where its text is no echo, and one was asked for."""
        call = self._call
        if not call.echo:
            self._finished[index] = 0
        elif text:
            self._finished[index] = 0
            prompt = call.prompts[index // call.n]
            length = min(len(prompt), len(text))
            if isinstance(prompt, str) and prompt[:length] != text[:length]:
                raise Unheeded("echo", call.model, "its server does not echo; leave it out.")

    def _check_heeded(self) -> None:
        """RequestError where whole choices came, and of all others nothing."""
        states = set(self._finished)
        if states == {FINISHED, UNSEEN}:
            field = "n" if self._call.n > 1 else "prompt"
            remedy = "its server gave fewer choices than were asked for; ask for one."
            raise Unheeded(field, self._call.model, remedy)

    def _tells_logprobs(self, choice: WireChoice) -> bool:
        return self._logprobs is not None and bytes(choice.logprobs) != b"null"

    def _report(self, usage: Usage, choices: Sequence[WireChoice], events: list[Event]) -> None:
        if not self._per_choice_usage or len(self._finished) == 1:
            events.append(UsageReported(usage))
        elif len(choices) == 1:
            self._usages[choices[0].index] = usage

    def _summed(self) -> Usage:
        """Usage that came per choice: each prompt once, every choice."""
        n, call = self._call.n, self._call
        prompts = {index // n: usage for index, usage in sorted(self._usages.items(), reverse=True)}
        told = len(self._usages) == len(call.prompts) * n
        cached = [usage.cached_tokens for usage in prompts.values()]
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in prompts.values()),
            completion_tokens=sum(usage.completion_tokens for usage in self._usages.values()),
            cached_tokens=sum(each or 0 for each in cached) if any(cached) else None,
            estimated=not told,
        )


def _reason(choice: WireChoice) -> FinishReason | None:
    """Why it ended, if it did. Raises UpstreamError where it did not end in order."""
    if not choice.finish_reason:
        return None
    reason = FINISH_REASONS.get(choice.finish_reason)
    if reason is None:
        raise failure("stream", "status", "the upstream gave up on a choice")
    return reason


class StreamDecoder(BoundedEvents):
    """Server-sent events; feed and finish as base.Decoder says."""

    __slots__ = ("_choices", "fed")

    def __init__(self, call: Call, manner: Manner = AS_OPENAI) -> None:
        super().__init__(answer_bytes_max(call))
        self._choices = Choices(call, manner)
        self.fed = True
        """Whether anything was fed since it was last looked at, what may come next."""

    @property
    def texts_alone(self) -> bool:
        """Whether most events will be a text of the only choice: a `text_taker` is worth it."""
        return self._choices.texts_alone

    def between(self) -> bool:
        """As `Decoding` says."""
        if not (self._choices.unfinished and self._sse.between):
            return False
        self.fed = False
        return True

    def feed(self, data: bytes) -> Sequence[Event]:
        payloads, self.fed = self._payloads(data), True
        if len(payloads) == 1 and payloads[0][:1] == b"{" and not self.whole:
            return self._choices.events(payloads[0])
        events: list[Event] = []
        for payload in payloads:
            if self.whole:
                break
            if payload.startswith(b"[DONE]"):
                self.whole = True
            elif payload != b"null":
                events += self._choices.events(payload)
        return events

    def finish(self) -> Sequence[Event]:
        return self._choices.finish()


class BodyDecoder(BoundedBody):
    """One JSON body; all events come from finish."""

    __slots__ = ("_choices",)

    def __init__(self, call: Call, manner: Manner = AS_OPENAI) -> None:
        super().__init__(answer_bytes_max(call))
        self._choices = Choices(call, manner)

    def finish(self) -> Sequence[Event]:
        return self._choices.events(self._body()) + self._choices.finish()
