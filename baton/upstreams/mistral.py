"""Dialect `mistral`: Mistral's fill-in-the-middle route, /v1/fim/completions.

From the vendor's documentation: a prompt and perhaps a suffix in, an answer in the chat shape out
(message.content, or delta.content in a stream; a text or parts). No n, echo, logprobs, penalties
or logit_bias; the seed is `random_seed` and not negative. Only its code models have the route; it
is also the way to continue a plain text on them.
"""

from collections.abc import Sequence

import msgspec

from baton.semantics.events import Call, Event, FinishReason
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.chat_wire import NULL, WirePart, believed, content_text
from baton.upstreams.completions_wire import WireUsage, believable
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE
from baton.upstreams.one_choice import OneChoice, Reader, body, events, reported
from baton.upstreams.refusals import error_within, refusal

SEED_RANGE = 2**31
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
}
"""Others ("error", "tool_calls") mean that the text did not finish."""

_ENCODER = msgspec.json.Encoder()


class _Said(msgspec.Struct):
    content: str | list[WirePart] | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: msgspec.Raw = NULL
    error: object = None
    kind: str = msgspec.field(default="", name="object")


_CHUNK = msgspec.json.Decoder(_Chunk)
_USAGE = msgspec.json.Decoder(WireUsage | None)


class MistralAdapter:
    """Mistral's code models, by fill-in-the-middle. Instances hold no state."""

    name = "mistral"
    opaque_prompt = False
    path = "/fim/completions"
    capabilities = Capabilities(
        suffix=True,
        stop_max=16,
        seed=True,
        bounded=True,
        stream_usage=True,
        exact_usage=True,
        temperature_max=1.5,
    )

    def request(self, call: Call) -> HttpRequest:
        [prompt] = call.prompts
        assert isinstance(prompt, str), "token prompts are not native here"
        fields: dict[str, object] = {
            "model": call.model,
            "prompt": prompt,
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "top_p": call.top_p,
        }
        stops = [stop for stop in call.stop or () if stop]
        if call.suffix is not None:
            fields["suffix"] = call.suffix
        if stops:
            fields["stop"] = stops
        if call.seed is not None:
            fields["random_seed"] = call.seed % SEED_RANGE
        if call.stream:
            fields["stream"] = True
        return HttpRequest(path=self.path, body=_ENCODER.encode(fields))

    def decoder(self, call: Call) -> Decoder:
        reader = MistralReader(call)
        return events(call, reader) if call.stream else body(call, reader)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return refusal(status, body, retry_after)


class MistralReader(Reader):
    """What a chunk, or the whole answer, says."""

    def __init__(self, call: Call) -> None:
        self.choice = OneChoice(call)

    def read(self, payload: bytes) -> Sequence[Event]:
        try:
            chunk = _CHUNK.decode(payload)
        except UNREADABLE as error:
            raise failure("stream", "protocol", "an answer of another shape") from error
        if chunk.error is not None or chunk.kind == "error":
            raise error_within(payload)
        if len(chunk.choices) > 1:
            raise failure("stream", "protocol", "more choices than were asked for")
        found: list[Event] = []
        for choice in chunk.choices:
            said = choice.delta or choice.message or _Said()
            found += self.choice.piece(content_text(said.content), _reason(choice.finish_reason))
        usage = believed(_USAGE, chunk.usage)
        return found + reported(None if usage is None else believable(usage))


def _reason(told: str | None) -> FinishReason | None:
    if not told:
        return None
    reason = FINISH_REASONS.get(told)
    if reason is None:
        raise failure("stream", "status", "the upstream gave up on a choice")
    return reason
