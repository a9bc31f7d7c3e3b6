"""Dialect `openai`: POST {base}/completions as OpenAI defines it, for OpenAI and generic servers.

The base of the other completions dialects: they state what differs as class attributes. The body is
built from an allow-list, so nothing that a caller sent reaches an upstream unseen.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from baton.engine_fields import TYPES
from baton.long_text import LongPrompt
from baton.semantics.events import Call
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.completions_wire import AS_OPENAI, BodyDecoder, StreamDecoder
from baton.upstreams.refusals import refusal

_ENCODER = msgspec.json.Encoder()
JsonValue = str | int | float | bool


class OpenAIAdapter:
    """A server that speaks OpenAI's completions. Instances hold no state."""

    name = "openai"
    opaque_prompt = True
    path = "/completions"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        n=True,
        best_of=True,
        echo=True,
        logprobs=True,
        logprobs_max=5,
        suffix=True,
        stop_max=4,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
        fields=frozenset(TYPES),
        bounded=True,
    )

    renamed: Mapping[str, str] = MappingProxyType({})
    """What the server calls a field of one engine, where it has a name of its own."""
    explicit_sampling = False
    """Send temperature and top_p also at OpenAI's defaults: the server's own differ."""
    top_p_least = 0.0
    """Stands for a top_p of 0 (the likeliest token alone) where the server refuses it."""
    constants: Mapping[str, JsonValue] = MappingProxyType({})
    """Fields of every request: what switches off defaults that OpenAI's contract does not have."""
    asks_usage_in_streams = True
    manner = AS_OPENAI
    streams_always = False
    """Stream even where the caller does not: the whole answer of this server is less exact."""

    def request(self, call: Call) -> HttpRequest:
        fields, prompts = self.fields(call), call.prompts
        if isinstance(prompts, LongPrompt):
            fields["prompt"] = prompts.json
        return HttpRequest(path=self.path, body=_ENCODER.encode(fields))

    def decoder(self, call: Call) -> Decoder:
        streams = call.stream or self.streams_always
        kind = StreamDecoder if streams else BodyDecoder
        return kind(call, self.manner)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return refusal(status, body, retry_after)

    def fields(self, call: Call) -> dict[str, object]:
        """The request's body. Always max_tokens; the rest only where it says something."""
        prompts = call.prompts
        found: dict[str, object] = {
            "model": call.model,
            "prompt": prompts[0] if len(prompts) == 1 else prompts,
            "max_tokens": call.max_tokens,
        }
        if self.constants:
            found |= self.constants
        if self.explicit_sampling or call.temperature != 1.0:
            found["temperature"] = call.temperature
        if self.explicit_sampling or call.top_p != 1.0:
            found["top_p"] = call.top_p or self.top_p_least
        if call.stop:
            stops = call.stop if "" not in call.stop else [stop for stop in call.stop if stop]
            if stops:  # never an empty one, which some servers stop at
                found["stop"] = stops
        if not call.plain:
            self._add_options(call, found)
        if call.extra is not None:
            found |= self._engine_fields(call.extra)
        if call.stream or self.streams_always:
            found["stream"] = True
            if self.asks_usage_in_streams:
                found["stream_options"] = {"include_usage": True}
        return found

    def _engine_fields(self, extra: dict[str, object]) -> dict[str, object]:
        """Fields of one engine, as this server calls them."""
        return {self.renamed.get(name, name): value for name, value in extra.items()}

    def _add_options(self, call: Call, found: dict[str, object]) -> None:
        """Optional fields that are set."""
        logprobs = call.logprobs
        if call.scored and not logprobs:
            logprobs = 1
        options: tuple[tuple[str, object], ...] = (
            ("n", call.n if call.n > 1 else None),
            ("suffix", call.suffix),
            ("presence_penalty", call.presence_penalty or None),
            ("frequency_penalty", call.frequency_penalty or None),
            ("logit_bias", _bias(call.logit_bias)),
            ("logprobs", logprobs),
            ("echo", call.echo or None),
            ("seed", call.seed),
            ("user", call.user),
        )
        for field, value in options:
            if value is not None:
                found[field] = value


def _bias(bias: dict[int, float] | None) -> dict[str, float | int] | None:
    """Keys as JSON has them; whole numbers as integers, which is the type in OpenAI's contract."""
    if not bias:
        return None
    return {str(token): int(at) if at == int(at) else at for token, at in bias.items()}
