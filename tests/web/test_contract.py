"""The contract: structurally the published file, and true of what Baton accepts and emits."""

import json
import pathlib
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.errors import RequestError
from baton.protocol import Completion, RequestLimits, decode
from baton.web.contract import FILE_NAME, contract, request_schema
from baton.web.texts import load
from tests.fakes.web_parts import Web

PUBLISHED = json.loads(
    pathlib.Path(__file__, "../../data/post-v1-completions.openapi.json").resolve().read_bytes()
)
PUBLISHED_POST = PUBLISHED["paths"]["/v1/completions"]["post"]
PUBLISHED_REQUEST = PUBLISHED_POST["requestBody"]["content"]["application/json"]["schema"]
PUBLISHED_RESPONSE = PUBLISHED_POST["responses"]["200"]["content"]["application/json"]["schema"]
REQUEST = jsonschema.Draft202012Validator(PUBLISHED_REQUEST)
RESPONSE = jsonschema.Draft202012Validator(PUBLISHED_RESPONSE)
TEXTS = {"title", "description", "summary"}
"""Keys whose values are wording."""
LIMITS = RequestLimits()
LISTED_MAX = 4
TOKENS_MAX = LIMITS.tokens_total_max // (LISTED_MAX * LIMITS.n_max)
"""Of one choice, where a request has as many as it may."""
RANGES: dict[str, st.SearchStrategy[object]] = {
    "max_tokens": st.integers(0, TOKENS_MAX),
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "top_p": st.floats(0, 1) | st.integers(0, 1),
    "n": st.integers(1, LIMITS.n_max),
}
"""OpenAI's ranges, which the contract's schema leaves open."""


def structure(document: Any) -> Any:
    """The document without its wording; keys keep their order."""
    if isinstance(document, dict):
        return {
            key: "text" if key in TEXTS and isinstance(value, str) else structure(value)
            for key, value in document.items()
        }
    return [structure(each) for each in document] if isinstance(document, list) else document


def texts(document: Any) -> list[str]:
    """All wording of a document."""
    if isinstance(document, dict):
        own = [value for key, value in document.items() if key in TEXTS and isinstance(value, str)]
        return own + [text for value in document.values() for text in texts(value)]
    return [text for each in document for text in texts(each)] if isinstance(document, list) else []


def test_it_is_the_published_file_but_for_the_address() -> None:
    """Same keys, values and order; our address; texts in our own words (but field names of
    tokens).
    """
    ours = contract("https://relay.test", load()["zh"])
    expected = {**PUBLISHED, "servers": [{**PUBLISHED["servers"][0], "url": "https://relay.test"}]}
    assert json.dumps(structure(expected)) == json.dumps(structure(ours))
    assert set() == set(texts(PUBLISHED)) & set(texts(ours))


@pytest.mark.parametrize(
    "folder",
    [
        "%E8%A1%A5%E5%85%A8(Completions)",
        "%E8%A1%A5%E5%85%A8%28Completions%29",
        "%e8%a1%a5%e5%85%a8(Completions)",
        "%E8%A1%A5%E5%85%A8%EF%BC%88Completions%EF%BC%89",
    ],
)
def test_it_is_served_under_every_form_of_its_path(site: Web, folder: str) -> None:
    """With plain or full-width parentheses, however they are percent-encoded, without a key."""
    path = f"/openapi/generated/ai-model/{folder}/{FILE_NAME}"
    answer = site.user.ask("GET", path, headers={"Authorization": None})
    assert (200, "application/json") == (answer.status, answer.content_type)
    assert "https://relay.test/base" == answer.json["servers"][0]["url"]


