"""Attempts in their order, fills over real answers, and what was used at every moment."""

import asyncio
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from baton.errors import RequestError, invalid
from baton.protocol import CompletionRequest
from baton.relay import Answer, Relay
from baton.routing.plan import Attempt, Plan
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.upstreams.base import Capabilities, UpstreamError, UpstreamStream
from baton.upstreams.failures import failure
from tests.fakes import word_model
from tests.relaying import generated, relaying, text_of

Script = list[Sequence[Event] | Exception]
EXACT = Capabilities(exact_usage=True, token_ids=True)
END = Delta(0, "", "stop")


class Scripted:
    """An upstream that gives each call the next script: what its reads return or raise. An
    exception in a script's place refuses the call."""

    fingerprint: str | None = None

    def __init__(self, *scripts: Script | Exception, native: Capabilities = EXACT) -> None:
        self.name, self.capabilities, self.scripts = "scripted", native, list(scripts)
        self.prompt_tokens: int | None = None
        self.calls: list[Call] = []
        self.streams: list[ScriptedStream] = []

    async def open(self, call: Call) -> UpstreamStream:
        self.calls.append(call)
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        self.streams.append(ScriptedStream(script, self.prompt_tokens))
        return self.streams[-1]

    async def close(self) -> None:
        """Nothing to close."""


class ScriptedStream:
    def __init__(self, script: Script, prompt_tokens: int | None) -> None:
        self.script, self.prompt_tokens, self.closed = list(script), prompt_tokens, False

    async def read(self) -> Sequence[Event]:
        if not self.script:
            return ()
        given = self.script.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def close(self) -> None:
        self.closed = True


def planned(*names: str, fills: tuple[str, ...] = (), **fields: Any) -> Plan:
    """One attempt for each name; `fields` of the request, of which the call has what it takes."""
    fields = {"prompts": ["12345"], "max_tokens": 50, "stream": True, **fields}
    request = CompletionRequest(model="m", **fields)
    taken = {name: value for name, value in fields.items() if name in Call.__struct_fields__}
    call = Call(model="theirs", **{**taken, "n": request.best_of})
    return Plan(request, tuple(Attempt(name, call, fills) for name in names))


def opened(plan: Plan, **upstreams: Scripted) -> Answer:
    return asyncio.run(Relay(upstreams).open(plan))


async def gathered(answer: Answer) -> list[Delta]:
    found: list[Delta] = []
    while deltas := await answer.read():
        found += deltas
    return found


def read(answer: Answer) -> list[Delta]:
    return asyncio.run(gathered(answer))


def test_attempts_in_order() -> None:
    """The first that accepts answers; those behind it are not asked; one that is gone counts."""
    one, two, three = Scripted(failure("connect", "refused")), Scripted([[END]]), Scripted()
    answer = opened(planned("one", "gone", "two", "three"), one=one, two=two, three=three)
    assert ("two", 3) == (answer.upstream, answer.attempts)
    assert [1, 1, 0] == [len(upstream.calls) for upstream in (one, two, three)]


@pytest.mark.parametrize(
    "final", [invalid("no", "prompt"), failure("stream", "network")], ids=["caller", "costs twice"]
)
def test_a_search_ends(final: Exception) -> None:
    """At a caller's fault, and at a failure after work was done."""
    two = Scripted([[END]])
    with pytest.raises(type(final)) as caught:
        opened(planned("one", "two"), one=Scripted(final), two=two)
    assert final is caught.value
    assert [] == two.calls


def test_the_last_failure_is_told() -> None:
    """When nobody accepts."""
    last = failure("first_byte", "overloaded")
    first = failure("connect", "refused")
    with pytest.raises(UpstreamError) as caught:
        opened(planned("one", "two"), one=Scripted(first), two=Scripted(last))
    assert last is caught.value


def test_deltas_come_as_they_are() -> None:
    """Batch by batch; reports are no deltas, and a batch of them alone is not the end."""
    one, two = Delta(0, "a"), Delta(0, "b", "stop")
    answer = opened(planned("u"), u=Scripted([[one], [UsageReported(Usage(1, 1))], [two, one]]))
    assert [one, two, one] == read(answer)
    assert [] == read(answer)


