"""What the rooms of /admin/v1 have in common: pages of a list, store calls off the loop, their
errors.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Generic, ParamSpec, TypeVar

import msgspec

from baton.errors import RequestError, invalid, store_unavailable
from baton.stores.base import (
    TIME_US_MAX,
    Duplicate,
    Missing,
    Overtaken,
    StoreUnavailable,
    Unfit,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = ParamSpec("Given")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Nano = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
TimeUs = Annotated[int, msgspec.Meta(ge=0, le=TIME_US_MAX)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""The number of a row, as databases hold it."""
HttpStatus = Annotated[int, msgspec.Meta(ge=100, le=599)]
PageLimit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


Seen = Mapping[str, object]
"""How fields were when whoever changes them saw them, as in JSON."""


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """Some items of a list; ask with `after` = the last one's id for those that follow."""

    object: str = "list"
    data: list[Item]
    has_more: bool


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: str = ""
    """The id of the last item of the page before."""
    limit: PageLimit = 100


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    deleted: bool = True


def page(items: Sequence[Item], ids: Sequence[str], query: PageQuery) -> Page[Item]:
    """The part of a whole list that was asked for; `ids[i]` is the id of `items[i]`."""
    return first(items[start_after(ids, query.after) :], query.limit)


def first(items: Sequence[Item], limit: int) -> Page[Item]:
    """The first of those that are left."""
    return Page(data=list(items[:limit]), has_more=limit < len(items))


def start_after(ids: Sequence[str], after: str) -> int:
    """Where those begin that follow the one with that id. Raises RequestError (400) where it is
    not there."""
    if not after:
        return 0
    if after not in ids:
        raise invalid(f"There is no '{after}' in this list.", param="after")
    return ids.index(after) + 1


async def stored(
    act: Callable[Given, Result], /, *given: Given.args, **named: Given.kwargs
) -> Result:
    """Run a store's call in a thread; its errors become answers. Never the words of the
    database.
    """
    try:
        return await asyncio.to_thread(act, *given, **named)
    except Missing as error:
        message = f"Not found: {error}."
        raise RequestError(404, message, code="not_found") from error
    except Unfit as error:
        raise invalid(f"Not possible: {error}.") from error
    except Duplicate as error:
        message = f"Conflict: {error}."
        raise RequestError(409, message, code="already_exists") from error
    except Overtaken as error:
        raise overtaken(f"{error}") from error
    except StoreUnavailable as error:
        raise store_unavailable() from error


def overtaken(told: str) -> RequestError:
    """409: another was faster."""
    return RequestError(409, f"Conflict: {told}.", code="changed_meanwhile")
