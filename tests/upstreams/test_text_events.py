"""Texts taken from reads: the same ones that HTTP, events and JSON have in them, or none."""

import json
from collections.abc import Sequence
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Event
from baton.upstreams import text_events
from baton.upstreams.base import UpstreamError
from baton.upstreams.completions_wire import StreamDecoder
from baton.upstreams.text_events import (
    EVENT_BYTES_MAX,
    LENGTHS_MAX,
    PATIENCE,
    around,
    payloads,
    text_taker,
)
from tests.fakes.wire import chunk, chunked_head

CALL = Call(model="m", prompts=["p"], max_tokens=500)
PLAIN = ["a", " wörd", "日本", "0123456789"]
ODD = ['"', "\\", "\n", " tab\t", "\x00", "\x7f", "\ue000", "end", "", '","index":0,"x":"']


def payload(text: str, *, spaced: bool = False, **fields: Any) -> bytes:
    """One event's JSON; "end" ends the choice."""
    choice: dict[str, Any] = {"text": text, "index": 0, "logprobs": None, "finish_reason": None}
    if text == "end":
        choice["finish_reason"] = "stop"
    separators = None if spaced else (",", ":")
    body = {"id": "cmpl-1", **fields, "choices": [choice]}
    return json.dumps(body, ensure_ascii=False, separators=separators).encode()


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def texts_of(events: Sequence[Event]) -> list[str]:
    return [each.text for each in events if isinstance(each, Delta)]


class Taking:
    """A taker, the decoder that it stands in for, and what came."""

    def __init__(self, call: Call = CALL) -> None:
        self.decoder = StreamDecoder(call)
        self.kept: list[str] = []
        self.given: list[str] = []
        self.wants = True
        self.take = text_taker(self.decoder, self.kept.append, self._give)

    def _give(self, text: str) -> bool:
        self.given.append(text)
        return self.wants

    def begun(self) -> "Taking":
        """With a first text, which is the decoder's: only then it knows where the body begins."""
        assert self.take(chunk(event(payload("first")))) is None
        texts = texts_of(self.decoder.feed(event(payload("first"))))
        self.kept += texts
        self.given += texts
        return self


Read = tuple[list[str], int, bool]
reads = st.lists(
    st.tuples(
        st.lists(st.sampled_from(PLAIN + ODD), min_size=1, max_size=3),
        st.integers(0, 80),
        st.booleans(),
    ),
    min_size=1,
)


@settings(max_examples=300, deadline=None)
@given(reads=reads, changing=st.booleans())
def test_reads_are_taken_as_they_are_fed(reads: list[Read], changing: bool) -> None:
    """Each is offered to the taker; what it leaves is fed, at once or in two pieces, between which
    nothing is taken. The same texts come as where all is fed, whether what stands around them
    changes from event to event or not; behind the last nothing is taken."""
    fed, taking = StreamDecoder(CALL), Taking()
    expected: list[str] = []
    found = taking.kept
    for number, (texts, cut, spaced) in enumerate([*reads, (["end"], 0, False)]):
        fields: dict[str, Any] = {"created": number} if changing else {}
        events = [event(payload(text, spaced=spaced, **fields)) for text in texts]
        try:
            expected += texts_of(fed.feed(b"".join(events)))
        except UpstreamError:  # text behind the end
            assert taking.take(b"".join(map(chunk, events))) is None
            return
        taken = taking.take(b"".join(map(chunk, events)))
        assert taken is None or "end" not in texts
        if taken:
            continue
        whole = b"".join(events)
        found += texts_of(taking.decoder.feed(whole[:cut]))
        if cut and whole[cut:]:
            assert taking.take(chunk(event(payload("a", **fields)))) is None
        found += texts_of(taking.decoder.feed(whole[cut:]))
    assert found == expected
    assert taking.take(chunk(event(payload("behind the end")))) is None
    assert (taking.decoder.finish(), found) == (fed.finish(), expected)


