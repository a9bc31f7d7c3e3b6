"""POST /v1/completions through a whole worker: what callers get, and what the ledger says of it."""

import contextlib
import io
import json
import logging
import pathlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from baton.app import Worker
from baton.stores.base import Catalogue
from baton.telemetry.diary import configure
from tests.asking import Answer
from tests.bookkeeping import PRICE
from tests.fakes import word_model
from tests.relaying import MODEL, THEIRS, generated, relaying, text_of

PROMPT = "the river is"
PROMPT_TOKENS = len(word_model.encode(PROMPT))


def chunks(answer: Answer) -> list[dict[str, Any]]:
    """The chunks of a whole stream."""
    assert answer.events is not None
    assert "[DONE]" == answer.events[-1]
    return [json.loads(event) for event in answer.events[:-1]]


def joined(found: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for chunk in found for choice in chunk["choices"]]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)


def worth(prompt_tokens: int, completion_tokens: int) -> int:
    """nano-USD at PRICE."""
    return (prompt_tokens * PRICE.input_pico + completion_tokens * PRICE.output_pico + 500) // 1000


def test_whole(tmp_path: pathlib.Path) -> None:
    """Text, usage and finish are the upstream's own, id, model and created are ours; the row is
    charged exactly."""
    before = int(time.time())
    with relaying(tmp_path) as relay:
        answer = relay.user.complete(prompt=PROMPT, max_tokens=9, user="somebody")
        assert THEIRS == relay.fake.seen[0]["model"]
    expected, found = generated(PROMPT, 9), answer.json
    assert 200 == answer.status
    assert [text_of(PROMPT, 9)] == [choice["text"] for choice in found["choices"]]
    assert expected.finish_reason == found["choices"][0]["finish_reason"]
    assert (MODEL, "text_completion") == (found["model"], found["object"])
    assert before <= found["created"] <= time.time()
    usage = found["usage"]
    assert PROMPT_TOKENS == usage["prompt_tokens"]
    assert expected.counted == usage["completion_tokens"]
    assert PROMPT_TOKENS + expected.counted == usage["total_tokens"]
    assert found["id"] == answer.headers["x-request-id"]
    assert "application/json" == answer.headers["content-type"]
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert "fake" == answer.headers["x-baton-upstream"]
    assert "0" == answer.headers["x-baton-handoffs"]
    assert not {"x-baton-fills", "x-baton-ignored"} & answer.headers.keys()
    [row] = relay.rows()
    assert (found["id"], "settled", 200) == (row.request_id, row.state, row.status)
    assert worth(PROMPT_TOKENS, expected.counted) == row.charge > 0
    assert (PROMPT_TOKENS, expected.counted) == (row.prompt_tokens, row.completion_tokens)
    assert (MODEL, "fake", "somebody", False) == (row.model, row.upstream, row.user, row.stream)
    assert (expected.finish_reason, 1, 0) == (row.finish_reason, row.attempts, row.handoffs)
    assert row.hold_us is not None
    assert row.hold_us <= (row.first_byte_us or 0) <= (row.last_byte_us or 0)


def test_stream(tmp_path: pathlib.Path) -> None:
    """The same text in chunks with one id, one finish_reason, no usage, and [DONE] at the end."""
    with relaying(tmp_path) as relay:
        answer = relay.user.complete(prompt=PROMPT, max_tokens=9, stream=True)
    found, expected = chunks(answer), generated(PROMPT, 9)
    assert text_of(PROMPT, 9) == joined(found)
    assert {(answer.headers["x-request-id"], MODEL)} == {(c["id"], c["model"]) for c in found}
    assert 1 == len({chunk["created"] for chunk in found})
    assert all("usage" not in chunk for chunk in found)
    reasons = [choice["finish_reason"] for chunk in found for choice in chunk["choices"]]
    assert [expected.finish_reason] == [reason for reason in reasons if reason is not None]
    assert expected.finish_reason == reasons[-1]
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert "no-cache, no-transform" == answer.headers["cache-control"]
    assert "fake" == answer.headers["x-baton-upstream"]
    [row] = relay.rows()
    assert ("settled", True, 200) == (row.state, row.stream, row.status)
    assert worth(PROMPT_TOKENS, expected.counted) == row.charge
    assert expected.finish_reason == row.finish_reason


