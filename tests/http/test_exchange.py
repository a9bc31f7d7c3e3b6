"""What an exchange writes, on a line that records it."""

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from baton.http.exchange import Exchange, HeaderPair, note
from baton.http.paths import PLAIN
from tests.http.serving import filling


class Recorder:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.headers: list[HeaderPair] = [(b"authorization", b"one"), (b"authorization", b"two")]
        self.written: list[bytes] = []
        self.finished = self.aborted = 0
        self.write_paused = False
        self.client_address = "c"

    def date(self) -> bytes:
        return b"date: now\r\n"

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return not self.write_paused

    def filler(
        self, form: bytes, length: int, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        return filling(self.write, form, length, encode)

    def abort(self) -> None:
        self.aborted += 1

    async def drain(self) -> None:
        self.write_paused = False

    def exchange_done(self, exchange: Exchange) -> None:
        self.finished += 1


def exchange(http_1_0: bool = False, keep: bool = True) -> tuple[Exchange, Recorder]:
    line = Recorder()
    made = Exchange(line, note(line.headers), where=PLAIN, http_1_0=http_1_0, keep=keep)
    return made, line


def test_a_whole_answer_is_one_write() -> None:
    """Status, date, headers, length and body leave together, and the line is told."""
    made, line = exchange()
    made.respond(200, b"a: b\r\n", b"body")
    expected = b"HTTP/1.1 200 OK\r\ndate: now\r\na: b\r\ncontent-length: 4\r\n\r\nbody"
    assert [expected] == line.written
    assert made.done
    assert 1 == line.finished


def test_the_last_answer_of_a_connection_says_so() -> None:
    """Without keep-alive the head says close; a 1.0 client that keeps alive is told that."""
    closing, line = exchange(keep=False)
    closing.respond(503, b"", b"")
    assert b"connection: close\r\n" in line.written[0]
    old, line = exchange(http_1_0=True)
    old.respond(200, b"", b"")
    assert b"connection: keep-alive\r\n" in line.written[0]


def test_every_event_is_one_write() -> None:
    """And one chunk; the last one is one with the end."""
    made, line = exchange()
    made.start_stream(b"")
    made.send(b"x" * 17)
    made.end(b"last")
    assert line.written[0].endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert [b"11\r\n" + b"x" * 17 + b"\r\n", b"4\r\nlast\r\n0\r\n\r\n"] == line.written[1:]


def test_the_body_is_capped() -> None:
    """Parts are joined up to the cap and refused beyond it."""
    made, _ = exchange()
    assert made.add(b"ab", 3)
    assert made.add(b"c", 3)
    assert b"abc" == made.body
    assert not made.add(b"d", 3)


def test_the_first_header_of_a_name_counts() -> None:
    """A header is found by its lower-case name; a missing one is None."""
    made, _ = exchange()
    assert b"one" == made.header(b"authorization")
    assert None is made.header(b"x-other")


def test_an_abort_is_no_end() -> None:
    """After an abort nothing says that the answer is whole."""
    made, line = exchange()
    made.start_stream(b"")
    made.send(b"a")
    made.abort()
    assert (1, 0) == (line.aborted, line.finished)
    assert not line.written[-1].endswith(b"0\r\n\r\n")


@given(st.booleans(), st.binary(), st.binary(), st.lists(st.text(), max_size=3))
def test_a_sender_writes_what_send_does(
    http_1_0: bool, before: bytes, after: bytes, texts: list[str]
) -> None:
    """Also where what stands around has the signs of a form in it."""
    (one, sent), (other, filled) = exchange(http_1_0), exchange(http_1_0)
    send = other.sender(b"%b%" + before, after + b"%x", msgspec.json.encode)
    for text in texts:
        event = b"%b%" + before + msgspec.json.encode(text) + after + b"%x"
        assert one.send(event) is send(text) is True
    filled.write_paused = True
    assert not send("")
    assert sent.written == filled.written[: len(texts)]
