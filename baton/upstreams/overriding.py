"""An adapter whose requests are changed as the operator of its server wants it."""

import msgspec

from baton.semantics.events import Call
from baton.semantics.overrides import Forbidden, Overrides, apply
from baton.upstreams.base import Adapter, Capabilities, Decoder, Detokenizer, HttpRequest

LACKS: dict[Forbidden, dict[str, object]] = {
    "best_of": {"best_of": False},
    "echo": {"echo": False, "prompt_logprobs": False, "max_tokens_zero": False},
    "frequency_penalty": {"penalties": False},
    "logit_bias": {"logit_bias": False},
    "logprobs": {"logprobs": False, "prompt_logprobs": False, "scored": False},
    "n": {"n": False},
    "presence_penalty": {"penalties": False},
    "prompt_arrays": {"prompt_arrays": False},
    "seed": {"seed": False},
    "stop": {"stop_max": 0},
    "stream": {"streams": False},
    "stream_options": {"stream_usage": False},
    "suffix": {"suffix": False},
    "token_prompts": {"token_prompts": False},
}
"""What a server lacks that lacks a field."""

_BODY = msgspec.json.Decoder(dict[str, object])
_ENCODER = msgspec.json.Encoder()


class OverridingAdapter:
    """Another adapter's requests with an operator's overrides. Costs one more decoding a call."""

    def __init__(self, adapter: Adapter, overrides: Overrides) -> None:
        self._adapter, self._overrides = adapter, overrides
        self.name, self.opaque_prompt = adapter.name, adapter.opaque_prompt
        self.capabilities = lacking(adapter.capabilities, overrides)
        self.forbidden = frozenset(name for each in overrides.forbid for name in LACKS[each])

    def request(self, call: Call) -> HttpRequest:
        request = self._adapter.request(call)
        overrides = self._overrides
        unasked = call.stream and "stream_options" in overrides.forbid
        if not (unasked or overrides.force or overrides.default or overrides.remove):
            return request
        body = apply(overrides, _BODY.decode(request.body))
        if unasked:
            body.pop("stream_options", None)
        return msgspec.structs.replace(request, body=_ENCODER.encode(body))

    def decoder(self, call: Call) -> Decoder:
        return self._adapter.decoder(call)

    def detokenization(self, model: str, ids: list[int]) -> HttpRequest:
        """Only where the dialect's capabilities have it."""
        assert isinstance(self._adapter, Detokenizer)
        return self._adapter.detokenization(model, ids)

    def detokenized(self, body: bytes) -> str:
        assert isinstance(self._adapter, Detokenizer)
        return self._adapter.detokenized(body)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return self._adapter.error(status, body, retry_after)


def lacking(capabilities: Capabilities, overrides: Overrides) -> Capabilities:
    """What a server does natively that lacks what is forbidden."""
    for name in overrides.forbid:
        capabilities = msgspec.structs.replace(capabilities, **LACKS[name])
    return capabilities


def forbidden(adapter: Adapter) -> frozenset[str]:
    """The capabilities that the operator says this server lacks."""
    return adapter.forbidden if isinstance(adapter, OverridingAdapter) else frozenset()
