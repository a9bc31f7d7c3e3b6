"""Every error that Baton answers: status, type, code, param and wording, in one table.

`RequestError` is the caller's to act on (or says when to come back). `UpstreamError`
(upstreams/base.py) is an upstream's fault; `BatonError` is ours. Nobody else makes an error body.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec


class ErrorDetail(msgspec.Struct, frozen=True):
    """OpenAI's error object: all four keys always, null where unknown."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    error: ErrorDetail


class BatonError(Exception):
    """Our own fault: a broken store, a bug. Answered as 500 or 503, logged with its cause."""


class RequestError(Exception):
    """An answer other than 200, in OpenAI's shape. `headers` are added to the response."""

    key_id = ""
    """Of a key that was shown and is known, but over: for the operator, not for the caller."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type = status, message, type
        self.code, self.param, self.headers = code, param, headers

    def body(self) -> bytes:
        return msgspec.json.encode(
            ErrorBody(ErrorDetail(self.message, self.type, self.param, self.code))
        )


RATES = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "at_once": "requests at once",
}
QUOTE_CHARS_MAX = 40
RETRY_AFTER_S_MAX = 120.0
"""openai-python does not retry at all when it is told to wait longer."""


def quoted(value: object) -> str:
    """What a caller sent, short enough for a message: it may be megabytes."""
    text = str(value)
    return text if len(text) <= QUOTE_CHARS_MAX else text[:QUOTE_CHARS_MAX] + "…"


def invalid(message: str, param: str | None = None, code: str | None = None) -> RequestError:
    """400: the request itself is wrong; `param` names the field."""
    return RequestError(400, message, param=param, code=code)


def unsupported(field: str, model: str, remedy: str) -> RequestError:
    """400: the field is legal, but cannot be had on this model; says what would work."""
    message = f"'{field}' is not available with the model '{model}': {remedy}"
    return RequestError(400, message, param=field, code="unsupported_parameter")


class Unheeded(RequestError):
    """400: an upstream took the field without a word, and did not do what it says."""

    def __init__(self, field: str, model: str, remedy: str) -> None:
        told = unsupported(field, model, remedy)
        super().__init__(told.status, told.message, param=field, code=told.code)
        self._field, self._remedy = field, remedy

    def on(self, model: str) -> "Unheeded":
        """The same in the words of who asked, who knows the model by another name."""
        return Unheeded(self._field, model, self._remedy)


def empty_body() -> RequestError:
    return invalid("The request body is empty: send a JSON object with 'model' and 'prompt'.")


def malformed_body(reason: str) -> RequestError:
    """400: not JSON at all; `reason` says what is wrong where."""
    return invalid(f"The request body is not valid JSON: {reason}.")


def missing_model() -> RequestError:
    """400 in OpenAI's wording; `""` would have meant the key's default model."""
    return invalid("you must provide a model parameter", "model", "missing_required_parameter")


def missing_parameter(param: str) -> RequestError:
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, expected: str, got: str) -> RequestError:
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return invalid(message, param.partition(".")[0], "invalid_type")


def below_minimum(
    param: str, noun: str, low: float, got: float, *, sign: str = ">="
) -> RequestError:
    """400: a number below its range; `noun` is "integer" or "decimal", as in OpenAI's codes."""
    message = (
        f"Invalid '{param}': {noun} below minimum value. "
        f"Expected a value {sign} {low}, but got {quoted(got)} instead."
    )
    return invalid(message, param, f"{noun}_below_min_value")


def above_maximum(param: str, noun: str, high: float, got: float) -> RequestError:
    message = (
        f"Invalid '{param}': {noun} above maximum value. "
        f"Expected a value <= {high}, but got {quoted(got)} instead."
    )
    return invalid(message, param, f"{noun}_above_max_value")


def too_many(param: str, high: int, got: int) -> RequestError:
    message = (
        f"Invalid '{param}': too many entries. Expected at most {high}, but got {got} instead."
    )
    return invalid(message, param, "array_above_max_length")


def too_long(param: str, size_max: int, unit: str = "bytes of UTF-8") -> RequestError:
    message = f"Invalid '{param}': string too long. Expected at most {size_max} {unit}."
    return invalid(message, param, "string_above_max_length")


def empty_prompt(what: str) -> RequestError:
    message = f"Invalid 'prompt': {what} is empty. Expected at least one entry."
    return invalid(message, "prompt", "empty_array")


def too_much_work(tokens: int, tokens_max: int) -> RequestError:
    """400: each field is in its range, yet together they ask for more than one request may."""
    message = (
        f"This request may generate {tokens} tokens (prompts * max(n, best_of) * max_tokens); "
        f"at most {tokens_max} are allowed. Send it in parts."
    )
    return invalid(message, "max_tokens", "request_too_large")


