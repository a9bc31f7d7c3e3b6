"""Contents: kept where a key opted in, as far as they came, and never at the relay's cost."""

import contextlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton import content
from baton.answer import Answer
from baton.content import HeardAnswer, Hearing, cut
from baton.protocol import CompletionRequest
from baton.semantics.events import Delta, Prompt, Usage, UsageReported
from baton.stores.contents import Content
from tests.bookkeeping import new_key, new_store
from tests.fakes.faults import Fault
from tests.fakes.scripted import END, Scripted, opened, planned, read
from tests.http.serving import received, rest
from tests.relaying import USER, Relay, relaying, text_of
from tests.test_turn import events_of

DAYS = 2
PROMPT = "the river is"
TIMEOUT_S = 10.0


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the user's key keeps content."""
    with contextlib.closing(new_store(tmp_path)) as store:
        new_key(store, USER, keep_content_days=DAYS)
    return tmp_path


def kept(home: pathlib.Path) -> list[Content]:
    """What is kept of each request, oldest first. Once the worker has ended."""
    found = []
    with contextlib.closing(new_store(home)) as store:
        for row in store.usage.requests()[::-1]:
            at_us = row.created_us
            if store.contents.about(row.request_id, row.key_id, at_us) is not None:
                found.append(store.contents.read(row.request_id, row.key_id, "test", at_us)[1])
    return found


def written(relay: Relay, count: int) -> None:
    """Wait until so many are."""
    relay.until(lambda: relay.worker.room.keeper._metrics.contents["kept"] == count)


# What is heard


def request_of(*prompts: Prompt, **fields: Any) -> CompletionRequest:
    return CompletionRequest(model="m", prompts=list(prompts), **fields)


def told(request: CompletionRequest, bytes_max: int, *batches: Sequence[Delta]) -> Content:
    """The content of a turn in which these deltas came."""
    found: list[Content] = []
    hearing = Hearing(request, bytes_max, found.append)
    for batch in batches:
        hearing.add(batch)
    hearing.end()
    hearing.end()
    [heard] = found
    return heard


def test_texts_are_joined_by_choice() -> None:
    """Whatever the order in which they come; choices without text are left out."""
    batches = [[Delta(1, "b")], [Delta(0, "a"), Delta(2, "", "stop")], [Delta(1, "c", "stop")]]
    heard = told(request_of("p", [1, 2], suffix="s"), 100, *batches)
    assert {0: "a", 1: "bc"} == heard.completions
    assert (["p", [1, 2]], "s", None) == (heard.prompts, heard.suffix, heard.cut_at_bytes)
    assert 1 + 2 * content.ID_BYTES + 1 + 3 == heard.bytes


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("p" * 8, "a" * 2, ("p" * 8, "a" * 2, None)),
        ("p" * 9, "a" * 2, ("p" * 8, "a" * 2, 10)),
        ("p" * 2, "a" * 9, ("p" * 2, "a" * 8, 10)),
        ("p" * 50, "a" * 50, ("p" * 5, "a" * 5, 10)),
        ("p" * 50, "", ("p" * 10, "", 10)),
        ("ä" * 3, "é" * 3, ("ä" * 3, "é" * 2, 10)),
        ("", "ab" * 6, ("", "ab" * 5, 10)),
    ],
)
def test_what_is_too_long_is_cut_and_says_so(
    prompt: str, answer: str, expected: tuple[str, str, int | None]
) -> None:
    """Ten bytes in all, in whole characters: neither side pushes the other below a half."""
    heard = told(request_of(prompt), 10, [Delta(0, answer)])
    found = heard.prompts[0], heard.completions.get(0, ""), heard.cut_at_bytes
    assert expected == found


def test_ids_are_cut_to_whole_ones() -> None:
    """A prompt that has no place any more is empty, in its place."""
    heard = cut(request_of([1, 2, 3], [4], "x"), {}, 2 * content.ID_BYTES)
    assert ([[1, 2], [], ""], 10) == (heard.prompts, heard.cut_at_bytes)


