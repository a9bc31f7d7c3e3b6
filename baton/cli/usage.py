"""`baton usage`: what was used and what it cost, by key, model, upstream and day."""

import datetime
import enum
from collections.abc import Sequence
from typing import Annotated

import msgspec
import rich.table
import rich.text
import typer

from baton.cli.main import CommandError
from baton.cli.money import usd
from baton.cli.opened import one_key, opened
from baton.cli.output import AsJson, console, print_json, print_rows
from baton.stores.base import UsageRecord
from baton.stores.book import Store
from baton.stores.usage import Dimension, Filter

BAR_WIDTH = 40


class By(enum.StrEnum):
    """What sums can be grouped by."""

    key = "key"
    model = "model"
    upstream = "upstream"
    day = "day"


DIMENSIONS: dict[By, Dimension] = {
    By.key: "key_id",
    By.model: "model",
    By.upstream: "upstream",
    By.day: "day",
}
COLUMNS = {
    "day": "Day",
    "key": "Key",
    "model": "Model",
    "upstream": "Upstream",
    "requests": "Requests",
    "failed": "Failed",
    "prompt_tokens": "Prompt",
    "cached_tokens": "Cached",
    "completion_tokens": "Completion",
    "charge_usd": "Charge $",
    "cost_usd": "Cost $",
}
GROUPS = ("day", "key", "model", "upstream")


def run(
    by: Annotated[
        list[By] | None, typer.Option(help="Group by key, model, upstream or day. Repeat.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="First day (UTC), YYYY-MM-DD.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day (UTC), YYYY-MM-DD.")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key (id or name).")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Only this upstream.")] = None,
    as_json: AsJson = False,
) -> None:
    """What was used and what it cost. Requests of the last second may not be counted yet."""
    groups = by or [By.day, By.model]
    dimensions: list[Dimension] = [DIMENSIONS[group] for group in groups]
    with opened() as store:
        only = Filter(
            since=_day(since),
            until=_day(until),
            key_id=None if key is None else one_key(store, key).id,
            model=model,
            upstream=upstream,
        )
        records = store.usage.sums(dimensions, only)
        names = _key_names(store) if By.key in groups else {}
    rows = [_row(record, names) for record in records]
    shown = {f: h for f, h in COLUMNS.items() if f not in GROUPS or By(f) in groups}
    if as_json:
        absent = set(GROUPS) - {g.value for g in groups}
        return print_json([{k: v for k, v in row.items() if k not in absent} for row in rows])
    print_rows(rows, shown, as_json=False)
    _print_bars(records, [" ".join(str(row[g.value]) for g in groups) for row in rows])


def _day(text: str | None) -> datetime.date | None:
    try:
        return None if text is None else datetime.date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"'{text}' is no day: write YYYY-MM-DD") from None


def _key_names(store: Store) -> dict[str, str]:
    return {key.id: key.name for key in store.keys.all()}


def _row(record: UsageRecord, key_names: dict[str, str]) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    key_id = str(fields.pop("key_id"))
    return {
        **fields,
        "key": key_names.get(key_id, key_id),
        "key_id": key_id,
        "charge_usd": usd(record.charge_nano),
        "cost_usd": usd(record.cost_nano),
    }


def _print_bars(records: Sequence[UsageRecord], labels: Sequence[str]) -> None:
    """Bars of the charge, or of the tokens where nothing was charged."""
    charges = [record.charge_nano for record in records]
    tokens = [record.prompt_tokens + record.completion_tokens for record in records]
    amounts, unit = (charges, "charge, $") if any(charges) else (tokens, "tokens")
    if not any(amounts):
        return
    table = rich.table.Table(title=unit, title_justify="left", box=None, show_header=False)
    for label, amount in zip(labels, amounts, strict=True):
        text = usd(amount) if amounts is charges else f"{amount:,}"
        table.add_row(label, rich.text.Text(bar(amount, max(amounts)), "cyan"), text)
    console().print(table)


def bar(amount: int, most: int, width: int = BAR_WIDTH) -> str:
    """A bar of block characters: `width` for `most`, to an eighth of a character."""
    eighths = amount * width * 8 // most
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
