"""The wire of POST /v1/completions: what is accepted, what it means, and how mistakes are told."""

import json
from typing import Any

import pytest

from baton.errors import RequestError
from baton.protocol import STRICT_LIMITS, CompletionRequest, RequestLimits, decode

LIMITS = RequestLimits()
PLAIN: dict[str, Any] = {"model": "m", "prompt": "Once"}


def decoded(limits: RequestLimits = LIMITS, **fields: Any) -> CompletionRequest:
    """The plain request with some fields more."""
    return decode(json.dumps({**PLAIN, **fields}).encode(), limits)


def refused(body: bytes, limits: RequestLimits = LIMITS) -> RequestError:
    """The error for a body, which must be one."""
    with pytest.raises(RequestError) as caught:
        decode(body, limits)
    return caught.value


def test_defaults_are_filled_in() -> None:
    """A request of model and prompt alone means what the contract says."""
    request = decode(b'{"model":"m","prompt":"Once"}', LIMITS)
    assert request == CompletionRequest(model="m", prompts=["Once"])
    assert (request.max_tokens, request.n, request.best_of, request.choices) == (16, 1, 1, 1)


NULLABLE = [
    *("max_tokens", "n", "best_of", "temperature", "top_p", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "stop", "suffix", "echo", "logprobs", "seed", "user"),
    *("stream", "stream_options"),
]