def test_usage_in_streams(tmp_path: pathlib.Path) -> None:
    """Asked for, it is null on every chunk and whole on a last one; continuous, on every chunk."""
    with relaying(tmp_path) as relay:
        options: dict[str, object] = {"include_usage": True}
        last = relay.user.complete(prompt=PROMPT, max_tokens=9, stream=True, stream_options=options)
        options["continuous_usage_stats"] = True
        running = relay.user.complete(
            prompt=PROMPT, max_tokens=9, stream=True, stream_options=options
        )
    counted = generated(PROMPT, 9).counted
    *others, end = chunks(last)
    assert {None} == {chunk["usage"] for chunk in others}
    assert [] == end["choices"]
    assert (PROMPT_TOKENS, counted) == tuple(list(end["usage"].values())[:2])
    assert {"handoffs": 0} == end["usage"]["baton"]
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks(running)]
    assert sorted(counts) == counts
    assert (counts[0] >= 1, counts[-1]) == (True, counted)
    assert text_of(PROMPT, 9) == joined(chunks(running))
    assert 2 == len(relay.rows())


def test_running_usage_never_shrinks(tmp_path: pathlib.Path) -> None:
    """Also of an upstream that tells what it generated at the end alone."""
    with relaying(tmp_path, {"fake": "anthropic"}) as relay:
        relay.fake.fault(interval_s=0.002)
        options = {"include_usage": True, "continuous_usage_stats": True}
        prompt = "Once upon a time there was a small"
        fields: dict[str, Any] = {"prompt": prompt, "temperature": 0, "max_tokens": 8}
        answer = relay.user.complete(**fields, stream=True, stream_options=options)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks(answer)]
    assert (sorted(counts), 8) == (counts, counts[-1])


def test_several_prompts_and_choices(tmp_path: pathlib.Path) -> None:
    """Every choice is its own, prompt by prompt, streamed as whole, and all are charged."""
    prompts = ["a", "the river"]
    fields: dict[str, Any] = {"prompt": prompts, "n": 2, "max_tokens": 6, "seed": 3}
    with relaying(tmp_path) as relay:
        whole = relay.user.complete(**fields).json
        stream = chunks(relay.user.complete(**fields, stream=True))
    expected = [text_of(p, 6, seed=3000 + sample) for p in prompts for sample in range(2)]
    assert expected == [choice["text"] for choice in whole["choices"]]
    assert expected == [joined(stream, index) for index in range(4)]
    rows = relay.rows()
    counted = sum(generated(p, 6, seed=3000 + s).counted for p in prompts for s in range(2))
    tokens = sum(len(word_model.encode(prompt)) for prompt in prompts)
    assert [worth(tokens, counted)] * 2 == [row.charge for row in rows]


def test_keys(tmp_path: pathlib.Path) -> None:
    """No key and a wrong one are 401 with OpenAI's codes; x-api-key stands for the header."""
    with relaying(tmp_path) as relay:
        user = relay.user
        body = {"model": MODEL, "prompt": "a"}
        missing = user.post("/v1/completions", body, Authorization=None)
        wrong = user.post("/v1/completions", body, Authorization="Bearer sk-wrong-0000000000000")
        other = user.post("/v1/completions", body, Authorization=None, x_api_key=user.key)
        assert 1 == len(relay.fake.seen)
    assert (401, "missing_api_key") == (missing.status, missing.error["code"])
    assert (401, "invalid_api_key") == (wrong.status, wrong.error["code"])
    assert "x-request-id" in wrong.headers
    assert 200 == other.status
    assert 1 == len(relay.rows())


def test_rate(tmp_path: pathlib.Path) -> None:
    """Answers tell what is left of the minute; the one too many is a 429 that says when."""
    with relaying(tmp_path) as relay:
        key = relay.key("slow", requests_per_minute=2)
        first, _, third = (key.complete(prompt="a") for _ in range(3))
        assert 2 == len(relay.fake.seen)
    assert "2" == first.headers["x-ratelimit-limit-requests"]
    assert "1" == first.headers["x-ratelimit-remaining-requests"]
    assert (429, "rate_limit_exceeded") == (third.status, third.error["code"])
    assert "0" == third.headers["x-ratelimit-remaining-requests"]
    assert 0 < int(third.headers["retry-after-ms"]) <= 30_000
    assert "x-should-retry" not in third.headers
    assert 2 == len(relay.rows())


