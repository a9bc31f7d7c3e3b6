"""Dialects by name, and an upstream made of a stored record."""

import dataclasses
from collections.abc import Mapping

import pytest
import uvloop

from baton.semantics.events import Call, Way
from baton.semantics.overrides import NONE, Overrides
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.registry import (
    BUILT_IN,
    Dialect,
    bearer,
    build,
    check_continuation,
    check_templates,
    dialect,
    names,
)
from tests.fakes.wire import Exchange, WireServer, whole


@dataclasses.dataclass(frozen=True)
class Record:
    url: str
    dialect: str
    name: str = "up"
    secret: str | None = None
    allow_private: bool = True
    continuation: Mapping[str, Way] = dataclasses.field(default_factory=dict)
    more_secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    proxy: str | None = None
    overrides: Overrides = NONE
    fim: Mapping[str, str] = dataclasses.field(default_factory=dict)


def test_every_dialect_is_whole() -> None:
    """Its name is its adapter's, and its adapter makes requests."""
    call = Call(model="m", prompts=["p"], max_tokens=1)
    for name, kind in BUILT_IN.items():
        adapter = kind.adapter()
        assert adapter.name == name
        assert adapter.request(call).path.startswith("/")
        assert dialect(name) is kind
    assert set(BUILT_IN) <= set(names())


def test_templates_are_those_that_there_are() -> None:
    """ValueError that helps."""
    check_templates({"m": "qwen", "*": "starcoder"})
    with pytest.raises(ValueError, match="fim of m: no template 'gwen': known are codegemma, "):
        check_templates({"m": "gwen"})


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    """ValueError that helps."""
    with pytest.raises(ValueError, match="no dialect 'x': known are anthropic, "):
        dialect("x")


def test_a_record_becomes_an_upstream() -> None:
    """Nothing is connected to; the key is in no repr; bad URLs are refused."""

    async def scenario() -> None:
        record = Record("http://gpu:8000", "vllm", secret="sk-secret")
        upstream = build(record, TransportLimits())
        assert upstream.name == "up"
        assert upstream.capabilities.token_ids
        assert upstream.in_flight == 0
        assert repr(upstream) == (
            "<HttpUpstream up vllm <Transport gpu:8000 connections=0 idle=0 waiting=0>>"
        )
        await upstream.close()
        with pytest.raises(ValueError, match="credentials"):
            build(Record("http://u:p@gpu/", "vllm"), TransportLimits())

    uvloop.run(scenario())


def test_a_dialect_of_ones_own() -> None:
    """Adapter, prefix and how a key travels are all that it takes."""
    assert Dialect(OpenAIAdapter).authorize("k") == bearer("k") == (("Authorization", "Bearer k"),)


def test_a_chat_is_told_how_its_models_continue() -> None:
    """By the record; a way that the dialect does not have is refused, for it would be ignored."""

    async def scenario() -> None:
        record = Record("http://gpu:8000", "openai-chat", continuation={"m": "partial"})
        upstream = build(record, TransportLimits())
        assert upstream.capabilities.wrapping_tokens > 0
        await upstream.close()
        with pytest.raises(ValueError, match="continuation of m: no 'partial' with dialect 'gem"):
            build(Record("http://g", "gemini", continuation={"m": "partial"}), TransportLimits())

    uvloop.run(scenario())
    check_continuation("anthropic", {"*": "prefill"})
    with pytest.raises(ValueError, match="takes prompts as they are"):
        check_continuation("vllm", {"m": "instruct"})


def test_keys_travel_as_each_vendor_wants_them() -> None:
    """Chats of vendors have headers of their own."""
    found = {name: BUILT_IN[name].authorize("k") for name in ("anthropic", "gemini", "openai-chat")}
    assert found == {
        "anthropic": (("x-api-key", "k"),),
        "gemini": (("x-goog-api-key", "k"),),
        "openai-chat": bearer("k"),
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/beta/completions"),
        ("/v1", "/beta/completions"),
        ("/beta", "/beta/completions"),
        ("/relay/v1/", "/relay/beta/completions"),
    ],
)
def test_completions_that_are_beside_the_other_routes(path: str, expected: str) -> None:
    """DeepSeek's own guide gives a base in /v1, under which are chats alone."""

    async def scenario() -> str:
        asked = []

        async def answer(exchange: Exchange) -> None:
            asked.append(exchange.request.path)
            await exchange.send(whole(b"{}", status="404 Not Found"))

        async with WireServer(answer) as server:
            upstream = build(Record(server.url + path, "deepseek"), TransportLimits())
            with pytest.raises(UpstreamError):
                await upstream.open(Call(model="m", prompts=["a b"], max_tokens=2))
            await upstream.close()
        return asked[0]

    assert expected == uvloop.run(scenario())