def instances(schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Every instance of a schema of the contract, within OpenAI's ranges and Baton's caps."""
    if name in RANGES:
        return RANGES[name]
    if "oneOf" in schema:
        return st.one_of([instances(each, name) for each in schema["oneOf"]])
    kind = schema["type"]
    if kind == "object":
        required = schema.get("required", [])
        fields = {key: instances(inner, key) for key, inner in schema["properties"].items()}
        return st.fixed_dictionaries({key: fields.pop(key) for key in required}, optional=fields)
    if kind == "array":
        least = 1 if name == "prompt" else 0
        return st.lists(instances(schema["items"], name), min_size=least, max_size=LISTED_MAX)
    longest = LIMITS.stop_bytes_max // 4 if name in ("stop", "model") else 40
    return {
        "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=longest),
        "integer": st.integers(-(2**53), 2**53),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
    }[kind]


@settings(deadline=None, max_examples=500)
@given(instances(request_schema()))
def test_every_request_of_the_contract_is_accepted(request: dict[str, Any]) -> None:
    """Any combination of its fields is decoded to what it says, but echo together with suffix."""
    REQUEST.validate(request)
    body = json.dumps(request).encode()
    if request.get("echo") and request.get("suffix"):
        with pytest.raises(RequestError) as caught:
            decode(body, LIMITS)
        assert (400, "suffix") == (caught.value.status, caught.value.param)
        return
    found = decode(body, LIMITS)
    prompt = request["prompt"]
    assert ([prompt] if isinstance(prompt, str) else prompt) == found.prompts
    expected = {
        "model": request["model"],
        "max_tokens": request.get("max_tokens", 16),
        "temperature": request.get("temperature", 1.0),
        "top_p": request.get("top_p", 1.0),
        "n": request.get("n", 1),
        "stream": request.get("stream", False),
        "suffix": request.get("suffix") or None,
        "echo": request.get("echo", False),
    }
    assert expected == {name: getattr(found, name) for name in expected}
    stop = request.get("stop", [])
    given_stops = [stop] if isinstance(stop, str) else stop
    assert list(dict.fromkeys(filter(None, given_stops))) == (found.stop or [])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)
FIELDS = list(request_schema()["properties"])


@settings(deadline=None, max_examples=500)
@given(instances(request_schema()), st.sampled_from(FIELDS), ANYTHING)
def test_whatever_is_wrong_is_a_400(request: dict[str, Any], field: str, value: object) -> None:
    """One field with any JSON value: accepted, or refused as the caller's mistake, naming a
    field.
    """
    problem = refusal(json.dumps({**request, field: value}).encode())
    assert problem is None or 400 == problem.status
    assert problem is None or problem.param in {None, *FIELDS}


def refusal(body: bytes) -> RequestError | None:
    """Why a body is refused; None when it is accepted. Any other exception is a failure."""
    try:
        decode(body, LIMITS)
    except RequestError as problem:
        return problem
    return None


def whole_answers() -> st.SearchStrategy[dict[str, Any]]:
    """Instances of the response with all fields that a whole answer has."""

    def filled(schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
        if name == "finish_reason":
            return st.sampled_from(["stop", "length", "content_filter"])
        if schema["type"] == "object":
            return st.fixed_dictionaries(
                {key: filled(inner, key) for key, inner in schema["properties"].items()}
            )
        if schema["type"] == "array":
            return st.lists(filled(schema["items"]), max_size=4)
        return instances(schema)

    return filled(PUBLISHED_RESPONSE)


def within(published: Any, emitted: Any) -> Any:
    """What was emitted, without what Baton has beyond the contract."""
    if isinstance(published, dict):
        return {key: within(value, emitted[key]) for key, value in published.items()}
    if isinstance(published, list):
        return [within(*pair) for pair in zip(published, emitted, strict=True)]
    return emitted


@settings(deadline=None, max_examples=200)
@given(whole_answers())
def test_every_answer_of_the_contract_is_emitted(answer: dict[str, Any]) -> None:
    """The response types hold and write each instance, field by field, and nothing against it."""
    choices = [{**choice, "logprobs": None} for choice in answer["choices"]]
    completion = msgspec.convert({**answer, "choices": choices}, Completion)
    emitted = json.loads(msgspec.json.encode(completion))
    RESPONSE.validate(emitted)
    assert answer == within(answer, emitted)
