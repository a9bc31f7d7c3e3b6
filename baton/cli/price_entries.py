"""Prices as files have them: US dollars per million tokens, in TOML, JSON or CSV. Pure.

One shape for `baton apply`, `baton export`, `baton price import` and `baton price export`. What an
entry leaves out has its default; a kind of tokens without a price of its own costs what plain
tokens cost.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from baton.cli.main import CommandError
from baton.cli.money import nano, pico_per_token, usd, usd_per_million
from baton.cli.output import moment_us, when
from baton.ledger.prices import PriceBook
from baton.stores.base import Allowance, PriceDetails, PriceRecord

Amount = str | int
"""US dollars; TOML's 0.15 comes as the text "0.15", so that nothing is rounded."""
KINDS = {
    "cache_write": "cache_write_pico",
    "audio_input": "audio_input_pico",
    "image_input": "image_input_pico",
    "audio_output": "audio_output_pico",
    "reasoning": "reasoning_pico",
}
"""Fields of an entry, and of PriceDetails."""
ALLOWANCE = re.compile(r"(\d{1,16}) *(\w+) */ *(\w+)", re.ASCII)
MARKUP_BP_MAX = 10_000_000
CHARGED = ("input_pico", "cached_input_pico", "output_pico", "request_nano", "details")
"""What makes two prices the same, but a markup."""


class PriceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price in US dollars per million tokens; with `upstream`, the operator's cost there."""

    model: str
    upstream: str | None = None
    effective: str | None = None
    """From when on; absent: it holds now."""
    input: Amount = 0
    cached_input: Amount | None = None
    output: Amount = 0
    request: Amount = 0
    cache_write: Amount | None = None
    audio_input: Amount | None = None
    image_input: Amount | None = None
    audio_output: Amount | None = None
    reasoning: Amount | None = None
    markup: str | None = None
    """"20%": the cost at `markup_of` and a fifth more, in place of amounts."""
    markup_of: str | None = None
    free: str | None = None
    """"100000 tokens/month": what each key may use without a charge."""


FIELDS = PriceEntry.__struct_fields__


def entry(record: PriceRecord) -> PriceEntry:
    """A stored price as a file has it."""
    if record.markup_bp is not None:
        return PriceEntry(
            model=record.model,
            effective=when(record.effective_us, exact=True),
            markup=markup_text(record.markup_bp),
            markup_of=record.markup_of,
            free=free_text(record.free),
        )
    details = record.details or PriceDetails()
    return PriceEntry(
        model=record.model,
        upstream=record.upstream,
        effective=when(record.effective_us, exact=True),
        input=usd_per_million(record.input_pico),
        cached_input=_per_million(record.cached_input_pico),
        output=usd_per_million(record.output_pico),
        request=usd(record.request_nano),
        free=free_text(record.free),
        **{name: _per_million(getattr(details, field)) for name, field in KINDS.items()},
    )


def record(given: PriceEntry, effective_us: int) -> PriceRecord:
    """The price that an entry means. CommandError names what cannot be kept."""
    amounts = {name: getattr(given, name) for name in KINDS}
    details = PriceDetails(**{KINDS[name]: _pico(amount) for name, amount in amounts.items()})
    made = PriceRecord(
        version=0,
        model=given.model,
        upstream=given.upstream,
        effective_us=effective_us,
        input_pico=pico_per_token(str(given.input)),
        cached_input_pico=_pico(given.cached_input),
        output_pico=pico_per_token(str(given.output)),
        request_nano=nano(str(given.request)),
        details=None if details == PriceDetails() else details,
        markup_bp=None if given.markup is None else markup_bp(given.markup),
        markup_of=given.markup_of,
        free=None if given.free is None else allowance(given.free),
    )
    if made.free is not None and made.upstream is not None:
        raise CommandError(f"price of {given.model}: an allowance belongs to what callers pay")
    if (given.markup is None) != (given.markup_of is None):
        raise CommandError(f"price of {given.model}: markup and markup_of belong together")
    if given.markup is not None and (given.upstream is not None or _has_amounts(made)):
        message = (
            f"price of {given.model}: a markup is in place of amounts, and of what callers pay"
        )
        raise CommandError(message)
    return made