@settings(max_examples=50, deadline=None)
@given(
    prompts=st.lists(
        st.text(max_size=40) | st.lists(st.integers(0, 2**31), max_size=9), min_size=1
    ),
    texts=st.dictionaries(st.integers(0, 9), st.text(max_size=40), max_size=4),
    bytes_max=st.integers(1, 120),
)
def test_it_is_never_more_than_the_limit(
    prompts: list[Prompt], texts: dict[int, str], bytes_max: int
) -> None:
    """Everything is there and nothing is marked, or it is within the limit, marked, and the
    beginning of each."""
    heard = cut(request_of(*prompts), texts, bytes_max)
    shown = [heard.completions.get(index, "") for index in texts]
    whole = prompts == heard.prompts and list(texts.values()) == shown
    assert whole == (heard.cut_at_bytes is None)
    assert heard.bytes <= bytes_max
    size = sum(
        len(one.encode()) if isinstance(one, str) else len(one) * content.ID_BYTES
        for one in (*heard.prompts, *shown)
    )
    assert size == heard.bytes
    for all_of, some in zip([*prompts, *texts.values()], [*heard.prompts, *shown], strict=True):
        assert all_of[: len(some)] == some


def test_a_heard_answer_is_the_answer() -> None:
    """Deltas, usage and all else are those of the answer; its close tells, once."""
    report = UsageReported(Usage(3, 2))
    found: list[Content] = []
    script = Scripted([[Delta(0, "a")], [Delta(0, "b"), report], [END]])
    plain = opened(planned("u"), u=script)
    heard = HeardAnswer(plain, Hearing(request_of("p"), 100, found.append))
    assert [Delta(0, "a"), Delta(0, "b"), END] == read(heard)
    assert (plain.usage, plain.spent, plain.handoffs, plain.generated, plain.fills) == (
        *(heard.usage, heard.spent, heard.handoffs),
        *(heard.generated, heard.fills),
    )
    assert (plain.upstream, plain.attempts) == (heard.upstream, heard.attempts)
    assert plain.asked
    assert heard.asked
    assert [] == found
    heard.close()
    heard.close()
    assert [{0: "ab"}] == [each.completions for each in found]
    assert script.streams[0].closed


def test_all_of_an_answer_is_passed_on() -> None:
    """What is added to an answer some day is asked of the one that is heard, too; those left out
    follow from its attempt, or are told by `spent`."""
    public = {name for name in vars(Answer) if not name.startswith("_")}
    assert {"upstream", "fills", "losers"} == public - vars(HeardAnswer).keys()


# Through a worker


def test_nothing_is_kept_without_a_wish(tmp_path: pathlib.Path) -> None:
    """Off is the default: of an ordinary key nothing is heard, kept or counted."""
    with relaying(tmp_path) as relay:
        assert 200 == relay.user.complete(prompt=PROMPT).status
        assert 0 == relay.user.get("/v1/key").json["keep_content_days"]
        shown = relay.user.get("/metrics").text
    assert 'baton_contents_total{end="kept"} 0.0' in shown
    assert 1 == len(relay.rows())
    assert [] == kept(tmp_path)


def test_whole_and_streamed(home: pathlib.Path) -> None:
    """What was sent and what came: arrays, several samples, token ids, a suffix, an echo; the
    caller can see that it is kept, and for how long."""
    asked: list[dict[str, Any]] = [
        {"prompt": PROMPT, "max_tokens": 9},
        {"prompt": PROMPT, "max_tokens": 9, "stream": True},
        {"prompt": ["a", "the river"], "n": 2, "max_tokens": 6, "seed": 3},
        {"prompt": ["a", "the river"], "n": 2, "max_tokens": 6, "seed": 3, "stream": True},
        {"prompt": [1, 2, 3], "max_tokens": 3},
        {"prompt": PROMPT, "max_tokens": 4, "echo": True},
    ]
    with relaying(home) as relay:
        answers = [relay.user.complete(**fields) for fields in asked]
        assert DAYS == relay.user.get("/v1/key").json["keep_content_days"]
        written(relay, len(asked))
        shown = relay.user.get("/metrics").text
    assert {200} == {answer.status for answer in answers}
    found = kept(home)
    assert [{0: text_of(PROMPT, 9)}] * 2 == [each.completions for each in found[:2]]
    texts = [text_of(p, 6, seed=3000 + s) for p in ("a", "the river") for s in range(2)]
    assert [dict(enumerate(texts))] * 2 == [each.completions for each in found[2:4]]
    assert [["a", "the river"]] * 2 == [each.prompts for each in found[2:4]]
    assert [[1, 2, 3]] == found[4].prompts
    assert {0: answers[5].json["choices"][0]["text"]} == found[5].completions
    assert found[5].completions[0].startswith(PROMPT)
    assert {None} == {each.cut_at_bytes for each in found}
    assert f'baton_contents_total{{end="kept"}} {float(len(asked))}' in shown


