"""`baton key`: who may ask, for what, and how much. A key's value is shown once, at its making."""

import sys
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from baton.admission import issue
from baton.cli.checked import key_fields
from baton.cli.main import CommandError
from baton.cli.money import nano, usd
from baton.cli.opened import ACTOR, one_key, opened
from baton.cli.output import AsJson, moment_us, print_fields, print_rows, when
from baton.stores.base import KeyRecord

app = typer.Typer()

Admin = Annotated[bool, typer.Option("--admin", help="A key for the admin API and console.")]
Expires = Annotated[str | None, typer.Option(help="Date, ISO time, or span such as 30d.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="May use this model. Repeat.")]
Default = Annotated[str | None, typer.Option(help="What an empty `model` means.")]
PerMinute = Annotated[int | None, typer.Option(help="Requests per minute at most.", min=1)]
Budget = Annotated[str | None, typer.Option(help="USD that it may spend in all.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what Baton would have to fill.")]
Exact = Annotated[bool, typer.Option("--deterministic", help="Always compute deterministically.")]
Plain = Annotated[
    bool, typer.Option("--plain-text", help="Special tokens in its prompts are plain text.")
]
COLUMNS = {
    "id": "Id",
    "name": "Name",
    "key": "Key",
    "role": "Role",
    "state": "State",
    "models": "Models",
    "requests_per_minute": "Per minute",
    "budget_usd": "Budget $",
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
    budget: Budget = None,
    strict: Strict = False,
    deterministic: Exact = False,
    plain_text: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    given = _options(expires, model, budget)
    given |= _terms(name, admin, default_model, requests_per_minute)
    given |= {"strict": strict, "deterministic": deterministic, "parse_special": not plain_text}
    with opened() as store:
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
    budget: Budget = None,
    as_json: AsJson = False,
) -> None:
    """Take over a key of another relay, by its value on standard input or by its SHA-256."""
    value = sys.stdin.readline().strip() if sha256 is None else sha256
    given = _options(expires, model, budget)
    given |= _terms(name, admin, default_model, requests_per_minute)
    with opened() as store:
        record = issue.import_key(store, name, value, ACTOR, **_unnamed(given))
    print_fields(row(record), as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List all keys, revoked ones too."""
    with opened() as store:
        print_rows([row(record) for record in store.keys.all()], COLUMNS, as_json)


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
def revoke(
    key: Annotated[str, typer.Argument(help="Its id or name.")], as_json: AsJson = False
) -> None:
    """Refuse a key from now on, within a second in every worker."""
    with opened() as store:
        record = store.keys.revoke(one_key(store, key).id, ACTOR)
    print_fields(row(record), as_json)


def _options(
    expires: str | None, models: list[str] | None, budget: str | None
) -> dict[str, object]:
    now_us = time.time_ns() // 1000
    expires_us = None if expires is None else moment_us(expires, now_us)
    if expires_us is not None and expires_us <= now_us:
        raise CommandError(f"--expires {expires} is not in the future")
    budget_nano = None if budget is None else nano(budget)
    return {"expires_us": expires_us, "models": tuple(models or ()), "budget_nano": budget_nano}


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
    for hidden in ("digest", "head", "tail", "created_us", "expires_us", "revoked_us"):
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
    }


def state(record: KeyRecord, now_us: int) -> str:
    """active | expired | revoked"""
    if record.revoked_us is not None:
        return "revoked"
    if record.expires_us is not None and record.expires_us <= now_us:
        return "expired"
    return "active"
