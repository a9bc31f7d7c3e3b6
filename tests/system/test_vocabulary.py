"""A model's vocabulary at work in a whole worker: ids are read, counts made, overruns cut."""

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from baton.stores.base import RequestRecord
from tests.asking import Answer
from tests.bookkeeping import PRICE
from tests.fakes import tiny_gguf, word_model
from tests.fakes.dialects import Fake, said
from tests.fakes.word_model import Generated
from tests.relaying import Relay, relaying

PROMPT = "the river is"
LETTERS = len(PROMPT) - 1
"""Its tokens: all its characters, but "the", which is two."""
DEADLINE_S = 10.0


CHATS = ("anthropic", "gemini")
"""More is sent than the prompt, and told with it, so that it is not counted by its text."""
WRAPPED_MIN = 100
"""Tokens of what is put around a prompt, at least."""
DIALECTS = ("ollama", "mistral", "anthropic", "gemini", "vllm", "openai", "fireworks")


class Reading:
    """A worker with an upstream of each dialect; a model is called as its dialect."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._expected: dict[str, tuple[object, ...]] = {}

    def fake(self, dialect: str) -> Fake:
        return self.relay.fakes[dialect]

    def ask(self, dialect: str, **fields: object) -> Answer:
        return self.relay.user.complete(**{"model": dialect, "prompt": PROMPT, **fields})

    def stands(self, answer: Answer, *expected: object) -> None:
        """Must stand on the ledger: state, whether estimated, tokens of prompt and completion.

        Looked at when the worker has ended, since that is when all of it is in the book."""
        self._expected[answer.headers["x-request-id"]] = expected

    def check(self) -> None:
        rows = {row.request_id: row for row in self.relay.rows()}
        found = {name: told(rows[name])[: len(self._expected[name])] for name in self._expected}
        assert self._expected == found


def told(row: RequestRecord) -> tuple[object, ...]:
    return row.state, row.estimated, row.prompt_tokens, row.completion_tokens


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """All upstreams have the vocabulary of the tiny model; that of "gone" is no file."""
    home = tmp_path_factory.mktemp("reading")
    (home / "vocabularies").mkdir()
    tiny_gguf.write(home / "vocabularies" / "tiny.gguf", begins=True)
    with relaying(home, {name: name for name in DIALECTS} | {"gone": "ollama"}) as relay:
        for name in (*DIALECTS, "gone"):
            relay.store.prices.set(msgspec.structs.replace(PRICE, model=name), "test")
            file = "gone.gguf" if name == "gone" else "tiny.gguf"
            changes = {"models": {name: "theirs"}, "vocabularies": {"theirs": file}}
            relay.store.upstreams.update(name, "test", **changes)
        deadline = time.monotonic() + DEADLINE_S
        while relay.user.get("/v1/models/gone").status == 404:
            assert time.monotonic() < deadline
        found = Reading(relay)
        yield found
    found.check()


def ids(text: str) -> list[int]:
    """In the tiny model's vocabulary, a byte each: it need not be the shortest division."""
    return list(text.encode())


@pytest.mark.parametrize("dialect", ["ollama", "mistral", "anthropic", "gemini"])
def test_ids_where_only_text_is_taken(reading: Reading, dialect: str) -> None:
    """The upstream sees the text that they are, the caller the answer to it; what is no id is."""
    reading.fake(dialect).script(said("slow"), said("slow"))
    answer = reading.ask(dialect, prompt=[ids(PROMPT), ids("a")], echo=True, max_tokens=4)
    assert 200 == answer.status, answer
    assert "prompt" in answer.headers["x-baton-fills"]
    assert [f"{PROMPT}slow", "aslow"] == [choice["text"] for choice in answer.json["choices"]]
    refused = reading.ask(dialect, prompt=[1, 100_000])
    assert (400, "prompt") == (refused.status, refused.error["param"])
    reading.stands(refused, "released")


def test_ids_without_a_file(reading: Reading) -> None:
    """Nobody can read them for now: that is no fault of the caller's. Text is answered."""
    answer = reading.ask("gone", prompt=ids(PROMPT))
    assert answer.status in (502, 503), answer
    reading.stands(answer, "released")
    assert 200 == reading.ask("gone").status


