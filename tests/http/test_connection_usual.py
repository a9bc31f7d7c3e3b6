"""Requests with the head of the last one, on the wire: the same answers as the parser's."""

from baton.http.exchange import Exchange
from tests.http.serving import listening, received, rest
from tests.http.test_connection import TEXT, echo, post


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


def test_a_kept_connection_closes_while_the_server_stops() -> None:
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(post(b"1!"))
        received(client, b":1!")
        listener.shared.draining = True
        client.sendall(post(b"2!"))
        data = rest(client)
    assert b"connection: close" in data
    assert data.endswith(b":2!")
