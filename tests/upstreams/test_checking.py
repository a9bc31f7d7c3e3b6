"""Live checks against fakes: what is declared is found, what is lacking is found out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
import uvloop

from baton.semantics.overrides import Forbidden, Overrides
from baton.upstreams import checking
from baton.upstreams.base import Capabilities
from baton.upstreams.checking import Row, check, probe, remedy
from baton.upstreams.probing import BODY_BYTES_MAX, QUESTIONS
from tests.fakes.fake_completions import Choice, FakeCompletions, Json
from tests.fakes.fake_local import FakeLlamaServer, FakeMistral
from tests.fakes.fake_ollama import FakeOllama
from tests.fakes.wire import Exchange, WireServer, whole
from tests.upstreams.talking import talking
from tests.upstreams.test_proxy import proxying


def rows_of(fake: FakeCompletions, **fields: Any) -> dict[str, Row]:
    async def scenario() -> list[Row]:
        async with talking(fake, **fields) as upstream:
            return await check(upstream, "m")

    return {row.capability: row for row in uvloop.run(scenario())}


def test_vllm_does_what_it_declares() -> None:
    """Every capability of the row works; what is not declared is not missed."""
    rows = rows_of(FakeCompletions("vllm"))
    assert all(row.found == "works" for row in rows.values() if row.declared), rows
    assert len(rows) == 13


def test_what_is_swallowed_is_found_out() -> None:
    """llama-server accepts echo and ignores it, and says nothing of prompts' logprobs."""
    rows = rows_of(FakeLlamaServer())
    assert (rows["echo"].found, rows["prompt_logprobs"].found) == ("ignored", "ignored")
    assert not rows["echo"].differs
    assert rows["suffix"].found == "works"
    lacking = rows_of(FakeLlamaServer(fim=False))["suffix"]
    assert (lacking.found, lacking.differs) == ("refused", True)
    assert remedy(lacking) == "forbid suffix"


class Appending(FakeCompletions):
    """A server that writes the suffix behind its text, as `transformers serve` does."""

    def _choices(self, body: Json) -> list[Choice]:
        suffix = body.pop("suffix", "")
        choices = super()._choices(body)
        for choice in choices:
            choice.generated.pieces[-1] += suffix
        return choices


def test_a_suffix_that_is_only_appended_fills_nothing() -> None:
    """The text before it is the one without it."""
    found = rows_of(Appending("openai"))["suffix"]
    assert ("ignored", "as without it") == (found.found, found.detail)


class Dying(FakeCompletions):
    """A server that answers nothing any more after several prompts, as mlx-lm's does."""

    def _choices(self, body: Json) -> list[Choice]:
        if not isinstance(body["prompt"], str):
            self.fault(status=404, times=99)
        return super()._choices(body)


def test_what_a_server_may_die_of_is_asked_last() -> None:
    """All else is found as it was before."""
    rows = rows_of(Dying("vllm"))
    failed = {name for name, row in rows.items() if row.found == "failed"}
    assert failed == {"token_prompts", "max_tokens_zero"}, rows


def test_what_is_forbidden_is_not_asked() -> None:
    """An operator says that the server lacks it, and may know what else comes of asking."""
    fake = Dying("openai")
    rows = rows_of(fake, overrides=Overrides(forbid=("prompt_arrays", "token_prompts", "echo")))
    unasked = {name for name, row in rows.items() if row.found == "not asked"}
    expected = {"prompt_arrays", "token_prompts", "echo", "prompt_logprobs", "max_tokens_zero"}
    assert expected == unasked
    assert ("forbidden", False) == (rows["echo"].detail, rows["echo"].differs)
    assert all(isinstance(body["prompt"], str) for body in fake.seen)


@pytest.mark.parametrize("fake", [FakeOllama, FakeMistral])
def test_servers_of_one_choice(fake: type[FakeCompletions]) -> None:
    """What their dialect has no words for is not asked."""
    rows = rows_of(fake())
    assert rows["completes"].found == "works"
    assert {rows[name].found for name in ("n", "prompt_arrays", "token_prompts")} == {"not asked"}
    assert rows["seed"].found == "works"
    assert not rows["n"].differs