def test_reported_usage_holds() -> None:
    """The last report, as it is, where the upstream's counts are exact."""
    reports = [UsageReported(Usage(5, 1)), UsageReported(Usage(5, 9, cached_tokens=2))]
    answer = opened(planned("u"), u=Scripted([[Delta(0, "a"), reports[0]], [END, reports[1]]]))
    read(answer)
    assert Usage(5, 9, cached_tokens=2) == answer.usage


def test_reports_that_cannot_be_believed() -> None:
    """Nonsense is clamped; of an upstream that is not trusted every report is an estimate."""
    nonsense = opened(
        planned("u"), u=Scripted([[END, UsageReported(Usage(-4, 3, cached_tokens=10))]])
    )
    read(nonsense)
    assert Usage(0, 3, cached_tokens=0, estimated=True) == nonsense.usage
    vague = Scripted([[END, UsageReported(Usage(4, 3))]], native=Capabilities())
    answer = opened(planned("u"), u=vague)
    read(answer)
    assert Usage(4, 3, estimated=True) == answer.usage


def test_usage_so_far() -> None:
    """Between two reads it is what came: tokens by ids, else one a delta; reports that lag behind
    do not make it less. At the end the report holds."""
    script: Script = [
        [Delta(0, "ab", token_ids=[1, 2]), Delta(1, "x")],
        [UsageReported(Usage(7, 2)), Delta(0, "", token_ids=[3])],
        [END, UsageReported(Usage(7, 3))],
    ]
    answer = opened(planned("u"), u=Scripted(script))
    assert Usage(2, 0, estimated=True) == answer.usage
    seen = []
    while asyncio.run(answer.read()):
        seen.append(answer.usage)
    assert [Usage(2, 3, estimated=True), Usage(7, 4, estimated=True)] == seen[:2]
    assert Usage(7, 3) == answer.usage
    assert 4 == answer.generated


def test_usage_that_nobody_reports() -> None:
    """Exact where prompt and ids are told; else the prompt by its length, marked as estimated."""
    told = Scripted([[Delta(0, "ab", "stop", token_ids=[1, 2])]])
    told.prompt_tokens = 9
    exact = opened(planned("u"), u=told)
    read(exact)
    assert Usage(9, 2) == exact.usage
    ids = opened(planned("u", prompts=[[1, 2, 3], [4]]), u=Scripted([[END]]))
    read(ids)
    assert Usage(4, 0, estimated=True) == ids.usage


@pytest.mark.parametrize(("letters", "tokens"), [(40, 10), (41, 11), (1000, 50)])
def test_a_whole_text_is_measured(letters: int, tokens: int) -> None:
    """One delta of a whole answer is more than a token; never more than was asked for."""
    whole = opened(planned("u", stream=False), u=Scripted([[Delta(0, "x" * letters, "stop")]]))
    read(whole)
    assert Usage(2, tokens, estimated=True) == whole.usage


def test_failure_while_reading() -> None:
    """It comes through, and what came before it counts."""
    answer = opened(
        planned("u"), u=Scripted([[Delta(0, "a", token_ids=[1])], failure("stream", "network")])
    )
    with pytest.raises(UpstreamError):
        read(answer)
    assert 1 == answer.usage.completion_tokens


def test_echo_is_filled() -> None:
    """Each choice begins with its prompt, whichever comes first."""
    script: Script = [[Delta(1, "B")], [Delta(0, "A", "stop"), Delta(1, "", "stop")]]
    plan = planned("u", fills=("echo",), prompts=["one ", "two "])
    found = read(opened(plan, u=Scripted(script)))
    assert ["two B", "one A"] == ["".join(d.text for d in found if d.index == i) for i in (1, 0)]


def test_best_of() -> None:
    """The best candidates in one batch, echoed where asked, and all of them counted."""
    scored = [
        Delta(index, f"c{index}", "stop", token_ids=[1], score=score)
        for index, score in enumerate([-3.0, -1.0, -2.0])
    ]
    plan = planned("u", fills=("echo", "best_of"), n=2, best_of=3, stream=False)
    upstream = Scripted([scored[:1], scored[1:]])
    upstream.prompt_tokens = 5
    answer = opened(plan, u=upstream)
    found = asyncio.run(answer.read())
    assert [(0, "12345"), (0, "c1"), (1, "12345"), (1, "c2")] == [(d.index, d.text) for d in found]
    assert () == asyncio.run(answer.read())
    assert Usage(5, 3) == answer.usage