def test_budget(tmp_path: pathlib.Path) -> None:
    """What the budget does not cover is refused for good before any work; what it does, runs."""
    with relaying(tmp_path) as relay:
        key = relay.key("poor", budget_nano=100)
        refused = key.complete(prompt="a", max_tokens=60)
        assert [] == relay.fake.seen
        taken = key.complete(prompt="a", max_tokens=2)
    assert (429, "insufficient_quota") == (refused.status, refused.error["code"])
    assert "insufficient_quota" == refused.error["type"]
    assert "false" == refused.headers["x-should-retry"]
    assert 200 == taken.status
    assert ["settled"] == [row.state for row in relay.rows()]


def test_models(tmp_path: pathlib.Path) -> None:
    """Unknown, not allowed, missing; the path's stands over the body's."""
    with relaying(tmp_path) as relay:
        other = relay.key("other", models=["something-else"])
        refused = [relay.user.complete(model="x", prompt="a"), other.complete(prompt="a")]
        missing = relay.user.post("/v1/completions", {"prompt": "a"})
        by_path = relay.user.post(f"/m/{MODEL}/v1/completions", {"model": "x", "prompt": "a"})
        unknown = relay.user.post("/m/x/v1/completions", {"model": MODEL, "prompt": "a"})
    for answer in (*refused, unknown):
        assert (404, "model_not_found", "model") == (
            answer.status,
            answer.error["code"],
            answer.error["param"],
        )
    assert (400, "model") == (missing.status, missing.error["param"])
    assert (200, MODEL) == (by_path.status, by_path.json["model"])
    assert 1 == len(relay.rows())


def test_empty_model(tmp_path: pathlib.Path) -> None:
    """`""` is the key's default model, else the only one that it reaches; it counts as a fill."""
    with relaying(tmp_path) as relay:
        only = relay.user.complete(model="", prompt="a")
        relay.store.upstreams.update("fake", "test", models={MODEL: THEIRS, "n": THEIRS})
        relay.run(relay.worker.refresh())
        several = relay.user.complete(model="", prompt="a")
        default = relay.key("default", default_model="n").complete(model="", prompt="a")
        reached = relay.key("reaching", models=["n"]).complete(model="", prompt="a")
        none = relay.key("lost", models=["gone"]).complete(model="", prompt="a")
    assert (MODEL, "model") == (only.json["model"], only.headers["x-baton-fills"])
    assert (400, "model") == (several.status, several.error["param"])
    assert "several models: name one, or ask under /m/{model}." in several.error["message"]
    assert (400, "model") == (none.status, none.error["param"])
    assert "reaches no model" in none.error["message"]
    assert ["n", "n"] == [default.json["model"], reached.json["model"]]
    assert ["model"] * 3 == [row.fills for row in relay.rows()]


def test_ignored_and_strict(tmp_path: pathlib.Path) -> None:
    """What is not acted upon is named; who asks for strictness gets a 400 instead, also for fills
    and beyond OpenAI's limits."""
    with relaying(tmp_path) as relay:
        strict = relay.key("strict", strict=True)
        taken = relay.user.complete(prompt="a", top_k=5, zebra=1)
        by_header = relay.user.post(
            "/v1/completions", {"model": MODEL, "prompt": "a", "zebra": 1}, x_baton_strict="true"
        )
        by_key = strict.complete(prompt="a", zebra=1)
        many = strict.complete(prompt="a", stop=list("12345"))
        filled = strict.complete(prompt="a", best_of=2)
        nameless = strict.complete(model="", prompt="a")
        plain = strict.complete(prompt="a")
        assert "zebra" not in relay.fake.seen[0]
    assert "top_k,zebra" == taken.headers["x-baton-ignored"]
    for answer in (by_header, by_key):
        assert (400, "unknown_parameter") == (answer.status, answer.error["code"])
        assert "zebra" == answer.error["param"]
    assert (400, "stop") == (many.status, many.error["param"])
    assert (400, "best_of") == (filled.status, filled.error["param"])
    assert (400, "unsupported_parameter") == (nameless.status, nameless.error["code"])
    assert nameless.error["message"].startswith("'model' is empty")
    assert 200 == plain.status


