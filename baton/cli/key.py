"""`baton key`: who may ask, for what, and how much. A key's value is shown once, at its making."""

import sys
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from baton.admission import issue
from baton.cli import limits
from baton.cli.checked import allowed_days, key_fields
from baton.cli.limits import AtOnce, Budgets, NetworkList, PerMinute, Quotas, TokensPerMinute
from baton.cli.main import CommandError
from baton.cli.money import usd
from baton.cli.opened import ACTOR, one_key, one_party, opened
from baton.cli.output import AsJson, moment_us, print_fields, print_json, print_rows, when
from baton.stores.base import KeyRecord
from baton.stores.book import Store

app = typer.Typer()

RoleName = Annotated[str, typer.Option("--role", help="user, admin, billing or team_admin.")]
Owner = Annotated[
    str | None, typer.Option("--owner", help="The user, team or organisation it belongs to.")
]
Admin = Annotated[bool, typer.Option("--admin", help="A key for the admin API and console.")]
Expires = Annotated[str | None, typer.Option(help="Date, ISO time, or span such as 30d.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="May use this model. Repeat.")]
Default = Annotated[str | None, typer.Option(help="What an empty `model` means.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what Baton would have to fill.")]
Exact = Annotated[bool, typer.Option("--deterministic", help="Always compute deterministically.")]
Plain = Annotated[
    bool, typer.Option("--plain-text", help="Special tokens in its prompts are plain text.")
]
KeepDays = Annotated[
    int, typer.Option(help="Keep prompts and answers, sealed, for so many days; 0: never.", min=0)
]
HIDDEN = (
    "digest",
    "head",
    "tail",
    "created_us",
    "expires_us",
    "revoked_us",
    "previous_digest",
    "previous_until_us",
)
COLUMNS = {
    "id": "Id",
    "name": "Name",
    "key": "Key",
    "role": "Role",
    "state": "State",
    "models": "Models",
    "requests_per_minute": "Per minute",
    "budgets": "Budgets",
    "created": "Created",
    "expires": "Expires",
}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    admin: Admin = False,
    expires: Expires = None,
    model: Models = None,
    default_model: Default = None,
    requests_per_minute: PerMinute = None,
    budget: Budgets = None,
    quota: Quotas = None,
    tokens_per_minute: TokensPerMinute = None,
    requests_at_once: AtOnce = None,
    network: NetworkList = None,
    owner: Owner = None,
    role: RoleName = "user",
    strict: Strict = False,
    deterministic: Exact = False,
    plain_text: Plain = False,
    keep_content_days: KeepDays = 0,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    if admin and role not in ("user", "admin"):
        raise CommandError(f"--admin and --role {role} are two roles: give one")
    given = _options(expires, model, budget, quota)
    given |= _terms(name, admin, default_model, requests_per_minute)
    given |= {"strict": strict, "deterministic": deterministic, "parse_special": not plain_text}
    given |= {"tokens_per_minute": tokens_per_minute, "requests_at_once": requests_at_once}
    given |= {"networks": network or (), "role": "admin" if admin else role}
    given |= {"keep_content_days": allowed_days(keep_content_days)}
    with opened() as store:
        given |= _owned(store, owner, role)
        record, value = issue.create(store, name, ACTOR, **_unnamed(given))
    if as_json:
        return print_fields({**row(record), "value": value}, as_json)
    print(value)
    print("Keep it now: only its SHA-256 is stored, nobody can show it again.", file=sys.stderr)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 of the key in hex; else its value from stdin.")
    ] = None,
    admin: Admin = False,
    expires: Expires = None,
    model: Models = None,
    default_model: Default = None,
    requests_per_minute: PerMinute = None,
    budget: Budgets = None,
    quota: Quotas = None,
    as_json: AsJson = False,
) -> None:
    """Take over a key of another relay, by its value on standard input or by its SHA-256."""
    value = sys.stdin.readline().strip() if sha256 is None else sha256
    given = _options(expires, model, budget, quota)
    given |= _terms(name, admin, default_model, requests_per_minute)
    with opened() as store:
        record = issue.import_key(store, name, value, ACTOR, **_unnamed(given))
    print_fields(row(record), as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List all keys, revoked ones too."""
    with opened() as store:
        records = store.keys.all()
    if as_json:
        return print_json([row(record) for record in records])
    rows = [{**row(record), "budgets": _budgets(record)} for record in records]
    print_rows(rows, COLUMNS, as_json)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="Its id or name.")], as_json: AsJson = False
) -> None:
    """Show one key, and what it has spent."""
    with opened() as store:
        record = one_key(store, key)
        spent = store.accounts.get(record.account).posted_nano
    print_fields({**row(record), "spent_usd": usd(spent)}, as_json)


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(help="Its id or name.")],
    overlap: Annotated[str, typer.Option(help="How long the present value stays valid.")] = "1d",
    as_json: AsJson = False,
) -> None:
    """Give a key a new value and show it, this once; the present one stays valid for a while."""
    until_us = moment_us(overlap, time.time_ns() // 1000)
    with opened() as store:
        record, value = issue.rotate(store, one_key(store, key).id, ACTOR, until_us)
    if as_json:
        return print_fields({**row(record), "value": value}, as_json)
    print(value)
    print(f"The value before stays valid until {when(until_us)}.", file=sys.stderr)


@app.command("keep-content")
def keep_content(
    key: Annotated[str, typer.Argument(help="Its id or name.")],
    days: Annotated[int, typer.Argument(help="For so many days; 0: no longer.", min=0)],
    as_json: AsJson = False,
) -> None:
    """Keep what is asked and answered with a key, sealed, from now on; 0 deletes what was kept."""
    with opened() as store:
        present = one_key(store, key)
        if days > present.keep_content_days:
            allowed_days(days)
        record = store.keys.update(present.id, ACTOR, keep_content_days=days)
    print_fields(row(record), as_json)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its id or name.")], as_json: AsJson = False
) -> None:
    """Refuse a key from now on, within a second in every worker."""
    with opened() as store:
        record = store.keys.revoke(one_key(store, key).id, ACTOR)
    print_fields(row(record), as_json)


def _options(
    expires: str | None,
    models: list[str] | None,
    money: list[str] | None,
    tokens: list[str] | None,
) -> dict[str, object]:
    """A budget of money in all is the key's own; all others have windows or count tokens."""
    found = limits.budgets(money, tokens)
    own = [each.amount for each in found if (each.unit, each.span) == ("nano_usd", "total")]
    if len(own) > 1:
        raise CommandError("two budgets of money in all: give one")
    return {
        "expires_us": limits.expiry(expires),
        "models": tuple(models or ()),
        "budget_nano": own[-1] if own else None,
        "budgets": [each for each in found if (each.unit, each.span) != ("nano_usd", "total")],
    }


def _owned(store: Store, owner: str | None, role: str) -> dict[str, object]:
    record = None if owner is None else one_party(store, owner)
    if role == "team_admin" and (record is None or record.kind == "user"):
        raise CommandError("a team admin's key belongs to a team or organisation: give its --owner")
    return {"owner": None if record is None else record.id}


def _terms(
    name: str, admin: bool, default_model: str | None, requests_per_minute: int | None
) -> dict[str, object]:
    """What a made and an imported key are given alike."""
    return {
        "name": name,
        "role": "admin" if admin else "user",
        "default_model": default_model,
        "requests_per_minute": requests_per_minute,
    }


def _unnamed(given: Mapping[str, object]) -> dict[str, object]:
    """The checked fields but the name, which goes by itself."""
    return {field: value for field, value in key_fields(given).items() if field != "name"}


def row(record: KeyRecord) -> Mapping[str, object]:
    """A key for output: its first and last characters, never more."""
    fields = msgspec.structs.asdict(record)
    for hidden in HIDDEN:
        del fields[hidden]
    budget = fields.pop("budget_nano")
    return {
        **fields,
        "key": f"{record.head}…{record.tail}",
        "sha256": record.digest.hex(),
        "state": state(record, time.time_ns() // 1000),
        "created": when(record.created_us),
        "expires": when(record.expires_us),
        "revoked": when(record.revoked_us),
        "budget_usd": None if budget is None else usd(budget),
        "budgets": [limits.written(each) for each in record.budgets],
        "previous_until": when(record.previous_until_us),
    }


def _budgets(record: KeyRecord) -> list[str]:
    """The one in all and those of windows, for one column."""
    own = [] if record.budget_nano is None else [f"${usd(record.budget_nano)}"]
    return own + [limits.written(each) for each in record.budgets]


def state(record: KeyRecord, now_us: int) -> str:
    """active | expired | revoked"""
    if record.revoked_us is not None:
        return "revoked"
    if record.expires_us is not None and record.expires_us <= now_us:
        return "expired"
    return "active"
