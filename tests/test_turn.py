"""How a request ends when something breaks, told three times alike: caller, ledger, log."""

import json
import pathlib
import resource
import time
from typing import Any

import msgspec
import pytest

from baton.admission import levels
from baton.admission.counters import MachineCounters
from tests.bookkeeping import PRICE, new_store
from tests.fakes import word_model
from tests.fakes.faults import Fault
from tests.http.serving import received, rest
from tests.relaying import MODEL, Relay, generated, relaying, text_of

PROMPT_TOKENS = len(word_model.encode("a b"))
CLOSED_WITHIN_S = 0.05
OPENAI = {"fake": "openai"}


def events_of(raw: bytes) -> list[str]:
    """The data of the events of an answer as it came."""
    lines = raw.decode().split("\r\n\r\n", 1)[1].splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


FAILURES = [
    pytest.param({"status": 500}, (502, "upstream_error", None), id="500"),
    pytest.param({"status": 401, "body": '{"error":"key sk-12345678"}'},
                 (502, "upstream_error", None), id="401"),
    pytest.param({"status": 429, "headers": ["Retry-After: 7"]},
                 (503, "overloaded", "7"), id="429"),
    pytest.param({"status": 503}, (503, "overloaded", "1"), id="503"),
    pytest.param({"delay_s": 30.0}, (504, "upstream_error", None), id="no answer in time"),
    pytest.param({"cut_after_bytes": 0}, (502, "upstream_error", None), id="cut at once"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "answered"), FAILURES)
def test_upstream_fails(
    tmp_path: pathlib.Path, fault: dict[str, Any], answered: tuple[int, str, str | None]
) -> None:
    """A plain error in OpenAI's shape without a word of the upstream; the hold is released."""
    with relaying(tmp_path, upstream_first_byte_timeout_s=0.1, handoffs_max=0) as relay:
        relay.fake.fault(**fault)
        answer = relay.user.complete(prompt="a b")
        relay.fake.faults.clear()
        expected = 503 if answered[2] == "7" else 200  # it named a time: it is left alone
        assert expected == relay.user.complete(prompt="a b").status
    status, code, retry_after = answered
    assert (status, code) == (answer.status, answer.error["code"])
    assert retry_after == answer.headers.get("retry-after")
    assert "12345678" not in answer.text
    failed, after = relay.rows()
    assert answer.headers["x-request-id"] == failed.request_id
    assert ("released", 0, status, code) == (
        failed.state,
        failed.charge,
        failed.status,
        failed.error_code,
    )
    assert ("settled" if expected == 200 else "released") == after.state


def test_upstream_refuses_the_request(tmp_path: pathlib.Path) -> None:
    """What the caller can act upon comes through as a 400, and costs nothing."""
    with relaying(tmp_path, OPENAI) as relay:
        answer = relay.user.complete(prompt="a b", max_tokens=5000)
    assert (400, "context_length_exceeded") == (answer.status, answer.error["code"])
    assert "prompt" == answer.error["param"]
    assert [("released", 400, 0)] == [(r.state, r.status, r.charge) for r in relay.rows()]


def test_nobody_listens(tmp_path: pathlib.Path) -> None:
    """An upstream that is not there is a 502."""
    with relaying(tmp_path) as relay:
        relay.run(relay.fake.stop())
        answer = relay.user.complete(prompt="a b")
        relay.run(relay.fake.start())
    assert (502, "upstream_error") == (answer.status, answer.error["code"])


def test_the_next_upstream_answers(tmp_path: pathlib.Path) -> None:
    """A failure before the answer is no failure where another upstream has the model."""
    with relaying(tmp_path, {"one": "vllm", "two": "vllm"}) as relay:
        relay.fakes["one"].fault(status=500)
        answer = relay.user.complete(prompt="a b")
    assert text_of("a b") == answer.json["choices"][0]["text"]
    assert "two" == answer.headers["x-baton-upstream"]
    [row] = relay.rows()
    assert ("settled", "two", 2) == (row.state, row.upstream, row.attempts)


@pytest.mark.parametrize("fault", [Fault(cut_after_bytes=1500), Fault(stall_after_bytes=1500)])
def test_upstream_is_lost_in_a_stream(tmp_path: pathlib.Path, fault: Fault) -> None:
    """One error event ends it: no [DONE], no finish_reason of our own; what came is charged."""
    with relaying(tmp_path, upstream_stall_timeout_s=0.1, handoffs_max=0) as relay:
        relay.fake.faults.append(fault)
        with relay.ask(max_tokens=100, stream=True) as client:
            *chunks, last = map(json.loads, events_of(rest(client)))
    assert {"message", "type", "param", "code"} == last["error"].keys()
    assert "upstream_lost" == last["error"]["code"]
    assert chunks
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert {None} == {choice["finish_reason"] for choice in choices}
    assert text_of("a b", 100).startswith("".join(choice["text"] for choice in choices))
    [row] = relay.rows()
    assert ("interrupted", "upstream_lost", None) == (row.state, row.error_code, row.finish_reason)
    assert (True, len(chunks)) == (row.estimated, row.completion_tokens)
    assert row.charge == (row.prompt_tokens or 0) + 2 * len(chunks)