@pytest.mark.parametrize("by", ["caller", "upstream"])
def test_a_cut_answer_is_kept_as_far_as_it_came(home: pathlib.Path, by: str) -> None:
    """Whoever cut it."""
    fault = Fault(interval_s=0.01) if by == "caller" else Fault(cut_after_bytes=1500)
    with relaying(home, {"fake": "vllm"}, handoffs_max=0) as relay:
        relay.fake.faults.append(fault)
        with relay.ask(max_tokens=400, stream=True) as client:
            came = received(client, b"data: ") if by == "caller" else rest(client)
        relay.until(lambda: relay.shared.exchanges == 0)
    [heard] = kept(home)
    assert ["a b"] == heard.prompts
    assert text_of("a b", 400).startswith(heard.completions[0])
    assert 0 < len(heard.completions[0]) < len(text_of("a b", 400))
    if by == "upstream":
        chunks = [json.loads(event) for event in events_of(came)][:-1]
        assert heard.completions[0] == "".join(c["choices"][0]["text"] for c in chunks)


def test_a_failed_request_keeps_its_prompt(home: pathlib.Path) -> None:
    """Where nobody answered, and where the caller left before; a refused one has no row, and
    nothing is kept of it."""
    with relaying(home) as relay:
        relay.fake.fault(status=500, times=5)
        assert 502 == relay.user.complete(prompt=PROMPT).status
        assert 400 == relay.user.complete(prompt=PROMPT, n=0).status
        relay.fake.faults.clear()
        relay.fake.fault(delay_s=30.0)
        relay.fake.seen.clear()
        with relay.ask():
            relay.seen()
        relay.until(lambda: relay.fake.aborted == 1)
    assert [([PROMPT], {}), (["a b"], {})] == [(one.prompts, one.completions) for one in kept(home)]


def test_a_replay_is_no_second_request(home: pathlib.Path) -> None:
    """Under an idempotency key: one run, one content."""
    with relaying(home) as relay:
        body = {"model": "m", "prompt": PROMPT, "max_tokens": 9}
        for _ in range(3):
            answer = relay.user.post("/v1/completions", body, Idempotency_Key="order")
            assert 200 == answer.status
    assert [{0: text_of(PROMPT, 9)}] == [one.completions for one in kept(home)]


def test_the_limit_is_a_setting(home: pathlib.Path) -> None:
    """What is longer is cut, and says at how many bytes; the caller has all of it."""
    with relaying(home, content_bytes_max=20) as relay:
        answer = relay.user.complete(prompt=PROMPT, max_tokens=50)
    assert text_of(PROMPT, 50) == answer.json["choices"][0]["text"]
    [heard] = kept(home)
    assert 20 == heard.cut_at_bytes
    assert len(heard.prompts[0]) + len(heard.completions[0]) <= 20


def test_a_key_that_is_switched_off(home: pathlib.Path) -> None:
    """Within a second in every worker, also for what is under way: nothing is kept any more."""
    with relaying(home) as relay:
        assert 200 == relay.user.complete(prompt=PROMPT).status
        written(relay, 1)
        relay.fake.fault(interval_s=0.02)
        with relay.ask(max_tokens=20, stream=True) as client:
            received(client, b"data: ")
            [key] = relay.store.keys.all()
            relay.store.keys.update(key.id, "test", keep_content_days=0)
            received(client, b"[DONE]")
    assert 2 == len(relay.rows())
    with contextlib.closing(new_store(home)) as store:
        store.keys.update(key.id, "test", keep_content_days=DAYS)
    assert [] == kept(home)