def test_close() -> None:
    """Every call of the answer is closed, the scoring one too."""
    upstream = Scripted([[Delta(0, "a", "stop", token_ids=[1])]], [failure("stream", "network")])
    plan = planned("u", fills=("suffix",), suffix=" end", stream=False)
    answer = opened(plan, u=upstream)
    with pytest.raises(UpstreamError):
        read(answer)
    assert 1 == answer.usage.completion_tokens
    answer.close()
    answer.close()
    assert [True, True] == [stream.closed for stream in upstream.streams]


def test_refusal_of_the_scoring_call() -> None:
    """It is the caller's to know, as any other refusal."""
    upstream = Scripted([[Delta(0, "a", "stop", token_ids=[1])]], invalid("too long", "prompt"))
    answer = opened(planned("u", fills=("suffix",), suffix=" end", stream=False), u=upstream)
    with pytest.raises(RequestError):
        read(answer)


def test_a_suffix_is_ranked(tmp_path: pathlib.Path) -> None:
    """Two calls: candidates, then scores. The answer is a candidate or its beginning; prompt and
    suffix are charged once, each candidate whole."""
    with relaying(tmp_path) as relay:
        fields: dict[str, Any] = {"prompt": "the river", "suffix": " of stone", "max_tokens": 6}
        answer = relay.user.complete(**fields, seed=5)
        streamed = relay.user.complete(**fields, seed=5, stream=True)
        first, scoring = relay.fake.seen[:2]
    assert (4, None) == (first["n"], first.get("suffix"))
    assert (0, True) == (scoring["max_tokens"], scoring["echo"])
    candidates = [generated("the river", 6, seed=5000 + sample) for sample in range(4)]
    text = answer.json["choices"][0]["text"]
    assert any("".join(candidate.pieces).startswith(text) for candidate in candidates)
    assert "suffix" == answer.headers["x-baton-fills"]
    assert "suffix" == streamed.headers["x-baton-fills"]
    assert streamed.events is not None
    chunks = [json.loads(event) for event in streamed.events[:-1]]
    assert text == "".join(chunk["choices"][0]["text"] for chunk in chunks)
    usage = answer.json["usage"]
    assert sum(candidate.counted for candidate in candidates) == usage["completion_tokens"]
    prompt = len(word_model.encode("the river"))
    assert prompt < usage["prompt_tokens"] <= prompt + len(word_model.encode(" of stone"))
    for row in relay.rows():
        assert ("settled", "suffix") == (row.state, row.fills)
        assert usage["prompt_tokens"] + 2 * usage["completion_tokens"] == row.charge


def test_echo_over_http(tmp_path: pathlib.Path) -> None:
    """Echo stands before the text of a server that has none."""
    with relaying(tmp_path, {"fake": "llama-server"}) as relay:
        echoed = relay.user.complete(prompt="a b", echo=True, max_tokens=5)
        stream = relay.user.complete(prompt="a b", echo=True, max_tokens=5, stream=True)
    assert "a b" + text_of("a b", 5) == echoed.json["choices"][0]["text"]
    assert "echo" == echoed.headers["x-baton-fills"] == stream.headers["x-baton-fills"]
    assert stream.events is not None
    texts = [json.loads(event)["choices"][0]["text"] for event in stream.events[:-1]]
    assert "a b" + text_of("a b", 5) == "".join(texts)


def test_best_of_over_http(tmp_path: pathlib.Path) -> None:
    """The best by its mean logprob, without the logprobs that only Baton asked for."""
    with relaying(tmp_path) as relay:
        best = relay.user.complete(prompt="a b", best_of=3, max_tokens=5)
    candidates = [generated("a b", 5, seed=sample) for sample in range(3)]
    expected = max(candidates, key=mean_logprob)
    assert "".join(expected.pieces) == best.json["choices"][0]["text"]
    assert best.json["choices"][0]["logprobs"] is None
    assert sum(c.counted for c in candidates) == best.json["usage"]["completion_tokens"]
    assert "best_of" == best.headers["x-baton-fills"]


def mean_logprob(candidate: word_model.Generated) -> float:
    found = [position.logprob or 0.0 for position in candidate.positions]
    return sum(found) / len(found)
