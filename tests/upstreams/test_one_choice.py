"""Frames, and what must hold of an answer with one choice."""

from collections.abc import Sequence

import msgspec
import pytest

from baton.semantics.events import Call, Delta, Event
from baton.upstreams.base import Decoder, UpstreamError
from baton.upstreams.one_choice import OneChoice, Reader, body, events, lines

CALL = Call(model="m", prompts=["p"], max_tokens=4, stream=True)


class Words(Reader):
    """A dialect in which a payload is a text, and "." the end."""

    def __init__(self) -> None:
        self.choice = OneChoice(CALL)

    def read(self, payload: bytes) -> Sequence[Event]:
        text = payload.decode()
        return self.choice.piece("" if text == "." else text, "stop" if text == "." else None)


def told(decoder: Decoder, *pieces: bytes) -> list[Event]:
    found: list[Event] = []
    for piece in pieces:
        found += decoder.feed(piece)
    return [*found, *decoder.finish()]


def test_logprobs_may_come_before_their_text() -> None:
    """A piece of nothing else is one all the same."""
    choice = OneChoice(msgspec.structs.replace(CALL, logprobs=0))
    assert [] == choice.piece("", None)
    raw = b'{"tokens":["a"],"token_logprobs":[-1.0],"top_logprobs":[{"a":-1.0}]}'
    held, shown = *choice.piece("", None, raw), *choice.piece("a", "stop")
    assert isinstance(held, Delta)
    assert isinstance(shown, Delta)
    assert ("", "a", "stop") == (held.text, shown.text, shown.finish_reason)
    assert shown.logprobs is not None
    assert ["a"] == shown.logprobs.tokens


AB = [Delta(0, "a"), Delta(0, "b"), Delta(0, "", "stop")]


def test_frames() -> None:
    """Events, lines (the last without its end) and one body; nulls and blanks are nothing."""
    stream = b"data: a\n\ndata: null\n\ndata: b\n\ndata: .\n\ndata: [DONE]\n\ndata: x\n\n"
    assert told(events(CALL, Words()), stream) == AB
    assert told(lines(CALL, Words()), b"a\n\nb", b"\n.") == AB
    assert told(body(CALL, Words()), b"", b".") == [Delta(0, "", "stop")]


def test_its_own_end_mark_ends_it() -> None:
    """Then nothing more need be read."""
    decoder = events(CALL, Words())
    decoder.feed(b"data: .\n\ndata: [DONE]\n\n")
    assert decoder.whole


@pytest.mark.parametrize(
    ("pieces", "detail"),
    [
        ((b"a\n",), "ended before the choice had finished"),
        ((b".\na\n",), "text after the end of a choice"),
        ((b"x" * 2**21,), "more bytes than the call can explain"),
    ],
)
def test_what_is_no_whole_answer(pieces: tuple[bytes, ...], detail: str) -> None:
    """No end, text behind the end, more than can be."""
    with pytest.raises(UpstreamError) as caught:
        told(lines(CALL, Words()), *pieces)
    assert caught.value.detail == detail


def test_an_event_too_large() -> None:
    """A line without end is given up at the size that the call explains."""
    with pytest.raises(UpstreamError, match="breaks the protocol"):
        told(events(CALL, Words()), *[b"data: " + b"x" * 2**20] * 2)


def test_a_finish_twice_is_one() -> None:
    """Some servers say it again."""
    choice = OneChoice(CALL)
    assert choice.piece("a", "stop") == [Delta(0, "a", "stop")]
    assert choice.piece("", "stop") == []