class Body:
    """The body that llhttp sees in chunks, and whether it stands between two at the end."""

    def __init__(self, data: bytes) -> None:
        self.parts, self.between = b"", False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(chunked_head())
        parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self.parts += part

    def on_chunk_header(self) -> None:
        self.between = False

    def on_chunk_complete(self) -> None:
        self.between = True


@settings(max_examples=1000, deadline=None)
@given(
    text=st.sampled_from(PLAIN),
    place=st.integers(0, 200),
    put=st.sampled_from([b"", b'"', b"\\", b"x", b"\n", b"\r\n", b"\xff", b"0", b"}", b","]),
    less=st.integers(0, 2),
)
def test_damaged_reads_are_not_taken(text: str, place: int, put: bytes, less: int) -> None:
    """A read like the last one with a few bytes changed is taken only where llhttp, the decoder of
    events and that of JSON find the same text in it."""
    taking = Taking().begun()
    usual = chunk(event(payload(text)))
    assert taking.take(usual) is True
    place %= len(usual)
    data = usual[:place] + put + usual[place + less :]
    taken = taking.take(data)
    assert taken in (True, None)
    if taken:
        body, decoder = Body(data), StreamDecoder(CALL)
        assert body.between
        assert texts_of(decoder.feed(body.parts)) == taking.kept[2:] == taking.given[2:]
    else:
        assert taking.kept == ["first", text]


