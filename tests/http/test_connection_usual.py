"""Requests with the head of the last one, on the wire: the same answers as the parser's."""

import time
from collections.abc import Callable

from baton.http.connection import Connection
from baton.http.exchange import WHOLE, Exchange
from baton.http.shared import FlightLine
from baton.http.usual import Usual
from tests.http.serving import TEXT, Listener, echo, listening, post, received, rest


def test_any_size_of_body_on_one_connection() -> None:
    """With a head that stays, one that changes between, and one again as it was."""
    with listening(echo, body_bytes_max=10_000) as listener, listener.connect() as client:
        for size in (0, 5, 123, 7, 9_000):
            for path, model in (("/v1/completions", b""), ("/m/big/v1/completions", b"big")):
                body = b"x" * size + b"!"
                for _ in range(3):
                    client.sendall(post(body, path))
                    assert received(client, b"!").endswith(b"\r\n\r\n" + model + b":" + body)


def test_limits_hold_for_the_same_head() -> None:
    with listening(echo, body_bytes_max=9) as listener, listener.connect() as client:
        client.sendall(post(b"12345678!"))
        received(client, b"!")
        client.sendall(post(b"1234567890!"))
        assert rest(client).startswith(b"HTTP/1.1 413 ")


def test_a_request_in_two_reads_and_two_in_one() -> None:
    """What is not one whole request in one read is the parser's, and the next is known again."""
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(post(b"1!"))
        received(client, b":1!")
        whole = post(b"2!")
        client.sendall(whole[:30])
        client.sendall(whole[30:])
        received(client, b":2!")
        client.sendall(post(b"3!") + post(b"4!"))
        data = received(client, b":4!")
        assert data.index(b":3!") < data.index(b":4!")
        client.sendall(post(b"5!"))
        received(client, b":5!")


def test_a_client_of_http_1_0_is_answered_as_one_each_time() -> None:
    """One that keeps its connection is told so again: nothing is learnt from its head."""
    request = post(b"1!", extra="Connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    with listening(echo) as listener, listener.connect() as client:
        for _ in range(3):
            client.sendall(request)
            assert b"connection: keep-alive" in received(client, b":1!")


def test_a_request_inside_a_head_is_no_request() -> None:
    """Bytes that look like the last request are a header's value where a head is open: whoever
    took them for a request would let one caller put words into the mouth of the next."""
    seen: list[bytes] = []

    async def note(exchange: Exchange) -> None:
        seen.append(exchange.body)
        exchange.respond(200, TEXT, b":" + exchange.body)

    with listening(note) as listener, listener.connect() as client:
        client.sendall(post(b"1!"))
        received(client, b":1!")
        client.sendall(post(b"2!") + b"GET /other HTTP/1.1\r\nX-Open: ")
        received(client, b":2!")
        client.sendall(post(b"smuggled"))
        told = received(client, b"\r\n\r\n/other")
        assert b"smuggled" not in told
    assert [b"1!", b"2!"] == seen


def test_a_body_that_looks_like_a_head_is_not_learned() -> None:
    """What a body's end and the next request are in one read: no head is learned of what began in
    the middle, or its sender would choose what the next one's bytes mean."""
    fake = post(b"", extra="X-Fake: 1\r\n").replace(
        b"-Length: 0", b"-Length: %d" % len(post(b"2!"))
    )
    whole = post(b"1" + fake)
    with listening(echo) as listener, listener.connect() as client:
        begun = len(whole) - len(fake)
        client.sendall(whole[:begun])
        until(lambda: midway(listener))
        client.sendall(whole[begun:] + post(b"2!"))
        received(client, b":2!")
        (connection,) = listener.server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection.heads.usual is None or not connection.heads.usual.body_of(
            fake + post(b"2!")
        )


def test_a_kept_connection_closes_while_the_server_stops() -> None:
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(post(b"1!"))
        received(client, b":1!")
        listener.shared.draining = True
        client.sendall(post(b"2!"))
        data = rest(client)
    assert b"connection: close" in data
    assert data.endswith(b":2!")


class Flown:
    """A flight that is answered at once, on a connection that may be closing by then."""

    def __init__(self, line: FlightLine, *, closing: bool) -> None:
        self.line, self.closing, self.gone = line, closing, 0

    def begin(self) -> None:
        if self.closing:
            assert isinstance(self.line, Connection)
            self.line.transport.close()
        self.line.write(WHOLE % (self.line.date(), b"", 2, b"2!"))
        self.line.flown(self)

    def lost(self) -> None:
        self.gone += 1

    def land(self) -> None:
        raise AssertionError


def plain_post(body: bytes) -> bytes:
    """With a head that the fast path is asked about."""
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def test_a_flight_that_ends_while_its_connection_closes_is_counted_once() -> None:
    """Its caller left in the same turn of the loop: else every such one would let another request
    in beyond `requests_in_flight_max`."""
    flights: list[Flown] = []

    def board(line: FlightLine, head: Usual, body: bytes) -> Flown:
        flights.append(Flown(line, closing=body == b"bye"))
        return flights[-1]

    with listening(echo) as listener:
        with listener.connect() as client:
            client.sendall(plain_post(b"1!"))
            received(client, b":1!")
            listener.shared.board = board
            for _ in range(2):
                client.sendall(plain_post(b"on"))
                received(client, b"2!")
            client.sendall(plain_post(b"bye"))
            assert b"" == rest(client)
        with listener.connect() as client:  # served after all of that
            client.sendall(plain_post(b"3!"))
            received(client, b":3!")
        assert [0, 0, 0] == [flight.gone for flight in flights]
        assert 0 == listener.shared.exchanges


def midway(listener: Listener) -> bool:
    """Whether a part of a request is here."""
    connections = list(listener.server.server_state.connections)
    return any(isinstance(each, Connection) and each.midway for each in connections)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
