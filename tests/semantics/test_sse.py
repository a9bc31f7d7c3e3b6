"""The server-sent events codec against a line-by-line oracle, over every kind of chunking."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.sse import EventTooLarge, SseDecoder, encode_event

ROOM = 1 << 20


def expected(stream: bytes) -> list[bytes]:
    """The standard's algorithm on the whole stream at once, without empty events."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\r|\n", stream)[:-1]  # what follows the last line end is no line
    events: list[bytes] = []
    data: list[bytes] = []
    for line in lines:
        if not line:
            events.append(b"\n".join(data))
            data = []
        elif line == b"data" or line.startswith(b"data:"):
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)
    return [event for event in events if event]


def decoded(chunks: list[bytes], event_bytes_max: int = ROOM) -> list[bytes]:
    """All payloads of a stream that arrives in these chunks."""
    decoder = SseDecoder(event_bytes_max)
    return [payload for chunk in chunks for payload in decoder.feed(chunk)]


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces, cut at these places."""
    places = sorted({0, len(stream), *(at % (len(stream) + 1) for at in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


pieces = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"data",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b":",
        b": ping",
        b" ",
        b'{"a":1}',
        b"x",
        b"id: 5",
        b"event: e",
        b"\xef\xbb\xbf",
        b"\xe4\xb8",
        b"data: one\n\n",
    ]
)
streams = st.lists(pieces, max_size=24).map(b"".join)


@settings(max_examples=600, deadline=None)
@given(streams, st.lists(st.integers(0, 10**6), max_size=12))
def test_any_chunking_equals_the_standard(stream: bytes, cuts: list[int]) -> None:
    """The payloads are those of the whole stream, however it arrives, also byte by byte."""
    assert decoded(cut(stream, cuts)) == expected(stream)
    assert decoded([stream[at : at + 1] for at in range(len(stream))]) == expected(stream)
    assert decoded([stream]) == expected(stream)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1).filter(lambda b: not set(b) & set(b"\r\n")), max_size=5))
def test_what_is_encoded_is_decoded(payloads: list[bytes]) -> None:
    """Encoding and decoding are inverse for every payload without line ends."""
    assert decoded([encode_event(payload) for payload in payloads]) == payloads
    assert decoded([b"".join(map(encode_event, payloads))]) == payloads


@pytest.mark.parametrize(
    ("chunks", "payloads"),
    [
        ([b"data: a\n\n"], [b"a"]),
        ([b"data:a\n\n"], [b"a"]),
        ([b"data:  a\n\n"], [b" a"]),
        ([b"data: a\n\ndata: b\n\n"], [b"a", b"b"]),
        ([b"data: a\ndata: b\n\n"], [b"a\nb"]),
        ([b"data: a\r\n\r\n"], [b"a"]),
        ([b"data: a\r", b"\n", b"\r", b"\n"], [b"a"]),
        ([b"data: a\r\r"], [b"a"]),
        ([b"data: a\n", b"", b"\n"], [b"a"]),
        ([b"data: a\r", b"", b"\n", b"data: b\n\n"], [b"a\nb"]),
        ([b": comment\n\ndata: a\n\n"], [b"a"]),
        ([b"\xef\xbb", b"\xbfdata: a\n\n"], [b"a"]),
        ([b"data: a\n\n\xef\xbb\xbfdata: b\n\n"], [b"a"]),
        ([b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n"], [b"a"]),
        ([b"data: a\n\ndata: b\n\n", b"\xef\xbb\xbfdata: c\n\n"], [b"a", b"b"]),
        ([b"data:\n\n", b"data: \n\n", b"data\n\n", b"\n\n\n"], []),
        ([b"data: whole\n\n", b"data: not whole\n"], [b"whole"]),
        ([b"event: x\nid: 1\nretry: 5\ndatax: no\ndata: a\n\n"], [b"a"]),
    ],
)
def test_table(chunks: list[bytes], payloads: list[bytes]) -> None:
    """Line ends, comments, several data lines, byte order marks, and an end without blank line."""
    assert decoded(chunks) == payloads


def test_pending_tells_a_cut_stream() -> None:
    """Whether a stream ended inside an event is known."""
    decoder = SseDecoder(ROOM)
    pending = []
    for data in (b"data: a\n\n", b"data: b", b"\n", b"\n"):
        decoder.feed(data)
        pending.append(decoder.pending)
    assert [False, True, True, False] == pending


@settings(max_examples=300, deadline=None)
@given(streams, st.lists(st.integers(0, 10**6), max_size=12))
def test_between_events_a_whole_one_stands_alone(stream: bytes, cuts: list[int]) -> None:
    """Whoever takes one without `feed` then takes what `feed` would have given."""
    decoder, came = SseDecoder(ROOM), b""
    for piece in cut(stream, cuts):
        decoder.feed(piece)
        came += piece
        if decoder.between:
            assert expected(came + b"data: whole\n\n") == [*expected(came), b"whole"]


def test_when_it_is_between_events() -> None:
    """Not before the first, where a mark of byte order may come; not while a line end may."""
    decoder = SseDecoder(ROOM)
    found = [decoder.between]
    for data in (b"data: a\n\n", b"data", b":\n", b"\n", b"data: b\r\n\r", b"\n", b": ping\n"):
        decoder.feed(data)
        found.append(decoder.between)
    assert [False, True, False, False, True, False, True, True] == found


@pytest.mark.parametrize(
    "stream",
    [
        b"data: 0123456789\n\n",
        b"data: 0123\ndata: 0123\n\n",
        b": 01234567890123\n",
        b"0123456789abcd",
    ],
)
def test_sizes_are_bounded(stream: bytes) -> None:
    """A line, an unfinished line and an event of several lines are refused beyond the cap, whole or
    byte by byte; one byte less of cap is what decides."""
    longest = max(len(stream.removesuffix(b"\n\n").replace(b"\n", b"")), 14)
    for chunks in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        decoded(chunks, longest)
        with pytest.raises(EventTooLarge):
            decoded(chunks, 13)


def test_a_long_line_in_tiny_pieces_is_cheap() -> None:
    """Parts are joined once: a megabyte in 8-byte pieces takes no quadratic time."""
    payload = b"x" * 1_000_000
    stream = encode_event(payload)
    chunks = [stream[at : at + 8] for at in range(0, len(stream), 8)]
    assert decoded(chunks, 1 << 21) == [payload]
