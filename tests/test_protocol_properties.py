"""Generated bodies: every instance of the contract is taken, everything else is a 400."""

import json
import random
from typing import Any

import jsonschema
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.engine_fields import TYPES
from baton.errors import RequestError
from baton.protocol import CompletionRequest, RequestLimits, decode

LIMITS = RequestLimits()
PLAIN: dict[str, Any] = {"model": "m", "prompt": "Once"}
DEFAULTS = CompletionRequest(model="m", prompts=["Once"])
OPTIONAL = [
    *("max_tokens", "n", "best_of", "temperature", "top_p", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "stop", "suffix", "echo", "logprobs", "seed", "user"),
    *("stream", "stream_options"),
]

USAGE_OPTIONS = ["include_usage", "continuous_usage_stats", "include_obfuscation"]
CONTRACT = {
    "type": "object",
    "required": ["model", "prompt"],
    "properties": {
        "model": {"type": "string"},
        "prompt": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "max_tokens": {"type": "integer"},
        "temperature": {"type": "number"},
        "top_p": {"type": "number"},
        "n": {"type": "integer"},
        "stream": {"type": "boolean"},
        "stop": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "suffix": {"type": "string"},
        "echo": {"type": "boolean"},
    },
}
"""The published contract's schema; ranges are OpenAI's."""

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
instances = st.fixed_dictionaries(
    {"model": text, "prompt": text | st.lists(text, min_size=1, max_size=4)},
    optional={
        "max_tokens": st.integers(0, 10**6),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "n": st.integers(1, 128),
        "stream": st.booleans(),
        "stop": text | st.lists(text, max_size=4),
        "suffix": text,
        "echo": st.booleans(),
    },
)


@settings(max_examples=200, deadline=None)
@given(instances)
def test_every_instance_of_the_contract_is_taken_as_it_is(instance: dict[str, Any]) -> None:
    """Each field of a valid instance arrives with its value (echo + suffix and totals apart)."""
    jsonschema.validate(instance, CONTRACT)
    if instance.get("echo") and instance.get("suffix"):
        instance.pop("suffix")
    prompts = instance["prompt"] if isinstance(instance["prompt"], list) else [instance["prompt"]]
    limits = RequestLimits(tokens_total_max=10**12)
    request = decode(json.dumps(instance).encode(), limits)
    assert request.model == instance["model"]
    assert request.prompts == prompts
    for name in ("max_tokens", "temperature", "top_p", "n", "stream", "echo"):
        assert getattr(request, name) == instance.get(name, getattr(DEFAULTS, name))
    assert request.suffix == (instance.get("suffix") or None)
    stop = instance.get("stop", [])
    stops = [stop] if isinstance(stop, str) else stop
    assert (request.stop or []) == [s for i, s in enumerate(stops) if s and s not in stops[:i]]
    assert request.ignored == ()
    assert decode(json.dumps(instance, ensure_ascii=False).encode(), limits) == request


@settings(max_examples=200, deadline=None)
@given(
    instances,
    st.none() | st.dictionaries(st.sampled_from(USAGE_OPTIONS), st.none() | st.booleans()),
)
def test_plain_and_general_decoding_agree(
    instance: dict[str, Any], options: dict[str, bool | None] | None
) -> None:
    """Where the path fixes the model a body is never read as a plain one."""
    body = json.dumps(instance | ({} if options is None else {"stream_options": options})).encode()
    model = instance["model"] or "m"
    found: list[CompletionRequest | tuple[int, str | None, str | None]] = []
    for fixed in (None, model):
        try:
            found.append(msgspec.structs.replace(decode(body, LIMITS, model=fixed), model=model))
        except RequestError as error:
            found.append((error.status, error.param, error.code))
    assert found[0] == found[1]


numbers = st.integers() | st.floats() | st.integers(-3, 30) | st.just(2**64)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
names = st.sampled_from([*OPTIONAL, "model", "prompt", "stream_options", "x", "ü", "top_k"])


def answered(body: bytes) -> None:
    """A request or a proper 400, nothing else."""
    try:
        decode(body, LIMITS)
    except RequestError as error:
        fault = error
    else:
        return
    assert fault.status == 400
    assert fault.param is None or fault.param in {*OPTIONAL, *TYPES, "model", "prompt"}
    assert set(json.loads(fault.body())["error"]) == {"message", "type", "param", "code"}


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(names, junk, max_size=8))
def test_any_object_is_a_request_or_a_400(fields: dict[str, Any]) -> None:
    """Generated fields, also beside a valid model and prompt; with NaN and surrogates."""
    for body in (fields, {**PLAIN, **fields}):
        answered(json.dumps(body).encode())
        answered(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def test_mutated_bodies_are_requests_or_400s() -> None:
    """20,000 bodies, each a valid one with bytes changed, cut out or doubled."""
    source = random.Random(20261)
    valid = [
        json.dumps({**PLAIN, **fields}).encode()
        for fields in (
            {"stop": ["a", "b"], "logit_bias": {"5": 1}, "seed": 1},
            {"prompt": [[1, 2], [3]], "n": 2, "temperature": 0.5},
            {"prompt": ["ä", "\ud83d\ude00"], "stream": True, "stream_options": {"x": 1}},
            {"prompt": [1, 2, 3], "echo": True, "logprobs": 1, "user": None},
        )
    ]
    pieces = [
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"null",
        b"\xff",
        b"\\ud800",
        b"-",
        b"1e999",
        b"0",
    ]
    for _ in range(20_000):
        body = bytearray(source.choice(valid))
        for _ in range(source.randint(1, 3)):
            at = source.randrange(len(body) + 1)
            body[at : at + source.choice((0, 0, 1, 5))] = source.choice(pieces)
        answered(bytes(body))