def strictly_unknown(names: Sequence[str]) -> RequestError:
    """400 where the caller asked for strictness: fields that would be ignored otherwise."""
    message = f"Unrecognized request argument supplied: {', '.join(names)}."
    return invalid(message, names[0] if names else None, "unknown_parameter")


def strictly_unfilled(fills: Sequence[str], model: str) -> RequestError:
    """400 where the caller asked for strictness: what Baton would have to fill in itself."""
    message = f"The model '{model}' does not do this natively: {', '.join(fills)}."
    field = fills[0] if fills else None
    if field == "continuation":  # no field of the caller's: what is gone on with is the prompt
        field = "prompt"
    return invalid(message, field, "unsupported_parameter")


def missing_key() -> RequestError:
    message = (
        "You didn't provide an API key. Provide it in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer sk-...)."
    )
    return RequestError(401, message, code="missing_api_key")


def bad_key(key_id: str = "") -> RequestError:
    """401 without a word of the key: it may be somebody's real one, mistyped. `key_id`: where it is
    known, and over."""
    error = RequestError(401, "Incorrect API key provided.", code="invalid_api_key")
    error.key_id = key_id
    return error


def ended_key() -> RequestError:
    """The key was revoked, or its time is over, while the request ran."""
    message = "The API key was revoked or has expired."
    return RequestError(401, message, code="invalid_api_key")


def deadline_passed(timeout_s: float) -> RequestError:
    """504 as no attempt ended in time, however many were made; an event where it streams."""
    message = f"The request was not answered within {timeout_s:g} seconds."
    return RequestError(504, message, type="upstream_error", code="request_timeout")


def forbidden(message: str) -> RequestError:
    return RequestError(403, message, type="permission_error", code="forbidden")


def unknown_model(model: str) -> RequestError:
    message = f"The model '{model}' does not exist or you do not have access to it."
    return RequestError(404, message, param="model", code="model_not_found")


def unknown_path(method: str, path: str) -> RequestError:
    return RequestError(404, f"Unknown request URL: {method} {path}.", code="unknown_url")


def wrong_method(method: str, path: str, allowed: str) -> RequestError:
    message = f"Not allowed: {method} on {path} (use {allowed})."
    return RequestError(405, message, code="method_not_supported", headers=(("allow", allowed),))


def context_exceeded(context: int, prompt: int, completion: int) -> RequestError:
    """OpenAI's wording to the letter: client libraries match it by regular expression."""
    message = (
        f"This model's maximum context length is {context} tokens, however you requested "
        f"{prompt + completion} tokens ({prompt} in your prompt; {completion} for the completion). "
        "Please reduce your prompt; or completion length."
    )
    return RequestError(400, message, param="prompt", code="context_length_exceeded")


def body_too_large(body_bytes_max: int) -> RequestError:
    message = f"The request body is larger than {body_bytes_max} bytes."
    return RequestError(413, message, code="request_too_large")


def body_too_slow(body_timeout_s: float) -> RequestError:
    message = f"The request did not arrive within {body_timeout_s:g} seconds."
    return RequestError(408, message, code="request_timeout")


def headers_too_large(message: str) -> RequestError:
    return RequestError(431, message, code="headers_too_large")


def misdirected_request(host: str) -> RequestError:
    """421: asked for by another name than Baton's."""
    message = (
        f"Baton is not asked for by the name '{quoted(host)}': its operator lists the names in "
        "BATON_ALLOWED_HOSTS."
    )
    return RequestError(421, message, code="misdirected_request")


def encoded_body(encoding: str) -> RequestError:
    message = f"Content-Encoding '{encoding}' is not accepted: send the body as it is."
    return RequestError(415, message, code="unsupported_encoding")