NONSENSE: list[dict[str, Any]] = [
    {"prompt_tokens": -5, "completion_tokens": 3},
    {"prompt_tokens": 2**63, "completion_tokens": 1},
    {"prompt_tokens": "many"},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["vllm", "openai", "fireworks"])
def test_usage_is_counted_where_none_is_told(reading: Reading, dialect: str, stream: bool) -> None:
    """By the vocabulary, exactly, for the caller and for the ledger, where it stays marked."""
    begins = 1
    expected = (LETTERS + begins + 2 + begins, len("two words") + len("abc"))
    for usage in NONSENSE:
        reading.fake(dialect).fault(usage=usage)
        reading.fake(dialect).script(said("two words"), said("abc"))
        options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer = reading.ask(dialect, prompt=[PROMPT, "ab"], **options)
        usage = last_usage(answer, stream)
        assert expected == (usage["prompt_tokens"], usage["completion_tokens"])
        reading.stands(answer, "settled", True, *expected)


def data_of(answer: Answer) -> list[dict[str, Any]]:
    """The events of a stream, without its end mark."""
    assert answer.events is not None
    assert "[DONE]" == answer.events[-1]
    return [json.loads(data) for data in answer.events[:-1]]


def last_usage(answer: Answer, stream: bool) -> dict[str, Any]:
    found = data_of(answer)[-1]["usage"] if stream else answer.json["usage"]
    assert isinstance(found, dict)
    return found


def overrunning(text: str, size: int) -> Generated:
    """An answer in pieces of so many characters each, all of them tokens."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return Generated([], pieces, "stop", len(text))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["openai", "fireworks", "ollama", "anthropic", "gemini"])
def test_an_overrun_is_cut(reading: Reading, dialect: str, stream: bool) -> None:
    """At max_tokens, in the middle of a piece of several, for every dialect; what the server said
    beyond is neither shown nor charged."""
    reading.fake(dialect).script(overrunning("0123456789" * 5, 7))
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = reading.ask(dialect, max_tokens=10, **options)
    assert 200 == answer.status, answer
    if stream:
        choices = [event["choices"][0] for event in data_of(answer) if event["choices"]]
    else:
        choices = answer.json["choices"]
    assert "0123456789" == "".join(choice["text"] for choice in choices)
    reasons = [choice["finish_reason"] for choice in choices]
    assert ["length"] == [reason for reason in reasons if reason]
    begins, told = 1, last_usage(answer, stream)["prompt_tokens"]
    assert (told > WRAPPED_MIN) if dialect in CHATS else (told == LETTERS + begins)
    reading.stands(answer, "settled", True, told, 10)


def test_a_server_that_keeps_to_it_is_charged_by_its_own_count(reading: Reading) -> None:
    """The vocabulary changes nothing of an answer that is right."""
    reading.fake("vllm").script(said("slowly"))
    answer = reading.ask("vllm", max_tokens=6)
    assert "slowly" == answer.json["choices"][0]["text"]
    assert "x-baton-fills" not in answer.headers
    reading.stands(answer, "settled", False, len(word_model.encode(PROMPT)), 1)


def test_the_tokenizer_routes(reading: Reading) -> None:
    """In vLLM's shapes, of a relayed model as of the embedded one: what lm-evaluation-harness needs
    of any upstream."""
    user = reading.relay.user
    body = {"model": "vllm", "prompt": "hello"}
    plain = user.post("/tokenize", {**body, "add_special_tokens": False}).json["tokens"]
    ids = [tiny_gguf.BOS, *plain]
    assert {"count": 4, "max_model_len": 512, "tokens": ids} == user.post("/tokenize", body).json
    assert "hello" == user.post("/detokenize", {"model": "vllm", "tokens": ids[1:]}).json["prompt"]
    told = user.get("/tokenizer_info?model=vllm").json
    assert ("llama", "<|begin|>", "<|end|>") == (
        told["tokenizer_class"],
        told["bos_token"],
        told["eos_token"],
    )
    refused = user.post("/detokenize", {"model": "vllm", "tokens": [10_000]})
    assert (400, "tokens") == (refused.status, refused.error["param"])
    away = user.post("/tokenize", {**body, "model": "gone"})
    assert (503, "overloaded") == (away.status, away.error["code"])