def new_prices(
    wanted: Iterable[PriceEntry], present: Iterable[PriceRecord], now_us: int
) -> Iterator[PriceRecord]:
    """What is to be set so that the wanted prices hold; what holds already is left out. That
    nothing is set is no price of nothing: others of the file may come before it. CommandError for a
    markup on a cost that is neither set nor before it."""
    known = list(present)
    book = PriceBook(known)
    for given in wanted:
        effective = given.effective and moment_us(given.effective, now_us)
        at_us, made = effective or now_us, record(given, effective or 0)
        if given.upstream is None:
            holding = book.customer(given.model, at_us)
        else:
            holding = book.cost(given.model, given.upstream, at_us)
        dated = effective is None or holding.effective_us == effective
        if not (holding.version and dated and _same(made, holding)):
            _check_cost(made, known, at_us)
            known.append(msgspec.structs.replace(made, effective_us=at_us))
            yield made


def _check_cost(made: PriceRecord, known: Iterable[PriceRecord], at_us: int) -> None:
    if made.markup_bp is None:
        return
    for each in known:
        if (each.model, each.upstream) == (
            made.model,
            made.markup_of,
        ) and each.effective_us <= at_us:
            return
    where = f"{made.model!r} at {made.markup_of!r}"
    raise CommandError(f"a markup needs the cost that it follows: none is set for {where}")


def parse(text: str) -> list[PriceEntry]:
    """A JSON array (or an object with one under "price"), or CSV with a line of headings.

    An empty CSV field is left out. CommandError says what is wrong where."""
    try:
        if text.lstrip()[:1] in ("[", "{"):
            found = msgspec.json.decode(text, type=list[dict[str, object]] | dict[str, object])
            rows = found if isinstance(found, list) else found.get("price")
        else:
            rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(_lines(text))]
        return msgspec.convert(rows, list[PriceEntry])
    except (msgspec.DecodeError, csv.Error, AttributeError, TypeError) as error:
        raise CommandError(f"no list of prices: {error}") from None


def as_csv(entries: Sequence[PriceEntry]) -> str:
    """With all columns, so that a table can be edited and imported again."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(each) for each in entries)
    return text.getvalue()


def markup_bp(text: str) -> int:
    """ "20%" is 12,000 basis points: the cost and a fifth more; "-5%" is 9,500."""
    try:
        points = (Decimal(text.strip().removesuffix("%")) + 100) * 100
    except ArithmeticError:  # no number, or one beyond all bounds
        points = Decimal(-1)
    if not points.is_finite() or not 0 <= points <= MARKUP_BP_MAX or points != int(points):
        raise CommandError(f"'{text}' is no markup: write 20% or 12.5%")
    return int(points)


def markup_text(points: int) -> str:
    text = f"{Decimal(points) / 100 - 100:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def allowance(text: str) -> Allowance:
    """ "100000 tokens/month", "50 requests/day"; the span may be total, day, week or month."""
    words = ALLOWANCE.fullmatch(text.strip())
    try:
        given = {"amount": int(words[1]), "unit": words[2], "span": words[3]} if words else {}
        return msgspec.convert(given, Allowance)
    except msgspec.ValidationError:
        message = f"'{text}' is no allowance: write 100000 tokens/month or 50 requests/day"
        raise CommandError(message) from None


def free_text(free: Allowance | None) -> str | None:
    return None if free is None else f"{free.amount} {free.unit}/{free.span}"


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text.removeprefix("\ufeff"))


def _per_million(pico: int | None) -> str | None:
    return None if pico is None else usd_per_million(pico)


def _pico(amount: Amount | None) -> int | None:
    return None if amount is None else pico_per_token(str(amount))


def _has_amounts(made: PriceRecord) -> bool:
    return any(getattr(made, name) for name in CHARGED)


def _same(made: PriceRecord, holding: PriceRecord) -> bool:
    if made.free != holding.free:
        return False
    if made.markup_bp is not None or holding.markup_bp is not None:
        return (made.markup_bp, made.markup_of) == (holding.markup_bp, holding.markup_of)
    return all(getattr(made, name) == getattr(holding, name) for name in CHARGED)