def rate_limited(scope: str, wait_s: float, kind: str = "requests") -> RequestError:
    """429 that heals by waiting: both OpenAI libraries honour retry-after-ms. `kind`: requests or
    tokens per minute, or requests at_once."""
    wait_ms = max(1, math.ceil(wait_s * 1000))
    headers = (("retry-after-ms", str(wait_ms)), ("retry-after", str(max(1, -(-wait_ms // 1000)))))
    of = RATES[kind]
    message = f"Rate limit reached for {scope} on {of}. Please try again in {wait_ms} ms."
    type = "tokens" if kind == "tokens" else "requests"
    return RequestError(429, message, type=type, code="rate_limit_exceeded", headers=headers)


def quota_exceeded(what: str, wait_s: float | None = None) -> RequestError:
    """429 that does not heal by retrying: tells clients not to. `wait_s`: until the window of the
    budget ends; None where it has none."""
    message = f"You exceeded your current quota: {what} does not cover this request."
    headers: tuple[tuple[str, str], ...] = (("x-should-retry", "false"),)
    if wait_s is not None:
        seconds = max(1, math.ceil(wait_s))
        message += f" It is renewed in {seconds} s."
        headers += (("retry-after", str(seconds)),)
    code = "insufficient_quota"
    return RequestError(429, message, type=code, code=code, headers=headers)


def quota_reserved(what: str, wait_s: float) -> RequestError:
    """The same, but only for as long as what requests under way may cost at most is held."""
    seconds = max(1, math.ceil(wait_s))
    message = (
        f"You exceeded your current quota: {what} does not cover this request beside those that "
        f"are under way. Come back in {seconds} s, or ask for less (max_tokens)."
    )
    code, headers = "insufficient_quota", (("retry-after", str(seconds)),)
    return RequestError(429, message, type=code, code=code, headers=headers)


def too_many_tokens(scope: str, limit: int, tokens: int) -> RequestError:
    """429 that no waiting heals: the request alone is more than a minute allows."""
    message = (
        f"Request too large for {scope} on tokens per minute: limit {limit}, requested {tokens}. "
        "Send it in parts, or with a smaller max_tokens."
    )
    headers = (("x-should-retry", "false"),)
    return RequestError(429, message, type="tokens", code="rate_limit_exceeded", headers=headers)


def wrong_origin() -> RequestError:
    """403: the key is right, the place is not."""
    message = "This key may not be used from your address."
    return RequestError(403, message, type="permission_error", code="ip_not_allowed")


def overloaded(message: str, retry_after_s: float, status: int = 503) -> RequestError:
    """The queue is full or a part is restarting: nothing was done, come back."""
    headers = (("retry-after", str(max(1, math.ceil(retry_after_s)))),)
    return RequestError(status, message, type="server_error", code="overloaded", headers=headers)


def upstream_failed(message: str, status: int = 502) -> RequestError:
    return RequestError(status, message, type="upstream_error", code="upstream_error")


class UpstreamFault(Protocol):
    """What an answer may tell of an upstream's failure (`upstreams.base.UpstreamError`)."""

    @property
    def kind(self) -> str: ...

    retry_after_s: float | None


def upstream_error(fault: UpstreamFault) -> RequestError:
    """No upstream could answer and nothing was sent yet: a plain HTTP error that may be retried."""
    if fault.kind == "overloaded" or fault.retry_after_s is not None:
        wait_s = fault.retry_after_s if fault.retry_after_s is not None else 1.0
        busy = "busy" if fault.kind == "overloaded" else "not available at the moment"
        return overloaded(f"The model is {busy}. Please retry.", min(wait_s, RETRY_AFTER_S_MAX))
    if fault.kind == "timeout":
        return upstream_failed("The model's server did not answer in time. Please retry.", 504)
    return upstream_failed("The model's server failed to answer. Please retry.")


def upstream_lost(message: str) -> RequestError:
    """The answer had begun and cannot be finished: sent as an error event where it streams."""
    return RequestError(502, message, type="upstream_error", code="upstream_lost")


def bad_idempotency_key(chars_max: int) -> RequestError:
    message = f"The header 'Idempotency-Key' must have 1 to {chars_max} characters."
    return invalid(message, code="invalid_idempotency_key")


def idempotency_mismatch() -> RequestError:
    """422: the caller's own mistake; doing either request would be wrong."""
    message = "This Idempotency-Key was used for another request. Use a new key for this one."
    return RequestError(422, message, type="idempotency_error", code="idempotency_mismatch")


def idempotency_in_progress() -> RequestError:
    """409: client libraries retry it."""
    message = "A request with this Idempotency-Key is still being answered. Please retry."
    headers = (("retry-after", "2"),)
    return RequestError(
        409, message, type="idempotency_error", code="idempotency_in_progress", headers=headers
    )


def idempotency_not_kept() -> RequestError:
    """409 that does not heal: the request is answered and charged, its answer cannot be had."""
    message = (
        "The request with this Idempotency-Key was answered, but its answer could not be kept "
        "(it is too large). Use a new key to ask anew."
    )
    return RequestError(
        409,
        message,
        type="idempotency_error",
        code="idempotency_not_kept",
        headers=(("x-should-retry", "false"),),
    )


def store_unavailable() -> RequestError:
    """Nothing is answered that is not on the ledger."""
    message = "The ledger cannot be written at the moment. Please retry."
    return overloaded(message, 2.0)


def internal(request_id: str) -> RequestError:
    message = f"The server had an error while processing your request (request id {request_id})."
    return RequestError(500, message, type="server_error", code="internal_error")
