"""`baton usage`: what was used and what it cost, by party, key, model, upstream, user and day."""

import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import rich.table
import rich.text
import typer

from baton import config
from baton.cli.main import CommandError
from baton.cli.opened import one_key, one_party, opened
from baton.cli.output import AsJson, console, inert, print_json, print_rows
from baton.ledger.currency import Currency
from baton.ledger.report import UsageLine, as_csv, line
from baton.stores.book import Store
from baton.stores.usage import PARTIES, Dimension, Filter

BAR_WIDTH = 40


class By(enum.StrEnum):
    """What sums can be grouped by."""

    organisation = "organisation"
    team = "team"
    user = "user"
    key = "key"
    model = "model"
    upstream = "upstream"
    day = "day"
    end_user = "end_user"


DIMENSIONS: dict[By, Dimension] = {
    By.organisation: "organisation",
    By.team: "team",
    By.user: "user",
    By.key: "key_id",
    By.model: "model",
    By.upstream: "upstream",
    By.day: "day",
    By.end_user: "end_user",
}
COLUMNS = {
    "day": "Day",
    "organisation": "Organisation",
    "team": "Team",
    "user": "User",
    "key": "Key",
    "model": "Model",
    "upstream": "Upstream",
    "end_user": "End user",
    "requests": "Requests",
    "failed": "Failed",
    "prompt_tokens": "Prompt",
    "cached_percent": "Cached %",
    "completion_tokens": "Completion",
    "estimated_percent": "Estimated %",
    "charge": "Charge",
    "cost": "Cost",
    "margin": "Margin",
}
SHOWN_BY = ("day", "organisation", "team", "user", "key", "model", "upstream", "end_user")


def run(
    by: Annotated[
        list[By] | None,
        typer.Option(help="Group by these. Repeat. `end_user` is the request's own `user`."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="First day (UTC), YYYY-MM-DD.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day (UTC), YYYY-MM-DD.")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key (id or name).")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Only this upstream.")] = None,
    party: Annotated[
        str | None, typer.Option(help="Only this organisation, team or user (id or name).")
    ] = None,
    end_user: Annotated[str | None, typer.Option(help="Only this `user` of requests.")] = None,
    as_table: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: AsJson = False,
) -> None:
    """What was used and what it cost. Requests of the last second may not be counted yet."""
    settings = config.load()
    currency = Currency(settings.currency, settings.currency_micro_per_usd)
    groups = by or ([By.day, By.end_user] if end_user else [By.day, By.model])
    dimensions: list[Dimension] = [DIMENSIONS[group] for group in groups]
    with opened(settings) as store:
        only = Filter(
            since=_day(since),
            until=_day(until),
            key_id=None if key is None else one_key(store, key).id,
            model=model,
            upstream=upstream,
            party=None if party is None else one_party(store, party).id,
            end_user=end_user,
        )
        lines = [line(record, currency) for record in store.usage.sums(dimensions, only)]
        names = _names(store, groups)
    if as_table:
        return print(as_csv(lines, dimensions), end="")
    rows = [_row(each, names) for each in lines]
    if as_json:
        absent = {*SHOWN_BY, "key_id"} - {g.value for g in groups}
        absent -= {"key_id"} if By.key in groups else set()
        return print_json([{k: v for k, v in row.items() if k not in absent} for row in rows])
    shown = {f: h for f, h in COLUMNS.items() if f not in SHOWN_BY or By(f) in groups}
    money = {
        f: f"{h} {currency.code}" for f, h in shown.items() if f in ("charge", "cost", "margin")
    }
    print_rows(rows, {**shown, **money}, as_json=False)
    return _print_bars(lines, [" ".join(str(row[g.value]) for g in groups) for row in rows])


def _day(text: str | None) -> datetime.date | None:
    try:
        return None if text is None else datetime.date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"'{text}' is no day: write YYYY-MM-DD") from None


def _names(store: Store, groups: Sequence[By]) -> dict[str, str]:
    """By what people call keys and parties, by their ids."""
    keys = store.keys.all() if By.key in groups else []
    parties = store.parties.all() if set(PARTIES) & set(groups) else []
    return {**{each.id: each.name for each in keys}, **{each.id: each.name for each in parties}}


def _row(found: UsageLine, names: Mapping[str, str]) -> dict[str, object]:
    fields = msgspec.structs.asdict(found)
    named = {name: names.get(fields[name], fields[name]) for name in PARTIES}
    named["key"] = names.get(found.key_id, found.key_id)
    return {**fields, **named, "charge_usd": Currency().text(found.charge_nano)}


def _print_bars(lines: Sequence[UsageLine], labels: Sequence[str]) -> None:
    """Bars of the charge, or of the tokens where nothing was charged."""
    charges = [each.charge_nano for each in lines]
    tokens = [each.prompt_tokens + each.completion_tokens for each in lines]
    amounts, unit = (
        (charges, f"charge, {lines[0].currency}") if any(charges) else (tokens, "tokens")
    )
    if not any(amounts):
        return
    table = rich.table.Table(title=unit, title_justify="left", box=None, show_header=False)
    for label, each, amount in zip(labels, lines, amounts, strict=True):
        text = each.charge if amounts is charges else f"{amount:,}"
        table.add_row(inert(label), rich.text.Text(bar(amount, max(amounts)), "cyan"), text)
    console().print(table)


def bar(amount: int, most: int, width: int = BAR_WIDTH) -> str:
    """A bar of block characters: `width` for `most`, to an eighth of a character."""
    eighths = amount * width * 8 // most
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
