"""A load on real servers: what failed is told by its kind, and nothing is asked twice."""

import pathlib
import select
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from baton.cli.load import Asked, Caller, Load
from baton.cli.main import CommandError
from baton.cli.measured import Failure, Outcome, Summary
from tests.fakes import file_server
from tests.relaying import Relay, relaying
from tests.upstreams.certified import certificate

ERROR = '{"error":{"message":"lost it","type":"t","param":null,"code":null}}'


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with relaying(tmp_path_factory.mktemp("home")) as relay:
        yield relay


def asked(base: str, *, stream: bool = True, silence_s: float = 10.0, **fields: Any) -> Asked:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    body = {"model": "m", "prompt": "a b", "seed": 3, "stream": stream, **options, **fields}
    return Asked(base, None, msgspec.json.encode(body), stream, silence_s)


def put(request: Asked, requests: int = 1, at_once: int = 1) -> Summary:
    load = Load(request, requests, at_once)
    load.run()
    return load.summary()


@pytest.mark.parametrize("stream", [True, False])
def test_so_many_requests_on_so_few_connections(relay: Relay, *, stream: bool) -> None:
    """No more are asked than were ordered, and each thread keeps its connection."""
    seen, accepted = len(relay.fake.seen), relay.fake.accepted
    found = put(asked(relay.fake.url, stream=stream), 20, 3)
    assert (20, 0, ()) == (found.requests, found.failed, found.failures)
    assert 20 == len(relay.fake.seen) - seen
    assert 1 <= relay.fake.accepted - accepted <= 3
    assert found.completion_tokens is not None
    assert found.completion_tokens % 20 == 0 < found.completion_tokens
    assert found.latency_ms is not None
    assert stream == (found.first_text_ms is not None) == (found.between_texts_ms is not None)


@pytest.mark.parametrize(
    ("stream", "fault", "kind", "message"),
    [
        (True, {"status": 503, "body": ERROR}, "503", "lost it"),
        (False, {"status": 502, "body": "<p>down</p>"}, "502", "<p>down</p>"),
        (True, {"cut_after_bytes": 300}, "cut", "its end never came"),
        (True, {"cut_after_bytes": 300, "cut_by": "rst"}, "cut", ""),
        (False, {"cut_after_bytes": 30}, "cut", "IncompleteRead"),
        (True, {"insert_after_event": 2, "insert": ERROR}, "error", "lost it"),
        (True, {"insert_after_event": 2, "insert": "{"}, "no completion", ""),
        (True, {"stall_after_bytes": 300}, "timeout", "for 0.3 s"),
    ],
)
def test_a_failure_is_told_by_its_kind(
    relay: Relay, fault: dict[str, Any], kind: str, message: str, *, stream: bool
) -> None:
    """With its own words; the next request of the same thread is whole again."""
    relay.fake.fault(**fault)
    found = put(asked(relay.fake.url, stream=stream, silence_s=0.3), 2)
    assert (2, 1) == (found.requests, found.failed)
    [failure] = found.failures
    assert (kind, 1) == (failure.kind, failure.requests)
    assert message in failure.first
    assert found.latency_ms is not None


@pytest.mark.parametrize(
    ("answer", "stream", "kind"),
    [
        (b'{"choices":[]}', False, "no completion"),
        (b"<html></html>", False, "no completion"),
        (b"data: [DONE]\n\n", True, "no completion"),
        (b'{"choices":[{"text":"x"}]}', True, "cut"),
        (ERROR.encode(), False, "error"),
    ],
)
def test_another_kind_of_answer_is_no_completion(answer: bytes, kind: str, *, stream: bool) -> None:
    """A 200 alone says nothing."""
    with file_server.serving({"/v1/completions": answer}) as server:
        found = put(asked(server.url, stream=stream))
    assert [kind] == [failure.kind for failure in found.failures]


def test_what_is_not_told_is_not_counted() -> None:
    """A server without usage, which ends each connection, and whose base has a path."""
    with file_server.serving({"/x/v1/completions": b'{"choices":[{"text":"x"}]}'}) as server:
        found = put(asked(f"{server.url}/x/", stream=False), 3, 2)
        assert 3 == len(server.posted)
    assert (3, 0, None) == (found.requests, found.failed, found.completion_tokens)


def test_a_whole_answer_whose_body_has_no_end() -> None:
    """What was to come behind [DONE] does not; the next request has a new connection."""
    answer = b'data: {"choices":[{"text":"x"}]}\n\ndata: [DONE]\n\n'
    with file_server.serving({"/v1/completions": answer + b"x"}) as server:
        server.faults = [len(answer)] * 2
        found = put(asked(server.url), 2)
    assert (2, 0) == (found.requests, found.failed)


def test_a_certificate_must_be_trusted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system; SSL_CERT_FILE adds to that, as for other commands."""
    context, file = certificate(tmp_path, "127.0.0.1")
    answer = b'{"choices":[{"text":"x"}]}'
    with file_server.serving({"/v1/completions": answer}, context) as server:
        untrusted = put(asked(server.url, stream=False))
        monkeypatch.setenv("SSL_CERT_FILE", file)
        trusted = put(asked(server.url, stream=False), 4, 2)
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.failures[0].first
    assert (4, 0) == (trusted.requests, trusted.failed)


def test_nobody_there() -> None:
    """Each request tells that nothing was reached; a word that is no address is told at once."""
    with file_server.serving({}) as server:
        gone = server.url
    found = put(asked(gone), 3, 2)
    assert [("connection", 3)] == [(each.kind, each.requests) for each in found.failures]
    assert "refused" in found.failures[0].first
    with pytest.raises(CommandError, match="cannot be called"):
        put(asked("http://127.0.0.1:99999"))


def test_a_connection_that_its_server_closed_is_no_failure(relay: Relay) -> None:
    """As with every client that keeps connections: it sees the end before it asks again."""
    caller = Caller(asked(relay.fake.url))
    assert caller.ask().failure is None
    accepted = relay.fake.accepted

    async def close() -> None:
        for session in relay.fake.sessions:
            session.transport.close()

    relay.run(close())
    assert select.select([caller._connection.sock], [], [], 10.0)[0]
    assert caller.ask().failure is None
    assert 1 == relay.fake.accepted - accepted
    caller.close()


def test_an_impossible_key_is_a_failure(relay: Relay) -> None:
    """One that fits into no header."""
    request = msgspec.structs.replace(asked(relay.fake.url), key="a\nb")
    outcome = Caller(request).ask()
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.failure, Failure)
    assert "connection" == outcome.failure.kind