def test_null_is_as_if_left_out() -> None:
    """Every optional field takes null, also `user`, and unknown nulls are no ignored fields."""
    nulls: dict[str, Any] = dict.fromkeys(NULLABLE)
    assert decoded(**nulls) == decoded()
    assert decoded(**nulls, top_k=None) == decoded()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"prompt": ""}, {"prompts": [""]}),
        ({"prompt": ["a", ""]}, {"prompts": ["a", ""]}),
        ({"prompt": [1, 2]}, {"prompts": [[1, 2]]}),
        ({"prompt": [[1], [2, 3]]}, {"prompts": [[1], [2, 3]]}),
        ({"prompt": [2**31 - 1, 0]}, {"prompts": [[2**31 - 1, 0]]}),
        ({"model": ""}, {"model": ""}),
        ({"max_tokens": 0}, {"max_tokens": 0}),
        ({"max_tokens": 900_000}, {"max_tokens": 900_000}),
        ({"n": 3}, {"n": 3, "best_of": 3}),
        ({"n": 2, "best_of": 0}, {"n": 2, "best_of": 2}),
        ({"n": 2, "best_of": None}, {"n": 2, "best_of": 2}),
        ({"n": 2, "best_of": 5}, {"n": 2, "best_of": 5}),
        ({"n": 2, "best_of": 2, "stream": True}, {"n": 2, "best_of": 2, "stream": True}),
        ({"n": 128}, {"n": 128, "best_of": 128}),
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"temperature": 2, "top_p": 1}, {"temperature": 2.0}),
        ({"top_p": 0}, {"top_p": 0.0}),
        ({"presence_penalty": -2}, {"presence_penalty": -2.0}),
        ({"frequency_penalty": 2.0}, {"frequency_penalty": 2.0}),
        ({"logit_bias": {}}, {"logit_bias": None}),
        ({"logit_bias": {"5": -100, "0": 1.5}}, {"logit_bias": {5: -100.0, 0: 1.5}}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": "x" * 256}, {"stop": ["x" * 256]}),
        ({"stop": ["x"] * 16}, {"stop": ["x"]}),
        ({"stop": ["", "y"]}, {"stop": ["y"]}),
        ({"stop": ["x" * 64, "y"]}, {"stop": ["x" * 64, "y"]}),
        ({"stop": ["x", "y", "x", ""]}, {"stop": ["x", "y"]}),
        ({"stop": ""}, {"stop": None}),
        ({"stop": [""]}, {"stop": None}),
        ({"stop": []}, {"stop": None}),
        ({"suffix": ""}, {"suffix": None}),
        ({"suffix": "s"}, {"suffix": "s"}),
        ({"echo": True, "suffix": ""}, {"echo": True}),
        ({"logprobs": 0}, {"logprobs": 0}),
        ({"logprobs": 20}, {"logprobs": 20}),
        ({"seed": -(2**63)}, {"seed": -(2**63)}),
        ({"seed": 2**63 - 1}, {"seed": 2**63 - 1}),
        ({"user": "ü" * 256}, {"user": "ü" * 256}),
        ({"stream": True, "stream_options": None}, {"stream": True}),
        ({"stream": True, "stream_options": {}}, {"stream": True}),
        (
            {"stream": True, "stream_options": {"include_usage": True}},
            {"stream": True, "include_usage": True},
        ),
        (
            {"stream": True, "stream_options": {"continuous_usage_stats": True}},
            {"stream": True},
        ),
        (
            {
                "stream": True,
                "stream_options": {
                    "include_usage": True,
                    "continuous_usage_stats": True,
                    "include_obfuscation": False,
                },
            },
            {"stream": True, "include_usage": True, "continuous_usage": True},
        ),
        ({"top_k": 4, "ignore_eos": True}, {"extra": {"top_k": 4, "ignore_eos": True}}),
        (
            {"stream": True, "stream_options": {"x": 1, "include_usage": True}},
            {"stream": True, "include_usage": True, "ignored": ("stream_options.x",)},
        ),
    ],
)
def test_meaning(given: dict[str, Any], meant: dict[str, Any]) -> None:
    """What each field may be, and what it means."""
    expected = CompletionRequest(**{"model": "m", "prompts": ["Once"], **meant})
    assert decoded(**given) == expected


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": 5}, "model", "invalid_type"),
        ({"model": "m" * 257}, "model", "string_above_max_length"),
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": [[]]}, "prompt", "empty_array"),
        ({"prompt": [[1], []]}, "prompt", "empty_array"),
        ({"prompt": 5}, "prompt", "invalid_type"),
        ({"prompt": {}}, "prompt", "invalid_type"),
        ({"prompt": True}, "prompt", "invalid_type"),
        ({"prompt": ["a", [1]]}, "prompt", "invalid_type"),
        ({"prompt": ["a", 1]}, "prompt", "invalid_type"),
        ({"prompt": [1, "a"]}, "prompt", "invalid_type"),
        ({"prompt": [[1], "a"]}, "prompt", "invalid_type"),
        ({"prompt": [[1], ["a"]]}, "prompt", "invalid_type"),
        ({"prompt": [True]}, "prompt", "invalid_type"),
        ({"prompt": [1.0]}, "prompt", "invalid_type"),
        ({"prompt": [None]}, "prompt", "invalid_type"),
        ({"prompt": [{}]}, "prompt", "invalid_type"),
        ({"prompt": [100, -3]}, "prompt", "invalid_token_id"),
        ({"prompt": [2**31]}, "prompt", "invalid_token_id"),
        ({"prompt": [[0], [2**31]]}, "prompt", "invalid_token_id"),
        ({"prompt": ["a"] * 2049}, "prompt", "array_above_max_length"),
        ({"prompt": [[1]] * 2049}, "prompt", "array_above_max_length"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": 2.5}, "max_tokens", "invalid_type"),
        ({"max_tokens": 2.0}, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_type"),
        ({"max_tokens": 10**6 + 1}, "max_tokens", "integer_above_max_value"),
        ({"max_tokens": 10**100}, "max_tokens", "integer_above_max_value"),
        ({"max_tokens": 10**6, "n": 5}, "max_tokens", "request_too_large"),
        ({"max_tokens": 10**6, "best_of": 5}, "max_tokens", "request_too_large"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 1.0}, "n", "invalid_type"),
        ({"best_of": 21}, "best_of", "integer_above_max_value"),
        ({"best_of": -1}, "best_of", "integer_below_min_value"),
        ({"best_of": 1, "n": 2}, "best_of", None),
        ({"best_of": 2, "stream": True}, "best_of", None),
        ({"temperature": -0.1}, "temperature", "decimal_below_min_value"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": "0.5"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": 1.01}, "top_p", "decimal_above_max_value"),
        ({"presence_penalty": 2.1}, "presence_penalty", "decimal_above_max_value"),
        ({"frequency_penalty": -3}, "frequency_penalty", "decimal_below_min_value"),
        ({"logit_bias": {"100": 101}}, "logit_bias", "decimal_above_max_value"),
        ({"logit_bias": {"100": "1"}}, "logit_bias", "invalid_type"),
        ({"logit_bias": {"100": None}}, "logit_bias", "invalid_type"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", "invalid_token_id"),
        ({"logit_bias": {"x" * 999: 1}}, "logit_bias", "invalid_token_id"),
        ({"logit_bias": {"01": 1}}, "logit_bias", "invalid_token_id"),
        ({"logit_bias": {str(2**31): 1}}, "logit_bias", "invalid_token_id"),
        ({"logit_bias": [1]}, "logit_bias", "invalid_type"),
        ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias", "array_above_max_length"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": [5]}, "stop", "invalid_type"),
        ({"stop": ["a", None]}, "stop", "invalid_type"),
        ({"stop": ["x"] * 17}, "stop", "array_above_max_length"),
        ({"stop": "x" * 257}, "stop", "string_above_max_length"),
        ({"stop": ["ok", "世" * 86]}, "stop", "string_above_max_length"),
        ({"suffix": ["a"]}, "suffix", "invalid_type"),
        ({"suffix": "s", "echo": True}, "suffix", "unsupported_parameter"),
        ({"echo": "true"}, "echo", "invalid_type"),
        ({"echo": 1}, "echo", "invalid_type"),
        ({"logprobs": True}, "logprobs", "invalid_type"),
        ({"logprobs": -1}, "logprobs", "integer_below_min_value"),
        ({"logprobs": 21}, "logprobs", "integer_above_max_value"),
        ({"seed": 2**63}, "seed", "integer_above_max_value"),
        ({"seed": "1"}, "seed", "invalid_type"),
        ({"user": "u" * 513}, "user", "string_above_max_length"),
        ({"user": "ü" * 257}, "user", "string_above_max_length"),
        ({"stream": 0}, "stream", "invalid_type"),
        ({"stream_options": {}}, "stream_options", None),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"stream": True, "stream_options": True}, "stream_options", "invalid_type"),
        (
            {"stream": True, "stream_options": {"include_usage": 1}},
            "stream_options",
            "invalid_type",
        ),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options",
            "unsupported_parameter",
        ),
    ],
)
def test_mistakes_name_their_field(fields: dict[str, Any], param: str, code: str | None) -> None:
    """Whatever is wrong is a 400 in OpenAI's shape whose param is the field; also among others."""
    for extra in ({}, {"unknown": 1}):
        error = refused(json.dumps({**PLAIN, **fields, **extra}).encode())
        assert (error.status, error.type) == (400, "invalid_request_error")
        assert (error.param, error.code) == (param, code)
        assert len(error.message) < 300


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"model": ', "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m","prompt":"a"}', "byte order mark"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"model":"m","prompt":"\xff"}', "not valid UTF-8"),
        (b'{"model":"m","prompt":"a","z":"\xff"}', "not valid UTF-8"),
        (b'{"model":"m","prompt":"a","\xff":1}', "not valid UTF-8"),
        (b'{"model":"m","prompt":"\\ud800 text that goes on"}', "surrogate"),
        (b'{"model":"m","prompt":"a"} x', "trailing"),
        (b'{"model":"m","prompt":"a","temperature":NaN}', "invalid character"),
        (b'{"model":"m","prompt":"a","temperature":Infinity}', "invalid character"),
        (b'{"model":"m","prompt":"a","temperature":1e999}', "out of range"),
        (b'{"model":"m","prompt":"a","max_tokens":' + b"9" * 5000 + b"}", "out of range"),
        (b'{"model":"m","prompt":["a","\\x"]}', "not valid JSON"),
        (b'{"model":"m","prompt":["a","\xff"]}', "not valid UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"[" * 100_000, "must be a JSON object"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (
            b'{"model":"m","prompt":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
            "nested too deeply",
        ),
        (b'{"model":"m","prompt":"a","n":"x","n":1}', "not acceptable"),
        (b'{"prompt":"a"}', "you must provide a model parameter"),
        (b"{}", "you must provide a model parameter"),
        (b'{"prompt":["a"]}', "you must provide a model parameter"),
        (b'{"model":"m"}', "Missing required parameter: 'prompt'"),
        (b'{"model":"m","x":1}', "Missing required parameter: 'prompt'"),
    ],
)
def test_broken_bodies(body: bytes, part: str) -> None:
    """Bytes that are no request are a 400 that says what is wrong."""
    error = refused(body)
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert part in error.message


