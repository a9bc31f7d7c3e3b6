"""Completions through a whole worker on upstreams that only chat: told, counted, charged."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator

import msgspec
import pytest

from baton.semantics.events import Way
from baton.stores.base import UpstreamRecord
from tests.asking import Answer
from tests.bookkeeping import PRICE
from tests.fakes import word_model
from tests.fakes.dialects import said
from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_chat import FakeChat
from tests.fakes.fake_gemini import FakeGemini
from tests.fakes.fake_openai_chat import FakeOpenAIChat
from tests.relaying import Relay, relaying, text_of

CHATS: dict[str, type[FakeChat]] = {
    "anthropic": FakeAnthropic,
    "gemini": FakeGemini,
    "openai-chat": FakeOpenAIChat,
}
PROMPT = "the river is"
DEADLINE_S = 10.0


class Chats:
    """A worker with one chat of each dialect; a model is called as its dialect."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.fakes = {dialect: chat() for dialect, chat in CHATS.items()}

    def start(self, way: Way) -> None:
        store = self.relay.store
        for dialect, fake in self.fakes.items():
            self.relay.run(fake.start())
            store.prices.set(msgspec.structs.replace(PRICE, model=dialect), "test")
            record = UpstreamRecord(
                name=dialect,
                url=fake.url,
                dialect=dialect,
                models={dialect: "theirs"},
                continuation={"theirs": way},
            )
            store.upstreams.add(record, "test")
        deadline = time.monotonic() + DEADLINE_S
        while any(self.ask(dialect).status == 404 for dialect in CHATS):
            assert time.monotonic() < deadline
        for fake in self.fakes.values():
            fake.seen.clear()

    def ask(self, dialect: str, **fields: object) -> Answer:
        return self.relay.user.complete(**{"model": dialect, "prompt": PROMPT, **fields})


@contextlib.contextmanager
def chatting(home: pathlib.Path, way: Way = "instruct") -> Iterator[Chats]:
    with relaying(home) as relay:
        chats = Chats(relay)
        try:
            chats.start(way)
            yield chats
        finally:
            for fake in chats.fakes.values():
                relay.run(fake.stop())


def expected(max_tokens: int = 16) -> word_model.Generated:
    return word_model.generate(PROMPT, word_model.Sampling(max_tokens))


@pytest.mark.parametrize("way", ["instruct", "prefill"])
def test_a_chat_answers_as_any_upstream_does(tmp_path: pathlib.Path, way: Way) -> None:
    """The text is the model's, the fill is told, and the ledger has what the server counted within
    a hold that covered what was put around the prompt."""
    with chatting(tmp_path, way) as chats:
        shown = {}
        for dialect in CHATS:
            answer = chats.ask(dialect)
            assert (200, "continuation") == (answer.status, answer.headers["x-baton-fills"])
            choice = answer.json["choices"][0]
            made = expected()
            assert ("".join(made.pieces), made.finish_reason) == (
                choice["text"],
                choice["finish_reason"],
            )
            shown[dialect] = answer.json["usage"]
            assert made.counted == shown[dialect]["completion_tokens"]
    for dialect, usage in shown.items():
        row = [row for row in chats.relay.rows() if row.model == dialect][-1]
        assert ("settled", False, 0) == (row.state, row.estimated, row.overrun)
        assert usage["prompt_tokens"] == row.prompt_tokens
        assert usage["prompt_tokens"] > len(word_model.encode(PROMPT))
        assert row.fills == "continuation"
        assert row.cache_write_tokens == (2 if dialect == "anthropic" else None)


def test_everything_else_is_filled_around_it(chats: Chats) -> None:
    """Prompts and samples by calls, stops cut behind the cleaning, the echo before it."""
    for dialect, fake in chats.fakes.items():
        fake.seen.clear()
        fields = {"prompt": [PROMPT, "a stone"], "n": 2, "echo": True, "stop": ["\n", "zz"]}
        answer = chats.ask(dialect, **fields)
        fills = answer.headers["x-baton-fills"].split(",")
        assert {"continuation", "prompt", "n", "stop", "echo"} == set(fills)
        assert [0, 1, 2, 3] == [choice["index"] for choice in answer.json["choices"]]
        texts = [choice["text"] for choice in answer.json["choices"]]
        assert all(text.startswith(PROMPT) for text in texts[:2])
        assert 4 == len(fake.seen)
        fake.script(said("Sure! Here is the continuation:\n\n five\nsix"))
        answer = chats.ask(dialect, stop="\n")
        assert " five" == answer.json["choices"][0]["text"]