@pytest.mark.parametrize("text", PLAIN)
def test_one_that_is_known_is_not_decoded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by its length and by what stands around it."""
    taking = Taking().begun()
    assert taking.take(chunk(event(payload(text)))) is True
    other = "".join(chr(ord(letter) ^ 1) for letter in text)
    monkeypatch.setattr(text_events, "payloads", None)
    assert taking.take(chunk(event(payload(other)))) is True
    assert taking.given == taking.kept == ["first", text, other]


def test_nothing_is_known_in_the_middle_of_an_event() -> None:
    """What the decoder was fed since is not whole: the next read goes on with it."""
    taking = Taking().begun()
    known = chunk(event(payload("a")))
    assert [taking.take(known), taking.take(known)] == [True, True]
    whole = event(payload("other", more=1))
    taking.decoder.feed(whole[:30])
    assert taking.take(known) is None
    assert texts_of(taking.decoder.feed(whole[30:])) == ["other"]
    assert taking.take(known) is True


def test_what_stood_before_one_and_behind_another_is_not_known() -> None:
    """Together they may be no event at all."""
    taking = Taking().begun()
    first, then = b'{"choices":[{"text":"%b","index":0}]}', b'{"choices":[{"index":0,"text":"%b"}]}'
    assert taking.take(chunk(event(first % b"0123456789"))) is True
    assert taking.take(chunk(event(then % b"abc"))) is True
    mixed = b'{"choices":[{"text":"%b"}]}' % b"01234567890123456789"
    assert len(mixed) == len(first % b"0123456789")
    assert taking.take(chunk(event(mixed))) is None


@pytest.mark.parametrize(
    ("text", "same_length"),
    [
        (b"0123456789", b'01234567"\n\n'),
        (b"0123456789", b'0","text":'),
        (b"0123456789", b"012345678\\"),
        (b"0123456789", b"012345678\n"),
        (b"abcd", b"\\u00"),
        (b"abcdef", b"\\ud800"),
        (b"ab", b"\xc3\x28"),
        (b"abc", b"\xed\xa0"),
    ],
)
def test_what_is_no_text_by_itself_is_not_known(text: bytes, same_length: bytes) -> None:
    """Though what stands around it is: an event that ends in the middle, a quote, half an escape,
    bytes that are no UTF-8."""
    taking = Taking().begun()
    form = payload("TEXT").replace(b"TEXT", b"%b")
    assert taking.take(chunk(event(form % text))) is True
    other = chunk(event(form.replace(b'%b"', b"%b") % same_length))
    assert taking.take(other) is None
    assert taking.take(chunk(event(form % same_length))) is None
    assert len(taking.kept) == 2


def test_escapes_are_read() -> None:
    """As JSON has them."""
    taking = Taking().begun()
    for text in ("abcd", "\n\n", 'a"b', "\\t", "\u2028a", "\x00"):
        data = chunk(event(payload(text)))
        assert (taking.take(data), taking.take(data)) == (True, True)
        assert taking.kept[-2:] == [text, text]


def test_what_it_is_given_to_says_whether_it_goes_on() -> None:
    taking = Taking().begun()
    taking.wants = False
    for _ in range(3):  # not known yet, and known
        assert taking.take(chunk(event(payload("abcde")))) is False
    assert taking.take(chunk(event(payload("ab"))) * 2) is False
    assert taking.kept == ["first", *["abcde"] * 3, "ab", "ab"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"index":0,"text":"x","text":"a"}]}',
        b'{"choices":[{"index":0,"\\u0074ext":"a"}]}',
        b'{"text":"a","choices":[{"index":0,"\\u0074ext":"a"}]}',
        b'{"text":"a","choices":[{"index":0,"text" : "a"}]}',
        b'{"id":"\\"text\\":\\"a","choices":[{"index":0,"text"  :"a"}]}',
    ],
)
def test_another_text_in_that_place_has_to_be_its_text(data: bytes) -> None:
    assert around(data, "a") is None


def test_around() -> None:
    data = b'{"id":"\\"text\\":\\"a\\"","choices":[{"text": "a","index":0}]}'
    assert around(data, "a") == (data[:-15], data[-14:])
    assert around(data, "b") is None
    odd = payload('a"\\')
    assert around(odd, 'a"\\') == (odd[: odd.index(b"a")], odd[odd.index(b'","index') :])


def test_only_events_alone_in_their_chunks_are_found() -> None:
    one, other = event(b'{"a":1}'), event(b'{"b":2}')
    assert payloads(chunk(one) + chunk(other)) == [b'{"a":1}', b'{"b":2}']
    for odd in (
        chunk(one + other),
        chunk(one)[:-1],
        chunk(one) + b"0\r\n\r\n",
        b"f;x=1\r\n" + one + b"\r\n",
        b"e\r\n" + one + b"\r\n",
        b": ping\n\n",
        b"",
    ):
        assert payloads(odd) == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen lengths; no long events; no server that writes something else into each one."""
    learnt: list[bytes] = []

    def noted(data: bytes, text: str) -> tuple[bytes, bytes] | None:
        learnt.append(data)
        return around(data, text)

    monkeypatch.setattr(text_events, "around", noted)
    taking = Taking().begun()
    for length in range(1, 3 * LENGTHS_MAX):
        assert taking.take(chunk(event(payload("x" * length)))) is True
    assert len(learnt) == 1
    assert taking.take(chunk(event(payload("x" * EVENT_BYTES_MAX, other=1)))) is True
    assert len(learnt) == 1
    for number in range(1000, 1000 + 2 * PATIENCE):
        assert taking.take(chunk(event(payload("x", created=number)))) is True
    assert len(learnt) == PATIENCE
    assert len(taking.kept) == 3 * LENGTHS_MAX + 1 + 2 * PATIENCE


@pytest.mark.parametrize("text", ["known", "un\nknown"])
def test_more_bytes_than_the_call_can_explain(text: str) -> None:
    taking = Taking().begun()
    assert taking.take(chunk(event(payload("known")))) is True
    data = chunk(event(payload(text)))
    taking.decoder.bytes_left = 2 * len(data)
    assert [taking.take(data), taking.take(data)] == [True, True]
    with pytest.raises(UpstreamError) as caught:
        taking.take(data)
    assert caught.value.detail == "more bytes than the call can explain"
    assert taking.kept.count(text) == 2 + (text == "known")
