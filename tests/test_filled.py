"""Fills over real answers."""

import asyncio
import json
import pathlib
from typing import Any

import msgspec
import pytest

from baton.errors import RequestError, invalid, unsupported
from baton.semantics.events import Delta, Usage
from baton.semantics.overrides import Overrides
from baton.upstreams import registry
from tests.bookkeeping import PRICE, new_store
from tests.fakes import word_model
from tests.fakes.dialects import FAKES, said
from tests.fakes.scripted import Script, Scripted, opened, planned, read
from tests.relaying import THEIRS, generated, relaying, text_of


def test_echo_is_filled() -> None:
    """Each choice begins with its prompt, whichever comes first."""
    script: Script = [[Delta(1, "B")], [Delta(0, "A", "stop"), Delta(1, "", "stop")]]
    plan = planned("u", fills=("echo",), prompts=["one ", "two "])
    found = read(opened(plan, u=Scripted(script)))
    assert ["two B", "one A"] == ["".join(d.text for d in found if d.index == i) for i in (1, 0)]


def test_an_echo_of_ids_leaves_the_ids_as_they_are(tmp_path: pathlib.Path) -> None:
    """A text may be divided into other tokens: the answer is the one that ids without echo have."""
    ids = [1000 + ord(letter) for letter in " the"]
    assert word_model.encode(word_model.decode(ids)) != ids
    with relaying(tmp_path, {"fake": "llama-server"}) as relay:
        alone = relay.user.complete(prompt=ids, max_tokens=4)
        echoed = relay.user.complete(prompt=ids, max_tokens=4, echo=True)
        sent = [body["prompt"] for body in relay.fake.seen if "prompt" in body]
    assert sent == [ids, ids]
    text = alone.json["choices"][0]["text"]
    assert echoed.json["choices"][0]["text"] == " the" + text
    assert echoed.json["usage"] == alone.json["usage"]


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
    assert not asyncio.run(answer.read())
    assert Usage(5, 3) == answer.usage


def test_refusal_of_the_scoring_call() -> None:
    """It is the caller's to know, as any other refusal; candidates that nobody saw are no use."""
    upstream = Scripted([[Delta(0, "a", "stop", token_ids=[1])]], invalid("too long", "prompt"))
    answer = opened(planned("u", fills=("suffix",), suffix=" end", stream=False), u=upstream)
    with pytest.raises(RequestError):
        read(answer)
    assert 0 == answer.generated


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("fields", "refused", "told"),
    [
        ({"best_of": 2}, "logprobs", "best_of"),
        ({"best_of": 2, "logprobs": 1}, "logprobs", "logprobs"),
        ({"best_of": 2}, "prompt", "prompt"),
        ({"suffix": " end"}, "echo", "suffix"),
    ],
)
def test_a_refusal_names_what_the_caller_asked_for(
    fields: dict[str, Any], refused: str, told: str, late: bool
) -> None:
    """Not the field by which Baton fills that in, which the caller could not leave out."""
    error = unsupported(refused, "m", "its server does not tell them; leave it out.")
    upstream = Scripted([error] if late else error)
    fills = ("suffix",) if "suffix" in fields else ("best_of",)
    made = planned("u", fills=fills, stream=False, **fields)
    with pytest.raises(RequestError) as caught:
        read(opened(made, u=upstream))
    assert (told, "unsupported_parameter") == (caught.value.param, caught.value.code)
    assert f"'{told}'" in caught.value.message


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


def test_a_refused_ranking_costs_nothing(tmp_path: pathlib.Path) -> None:
    """The caller of a suffix whose scoring is refused has nothing, and is charged nothing."""
    with relaying(tmp_path) as relay:
        relay.fake.fault()
        relay.fake.fault(status=400, body='{"error":{"message":"no","type":"x","code":400}}')
        answer = relay.user.complete(prompt="the river", suffix=" of stone", max_tokens=6)
    assert 400 == answer.status
    [row] = relay.rows()
    assert ("released", 0) == (row.state, row.charge)