def test_checkpoints_of_a_stream(tmp_path: pathlib.Path) -> None:
    """While it runs the ledger knows of all but the tokens of the last moment, and of fewer than
    are worth a checkpoint; what was poured is counted like what was read."""
    with relaying(tmp_path, journal_checkpoint_tokens=10) as relay:
        relay.fake.faults.append(Fault(stall_after_bytes=16_000))
        turns = relay.worker.room.under_way.turns

        def known() -> bool:
            [turn] = turns
            assert turn.answer is not None
            assert turn._hold is not None
            generated, known = turn.answer.generated, turn._hold.checkpoint_tokens
            return generated > 50 and 0 <= generated - known < 10

        with relay.ask(max_tokens=4000, stream=True) as client:
            received(client, b"data: ")
            relay.until(known)


def test_upstream_is_lost_in_a_whole_answer(tmp_path: pathlib.Path) -> None:
    """Nothing came, nothing is charged: 502."""
    with relaying(tmp_path, OPENAI, handoffs_max=0) as relay:
        relay.fake.fault(cut_after_bytes=40)
        answer = relay.user.complete(prompt="a b")
    assert (502, "upstream_error") == (answer.status, answer.error["code"])
    assert [("released", 502, 0)] == [(r.state, r.status, r.charge) for r in relay.rows()]


def test_upstream_is_lost_behind_a_whole_answer(tmp_path: pathlib.Path) -> None:
    """A caller that got an error instead of an answer pays nothing, though its upstream, which is
    always asked for a stream, had begun: what that cost is the operator's."""
    new_store(tmp_path).prices.set(msgspec.structs.replace(PRICE, upstream="fake"), "test")
    with relaying(tmp_path, {"fake": "llama-server"}, handoffs_max=0) as relay:
        relay.fake.fault(cut_after_bytes=2500)
        answer = relay.user.complete(prompt=["a", "b"], max_tokens=100)
        assert relay.fake.seen[0]["stream"]
    assert (502, "upstream_error") == (answer.status, answer.error["code"])
    [row] = relay.rows()
    assert ("released", 502, 0) == (row.state, row.status, row.charge)
    assert 0 < (row.completion_tokens or 0) < 100
    assert row.cost == (row.prompt_tokens or 0) + 2 * (row.completion_tokens or 0)


@pytest.mark.parametrize(
    "fault", [Fault(interval_s=0.01), Fault(stall_after_bytes=2000)], ids=["running", "waiting"]
)
def test_client_leaves_a_stream(tmp_path: pathlib.Path, fault: Fault) -> None:
    """The upstream's socket is closed at once, and what was generated is charged."""
    with relaying(tmp_path, {"fake": "vllm"}) as relay:
        relay.fake.faults.append(fault)
        client = relay.ask(max_tokens=4000, stream=True)
        received(client, b"data: ")
        left = time.perf_counter()
        client.close()
        relay.until(lambda: relay.fake.aborted == 1)
        assert time.perf_counter() - left < CLOSED_WITHIN_S + 0.1  # two threads on a busy machine
        relay.until(lambda: relay.shared.exchanges == 0)
    [row] = relay.rows()
    assert ("settled", 499, None) == (row.state, row.status, row.finish_reason)
    assert 0 < (row.completion_tokens or 0) < 1000
    assert row.charge == (row.prompt_tokens or 0) + 2 * (row.completion_tokens or 0)