def test_strictness_lowers_the_limits() -> None:
    """OpenAI's own limits apply, and an operator's lower ones stay."""
    strict = RequestLimits(stops_max=2, prompts_max=7).strict()
    assert (strict.stops_max, strict.logprobs_max, strict.prompts_max) == (2, 5, 7)
    assert RequestLimits().strict() == STRICT_LIMITS
    assert refused(b'{"model":"m","prompt":"a","logprobs":6}', STRICT_LIMITS).param == "logprobs"
    nine = json.dumps({**PLAIN, "stop": [str(i) for i in range(9)]}).encode()
    assert refused(nine, STRICT_LIMITS).param == "stop"
    assert len(decode(nine, LIMITS).stop or []) == 9


def test_what_is_ignored_is_told_within_bounds() -> None:
    """At most 32 names of 64 characters come back, sorted."""
    many: dict[str, Any] = {"z" * 100 + str(i): i for i in range(100)}
    request = decoded(**many, a=1)
    assert len(request.ignored) == 32
    assert request.ignored[0] == "a"
    assert max(map(len, request.ignored)) == 64


def test_a_path_may_fix_the_model() -> None:
    """The path's model counts, whether the body names one, an empty one or none."""
    for body in (b'{"prompt":"a"}', b'{"prompt":["a"],"model":""}', b'{"prompt":"a","model":"x"}'):
        assert decode(body, LIMITS, model="m").model == "m"
    assert decode(b'{"prompt":"a","z":1}', LIMITS, model="m").ignored == ("z",)


