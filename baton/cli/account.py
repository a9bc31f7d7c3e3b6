"""`baton account`: organisations, teams and users, which keys belong to, and what limits them."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from baton.cli import limits
from baton.cli.checked import party_fields
from baton.cli.limits import AtOnce, Budgets, NetworkList, PerMinute, Quotas, TokensPerMinute
from baton.cli.main import CommandError
from baton.cli.money import usd
from baton.cli.opened import ACTOR, one_party, opened
from baton.cli.output import AsJson, print_fields, print_rows, when
from baton.stores import windows
from baton.stores.base import BudgetRecord, PartyRecord
from baton.stores.book import Store
from baton.stores.parties import subject

app = typer.Typer()

Kind = Annotated[str, typer.Argument(help="organisation, team or user.")]
Which = Annotated[str, typer.Argument(help="Its id or name.")]
Expires = Annotated[str | None, typer.Option(help="Date, ISO time, or span such as 30d.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="May use this model. Repeat.")]
Cleared = Annotated[
    list[str] | None, typer.Option("--clear", help="Take this limit away, by its field. Repeat.")
]
COLUMNS = {
    "id": "Id",
    "kind": "Kind",
    "name": "Name",
    "parent": "In",
    "state": "State",
    "budgets": "Budgets",
    "requests_per_minute": "Requests/min",
    "tokens_per_minute": "Tokens/min",
    "requests_at_once": "At once",
}
NOTHING = {
    "expires_us": None,
    "models": (),
    "networks": (),
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "requests_at_once": None,
    "budgets": (),
}


@app.command()
def create(
    kind: Kind,
    name: Annotated[str, typer.Argument(help="Its name.")],
    parent: Annotated[
        str, typer.Option("--in", help="The organisation or team that it belongs to.")
    ] = "",
    expires: Expires = None,
    model: Models = None,
    network: NetworkList = None,
    requests_per_minute: PerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    requests_at_once: AtOnce = None,
    budget: Budgets = None,
    quota: Quotas = None,
    as_json: AsJson = False,
) -> None:
    """Make an organisation, a team of one, or a user of either."""
    given = {
        "name": name,
        "expires_us": limits.expiry(expires),
        "models": model or (),
        "networks": network or (),
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "requests_at_once": requests_at_once,
        "budgets": limits.budgets(budget, quota),
    }
    with opened() as store:
        above = one_party(store, parent).id if parent else ""
        made = {
            "id": f"{kind}_{secrets.token_hex(8)}",
            "kind": kind,
            "parent": above,
            "created_us": time.time_ns() // 1000,
        }
        record = _record({**made, **party_fields(given)})
        store.parties.add(record, ACTOR)
    print_fields(row(record), as_json)


@app.command("list")
def list_accounts(
    kind: Annotated[str | None, typer.Argument(help="Only this kind.")] = None,
    as_json: AsJson = False,
) -> None:
    """List organisations, teams and users, closed ones too."""
    with opened() as store:
        records = [each for each in store.parties.all() if kind in (None, each.kind)]
    print_rows([row(record) for record in records], COLUMNS, as_json)


@app.command()
def show(account: Which, as_json: AsJson = False) -> None:
    """Show one, and what is used of its budgets in their present windows."""
    with opened() as store:
        record = one_party(store, account)
        used = _used(store, record)
    print_fields({**row(record), "used": used}, as_json)


@app.command()
def change(
    account: Which,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    expires: Expires = None,
    model: Models = None,
    network: NetworkList = None,
    requests_per_minute: PerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    requests_at_once: AtOnce = None,
    budget: Budgets = None,
    quota: Quotas = None,
    clear: Cleared = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; budgets and quotas that are given replace all of them."""
    found = {
        "name": name,
        "expires_us": limits.expiry(expires),
        "models": model,
        "networks": network,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "requests_at_once": requests_at_once,
        "budgets": limits.budgets(budget, quota) or None,
    }
    changes: dict[str, object] = {each: value for each, value in found.items() if value is not None}
    changes |= _cleared(clear)
    with opened() as store:
        record = one_party(store, account)
        if changes:
            fields = party_fields({"name": record.name, **changes})
            wanted = {field: fields[field] for field in changes}
            record = store.parties.update(record.id, ACTOR, None, **wanted)
    print_fields(row(record), as_json)


@app.command()
def close(account: Which, as_json: AsJson = False) -> None:
    """Refuse every key under it from now on, for good, within a second in every worker."""
    with opened() as store:
        record = store.parties.close(one_party(store, account).id, ACTOR)
    print_fields(row(record), as_json)


def row(record: PartyRecord) -> Mapping[str, object]:
    """A party for output."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    for hidden in ("created_us", "expires_us", "closed_us"):
        del fields[hidden]
    return {
        **fields,
        "budgets": [limits.written(each) for each in record.budgets],
        "state": state(record, time.time_ns() // 1000),
        "created": when(record.created_us),
        "expires": when(record.expires_us),
        "closed": when(record.closed_us),
    }


def state(record: PartyRecord, now_us: int) -> str:
    """active | expired | closed"""
    if record.closed_us is not None:
        return "closed"
    expired = record.expires_us is not None and record.expires_us <= now_us
    return "expired" if expired else "active"


def _used(store: Store, record: PartyRecord) -> dict[str, str]:
    """By budget, what stands on its account now."""
    now_us = time.time_ns() // 1000
    names = {each: windows.account(subject(record), each, now_us) for each in record.budgets}
    found = store.accounts.some(list(names.values()))

    def told(each: BudgetRecord) -> str:
        balance = found.get(names[each])
        used = 0 if balance is None else balance.posted_nano
        return f"${usd(used)}" if each.unit == "nano_usd" else f"{used} tokens"

    return {limits.written(each): told(each) for each in record.budgets}


def _cleared(clear: list[str] | None) -> dict[str, object]:
    for field in clear or ():
        if field not in NOTHING:
            raise CommandError(f"--clear {field}: there is only {', '.join(NOTHING)}")
    return {field: NOTHING[field] for field in clear or ()}


def _record(fields: Mapping[str, object]) -> PartyRecord:
    try:
        return msgspec.convert(fields, PartyRecord)
    except msgspec.ValidationError:
        raise CommandError(f"'{fields['kind']}' is not organisation, team or user") from None
