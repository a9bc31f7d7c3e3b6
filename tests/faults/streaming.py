"""Callers that read one stream each, at the same time, and tell how far they are."""

import contextlib
import dataclasses
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.asking import Endpoint

TIMEOUT_S = 120.0
POLL_S = 0.005


@dataclasses.dataclass
class Streamed:
    """What one caller has of its stream."""

    text: str = ""
    chunks: int = 0
    finish_reason: str | None = None
    logprobs: list[Any] = dataclasses.field(default_factory=list)
    usage: dict[str, int] = dataclasses.field(default_factory=dict)
    handoffs: int = 0
    whole: bool = False
    """Its [DONE] came."""
    failure: str = ""
    arrivals: list[int] = dataclasses.field(default_factory=list)
    """Lengths of its text, chunk by chunk."""

    @property
    def said(self) -> tuple[Any, ...]:
        """What must not depend on a cut."""
        tokens = [self.usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        return self.text, self.finish_reason, tokens, self.logprobs, self.whole, self.failure

    def take(self, event: str) -> None:
        """One event's data."""
        if event == "[DONE]":
            self.whole = True
            return
        chunk = json.loads(event)
        if "error" in chunk:
            self.failure = str(chunk["error"]["code"])
            return
        if chunk.get("usage"):
            self.usage = chunk["usage"]
            self.handoffs = chunk["usage"].get("baton", {}).get("handoffs", 0)
        for choice in chunk["choices"]:
            self.chunks += 1
            self.text += choice["text"]
            self.arrivals.append(len(self.text))
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            if choice["logprobs"]:
                self.logprobs.append(choice["logprobs"])


def read_stream(endpoint: Endpoint, body: dict[str, Any], into: Streamed) -> None:
    """Ask and read to the end, whatever it is. `headers` of a body are sent as headers."""
    headers = {"Authorization": f"Bearer {endpoint.key}", **body.get("headers", {})}
    sent = {"model": endpoint.model, **body, "stream": True}
    sent["stream_options"] = {"include_usage": True}
    sent.pop("headers", None)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/v1/completions", json.dumps(sent), headers)
        response = connection.getresponse()
        if response.status != 200:
            into.failure = f"{response.status} {response.read().decode()}"
            return
        for line in response:
            if line.startswith(b"data: "):
                into.take(line[6:].strip().decode())
    except (OSError, http.client.HTTPException) as error:
        into.failure = repr(error)
    finally:
        connection.close()


@contextlib.contextmanager
def streaming(endpoint: Endpoint, bodies: Sequence[dict[str, Any]]) -> Iterator[list[Streamed]]:
    """All at once; the block runs beside them, and ends when all have ended."""
    found = [Streamed() for _ in bodies]
    threads = [
        threading.Thread(target=read_stream, args=(endpoint, body, into), daemon=True)
        for body, into in zip(bodies, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for thread in threads:
            thread.join(TIMEOUT_S)


def until(condition: Callable[[], bool], within_s: float = TIMEOUT_S) -> None:
    """Return once it holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(POLL_S)
