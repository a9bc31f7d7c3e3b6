"""From a request to a typed visit: bodies, queries, and the field at fault."""

from typing import Any

import msgspec
import pytest

from baton.doors.fim import FimRequest
from baton.doors.infill import InfillRequest
from baton.errors import RequestError
from baton.web.operation import Nothing, read_query
from baton.web.routes import COMPLETIONS, OPERATIONS
from tests.fakes.web_parts import Web


@pytest.mark.parametrize(
    ("body", "param", "part"),
    [
        (b"", None, "JSON"),
        (b"{", None, "JSON"),
        (b"nul", None, "JSON"),
        (b'{"prompt": NaN}', None, "JSON"),
        (b'{"prompt": "\xff"}', None, "JSON"),
        (b"[" * 100_000, None, "object"),
        (b'{"prompt": ' + b"[" * 100_000, "prompt", "str"),
        (b"[]", None, "object"),
        (b"{}", "prompt", "prompt"),
        (b'{"prompt": 5}', "prompt", "str"),
        (b'{"prompt": "x", "add_special_tokens": "yes"}', "add_special_tokens", "bool"),
        (b'{"prompt": "x", "messages": []}', "messages", "unknown field"),
    ],
)
def test_a_bad_body_is_a_400_that_names_the_field(
    site: Web, body: bytes, param: str | None, part: str
) -> None:
    """Never a 500 for input, whatever the bytes are."""
    answer = site.user.ask("POST", "/tokenize", body)
    assert (400, param) == (answer.status, answer.error["param"])
    assert part in answer.error["message"]


def test_a_body_beyond_the_limit_is_a_413(site: Web) -> None:
    """The limit holds while the body arrives, not after it was gathered."""
    body = b'{"prompt": "' + b"x" * site.parts.settings.body_bytes_max + b'"}'
    assert 413 == site.user.ask("POST", "/tokenize", body).status


def struct_types() -> list[Any]:
    """Every type that comes in from callers of these routes. Completions, in whichever shape, tell
    unknown fields in x-baton-ignored instead."""
    kinds = {one.body for one in OPERATIONS if one is not COMPLETIONS}
    return sorted(kinds - {Nothing, FimRequest, InfillRequest}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", struct_types(), ids=lambda kind: kind.__name__)
def test_no_body_accepts_and_ignores(kind: Any) -> None:
    """A mistyped field is refused by every body type, never passed over."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `no_such_field`"):
        msgspec.json.decode(b'{"no_such_field": 1}', type=kind)


def test_unknown_query_parameters_are_refused(site: Web) -> None:
    """Also in the query: a mistyped filter must not silently return everything."""
    answer = site.admin.get("/admin/v1/keys?limitt=5")
    assert (400, "limitt") == (answer.status, answer.error["param"])


def test_a_query_parameter_comes_once(site: Web) -> None:
    """Whoever writes a list by repeating it is not answered about its last value alone."""
    answer = site.admin.get("/admin/v1/usage?model=a&limit=5&model=b")
    assert (400, "model") == (answer.status, answer.error["param"])


def test_lists_in_queries_are_separated_by_commas() -> None:
    """`group_by=key,day` is two words; numbers are read as numbers."""

    class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        words: tuple[str, ...] = ()
        limit: int = 1

    assert Asked(("key", "day"), 5) == read_query(Asked, {"words": "key,day", "limit": "5"})
    with pytest.raises(RequestError) as caught:
        read_query(Asked, {"limit": "many"})
    assert (400, "limit") == (caught.value.status, caught.value.param)


def test_answers_to_keys_are_never_cached(site: Web) -> None:
    """What one key may see must not be kept for another."""
    assert "no-store" == site.user.get("/v1/models").headers["cache-control"]


def test_every_credential_header_is_read_by_the_same_extractor(site: Web) -> None:
    """A key in x-api-key has the same rights as in Authorization: no way around a restriction."""
    by_header = {"Authorization": None, "x-api-key": site.user.key}
    assert 200 == site.user.ask("GET", "/v1/models", headers=by_header).status
    assert 403 == site.user.ask("GET", "/admin/v1/keys", headers=by_header).status
