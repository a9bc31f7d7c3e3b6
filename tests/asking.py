"""A small blocking HTTP client for tests: one request a connection, the whole answer is kept."""

import dataclasses
import functools
import http.client
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

EVENT_STREAM = "text/event-stream"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A whole response. Header names are in lower case; a repeated header keeps its last value."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @functools.cached_property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")

    @functools.cached_property
    def json(self) -> Any:
        """The parsed body; ValueError where it is not JSON."""
        return json.loads(self.raw)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @functools.cached_property
    def events(self) -> list[str] | None:
        """The data of each server-sent event; None where the answer is not an event stream."""
        if not self.content_type.startswith(EVENT_STREAM):
            return None
        blocks = self.text.replace("\r\n", "\n").split("\n\n")
        return [data for block in blocks if (data := _event_data(block)) is not None]

    @property
    def error(self) -> dict[str, Any]:
        """The error object in OpenAI's shape; AssertionError where there is none."""
        body = self.json
        assert isinstance(body, dict), f"no error object: {self.text[:200]}"
        assert isinstance(body.get("error"), dict), f"no error object: {self.text[:200]}"
        error: dict[str, Any] = body["error"]
        return error


def _event_data(block: str) -> str | None:
    lines = [line for line in block.split("\n") if line.startswith("data:")]
    if not lines:
        return None
    return "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where to ask: an address without /v1, a key, and the model that is meant by default."""

    base_url: str
    key: str
    model: str
    timeout_s: float = 60.0

    @property
    def host(self) -> str:
        return self._parts.hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        return self._parts.port or 80

    @property
    def _parts(self) -> urllib.parse.SplitResult:
        return urllib.parse.urlsplit(self.base_url)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one request with this endpoint's key; a header given as None is left out."""
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        try:
            connection.request(
                method,
                self._parts.path.rstrip("/") + path,
                body=body,
                headers={name: value for name, value in sent.items() if value is not None},
            )
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def post(self, path: str, body: object, **headers: str | None) -> Answer:
        """POST `body` as JSON; keyword names become header names (`_` is `-`)."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json.dumps(body).encode(), fields)

    def complete(self, **fields: object) -> Answer:
        """POST /v1/completions with this endpoint's model."""
        return self.post("/v1/completions", {"model": self.model, **fields})

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)