def test_client_leaves_before_the_answer(tmp_path: pathlib.Path) -> None:
    """Nothing was answered: the upstream's socket is closed, the hold is released."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(delay_s=30.0)
        with relay.ask():
            relay.seen()
        relay.until(lambda: relay.fake.aborted == 1)
        assert 'baton_rejected_total{reason="other"} 0.0' in relay.user.get("/metrics").text
    assert [("released", 499, 0)] == [(r.state, r.status, r.charge) for r in relay.rows()]


def test_journal_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """503 and not a byte of the answer; nothing of it is charged, also when the disk is back."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with relaying(tmp_path) as relay:
        assert 200 == relay.user.complete(prompt="a b").status
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
            refused = [relay.user.complete(prompt="a b", stream=stream) for stream in (False, True)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        answer = until_taken(relay)
    for each in refused:
        assert (503, "overloaded") == (each.status, each.error["code"])
        assert int(each.headers["retry-after"]) >= 1
        assert "choices" not in each.text
    charged = [row for row in relay.rows() if row.charge]
    assert ["settled", "settled"] == [row.state for row in charged]
    assert answer == charged[-1].request_id


def until_taken(relay: Relay) -> str:
    """Ask until it is answered; the id of the answer."""
    deadline = time.monotonic() + 5
    while (answer := relay.user.complete(prompt="a b")).status != 200:
        assert (time.monotonic() < deadline, 503) == (True, answer.status)
    return str(answer.json["id"])


def test_upstream_is_removed_while_its_request_is_held(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan outlives its upstream: the next one answers. Where there is none the model is gone, as
    it is for who asks a moment later; what was held comes back."""
    with relaying(tmp_path, {"one": "vllm", "two": "vllm"}) as relay:
        held = relay.worker._ledger.hold

        async def hold_slowly(intent: Any) -> Any:
            for name in ("one", "two"):
                if name in intent.user:
                    relay.store.upstreams.remove(name, "test")
            await relay.worker.refresh()
            return await held(intent)

        monkeypatch.setattr(relay.worker._ledger, "hold", hold_slowly)
        answers = [relay.user.complete(prompt="a b", user=user) for user in ("one", "two")]
    assert [200, 404] == [answer.status for answer in answers]
    assert "model_not_found" == answers[1].error["code"]
    assert "two" == answers[0].headers["x-baton-upstream"]
    assert ["settled", "released"] == [row.state for row in relay.rows()]


def test_log(tmp_path: pathlib.Path) -> None:
    """One line a request, with its tokens and charge, or its error; never a prompt or a key."""
    log = tmp_path / "access.log"
    with relaying(tmp_path, access_log=str(log)) as relay:
        key = relay.user.key
        answer = relay.user.complete(prompt="the secret garden")
        relay.user.complete(prompt="the secret garden", max_tokens=-1)
        relay.user.complete(model="x", prompt="the secret garden")
    [row] = relay.rows()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [200, 400, 404] == [line["status"] for line in lines]
    assert answer.json["id"] == lines[0]["request_id"]
    assert (row.key_id, MODEL, "fake") == tuple(lines[0][n] for n in ("key", "model", "upstream"))
    assert row.charge == lines[0]["charge_nano"]
    assert row.completion_tokens == lines[0]["completion_tokens"]
    assert 0 < lines[0]["first_byte_ms"] <= lines[0]["total_ms"]
    assert ["integer_below_min_value", "model_not_found"] == [line["error"] for line in lines[1:]]
    assert "secret" not in log.read_text()
    assert key not in log.read_text()


def test_metrics(tmp_path: pathlib.Path) -> None:
    """Answers, tokens and refusals are counted; nothing stays in flight or held."""
    with relaying(tmp_path) as relay:
        counted = generated("a b").counted
        relay.user.complete(prompt="a b")
        relay.user.complete(prompt="a b", max_tokens=-1)
        text = relay.user.get("/metrics").text
        snapshot = relay.worker.room.books.metrics.snapshot()
    assert 'baton_rejected_total{reason="invalid"} 1.0' in text
    assert (0, 0, 1) == (snapshot.in_flight, snapshot.holds_open, snapshot.holds)
    [series] = [each for each in snapshot.series if each.model == MODEL]
    assert (PROMPT_TOKENS, counted) == (series.prompt_tokens, series.completion_tokens)
    assert PROMPT_TOKENS + 2 * counted == series.charge_nano
    assert PRICE.output_pico == 2000


def test_gaps_between_texts_are_counted(tmp_path: pathlib.Path) -> None:
    """Each of a stream whose texts come one by one, also those that are poured."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(interval_s=0.01)
        with relay.ask(stream=True, max_tokens=20) as client:
            events = events_of(received(client, b"0\r\n\r\n"))
        relay.until(lambda: relay.shared.exchanges == 0)
        snapshot = relay.worker.room.books.metrics.snapshot()
    [series] = [each for each in snapshot.series if each.model == MODEL]
    assert len(events) - 2 <= sum(series.inter_token.counts) <= len(events) - 1
    assert 0.005 < series.inter_token.sum_s / sum(series.inter_token.counts) < 0.1


def test_fills_and_ends_are_counted(tmp_path: pathlib.Path) -> None:
    """Of an answered request, each field that Baton made; of every hold, how it ended."""
    with relaying(tmp_path, OPENAI, handoffs_max=0) as relay:
        relay.user.complete(prompt="a b")
        assert "model" in relay.user.complete(prompt="a b", model="").headers["x-baton-fills"]
        relay.fake.fault(status=500)
        assert 502 == relay.user.complete(prompt="a b", model="").status
        relay.fake.faults.clear()
        snapshot = relay.worker.room.books.metrics.snapshot()
    assert {"model": 1} == snapshot.fills
    assert {"settled": 2, "released": 1, "interrupted": 0} == snapshot.ends


ENDS: tuple[dict[str, Any], ...] = (
    {},
    {"stream": True},
    {"n": 2},
    {"echo": True},
    {"temperature": 9},
    {"model": "none"},
)


def test_who_has_the_answer_may_ask_again(tmp_path: pathlib.Path) -> None:
    """A key that may have one request at once is through with it when its last byte is there,
    whichever worker has the next one."""
    with relaying(tmp_path) as relay:
        user = relay.key("alone", requests_at_once=1, tokens_per_minute=100_000)
        [record] = relay.store.keys.find("alone")
        limits = levels.limits(levels.levels(record, ()))
        other = MachineCounters(tmp_path / "run/rates")
        for fields in ENDS * 5:
            assert user.complete(**{"prompt": "a b", **fields}).status in (200, 400, 404)
            [left] = other.left(limits)
            assert 1 == left.at_once, fields
        other.close()
