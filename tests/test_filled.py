"""Fills over real answers."""

import asyncio
import json
import pathlib
from typing import Any

import pytest

from baton.errors import RequestError, invalid
from baton.semantics.events import Delta, Usage
from tests.fakes import word_model
from tests.fakes.scripted import Script, Scripted, opened, planned, read
from tests.relaying import generated, relaying, text_of


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