def test_streams_tell_the_same(chats: Chats) -> None:
    """In order, with one finish_reason, usage when asked, and [DONE] last."""
    for dialect in CHATS:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        answer = chats.ask(dialect, max_tokens=30, **options)
        events = answer.events
        assert events is not None
        assert "[DONE]" == events.pop()
        chunks = [json.loads(event) for event in events]
        assert expected(30).counted == chunks.pop()["usage"]["completion_tokens"]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        assert "".join(expected(30).pieces) == "".join(choice["text"] for choice in choices)
        finished = [each["finish_reason"] for each in choices if each["finish_reason"]]
        assert [expected(30).finish_reason] == finished


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("anthropic", {"logprobs": 1}, "logprobs"),
        ("anthropic", {"seed": 1}, "seed"),
        ("gemini", {"logprobs": 0}, "logprobs"),
        ("gemini", {"logit_bias": {"5": 1}}, "logit_bias"),
        ("gemini", {"prompt": [1, 2]}, "prompt"),
        ("openai-chat", {"echo": True, "logprobs": 1}, "echo"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    chats: Chats, dialect: str, fields: dict[str, object], param: str
) -> None:
    """A 400 that names the field; nothing is sent."""
    chats.fakes[dialect].seen.clear()
    answer = chats.ask(dialect, **fields)
    assert (400, param) == (answer.status, answer.error["param"])
    assert [] == chats.fakes[dialect].seen


def test_who_is_strict_gets_no_continuation(chats: Chats) -> None:
    """It is a fill."""
    body = {"model": "gemini", "prompt": PROMPT}
    answer = chats.relay.user.post("/v1/completions", body, x_baton_strict="true")
    assert (400, "unsupported_parameter") == (answer.status, answer.error["code"])
    assert "continuation" in answer.error["message"]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    with chatting(tmp_path_factory.mktemp("chats")) as found:
        yield found


def test_what_a_lost_chat_said_is_gone_on_with(tmp_path: pathlib.Path) -> None:
    """By one that completes texts, for as many tokens as are left: a piece had three of them."""
    asked = {"prompt": PROMPT, "max_tokens": 9, "temperature": 0}
    with relaying(tmp_path, {"chat": "gemini", "completing": "vllm"}) as relay:
        relay.fakes["chat"].fault(cut_after_bytes=600)
        options = {"include_usage": True, "continuous_usage_stats": True}
        answer = relay.user.complete(**asked, stream=True, stream_options=options)
        [rest] = relay.fakes["completing"].seen
    *chunks, last, done = answer.events or []
    assert "[DONE]" == done
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert text_of(PROMPT, 9, temperature=0.0) == "".join(each["text"] for each in choices)
    assert ["length"] == [each["finish_reason"] for each in choices if each["finish_reason"]]
    counts = [json.loads(chunk)["usage"]["completion_tokens"] for chunk in chunks]
    assert sorted(counts) == counts
    assert 9 == json.loads(last)["usage"]["completion_tokens"]
    assert (PROMPT + choices[0]["text"], 6) == (rest["prompt"], rest["max_tokens"])
    [row] = relay.rows()
    assert ("settled", 9) == (row.state, row.completion_tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_lost_chat_did_not_begin_is_asked_of_another(
    tmp_path: pathlib.Path, stream: bool
) -> None:
    """Its answer broke off behind its head: nobody has anything of it."""
    with relaying(tmp_path, {"one": "gemini", "two": "openai-chat"}) as relay:
        relay.fakes["one"].fault(cut_after_bytes=30)
        answer = relay.user.complete(prompt=PROMPT, max_tokens=9, stream=stream)
        assert [1, 1] == [len(fake.seen) for fake in relay.fakes.values()]
    assert 200 == answer.status, answer.text
    assert ["settled"] == [row.state for row in relay.rows()]
