"""Every cell of the capability matrix, sent to a server that speaks the dialect's real wire.

The planner's word is taken for nothing: what arrives at the fake is looked at, and the caller's
view is compared with what the fake's model makes of the prompt.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from baton.errors import RequestError
from baton.protocol import Choice, CompletionRequest, FillLimits
from baton.relay import Relay
from baton.routing.matrix import PROBES, Probe, cell, pairs, request
from baton.routing.plan import Plan, Terms, plan
from baton.routing.routes import Routes
from baton.semantics.assemble import assemble
from baton.semantics.events import Delta, Prompt, Usage
from baton.sites import Site
from baton.stores.base import UpstreamRecord
from baton.upstreams import registry
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpUpstream
from tests.fakes import word_model
from tests.fakes.dialects import FAKES, Fake
from tests.fakes.fake_completions import FakeCompletions

MARKS = {
    "temperature": ".625",
    "top_p": "0.875",
    "presence_penalty": "0.375",
    "frequency_penalty": "-0.375",
    "logit_bias": '"17": 3.5',
    "seed": "4711",
    "suffix": " of stone",
}
"""How a native field can be recognised on any wire."""


class Served:
    """One dialect: its fake, and an upstream built as an operator's record says."""

    def __init__(self, fake: Fake, upstream: HttpUpstream, record: UpstreamRecord) -> None:
        self.fake, self.upstream, self.record = fake, upstream, record

    def plan(self, asked: CompletionRequest) -> Plan:
        native = {"u": self.upstream.capabilities}
        terms, limits = Terms(tenant="k"), FillLimits()
        return plan(asked, terms, Routes([self.record], None), native, seed=1, limits=limits)

    async def answer(self, asked: CompletionRequest) -> tuple[list[Choice], list[Delta], Usage]:
        """Choices as the caller sees them, the deltas of a stream, and the usage."""
        planned = self.plan(asked)
        answer = await Relay({"u": Site("u", self.upstream)}).open(planned)
        deltas: list[Delta] = []
        try:
            while batch := await answer.read():
                deltas += batch
        finally:
            answer.close()
        wanted = asked.logprobs is not None
        return assemble(deltas, asked.choices, logprobs=wanted), deltas, answer.usage


@contextlib.asynccontextmanager
async def serving(dialect: str) -> AsyncIterator[Served]:
    async with FAKES[dialect]() as fake:
        if isinstance(fake, FakeCompletions):
            fake.seed_step = 1
        record = UpstreamRecord(name="u", url=fake.url, dialect=dialect, models={"m": "theirs"})
        upstream = registry.build(record, TransportLimits())
        try:
            yield Served(fake, upstream, record)
        finally:
            await upstream.close()


def text_of(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else word_model.decode(prompt)


def candidates(asked: CompletionRequest, prompt: str) -> set[str]:
    """What the fakes' model may say: at the seed of each sample."""
    found = set()
    for sample in range(asked.best_of):
        seed, stops = (asked.seed or 0) + sample, tuple(asked.stop or ())
        sampling = word_model.Sampling(
            asked.max_tokens,
            asked.temperature,
            seed,
            stops,
            top_p=asked.top_p,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
            logit_bias=tuple((asked.logit_bias or {}).items()),
        )
        found.add("".join(word_model.generate(prompt, sampling).pieces))
    return found


def check_choices(asked: CompletionRequest, choices: list[Choice], deltas: list[Delta]) -> None:
    """The caller's view: each choice goes on from its own prompt, and ends once."""
    assert asked.choices == len(choices)
    for choice in choices:
        prompt = text_of(asked.prompts[choice.index // asked.n])
        text = choice.text
        if asked.echo:
            assert text.startswith(prompt)
            text = text.removeprefix(prompt)
        if asked.suffix is None:
            assert text in candidates(asked, prompt)
        mine = [delta for delta in deltas if delta.index == choice.index]
        assert choice.finish_reason in ("stop", "length")
        assert [choice.finish_reason] == [d.finish_reason for d in mine if d.finish_reason]
        assert mine[-1].finish_reason
        assert (choice.logprobs is None) == (asked.logprobs is None)
        if choice.logprobs is not None:
            check_logprobs(asked, choice, prompt)


def check_logprobs(asked: CompletionRequest, choice: Choice, prompt: str) -> None:
    """Four lists of one length that stand at the text, counted from the start of the prompt. How
    long the text of ids is only their server knows: some tell, behind others counting begins at
    0."""
    logprobs = choice.logprobs
    assert logprobs is not None
    assert choice.text == "".join(logprobs.tokens)
    lists = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)
    assert 1 == len({len(each) for each in lists})
    at = 0 if asked.echo else len(prompt)
    if not isinstance(asked.prompts[0], str) and logprobs.text_offset[0] == 0:
        at = 0
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert at == offset
        at += len(token)
    for token, value, top in zip(*lists[:3], strict=True):
        assert (value is None) == (top is None)
        if top is not None:
            assert value == top[token]
            assert len(top) <= (asked.logprobs or 0) + 1


async def drive(served: Served, probes: tuple[Probe, ...]) -> None:
    asked = request(*probes)
    assert asked is not None
    served.fake.seen.clear()
    kind = cell(served.upstream.capabilities, *probes).kind
    if kind == "refused":
        with pytest.raises(RequestError) as refused:
            served.plan(asked)
        assert 400 == refused.value.status
        return
    choices, deltas, usage = await served.answer(asked)
    check_choices(asked, choices, deltas)
    sent = [json.dumps(body, ensure_ascii=False) for body in served.fake.seen]
    for probe in probes:
        mark = MARKS.get(probe.fields[0], "")
        ranked = "suffix" in served.plan(asked).attempts[0].fills
        if sent and not (ranked and probe.fields[0] in ("temperature", "suffix")):
            assert any(mark in body for body in sent), (mark, sent)
    assert 0 <= usage.completion_tokens <= len(asked.prompts) * asked.best_of * 4 * asked.max_tokens
    assert usage.prompt_tokens > 0


@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_every_cell(dialect: str) -> None:
    """Alone, streamed and not: native fields arrive, filled ones are made, refused ones are."""

    async def run() -> None:
        stream = next(probe for probe in PROBES if probe.label == "stream")
        async with serving(dialect) as served:
            for probe in PROBES:
                for probes in ((probe,), (probe, stream)):
                    if request(*probes) is not None:
                        await tell(served, probes)

    asyncio.run(run())


@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_every_pair(dialect: str) -> None:
    """Any two fields together are one request like any other."""

    async def run() -> None:
        async with serving(dialect) as served:
            for pair in pairs():
                await tell(served, pair)

    asyncio.run(run())


async def tell(served: Served, probes: tuple[Probe, ...]) -> None:
    """Drive it; a failure says which cell it was."""
    try:
        await drive(served, probes)
    except BaseException as error:
        labels: Any = [probe.label for probe in probes]
        error.add_note(f"{served.record.dialect}: {labels}")
        raise


def test_no_dialect_is_left_out() -> None:
    """Each that can be configured has a fake here."""
    assert set(registry.names()) == set(FAKES)
