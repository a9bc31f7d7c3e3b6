"""What a conformance case is, and how a file of cases is read.

The files are data: a request, the expected status and error fields, named checks (checks.py) and
the capabilities that a server must claim for the case to apply. `$MODEL` and `$KEY` stand for the
endpoint's own.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.asking import Answer, Endpoint

HERE = pathlib.Path(__file__).parent
FILES = (HERE / "published.json", HERE / "own.json")
CAPABILITIES = frozenset(
    {
        "auth",
        "best_of",
        "continuous_usage",
        "details",
        "headers",
        "logit_bias",
        "logprobs",
        "models",
        "prompt_logprobs",
        "seed",
        "strict",
        "suffix",
        "tokenize",
    }
)


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent: `body` as JSON, or `raw` as it stands (characters 128..255 as single bytes)."""

    method: str
    path: str
    headers: dict[str, str | None] = {}
    body: dict[str, Any] | None = None
    raw: str | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The status (or any of several), fields of the error object, and named checks."""

    status: int | list[int]
    error: dict[str, Any] | None = None
    checks: list[str | list[Any]] = []

    @property
    def statuses(self) -> list[int]:
        return self.status if isinstance(self.status, list) else [self.status]


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case; `needs` names the capabilities without which it says nothing."""

    id: str
    group: str
    title: str
    request: Request
    expect: Expected
    needs: list[str] = []
    note: str = ""


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    cases: list[Case]


def load(path: pathlib.Path) -> list[Case]:
    """The cases of one file; msgspec.ValidationError where it does not have the form."""
    return msgspec.json.decode(path.read_bytes(), type=CaseFile).cases


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A case, the answer that it got, and the means to ask again with other fields."""

    case: Case
    answer: Answer
    endpoint: Endpoint

    @property
    def body(self) -> dict[str, Any]:
        return self.case.request.body or {}

    def again(self, changes: Mapping[str, Any] | None = None) -> Answer:
        """The same request with some fields of the body replaced."""
        return send(self.case.request, self.endpoint, changes or {})

    def whole(self, changes: Mapping[str, Any] | None = None) -> Answer:
        """The same request as one JSON answer, not as a stream."""
        return self.again({"stream": False, "stream_options": None, **(changes or {})})

    def streamed(self, changes: Mapping[str, Any] | None = None) -> Answer:
        """The same request as a stream."""
        return self.again({"stream": True, **(changes or {})})


def send(request: Request, endpoint: Endpoint, changes: Mapping[str, Any]) -> Answer:
    """Send a case's request to an endpoint."""
    headers = {
        name: None if value is None else _filled_in(value, endpoint)
        for name, value in request.headers.items()
    }
    path = _filled_in(request.path, endpoint)
    return endpoint.ask(request.method, path, _body_bytes(request, endpoint, changes), headers)


def _body_bytes(request: Request, endpoint: Endpoint, changes: Mapping[str, Any]) -> bytes | None:
    if request.raw is not None:
        text = _filled_in(request.raw, endpoint)
        single_bytes = any(128 <= ord(character) < 256 for character in text)
        return text.encode("latin-1", "replace") if single_bytes else text.encode()
    if request.body is None:
        return None
    body = {**request.body, **changes}
    if body.get("model") == "$MODEL":
        body["model"] = endpoint.model
    return json.dumps(body).encode()


def _filled_in(text: str, endpoint: Endpoint) -> str:
    return text.replace("$MODEL", endpoint.model).replace("$KEY", endpoint.key)