def test_a_server_that_does_not_answer() -> None:
    """One row, and no further calls."""
    fake = FakeCompletions("vllm")
    fake.fault(status=500, times=99)
    [only] = rows_of(fake).values()
    assert (only.capability, only.found, only.detail) == ("completes", "failed", "status 500")
    assert remedy(only) == "check address, key and model"
    assert len(fake.seen) == 1


def test_a_call_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up, and told as such."""
    monkeypatch.setattr(checking, "CALL_TIMEOUT_S", 0.05)
    fake = FakeCompletions("vllm")
    fake.fault(stall_after_bytes=10, times=99)
    [only] = rows_of(fake).values()
    assert (only.found, only.detail) == ("failed", "no end in 0.05 s")


def test_more_than_declared_is_told() -> None:
    """Not as a fault."""
    row = Row("n", declared=False, found="works")
    assert (row.differs, remedy(row)) == (True, "more than its dialect declares")
    assert remedy(Row("n", declared=True, found="works")) == ""


CHECKED = {
    "streams", "stream_usage", "prompt_arrays", "token_prompts", "n", "echo", "logprobs",
    "prompt_logprobs", "suffix", "stop_max", "seed", "max_tokens_zero",
}  # fmt: skip


def test_every_remedy_can_be_taken() -> None:
    """What is to be forbidden is something that can be; usage that is missing is counted."""
    for name in Capabilities.__struct_fields__:
        said = remedy(Row(name, declared=True, found="ignored"))
        if name == "stream_usage":
            assert said == "none needed: Baton counts, as an estimate"
        elif name in CHECKED:
            assert said.removeprefix("forbid ") in get_args(Forbidden)


def probed(answer: Callable[[Exchange], Awaitable[None]], path: str = "") -> tuple[str, list[str]]:
    async def scenario() -> tuple[str, list[str]]:
        async with WireServer(answer) as server:
            found = await probe(server.url + path, "sk-key")
            assert all("authorization" in request.headers for request in server.requests)
            return found.dialect, [request.path for request in server.requests]

    return asyncio.run(scenario())


def test_probing_asks_below_the_root() -> None:
    """A base URL with /v1 is asked at the same places; a mark in a header is enough."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"{}", "X-Baton-Upstream: x", status="404 Not Found"))

    for path in ("", "/v1"):
        dialect, asked = probed(answer, path)
        assert dialect == "baton"
        assert asked == list(QUESTIONS)


def test_probing_goes_through_the_proxy() -> None:
    """Nothing is asked of the server but by the way that requests will take."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"{}", "X-Baton-Upstream: x"))

    async def scenario() -> None:
        async with WireServer(answer) as server, proxying() as proxy:
            found = await probe(server.url, None, proxy=f"http://127.0.0.1:{proxy.port}")
            assert ("baton", True) == (found.dialect, bool(proxy.asked))
            asked = len(server.requests)
            assert "openai" == (await probe(server.url, None, proxy="http://127.0.0.1:9")).dialect
            assert asked == len(server.requests)

    asyncio.run(scenario())


def test_probing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood is cut, a silence is given up: a guess either way."""

    async def flood(exchange: Exchange) -> None:
        await exchange.send(whole(b"x" * (BODY_BYTES_MAX + 1)))

    async def silent(exchange: Exchange) -> None:
        await exchange.stall()

    assert probed(flood)[0] == "openai"
    monkeypatch.setattr(checking, "PROBE_TIMEOUT_S", 0.1)
    dialect, asked = probed(silent)
    assert (dialect, len(asked)) == ("openai", 1)


def test_vendors_are_asked_nothing() -> None:
    """Their name says it."""
    found = asyncio.run(probe("https://api.mistral.ai/v1", None))
    assert (found.dialect, found.certain) == ("mistral", True)
