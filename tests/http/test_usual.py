"""The same head again is taken as it was read before; any other is the parser's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.http.exchange import note
from baton.http.paths import Where
from baton.http.usual import HEAD_BYTES_MAX, PATIENCE, Usual, UsualAnswers, framed, usual

WHERE = Where("m", "")
HEAD = (
    b"POST /m/m/v1/completions HTTP/1.1\r\n"
    b"Host: a\r\nX-A: 1\r\nContent-Length: %d\r\nX-B: 2\r\n\r\n"
)
HEADERS = [(b"host", b"a"), (b"x-a", b"1"), (b"content-length", b"5"), (b"x-b", b"2")]


def known(data: bytes) -> Usual | None:
    return usual(data, HEADERS, note(HEADERS), WHERE)


def head() -> Usual:
    found = known(HEAD % 5 + b"12345")
    assert found is not None
    return found


@given(st.binary(max_size=300))
def test_the_same_head_with_another_body(body: bytes) -> None:
    """Whatever its length; what the parser told of the head is told again, but for the length."""
    assert body == head().body_of(HEAD % len(body) + body)
    assert [(b"host", b"a"), (b"x-a", b"1"), (b"x-b", b"2")] == head().headers
    assert WHERE == head().where
    assert b"content-length" not in head().noted


@given(st.integers(0, len(HEAD) + 3), st.integers(0, 255))
def test_any_other_byte_is_the_parsers(place: int, byte: int) -> None:
    """Each byte of a head counts: only another length is taken, with a body of that length."""
    data = bytearray(HEAD % 5 + b"12345")
    before, data[place % len(data)] = bytes(data), byte
    body = head().body_of(bytes(data))
    in_body = place % len(data) >= len(HEAD % 5)
    assert body is None or bytes(data) == before or in_body


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD % 5 + b"1234", id="a part of the body"),
        pytest.param(HEAD % 5 + b"12345P", id="more behind it"),
        pytest.param(HEAD.replace(b"%d", b"+5") + b"12345", id="a sign"),
        pytest.param(HEAD.replace(b"%d", b" 5") + b"12345", id="a space"),
        pytest.param(HEAD.replace(b"%d", b"00000000005") + b"12345", id="many zeros"),
        pytest.param(HEAD.replace(b"%d", b"\xb25") + b"12345", id="a digit that is none"),
        pytest.param(HEAD.replace(b"%d", b"") + b"12345", id="no number"),
        pytest.param(b"", id="nothing"),
        pytest.param((HEAD % 5)[:-2], id="a part of the head"),
    ],
)
def test_what_is_not_the_same_request(data: bytes) -> None:
    assert head().body_of(data) is None


@pytest.mark.parametrize(
    "extra",
    [
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"connection: Upgrade, keep-alive\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\n",
        b"Content-Length: 5\r\n",
        b"content-length : 5\r\n",
        b"TE: trailers\r\n",
        b"X-Long: " + b"x" * HEAD_BYTES_MAX + b"\r\n",
    ],
)
def test_heads_that_are_read_each_time(extra: bytes) -> None:
    """What says anything of framing or of the connection is the parser's, always."""
    assert known(HEAD.replace(b"X-B: 2\r\n", extra) % 5 + b"12345") is None


def test_kept_connections_may_say_so() -> None:
    data = HEAD.replace(b"X-B: 2", b"Connection: keep-alive") % 5 + b"12345"
    assert known(data) is not None


@pytest.mark.parametrize(
    "data",
    [(HEAD % 5)[:-1], HEAD % 5 + b"123456", (HEAD % 5 + b"12345") * 2, b"GET / HTTP/1.1\r\n\r\n"],
)
def test_only_one_request_is_kept(data: bytes) -> None:
    """Its head has to be whole, and nothing may stand behind it."""
    assert known(data) is None


@given(st.binary(max_size=20), st.integers(0, 20))
def test_what_a_head_promises(body: bytes, came: int) -> None:
    """A head is known as soon as it came, with what came of its body; it tells how long that is."""
    head, part = HEAD % len(body), body[:came]
    found = known(head + part)
    assert found is not None
    assert (len(body), len(head)) == found.promised(head + part)
    assert (body if part == body else None) == found.body_of(head + part)


@given(st.integers(0, len(HEAD % 5) - 1), st.integers(0, 255))
def test_another_head_promises_nothing(place: int, byte: int) -> None:
    """Each byte counts, and all of them."""
    data = bytearray(HEAD % 5)
    assert (0, 0) == head().promised(bytes(data[:place]))
    before, data[place] = bytes(data), byte
    length, begin = head().promised(bytes(data))
    assert (length, begin) == (0, 0) or data == HEAD % length
    assert bytes(data) != before or length == 5


def test_an_upstreams_answer_has_to_be_whole() -> None:
    """Of it nothing is learned before."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert framed(answer + b"1234") is None
    assert framed(answer + b"12345") is not None


ANSWER = b"HTTP/1.1 200 OK\r\nx-a: %d\r\nContent-Length: 5\r\n\r\n12345"


def learnt(answers: UsualAnswers, number: int) -> bool:
    """Whether that answer's head is known, once it was read."""
    data = ANSWER % number
    answers.learn(data, data[:-5], data[:-5].lower())
    return answers.body_of(data) == b"12345"


def test_the_last_answer_is_known() -> None:
    """By its head alone; what the parser made of that is kept with it."""
    answers = UsualAnswers()
    assert answers.body_of(ANSWER % 1) is None
    assert learnt(answers, 1)
    assert learnt(answers, 2)
    assert answers.body_of(ANSWER % 1) is None
    head = (ANSWER % 2)[:-5]
    assert (head, head.lower()) == (answers.head, answers.folded)
    answers.learn(b"HTTP/1.1 200 OK\r\n\r\n", b"other", b"other")
    assert head == answers.head, "an answer that tells no length has no usual head"
    assert b"54321" == answers.body_of(head + b"54321")


def test_answers_that_differ_are_not_learnt_for_ever() -> None:
    """One that comes again shows that it is worth it."""
    answers = UsualAnswers()
    patient = [learnt(answers, number) for number in range(4 * PATIENCE)]
    assert all(patient), "each of them came twice"
    for number in range(2 * PATIENCE):
        data = ANSWER % (100 + number)
        answers.learn(data, data, data)
    assert [
        number for number in range(2 * PATIENCE) if answers.body_of(ANSWER % (100 + number))
    ] == [PATIENCE - 1]
