"""The page that a sign-in leads back to is one of the console's, or none."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from baton.web.console.back import FIELDS_MAX, PLACE_CHARACTERS_MAX, asked_for, place

SEGMENT = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


def request(method: str, path: str, query: str = "", **headers: str) -> Request:
    return Request(
        {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "server": ("h", 80),
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )


@given(
    st.lists(SEGMENT.filter(lambda each: each not in (".", "..")), min_size=1, max_size=3),
    st.dictionaries(SEGMENT, SEGMENT, max_size=3),
)
def test_what_is_asked_for_is_found_again(parts: list[str], query: dict[str, str]) -> None:
    """Whatever names are in its path and query, of a page and of a form that was on it."""
    path = "/console/" + "/".join(parts)
    written = urlencode(query)
    found = asked_for(request("GET", path, written))
    long = len(quote("/".join(parts))) + len(f"?{written}" if query else "")
    expected = ("/".join(parts), query) if long <= PLACE_CHARACTERS_MAX else None
    assert expected == place(found)
    referer = f"https://h/prefix{quote(path)}" + (f"?{written}" if query else "")
    assert found == asked_for(request("POST", "/console/other", referer=referer))


@pytest.mark.parametrize(
    "referer",
    ["", "https://h", "https://h/docs", "https://h/console", "https://[", "https://h/console/../x"],
)
def test_a_form_from_elsewhere_leads_nowhere(referer: str) -> None:
    assert "" == asked_for(request("POST", "/console/keys", referer=referer))


@pytest.mark.parametrize(
    "written",
    [
        *("", "?a=b", "/x", "//h/x", "a//b", "a/", ".", "..", "a/../b", "a/%2e%2e/b"),
        "a" * (PLACE_CHARACTERS_MAX + 1),
        "a?" + "&".join("x=1" for _ in range(FIELDS_MAX + 1)),
    ],
)
def test_what_is_no_place(written: str) -> None:
    assert place(written) is None
