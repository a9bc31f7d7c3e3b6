"""The book's schema moved on purpose: to a given number, also back, for an older Baton.

Theory of operation. Each migration knows its way back, and drops what the schema before has no
place for. So before anything is moved it is counted what that would be, in the transaction that
moves it and in which no process lives. Where money or somebody's rights hang on it (the balances
could not be worked out again, keys would have no limits), the way back is refused. All else is
dropped where the operator agrees to it, and told. What a later migration works out anew from what
stays is not counted.

A migration that is added says here what its way back drops, or that it is nothing (`NOTHING`).
"""

from typing import NamedTuple

import sqlalchemy
from sqlalchemy import text

from baton.stores import journals, migrate
from baton.stores.base import StoreError
from baton.stores.database import Place, name

TENURES = "0004"
"""Since then the book knows which processes live."""


class Loss(NamedTuple):
    """What the way back from a schema drops."""

    revision: str
    what: str
    counted: str
    """How many rows of it there are."""
    vital: bool = False
    """Never dropped."""


PRUNED = "(SELECT day FROM archived)"
KINDS_OF_PRICES = (
    "cache_write_pico",
    "audio_input_pico",
    "image_input_pico",
    "audio_output_pico",
    "reasoning_pico",
    "markup_of",
)
BEYOND_A_RATE = (
    "owner IS NOT NULL OR tokens_per_minute IS NOT NULL OR requests_at_once IS NOT NULL"
    " OR networks <> '[]' OR previous_digest IS NOT NULL"
)
LOSSES = (
    Loss("0012", "refused requests", "refusal"),
    Loss(
        "0010",
        "costs of lost attempts on days of pruned requests",
        f"moved_cost WHERE day IN {PRUNED}",
    ),
    Loss("0009", "sums of how upstreams fared", "upstream_slot"),
    Loss("0009", "changes of upstreams' states", "upstream_change"),
    Loss("0008", "kept contents", "content"),
    Loss("0008", "keys that keep contents", '"key" WHERE keep_content_days > 0'),
    Loss(
        "0007",
        "sums of traffic on days of pruned requests",
        f"traffic WHERE start_s / 86400 IN {PRUNED}",
    ),
    Loss("0006", "attempts with a cost", "attempt"),
    Loss("0006", "prices with a free allowance", "price WHERE free_amount IS NOT NULL", True),
    Loss("0006", "sums of pruned requests", "archived WHERE unreleased <> 0", True),
    Loss("0005", "notices of budgets", "notice"),
    Loss(
        "0005",
        "prices of kinds of tokens or by a cost",
        f"price WHERE {' OR '.join(f'{each} IS NOT NULL' for each in KINDS_OF_PRICES)}",
        True,
    ),
    Loss("0005", "sums of pruned requests", "archived", True),
    Loss("0003", "organisations, teams and users", "party", True),
    Loss("0003", "budgets", "budget", True),
    Loss("0003", "keys with owners, limits or networks", f'"key" WHERE {BEYOND_A_RATE}', True),
    Loss("0002", "answers kept under an Idempotency-Key", "idempotency"),
)
NOTHING = frozenset(("0001", "0004", "0011"))
"""Who lives is written anew, and nobody goes back beyond the first."""


def known() -> list[str]:
    """Every schema of this Baton, oldest first."""
    return [f"{number:04}" for number in range(1, int(migrate.HEAD) + 1)]


def go(book: Place, target: str, *, agreed: bool) -> dict[str, int]:
    """Move `book`, up or down; returns how many rows of what were dropped. Nobody may use it.

    Raises StoreError, and nothing is moved, for a schema that this Baton does not know, while a
    process lives, for what may not be dropped, and for the rest unless `agreed`;
    StoreUnavailable."""
    dropped: dict[str, int] = {}
    with migrate.locked(book):
        present = migrate.revision(book)
        _refuse_unknown(book, present, target)
        assert present is not None

        def first(connection: sqlalchemy.Connection) -> None:
            if present >= TENURES:
                journals.refuse_living(connection)
            dropped.update(_dropped(connection, present, target, agreed=agreed))

        if present != target:
            migrate.move(book, target, first)
    return dropped


def _refuse_unknown(book: Place, present: str | None, target: str) -> None:
    if target not in known():
        raise StoreError(f"{target} is no schema of this Baton's: {known()[0]} to {migrate.HEAD}")
    if present is None:
        raise StoreError(f"{name(book)} is empty: the first start makes the tables")
    if present not in known():
        raise StoreError(migrate.newer(book, present))


def _dropped(
    connection: sqlalchemy.Connection, present: str, target: str, *, agreed: bool
) -> dict[str, int]:
    """What the way down drops. Raises StoreError where it may not."""
    found: dict[str, int] = {}
    for loss in LOSSES:
        if not target < loss.revision <= present:
            continue
        count = int(connection.scalar(text(f"SELECT count(*) FROM {loss.counted}")) or 0)
        if count and loss.vital:
            raise StoreError(
                f"schema {target} has no place for {loss.what}, of which the book has {count}:"
                " restore a backup from before, or keep this Baton"
            )
        if count:
            found[loss.what] = count
    if found and not agreed:
        listed = ", ".join(f"{what} ({count})" for what, count in found.items())
        raise StoreError(f"schema {target} has no place for {listed}: --yes drops them")
    return found
