"""Tokenizer routes in vLLM's shapes."""

import concurrent.futures
import time
from collections.abc import Iterator

import pytest

from baton.stores.base import UpstreamRecord
from tests.fakes.web_parts import MODEL, Web


@pytest.fixture
def _down(site: Web) -> Iterator[None]:
    """The engine does not answer."""
    site.parts.engine.down = True
    yield
    site.parts.engine.down = False


def test_text_to_ids(site: Web) -> None:
    """count, max_model_len and tokens; special tokens in front unless declined."""
    expected = {"count": 3, "max_model_len": 128, "tokens": [256, 104, 105]}
    assert expected == site.user.post("/tokenize", {"prompt": "hi"}).json
    plain = site.user.post("/tokenize", {"prompt": "hi", "add_special_tokens": False})
    assert [104, 105] == plain.json["tokens"]


def test_ids_to_text(site: Web) -> None:
    """The reverse of tokenize, also for the empty text."""
    assert {"prompt": "hé"} == site.user.post("/detokenize", {"tokens": [*"hé".encode()]}).json
    assert {"prompt": ""} == site.user.post("/detokenize", {"tokens": []}).json


LONG = {"/tokenize": {"prompt": "x" * 5_000}, "/detokenize": {"tokens": [120] * 5_000}}
SHORT = {"/tokenize": {"prompt": "x"}, "/detokenize": {"tokens": [120]}}


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_long_texts_of_a_key_come_one_by_one(site: Web, path: str) -> None:
    """Others are answered while many of a key wait; and these are, at last."""
    crowd, engine, turns = site.key(), site.parts.engine, site.parts.turns
    engine.long_begun = 0
    engine.go_on.clear()
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(crowd.post, path, LONG[path]) for _ in range(3)]
        deadline = time.monotonic() + 10
        while engine.long_begun < 1 or [3] != [known for _, known in turns._locks.values()]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert 200 == site.user.post(path, SHORT[path]).status
        assert 200 == crowd.post(path, SHORT[path]).status
        assert 1 == engine.long_begun
        engine.go_on.set()
        assert [200] * 3 == [each.result().status for each in waiting]
    assert 3 == engine.long_begun


@pytest.mark.parametrize("tokens", [[258], [-1], [2**40], ["a"], None])
def test_ids_outside_the_vocabulary_are_refused(site: Web, tokens: object) -> None:
    """Nothing that the engine does not know reaches it."""
    answer = site.user.post("/detokenize", {"tokens": tokens})
    assert (400, "tokens") == (answer.status, answer.error["param"])


def test_tokenizer_facts(site: Web) -> None:
    """What lm-evaluation-harness reads: the names of the special tokens."""
    expected = {
        "tokenizer_class": "llama",
        "eos_token": "<|end|>",
        "bos_token": "<|begin|>",
        "pad_token": None,
        "chat_template": None,
    }
    assert expected == site.user.get("/tokenizer_info").json
    assert expected == site.user.get(f"/tokenizer_info?model={MODEL}").json
    assert expected == site.user.get(f"/m/{MODEL}/tokenizer_info").json


def test_a_key_decides_how_special_text_is_read(site: Web) -> None:
    """The key's `parse_special` goes to the engine."""
    site.key(parse_special=False).post("/tokenize", {"prompt": "x"})
    assert site.parts.engine.parse_special[-1] is False
    site.user.post("/tokenize", {"prompt": "x"})
    assert site.parts.engine.parse_special[-1] is True


def test_another_upstream_s_tokenizer_is_not_guessed(site: Web) -> None:
    """A model that Baton only relays is a 400 that says so."""
    record = UpstreamRecord(
        name="away", url="http://127.0.0.1:9/v1", dialect="openai", models={"away": "a"}
    )
    site.parts.store.upstreams.add(record, "test")
    site.run(site.parts.refresh)
    answer = site.user.post("/tokenize", {"prompt": "x", "model": "away"})
    site.parts.store.upstreams.remove("away", "test")
    site.run(site.parts.refresh)
    assert (400, "model") == (answer.status, answer.error["param"])
    assert "its vocabulary is not here" in answer.error["message"]


@pytest.mark.usefixtures("_down")
@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_a_restarting_engine_is_a_503(site: Web, path: str) -> None:
    """With a time to come back, not a 500."""
    answer = site.user.post(path, {"prompt": "x"} if path == "/tokenize" else {"tokens": [1]})
    assert (503, "1") == (answer.status, answer.headers["retry-after"])


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "/tokenizer_info"])
def test_tokenizers_need_a_key(site: Web, path: str) -> None:
    """They cost the engine's time."""
    method = "GET" if path == "/tokenizer_info" else "POST"
    assert 401 == site.user.ask(method, path, b"{}", {"Authorization": None}).status
