"""Pages of lists, and the store's errors as answers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.errors import RequestError
from baton.stores.base import (
    Duplicate,
    Missing,
    Overtaken,
    StoreError,
    StoreUnavailable,
    Unstorable,
)
from baton.web.admin import PageQuery, page, stored


@given(st.lists(st.integers(), unique=True, max_size=20), st.integers(1, 7))
def test_pages_are_the_list_cut_in_pieces(items: list[int], limit: int) -> None:
    """Following `after` until `has_more` is false gives every item once, in order."""
    ids, found, after = [str(each) for each in items], [], ""
    while True:
        part = page(items, ids, PageQuery(after, limit))
        found += part.data
        if not part.has_more:
            break
        assert limit == len(part.data)
        after = str(part.data[-1])
    assert items == found


def test_an_unknown_start_is_refused() -> None:
    """Not an empty page, which would read as the end of the list."""
    with pytest.raises(RequestError) as caught:
        page([1], ["1"], PageQuery("2"))
    assert (400, "after") == (caught.value.status, caught.value.param)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Missing("there is no key 'x'"), 404, "not_found"),
        (Duplicate("the key is stored already"), 409, "already_exists"),
        (Overtaken("'name' was changed meanwhile"), 409, "changed_meanwhile"),
        (Unstorable("it holds what the database cannot store"), 400, None),
        (StoreUnavailable("disk I/O error on /secret/path"), 503, "overloaded"),
    ],
)
def test_the_store_s_errors_are_answers(error: StoreError, status: int, code: str | None) -> None:
    """Missing, duplicate, unavailable; the words of the database stay inside."""

    def act() -> None:
        raise error

    with pytest.raises(RequestError) as caught:
        asyncio.run(stored(act))
    assert (status, code) == (caught.value.status, caught.value.code)
    assert "/secret/path" not in caught.value.message