def test_fields_of_one_engine(tmp_path: pathlib.Path) -> None:
    """Those that the operator lists arrive; the others are named; a value of no sense is a 400."""
    with relaying(tmp_path) as relay:
        relay.add_upstream("fake", relay.fake, fields=("top_k", "guided_choice"))
        asked = {"top_k": 5, "guided_choice": ["a"], "ignore_eos": True}
        told = ""
        while told != "ignore_eos":  # until the worker has heard of the change
            answer = relay.user.complete(prompt="a", **asked)
            assert 200 == answer.status, answer.text
            told = answer.headers["x-baton-ignored"]
        sent = relay.fake.seen[-1]
        wrong = relay.user.complete(prompt="a", top_k="5")
    assert (5, {"choice": ["a"]}) == (sent["top_k"], sent["structured_outputs"])
    assert "ignore_eos" not in sent
    assert (400, "top_k") == (wrong.status, wrong.error["param"])


def test_too_many_in_flight(tmp_path: pathlib.Path) -> None:
    """Beyond requests_in_flight_max: 503 with a wait, before any work; then there is room again."""
    with relaying(tmp_path, requests_in_flight_max=1) as relay:
        relay.fake.fault(stall_after_bytes=0)
        with relay.ask(max_tokens=2):
            relay.seen()
            refused = relay.user.complete(prompt="a")
        relay.until(lambda: relay.shared.exchanges == 0)
        after = relay.user.complete(prompt="a")
        assert 2 == len(relay.fake.seen)
    assert (503, "overloaded") == (refused.status, refused.error["code"])
    assert int(refused.headers["retry-after"]) >= 1
    assert 200 == after.status


@pytest.mark.parametrize("origins", ["https://app.test", "*", ""])
def test_origins(tmp_path: pathlib.Path, origins: str) -> None:
    """A page of a named origin may read answers, streams and errors; nothing is added without the
    setting."""
    with relaying(tmp_path, cors_origins=origins) as relay:
        origin = {"Origin": "https://app.test"}
        answers = [
            relay.user.post("/v1/completions", {"model": MODEL, "prompt": "a", **more}, **origin)
            for more in ({}, {"stream": True}, {"max_tokens": -1})
        ]
    assert [200, 200, 400] == [answer.status for answer in answers]
    for answer in answers:
        allowed = answer.headers.get("access-control-allow-origin")
        assert (origins or None) == allowed
        assert ("x-request-id" in answer.headers.get("access-control-expose-headers", "")) == bool(
            origins
        )
        assert bool(origins) == ("vary" in answer.headers)


def test_a_bug_of_ours(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 with the request's id; the log has the traceback, but not the prompt."""
    told, before = io.StringIO(), logging.getLogger().handlers[:]
    configure("info", told)
    try:
        with relaying(tmp_path) as relay:
            monkeypatch.setattr(relay.worker._ledger, "hold", None)
            answer = relay.user.complete(prompt="the secret garden")
    finally:
        logging.basicConfig(handlers=before, force=True)
    assert (500, "internal_error") == (answer.status, answer.error["code"])
    assert answer.headers["x-request-id"] in answer.error["message"]
    assert answer.headers["x-request-id"] in told.getvalue()
    assert "Traceback" in told.getvalue()
    assert "secret" not in told.getvalue()


@pytest.mark.parametrize(
    ("models", "status"), [({MODEL: "other"}, 200), ({"another": THEIRS}, 404)]
)
def test_upstreams_that_change_while_a_hold_is_waited_for(
    tmp_path: pathlib.Path, models: dict[str, str], status: int
) -> None:
    """Where nobody is left as it was planned with, the request goes where it would go now; nothing
    is charged where nobody has the model any more."""
    with relaying(tmp_path) as relay, ThreadPoolExecutor() as pool:
        user, worker = relay.key("limited", budget_nano=10**9), relay.worker
        book = sqlite3.connect(tmp_path / "baton.db", isolation_level=None)
        with contextlib.closing(book):
            book.execute("BEGIN IMMEDIATE")
            asking = pool.submit(user.complete, prompt=PROMPT, max_tokens=3)
            relay.until(worker._ledger._leases._asking.locked)
            catalogue = relay.store.catalogue()
            changed = msgspec.structs.replace(catalogue.upstreams["fake"], models=models)
            relay.run(
                applied(worker, msgspec.structs.replace(catalogue, upstreams={"fake": changed}))
            )
        assert status == asking.result().status
        assert [each for each in models.values() if status == 200] == [
            each["model"] for each in relay.fake.seen
        ]
    [row] = relay.rows()
    assert (status == 200) == (row.charge > 0)
    assert ("settled" if status == 200 else "released") == row.state


async def applied(worker: Worker, catalogue: Catalogue) -> None:
    """On the worker's loop."""
    worker._configured.apply(catalogue)
