"""The one choice of a chat, its logprobs, and bodies brought to a reader in any pieces."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from baton.semantics.events import Call, Delta, Event
from baton.upstreams.base import UpstreamError
from baton.upstreams.chat_wire import (
    NULL,
    EventStreamDecoder,
    JsonDecoder,
    Reply,
    believed,
    parsed,
)
from baton.upstreams.completions_wire import count
from baton.upstreams.continuation import Cleaning
from baton.upstreams.framing import answer_bytes_max

CALL = Call(model="m", prompts=["The sky is"], max_tokens=4)
SCORED = Call(model="m", prompts=["The sky is"], max_tokens=4, logprobs=1, scored=True)


def reply(call: Call = CALL) -> Reply:
    return Reply(call, Cleaning(call, "instruct"))


def content(*tokens: tuple[str, float]) -> bytes:
    """Logprobs in the chat shape."""
    shown = [{"token": t, "logprob": p, "top_logprobs": []} for t, p in tokens]
    return json.dumps({"content": shown}).encode()


def deltas(events: Sequence[Event]) -> list[Delta]:
    return [event for event in events if isinstance(event, Delta)]


def test_text_is_cleaned_and_finished_once() -> None:
    """What is held comes with the finish_reason; a chunk of nothing is no delta."""
    one = reply()
    assert one.events("") == []
    assert one.events("Sure! Here is the ") == []
    assert one.said
    assert one.events("text:\n bl") == [Delta(0, " bl")]
    assert one.events("ue", "length") == [Delta(0, "ue", "length")]
    assert one.events("", "stop") == []
    assert one.finish() == []
    with pytest.raises(UpstreamError, match="breaks the protocol"):
        one.events("more")


def test_an_unfinished_choice_is_an_error() -> None:
    """Whatever came of it."""
    one = reply()
    one.events(" blue")
    with pytest.raises(UpstreamError) as caught:
        one.finish()
    assert (caught.value.phase, caught.value.retryable) == ("stream", False)


def test_before_the_first_word_another_may_be_asked() -> None:
    """An error event instead of an answer is as an error status."""
    one = reply()
    broken = one.broken("overloaded", "x")
    assert isinstance(broken, UpstreamError)
    assert (broken.phase, broken.retryable) == ("first_byte", True)
    one.events(" blue")
    broken = one.broken("overloaded", "x")
    assert isinstance(broken, UpstreamError)
    assert (broken.phase, broken.retryable) == ("stream", False)


def test_logprobs_follow_the_text_that_stays() -> None:
    """Those of a polite line go with it; a token that reaches into the text counts with its part;
    offsets count from the prompt's start; the score is that of all tokens."""
    one = reply(SCORED)
    found = one.events("Sure", None, content(("Sure", -1.0)))
    found += one.events("!\n bl", None, content(("!", -2.0), ("\n bl", -3.0)))
    found += one.events("ue", None, content(("ue", -4.0)))
    found += one.events("", "stop")
    assert [delta.text for delta in deltas(found)] == [" bl", "ue", ""]
    shown = [delta.logprobs for delta in deltas(found)]
    assert [each and each.tokens for each in shown] == [[" bl"], ["ue"], []]
    assert [each and each.text_offset for each in shown] == [[10], [13], []]
    assert [each and each.token_logprobs for each in shown] == [[-3.0], [-4.0], []]
    last = deltas(found)[-1]
    assert (last.score, last.scored_tokens) == (-10.0, 4)


def test_logprobs_wait_until_it_is_known_what_stays() -> None:
    """A token over the end of a polite line may still be the beginning of what goes too."""
    one = reply(SCORED)
    found = one.events("Sure!", None, content(("Sure!", -1.0)))
    found += one.events("\n<", None, content(("\n<", -1.0)))
    found += one.events("unfinished_text> bl", None, content(("unfinished_text> bl", -1.0)))
    found += one.events("ue", "stop", content(("ue", -1.0)))
    assert [d.logprobs.tokens for d in deltas(found) if d.logprobs] == [[" bl"], ["ue"]]