@pytest.mark.parametrize("dialect", sorted(FAKES))
@pytest.mark.parametrize("stream", [True, False])
def test_three_samples_of_two_prompts(tmp_path: pathlib.Path, dialect: str, stream: bool) -> None:
    """Through every dialect: the right text at each index, one finish_reason each, usage summed
    with each prompt once, and [DONE] last."""
    native = registry.dialect(dialect).adapter().capabilities
    prompts, seed = ["the river", "a b"], 7 if native.seed else 0
    fields: dict[str, Any] = {"prompt": prompts, "n": 3, "max_tokens": 5}
    fields |= {"seed": seed} if native.seed else {}
    fields |= {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with relaying(tmp_path, {"fake": dialect}) as relay:
        relay.fake.seed_step = 1
        answer = relay.user.complete(**fields)
    assert 200 == answer.status, answer.text
    if stream:
        assert answer.events is not None
        assert "[DONE]" == answer.events[-1]
    chunks = [json.loads(event) for event in (answer.events or [answer.text, ""])[:-1]]
    completion_tokens = 0
    for index in range(6):
        mine = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        reasons = [choice["finish_reason"] for choice in mine]
        assert [*[None] * (len(mine) - 1), reasons[-1]] == reasons
        assert reasons[-1] in ("stop", "length")
        expected = generated(prompts[index // 3], 5, seed=seed + (index % 3 if native.seed else 0))
        assert "".join(expected.pieces) == "".join(choice["text"] for choice in mine)
        completion_tokens += expected.counted
    usage = chunks[-1]["usage"]
    assert completion_tokens == usage["completion_tokens"]
    prompt_tokens = sum(len(word_model.encode(prompt)) for prompt in prompts)
    assert prompt_tokens == usage["prompt_tokens"] or native.wrapping_tokens
    assert prompt_tokens <= usage["prompt_tokens"] <= prompt_tokens + 2 * native.wrapping_tokens
    [row] = relay.rows()
    assert ("settled", False) == (row.state, row.estimated)


def test_max_tokens_is_kept_to(tmp_path: pathlib.Path) -> None:
    """Where a server overruns that nobody vouches for: cut, told as length, closed, and only what
    was given is charged."""
    with relaying(tmp_path, {"fake": "together"}) as relay:
        relay.fake.script(said("one two three four five"))
        relay.fake.fault(interval_s=0.002)
        answer = relay.user.complete(prompt="a", max_tokens=3, stream=True)
        relay.fake.script(said("one two three"))
        exact = relay.user.complete(prompt="a", max_tokens=3, stream=True)
    for given, reason in ((answer, "length"), (exact, "stop")):
        assert given.events is not None
        chunks = [json.loads(event)["choices"][0] for event in given.events[:-1]]
        assert "one two three" == "".join(chunk["text"] for chunk in chunks).rstrip()
        assert reason == chunks[-1]["finish_reason"]
        assert "x-baton-fills" not in given.headers
    assert [(3, True), (3, False)] == [(r.completion_tokens, r.estimated) for r in relay.rows()]


def test_a_stream_of_a_server_that_cannot(tmp_path: pathlib.Path) -> None:
    """Its whole answer is sent as one: the same text, finish, and usage; and told."""
    with relaying(tmp_path) as relay:
        relay.add_upstream("fake", relay.fake, overrides=Overrides(forbid=("stream",)))
        answer = relay.user.complete(prompt="a b", max_tokens=5, stream=True)
        while "x-baton-fills" not in answer.headers:  # until the worker has heard of it
            answer = relay.user.complete(prompt="a b", max_tokens=5, stream=True)
        assert "stream" not in relay.fake.seen[-1]
    assert "stream" == answer.headers["x-baton-fills"]
    assert answer.events is not None
    [chunk] = [json.loads(event)["choices"][0] for event in answer.events[:-1]]
    expected = generated("a b", 5)
    assert ("".join(expected.pieces), expected.finish_reason) == (
        chunk["text"],
        chunk["finish_reason"],
    )


WRONG_USAGES: list[dict[str, Any]] = [
    {},
    {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": -7, "completion_tokens": 5},
    {"prompt_tokens": 2**63, "completion_tokens": 5},
    {"prompt_tokens": 2, "completion_tokens": 2**63},
    {"prompt_tokens": "many", "completion_tokens": []},
    {"prompt_tokens": 2},
]


@pytest.mark.parametrize("dialect", ["openai", "vllm", "sglang", "llama-server"])
def test_usage_that_cannot_be_believed(tmp_path: pathlib.Path, dialect: str) -> None:
    """Absent, zero, negative, beyond all bounds, of another type: the caller sees sense, and the
    ledger says that it is an estimate."""
    with relaying(tmp_path, {"fake": dialect}) as relay:
        for usage in WRONG_USAGES:
            for more in ({}, {"stream": True, "stream_options": {"include_usage": True}}):
                relay.fake.fault(usage=usage)
                answer = relay.user.complete(prompt="a b", max_tokens=5, **more)
                assert 200 == answer.status, (usage, answer.text)
                last = (answer.events or [answer.text, ""])[-2]
                shown = json.loads(last)["usage"]
                assert 0 < shown["prompt_tokens"] < 10, (usage, more)
                assert 0 < shown["completion_tokens"] <= 10, (usage, more)
    assert [True] * 2 * len(WRONG_USAGES) == [row.estimated for row in relay.rows()]


@pytest.mark.parametrize("stream", [True, False])
def test_a_guess_of_the_prompt_has_its_suffix(tmp_path: pathlib.Path, stream: bool) -> None:
    """Where the upstream fills it in itself and does not tell: it reads both, for each prompt."""
    suffix = "the end of the text " * 20
    with relaying(tmp_path, {"fake": "openai"}) as relay:
        for usage in ({}, {"prompt_tokens": 10**6, "completion_tokens": 3}):
            relay.fake.fault(usage=usage)
            asked = {"prompt": ["a b", "c"], "suffix": suffix, "max_tokens": 3, "stream": stream}
            assert 200 == relay.user.complete(**asked).status
    for row in relay.rows():
        assert (2 + 2 * len(suffix) // 4, True) == (row.prompt_tokens, row.estimated)


def test_a_late_refusal_costs_nothing(tmp_path: pathlib.Path) -> None:
    """A prompt of an array is refused after others were answered: one 400, and no charge."""
    with relaying(tmp_path, {"fake": "deepseek"}, fill_parallel_max=1) as relay:
        answer = relay.user.complete(prompt=["a", "b", "c " * 5000], max_tokens=5)
        aborted = relay.fake.aborted
    assert (400, "context_length_exceeded") == (answer.status, answer.error["code"])
    assert 0 == aborted
    [row] = relay.rows()
    assert ("released", 0) == (row.state, row.charge)


def test_stops_beyond_the_upstreams(tmp_path: pathlib.Path) -> None:
    """Cut by us, over chunk borders; the upstream is told of it by closing, and what was used is
    an estimate."""
    whole = text_of("the river is", 60)
    stop = whole[7:11]
    assert stop
    stops = ["~1", "~2", "~3", "~4", stop]
    with relaying(tmp_path, {"fake": "openai"}) as relay:
        relay.fake.fault(interval_s=0.002)
        relay.fake.fault(interval_s=0.002)
        answer = relay.user.complete(prompt="the river is", max_tokens=60, stop=stops)
        stream = relay.user.complete(prompt="the river is", max_tokens=60, stop=stops, stream=True)
        relay.until(lambda: relay.fake.aborted == 2)
        assert all(body["stream"] and stop in body["stop"] for body in relay.fake.seen) is False
    choice = answer.json["choices"][0]
    assert (whole[: whole.index(stop)], "stop") == (choice["text"], choice["finish_reason"])
    assert stream.events is not None
    chunks = [json.loads(event)["choices"][0] for event in stream.events[:-1]]
    assert choice["text"] == "".join(chunk["text"] for chunk in chunks)
    assert "stop" == answer.headers["x-baton-fills"]
    assert all(row.estimated and row.state == "settled" for row in relay.rows())


@pytest.mark.parametrize("stream", [True, False])
def test_a_chat_that_is_cut_is_paid_with_its_wrapping(tmp_path: pathlib.Path, stream: bool) -> None:
    """Its usage comes behind the end, which Baton does not wait for at a stop of its own: what was
    put around the prompt is guessed as the prompt is, and not given away."""
    with relaying(tmp_path, {"fake": "openai-chat"}) as relay:
        text = relay.user.complete(prompt="a b", max_tokens=20).json["choices"][0]["text"]
        relay.user.complete(prompt="a b", max_tokens=20, stop=text[5:8], stream=stream)
    told, cut = relay.rows()
    assert told.prompt_tokens is not None
    assert cut.prompt_tokens is not None
    assert (told.estimated, cut.estimated, cut.finish_reason) == (False, True, "stop")
    assert cut.prompt_tokens > 100
    assert cut.prompt_tokens <= told.prompt_tokens


def test_no_tokens_need_no_upstream(tmp_path: pathlib.Path) -> None:
    """The prompt alone, its count an estimate, and nothing owed to anybody; where it has to be
    scored, one token that is not shown, and that the operator alone pays for."""
    new_store(tmp_path).prices.set(msgspec.structs.replace(PRICE, upstream="fake"), "test")
    with relaying(tmp_path, {"fake": "sglang"}) as relay:
        echoed = relay.user.complete(prompt="the river", max_tokens=0, echo=True)
        assert [] == relay.fake.seen
        scored = relay.user.complete(prompt="the river", max_tokens=0, echo=True, logprobs=1)
        [sent] = relay.fake.seen
    for answer in (echoed, scored):
        choice = answer.json["choices"][0]
        assert ("the river", "length") == (choice["text"], choice["finish_reason"])
        assert 0 == answer.json["usage"]["completion_tokens"]
    assert "max_tokens,echo" == echoed.headers["x-baton-fills"]
    assert "max_tokens" == scored.headers["x-baton-fills"]
    assert 1 == sent["max_tokens"]
    tokens = word_model.encode("the river")
    assert [word_model.piece(t) for t in tokens] == choice["logprobs"]["tokens"]
    assert len(tokens) == scored.json["usage"]["prompt_tokens"]
    free, owed = relay.rows()
    assert (0, len(tokens) + 2) == (free.cost, owed.cost)
    assert len(tokens) == owed.charge


def test_a_suffix_by_template(tmp_path: pathlib.Path) -> None:
    """The family of the model's name says how prompt and suffix become one prompt."""
    with relaying(tmp_path) as relay:
        models = {"m": "Qwen/Qwen2.5-Coder-7B"}
        relay.store.upstreams.update("fake", "test", models=models)
        while not relay.fake.seen or relay.fake.seen[-1]["model"] == THEIRS:
            relay.fake.seen.clear()
            relay.user.complete(prompt="a")
        relay.fake.seen.clear()
        answer = relay.user.complete(prompt="def f", suffix="return", max_tokens=5, logprobs=0)
        [sent] = relay.fake.seen
    assert "<|fim_prefix|>def f<|fim_suffix|>return<|fim_middle|>" == sent["prompt"]
    assert "<|fim_pad|>" in sent["stop"]
    assert "suffix" not in sent
    choice = answer.json["choices"][0]
    assert len("def f") == choice["logprobs"]["text_offset"][0]
    assert "suffix" == answer.headers["x-baton-fills"]


def test_a_suffix_by_the_operators_template(tmp_path: pathlib.Path) -> None:
    """On a model whose name tells nothing, and a server of which nothing is known but its word."""
    with relaying(tmp_path, {"fake": "together"}) as relay:
        relay.add_upstream("fake", relay.fake, fim={"*": "codestral"})
        fields: dict[str, Any] = {"prompt": "def f", "suffix": "return", "max_tokens": 5}
        while relay.user.complete(**fields).status == 400:  # until the worker has heard of it
            assert not relay.fake.seen
        [sent] = relay.fake.seen
    assert "[SUFFIX]return[PREFIX]def f" == sent["prompt"]
    assert "[SUFFIX]" in sent["stop"]


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


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "openai", "llama-server"])
def test_best_of_over_http(tmp_path: pathlib.Path, dialect: str) -> None:
    """The best by its mean logprob, without the logprobs that only Baton asked for; also of
    servers that tell no ids, and of those that give one sample a call."""
    with relaying(tmp_path, {"fake": dialect}) as relay:
        relay.fake.seed_step = 1
        best = relay.user.complete(prompt="a b", best_of=3, max_tokens=5, seed=2)
    candidates = [generated("a b", 5, seed=2 + sample) for sample in range(3)]
    expected = max(candidates, key=mean_logprob)
    assert "".join(expected.pieces) == best.json["choices"][0]["text"]
    assert best.json["choices"][0]["logprobs"] is None
    assert sum(c.counted for c in candidates) == best.json["usage"]["completion_tokens"]
    native = registry.dialect(dialect).adapter().capabilities.best_of
    assert native or "best_of" == best.headers["x-baton-fills"]


def mean_logprob(candidate: word_model.Generated) -> float:
    found = [position.logprob or 0.0 for position in candidate.positions]
    return sum(found) / len(found)
