"""What is no completion reaches the ASGI side as uvicorn itself would hand it over."""

import http.client
from typing import Any

from starlette.types import Receive, Scope, Send

from tests.http.serving import echo, listening


def test_completions_and_other_routes_share_a_connection() -> None:
    """A kept-alive connection serves exchanges and ASGI in turn."""
    with listening(echo) as listener:
        client = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
        for path, answer in (
            ("/v1/completions", b":abc"),
            ("/other", b"/other 3"),
            ("/m/big/v1/completions", b"big:abc"),
            ("/v1/completions", b":abc"),
        ):
            client.request("POST", path, body=b"abc")
            response = client.getresponse()
            assert 200 == response.status
            assert answer == response.read()
            assert response.getheader("date")
        client.request("GET", "/v1/completions")
        assert b"/v1/completions 0" == client.getresponse().read()
        client.close()


def test_scope() -> None:
    """Method, target, query, headers and body of a request are the application's."""
    seen: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        seen.append((scope, message["body"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with listening(echo, application) as listener:
        client = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
        client.request("PUT", "/a%20b/c?d=e%20f", body=b"abc", headers={"X-Some": "Thing"})
        assert 204 == client.getresponse().status
        client.close()
    ((scope, body),) = seen
    assert ("PUT", "1.1", "/a b/c") == (scope["method"], scope["http_version"], scope["path"])
    assert (b"/a%20b/c", b"d=e%20f") == (scope["raw_path"], scope["query_string"])
    assert (b"x-some", b"Thing") in scope["headers"]
    assert b"abc" == body