def test_told_names_fit_into_a_header() -> None:
    """A caller chooses the names of unknown fields; no line end or comma of it comes back."""
    names: dict[str, Any] = {"a\r\nset-cookie: x,y": 1, "ü?z": 1}
    assert decoded(**names).ignored == ("??z", "a??set-cookie:?x?y")


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({}, True),
        ({"max_tokens": 5, "temperature": 0.5, "top_p": 0.5, "stop": ["x", "y"]}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"n": 1, "best_of": 1, "logit_bias": {}, "suffix": "", "echo": False}, True),
        ({"prompt": ["a", "b"]}, False),
        ({"prompt": [1]}, False),
        ({"max_tokens": 0}, False),
        ({"n": 2}, False),
        ({"best_of": 2}, False),
        ({"presence_penalty": 0.5}, False),
        ({"frequency_penalty": 0.5}, False),
        ({"logit_bias": {"5": 1}}, False),
        ({"suffix": "s"}, False),
        ({"echo": True}, False),
        ({"logprobs": 0}, False),
        ({"seed": 0}, False),
        ({"user": "u"}, False),
        ({"top_k": 4}, False),
        ({"unknown": 4}, False),
    ],
)
def test_what_every_upstream_does(fields: dict[str, Any], plain: bool) -> None:
    """One text, how long, how random, where to stop, streamed or not: nothing else is plain."""
    assert plain == decoded(**fields).plain


def test_choices_count_prompts_and_samples() -> None:
    """A request's choices are prompts times n, not best_of."""
    assert decoded(prompt=["a", "b"], n=3, best_of=4).choices == 6
