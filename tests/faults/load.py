"""Callers that never stop: threads that ask, half of them for streams, and keep what came whole."""

import collections
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.asking import Endpoint
from tests.faults.accounting import Whole

PAUSE_S = 0.05
"""After a failure, so that a server that is away is not asked ten thousand times."""
TIMEOUT_S = 30.0
PROMPT = "Once upon a time there was a small"


class Load:
    """Threads that ask `models` in turn until told to stop."""

    def __init__(self, endpoint: Endpoint, models: list[str], threads_each: int) -> None:
        self.endpoint = endpoint
        self.whole: list[Whole] = []
        self.refused: collections.Counter[str] = collections.Counter()
        """By status and code, or "cut" for a connection or a stream that broke."""
        self.broken_streams: list[str] = []
        """The ends of streams that were answered, but not to the end."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=(model, number % 2 == 0), daemon=True)
            for model in models
            for number in range(threads_each)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(TIMEOUT_S)

    def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Return when the condition holds; AssertionError when it does not in time."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"{len(self.whole)} whole, {self.refused}"
            self._stop.wait(PAUSE_S)

    def more(self, count: int) -> None:
        """Return when so many further answers came whole."""
        want = len(self.whole) + count
        self.until(lambda: len(self.whole) >= want)

    def _ask_on(self, model: str, stream: bool) -> None:
        connection = self._connect()
        while not self._stop.is_set():
            try:
                self._ask(connection, model, stream)
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                connection = self._connect()
                self._refuse("cut")
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.endpoint.host, self.endpoint.port, timeout=TIMEOUT_S)

    def _ask(self, connection: http.client.HTTPConnection, model: str, stream: bool) -> None:
        body: dict[str, Any] = {"model": model, "prompt": PROMPT, "max_tokens": 12}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        headers = {"Authorization": f"Bearer {self.endpoint.key}"}
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        response = connection.getresponse()
        raw = response.read()
        if response.status != 200:
            code = json.loads(raw)["error"]["code"]
            return self._refuse(f"{response.status} {code}")
        answer = whole_stream(raw) if stream else whole_body(raw)
        with self._lock:
            if answer is not None:
                self.whole.append(answer)
            else:
                self.broken_streams.append(raw[-300:].decode())
                self.refused["broken stream"] += 1
        return None

    def _refuse(self, why: str) -> None:
        with self._lock:
            self.refused[why] += 1
        self._stop.wait(PAUSE_S)


def whole_body(raw: bytes) -> Whole:
    answer = json.loads(raw)
    usage = answer["usage"]
    return Whole(answer["id"], usage["prompt_tokens"], usage["completion_tokens"], stream=False)


def whole_stream(raw: bytes) -> Whole | None:
    """What a stream told, or None where it has no [DONE]."""
    if not raw.endswith(b"data: [DONE]\n\n"):
        return None
    chunks = [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
    usage = chunks[-1]["usage"]
    return Whole(chunks[-1]["id"], usage["prompt_tokens"], usage["completion_tokens"], stream=True)
