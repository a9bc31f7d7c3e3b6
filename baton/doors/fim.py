"""POST /v1/fim/completions: Mistral's fill in the middle, which Continue and others post to.

Prompt and suffix in, an answer in the chat shape out: `message.content`, or `delta.content` in a
stream, which ends with one chunk that has the finish_reason and the usage, then [DONE]. Every chunk
has a choice: Continue reads `choices[0].delta.content` without looking.
"""

from collections.abc import Sequence

import msgspec

from baton.doors.door import TOKENS_DEFAULT, Facts, Given, completion_body
from baton.errors import RequestError
from baton.protocol import Choice, CompletionUsage
from baton.semantics.assemble import DONE
from baton.semantics.events import Delta
from baton.semantics.sse import encode_event

NAMES = {
    "model": "model",
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "stop": "stop",
    "random_seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Of Mistral and, the last two, of Continue; by their names at /v1/completions."""
THEIRS = {ours: theirs for theirs, ours in NAMES.items()}

_ENCODER = msgspec.json.Encoder()


class FimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/fim/completions, as it is documented."""

    prompt: str
    model: str | None = None
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    random_seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream: bool | None = None


class FimMessage(msgspec.Struct):
    content: str
    role: str = "assistant"


class FimChoice(msgspec.Struct):
    index: int
    message: FimMessage
    finish_reason: str | None


class FimAnswer(msgspec.Struct):
    """A whole answer."""

    id: str
    object: str
    created: int
    model: str
    choices: list[FimChoice]
    usage: CompletionUsage


class FimDoor:
    """One request of this shape."""

    def __init__(self, body: bytes) -> None:
        given = Given(body)
        fields: dict[str, object] = {"prompt": given.text("prompt")}
        suffix = given.take("suffix", str, "a string")
        stream = given.take("stream", bool, "a boolean") or False
        fields["suffix"] = suffix
        fields |= given.passed(NAMES)
        if bytes(fields.get("max_tokens") or b"null") == b"null":  # type: ignore[call-overload]
            fields["max_tokens"] = TOKENS_DEFAULT
        self.body = completion_body(fields, stream=stream)
        self.ignored = given.ignored

    def theirs(self, param: str | None) -> str | None:
        return THEIRS.get(param, param) if param is not None else None

    def whole(self, facts: Facts, choices: Sequence[Choice], usage: CompletionUsage) -> bytes:
        shown = [FimChoice(c.index, FimMessage(c.text), c.finish_reason) for c in choices]
        kind = "chat.completion"
        answer = FimAnswer(facts.id, kind, facts.created, facts.model, shown, usage)
        return _ENCODER.encode(answer)

    def encoder(self, facts: Facts) -> "FimEncoder":
        return FimEncoder(facts)


class FimEncoder:
    """The events of a stream. The finish_reason goes with the usage, as Mistral sends them."""

    done = DONE

    def __init__(self, facts: Facts) -> None:
        self._head = {
            "id": facts.id,
            "object": "chat.completion.chunk",
            "created": facts.created,
            "model": facts.model,
        }
        self._reason: str | None = None

    def delta(self, delta: Delta, usage: CompletionUsage | None = None) -> bytes:
        self._reason = delta.finish_reason or self._reason
        return self._event(delta.text, None)

    def usage(self, usage: CompletionUsage) -> bytes:
        return self._event("", self._reason, usage=usage)

    def error(self, error: RequestError) -> bytes:
        return encode_event(error.body())

    def _event(self, text: str, reason: str | None, **more: object) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        return encode_event(_ENCODER.encode({**self._head, "choices": [choice], **more}))