def test_logprobs_of_text_that_was_cut_are_not_shown() -> None:
    """Nor those of text that is still held."""
    call = msgspec.structs.replace(SCORED, suffix="\nand that is all there is to it")
    one = reply(call)
    found = one.events(" blue", None, content((" blue", -1.0)))
    found += one.events("\nand", None, content(("\nand", -1.0)))
    found += one.events(" that", "stop", content((" that", -1.0)))
    assert [delta.text for delta in deltas(found)] == [" blue", ""]
    assert [d.logprobs.tokens for d in deltas(found) if d.logprobs] == [[" blue"], []]


def test_a_score_alone_shows_no_logprobs() -> None:
    """They were asked for by us."""
    one = reply(msgspec.structs.replace(SCORED, logprobs=None))
    [delta] = deltas(one.events(" blue", "stop", content((" blue", -1.0))))
    assert (delta.logprobs, delta.score, delta.scored_tokens) == (None, -1.0, 1)


@pytest.mark.parametrize("raw", [b"5", b'{"content":[{"token":1}]}', b"[]"])
def test_logprobs_of_another_shape_are_no_answer(raw: bytes) -> None:
    """An UpstreamError, not a guess."""
    with pytest.raises(UpstreamError):
        reply(SCORED).events("x", None, raw)


class Echo:
    """A reader that says what it was given."""

    def __init__(self) -> None:
        self.whole, self.seen = False, list[bytes]()

    def read(self, payload: bytes) -> Sequence[Event]:
        self.seen.append(payload)
        self.whole = payload == b"end"
        return [Delta(0, payload.decode())]

    def finish(self) -> Sequence[Event]:
        return [Delta(0, "", "stop")]


def test_a_stream_in_any_pieces() -> None:
    """Events are the same, and nothing is read behind the end."""
    data = b"event: a\r\ndata: one\r\n\r\n: ping\n\ndata: end\n\ndata: more\n\n"
    for size in range(1, len(data) + 1):
        decoder = EventStreamDecoder(CALL, Echo())
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = [event for piece in pieces for event in decoder.feed(piece)]
        assert [*found, *decoder.finish()] == [
            Delta(0, "one"),
            Delta(0, "end"),
            Delta(0, "", "stop"),
        ]
        assert decoder.whole


def test_a_body_in_any_pieces() -> None:
    """One payload, at the end."""
    for size in (1, 3, 100):
        reader = Echo()
        decoder = JsonDecoder(CALL, reader)
        for at in range(0, 5, size):
            assert decoder.feed(b"whole"[at : at + size]) == ()
        assert decoder.finish() == [Delta(0, "whole"), Delta(0, "", "stop")]
        assert reader.seen == [b"whole"]


def test_more_bytes_than_the_call_can_explain_are_an_error() -> None:
    """In a stream, in one event of it, and in a body."""
    bytes_max = answer_bytes_max(CALL)
    for decoder in (EventStreamDecoder(CALL, Echo()), JsonDecoder(CALL, Echo())):
        decoder.feed(b":" * bytes_max)
        with pytest.raises(UpstreamError):
            decoder.feed(b":")
    endless = EventStreamDecoder(CALL, Echo())
    with pytest.raises(UpstreamError):
        endless.feed(b"data: " + b"x" * bytes_max)


class Shape(msgspec.Struct):
    a: int = 0


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"a":"x"}', b"[" * 5000, b"\xff"])
def test_another_shape_is_an_error_or_not_believed(payload: bytes) -> None:
    """Never an exception of the JSON reader."""
    decoder = msgspec.json.Decoder(Shape)
    with pytest.raises(UpstreamError):
        parsed(decoder, payload)
    assert believed(decoder, msgspec.Raw(payload)) is None


def test_what_is_believed() -> None:
    """A part of the right shape, and counts that can be."""
    decoder: Any = msgspec.json.Decoder(Shape)
    assert believed(decoder, msgspec.Raw(b'{"a":3}')) == Shape(3)
    assert believed(decoder, NULL) is None
    assert [count(each) for each in (None, -1, 0, 5, 2**63)] == [None, None, 0, 5, None]
    assert count(6, 5) is None
