"""Deltas to bytes: the chunks of a stream, or the choices of one whole answer.

Both have the same keys in the same order: id, object, created, model, choices (each with text,
index, logprobs, finish_reason), usage, system_fingerprint. In a stream `usage` is absent unless
asked for, then null on every chunk but the last; the fingerprint is there where it is known.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from baton.errors import RequestError
from baton.protocol import Choice, Completion, CompletionUsage
from baton.semantics.events import Delta, Usage
from baton.semantics.logprobs import join
from baton.semantics.sse import encode_event

OBJECT = "text_completion"
DONE = b"data: [DONE]\n\n"
"""The end of a stream that is whole, and of no other."""

_JSON = msgspec.json.Encoder()


class Encoder(Protocol):
    """The events of one stream, each whole, for one write."""

    done: bytes
    """What ends a stream that is whole."""

    def delta(self, delta: Delta, usage: CompletionUsage | None = None) -> bytes: ...

    def usage(self, usage: CompletionUsage) -> bytes: ...

    def error(self, error: RequestError) -> bytes: ...


class ChunkEncoder:
    """The chunks of one stream. Each method returns one whole SSE event, for one write.

    What all chunks share is encoded once. A plain delta (text alone, nothing else) is by far the
    most common: two joins around its text.
    """

    __slots__ = ("_end", "_head", "_include_usage", "_tails", "_text_tail", "_usage_head")
    done = DONE

    def __init__(
        self, id: str, created: int, model: str, fingerprint: str | None, *, include_usage: bool
    ) -> None:
        encode = _JSON.encode
        head = b'data: {"id":%b,"object":"%b","created":%d,"model":%b,"choices":[' % (
            encode(id),
            OBJECT.encode(),
            created,
            encode(model),
        )
        self._head = head + b'{"text":'
        self._usage_head = head + b'],"usage":'
        self._end = b"" if fingerprint is None else b',"system_fingerprint":' + encode(fingerprint)
        self._end += b"}\n\n"
        self._include_usage = include_usage
        self._tails: dict[int, bytes] = {}
        self._text_tail = self._tail(Delta(0, ""), None)

    def delta(self, delta: Delta, usage: CompletionUsage | None = None) -> bytes:
        """A chunk with one choice; `usage` so far, where continuous usage was asked for."""
        if delta.finish_reason is None and delta.logprobs is None and usage is None:
            tail = self._tails.get(delta.index)
            if tail is None:
                tail = self._tails[delta.index] = self._tail(delta, None)
            return self._head + _JSON.encode(delta.text) + tail
        return self._head + _JSON.encode(delta.text) + self._tail(delta, usage)

    @property
    def around_text(self) -> tuple[bytes, bytes, Callable[[str], bytes]]:
        """What stands before and behind the JSON of a text, where a delta of the first choice is
        nothing else; and what makes that JSON."""
        return self._head, self._text_tail, _JSON.encode

    def usage(self, usage: CompletionUsage) -> bytes:
        """The last chunk, where usage was asked for: no choices."""
        return self._usage_head + _JSON.encode(usage) + self._end

    def error(self, error: RequestError) -> bytes:
        """What broke the stream. No finish_reason and no [DONE] may follow it."""
        return encode_event(error.body())

    def _tail(self, delta: Delta, usage: CompletionUsage | None) -> bytes:
        """Everything after the text."""
        assert usage is None or self._include_usage, "usage goes only to callers who asked for it"
        encode = _JSON.encode
        tail = b',"index":%d,"logprobs":%b,"finish_reason":%b}]' % (
            delta.index,
            encode(delta.logprobs),
            encode(delta.finish_reason),
        )
        if self._include_usage:
            tail += b',"usage":' + encode(usage)
        return tail + self._end


def assemble(deltas: Sequence[Delta], choices: int, *, logprobs: bool = False) -> list[Choice]:
    """The choices of a whole answer, by index, however their deltas were mixed.

    `logprobs`: they were asked for; a choice without a token then has empty lists, not null.
    """
    found: list[list[Delta]] = [[] for _ in range(choices)]
    for delta in deltas:
        found[delta.index].append(delta)
    return [_choice(index, parts, logprobs) for index, parts in enumerate(found)]


def _choice(index: int, parts: list[Delta], logprobs: bool) -> Choice:
    text = parts[0].text if len(parts) == 1 else "".join([part.text for part in parts])
    reasons = [part.finish_reason for part in parts if part.finish_reason is not None]
    scored = [part.logprobs for part in parts if part.logprobs is not None]
    return Choice(
        text=text,
        index=index,
        logprobs=join(scored) if scored or logprobs else None,
        finish_reason=reasons[-1] if reasons else None,
    )


TEXT = (
    b'{"id":"%b","object":"text_completion","created":%d,"model":%b,"choices":[{"text":%b,'
    b'"index":0,"logprobs":null,"finish_reason":%b}],"usage":{"prompt_tokens":%d,'
    b'"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,'
    b'"text_tokens":%d,"audio_tokens":0,"image_tokens":0,"cache_write_tokens":%d},'
    b'"completion_tokens_details":{"text_tokens":%d,"audio_tokens":0,"reasoning_tokens":%d,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}%b}'
)
REASONS = {None: b"null", "stop": b'"stop"', "length": b'"length"'}


def encode_text(
    id: str, created: int, model: str, delta: Delta, usage: Usage, fingerprint: str | None
) -> bytes | None:
    """The body of an answer that is one text, as most are: the bytes of `encode_completion` without
    the objects. None where there is more to tell. `id` holds nothing that JSON escapes."""
    if (
        delta.logprobs is not None
        or usage.audio_prompt_tokens
        or usage.image_prompt_tokens
        or usage.audio_completion_tokens
        or (reason := REASONS.get(delta.finish_reason)) is None
    ):
        return None
    encode = _JSON.encode
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    thought = usage.reasoning_tokens or 0
    return TEXT % (
        id.encode(),
        created,
        encode(model),
        encode(delta.text),
        reason,
        prompt,
        completion,
        prompt + completion,
        usage.cached_tokens or 0,
        prompt,
        usage.cache_write_tokens or 0,
        completion - thought,
        thought,
        b"" if fingerprint is None else b',"system_fingerprint":' + encode(fingerprint),
    )


def encode_completion(
    id: str,
    created: int,
    model: str,
    choices: list[Choice],
    usage: CompletionUsage,
    fingerprint: str | None,
) -> bytes:
    """The body of one whole answer."""
    return _JSON.encode(
        Completion(
            id=id,
            object=OBJECT,
            created=created,
            model=model,
            choices=choices,
            usage=usage,
            system_fingerprint=UNSET if fingerprint is None else fingerprint,
        )
    )
