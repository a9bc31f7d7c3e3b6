"""`baton apply FILE`: bring accounts, keys, upstreams and prices to what a TOML file says."""

import itertools
import os
import pathlib
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, assert_never, cast

import msgspec
import typer

from baton.admission import issue
from baton.cli.checked import allowed_days, check_place
from baton.cli.declaration import Change, Present, changes, parse
from baton.cli.declared_accounts import Known, by_path, place_of
from baton.cli.main import CommandError
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, print_json
from baton.cli.upstream import new_record
from baton.stores.base import KeyRecord, PartyKind, PartyRecord, PriceRecord
from baton.stores.book import Store

KEYS_AT_ONCE = 100
"""Keys in one transaction: each commit waits for the disk, and workers for each transaction."""


def run(
    file: Annotated[str, typer.Argument(help="TOML file (docs: baton export); '-' reads stdin.")],
    prune: Annotated[
        bool, typer.Option(help="Also remove upstreams, accounts and users' keys not named.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply a declaration. Applying it again changes nothing. Secrets come from the environment."""
    wanted = parse(_read(file), "standard input" if file == "-" else file)
    with opened() as store:
        present = read(store)
        differing = changes(wanted, present, os.environ, prune=prune)
        _check_places(differing, present)
        days = (cast(int, each.fields.get("keep_content_days", 0)) for each in differing)
        allowed_days(max(days, default=0))
        if not dry_run:
            perform(store, differing)
    if as_json:
        return print_json([_told(change) for change in differing])
    for change in differing:
        fields = f" ({', '.join(change.fields)})" if change.action == "update" else ""
        print(f"{change.action} {change.kind} {change.name}{fields}")
    print("Nothing was changed: a dry run." if dry_run else f"{len(differing)} changes.")


def _check_places(differing: Iterable[Change], present: Present) -> None:
    """CommandError for an upstream that must not be called, before anything is changed."""
    there = {record.name: record for record in present.upstreams}
    for change in differing:
        if change.kind == "upstream" and change.action == "create":
            check_place(new_record(change.fields))
        elif change.kind == "upstream" and change.action == "update":
            check_place(msgspec.structs.replace(there[change.name], **change.fields))


def read(store: Store) -> Present:
    """What a declaration is compared with."""
    return Present(
        keys=store.keys.all(),
        upstreams=store.upstreams.all(secrets=True),
        prices=store.prices.all(),
        parties=store.parties.all(),
        now_us=time.time_ns() // 1000,
    )


def perform(store: Store, differing: Iterable[Change]) -> None:
    """Do the changes in order; each is a transaction of its own, but for keys that are made. What
    may be wrong with them was looked at before."""
    ids = by_path(store.parties.all())
    for making, some in itertools.groupby(differing, _makes_key):
        if making:
            _make_keys(store, [_new_key(change, ids) for change in some])
            continue
        for change in some:
            _perform(store, change, ids)


def _makes_key(change: Change) -> bool:
    return (change.kind, change.action) == ("key", "create")


def _new_key(change: Change, ids: Mapping[str, list[Known]]) -> KeyRecord:
    fields = {name: value for name, value in change.fields.items() if name != "name"}
    fields["owner"] = place_of(fields, ids) or None
    fields.pop("owner_kind", None)
    return issue.imported(change.name, change.sha256, **fields)


def _make_keys(store: Store, records: Sequence[KeyRecord]) -> None:
    for start in range(0, len(records), KEYS_AT_ONCE):
        store.keys.add_all(records[start : start + KEYS_AT_ONCE], ACTOR)


def _perform(store: Store, change: Change, ids: dict[str, list[Known]]) -> None:
    match change.kind:
        case "key" if change.action == "update":
            store.keys.update(change.id, ACTOR, None, **change.fields)
        case "key":
            store.keys.revoke(change.id, ACTOR)
        case "account":
            _perform_account(store, change, ids)
        case "upstream":
            _perform_upstream(store, change)
        case "price":
            fields = cast(dict[str, Any], change.fields)
            store.prices.set(PriceRecord(version=0, **fields), ACTOR)
        case _:
            assert_never(change.kind)


def _perform_account(store: Store, change: Change, ids: dict[str, list[Known]]) -> None:
    """One that is made is among `ids` for those that belong to it."""
    if change.action == "create":
        fields, kind = dict(change.fields), cast(PartyKind, change.fields["kind"])
        fields["parent"] = place_of(fields, ids)
        fields |= {"id": f"{kind}_{secrets.token_hex(8)}", "created_us": time.time_ns() // 1000}
        store.parties.add(msgspec.convert(fields, PartyRecord), ACTOR)
        ids.setdefault(change.name, []).append(Known(kind, str(fields["id"])))
    elif change.action == "update":
        store.parties.update(change.id, ACTOR, None, **change.fields)
    else:
        store.parties.close(change.id, ACTOR)


def _perform_upstream(store: Store, change: Change) -> None:
    if change.action == "create":
        store.upstreams.add(new_record(change.fields), ACTOR)
    elif change.action == "update":
        store.upstreams.update(change.name, ACTOR, **change.fields)
    else:
        store.upstreams.remove(change.name, ACTOR)


def _told(change: Change) -> dict[str, object]:
    return {
        "action": change.action,
        "kind": change.kind,
        "name": change.name,
        "fields": sorted(change.fields),
    }


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else pathlib.Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
