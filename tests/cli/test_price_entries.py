"""Prices in files: what is read is what is kept, and what is written reads back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.cli.main import CommandError
from baton.cli.price_entries import (
    PriceEntry,
    as_csv,
    entry,
    markup_bp,
    markup_text,
    new_prices,
    parse,
    record,
)
from baton.stores.base import Allowance, PriceDetails, PriceRecord

NOW_US = 10**15
picos = st.integers(0, 10**12)
ALLOWANCES = st.builds(
    Allowance,
    amount=st.integers(0, 2**53),
    unit=st.sampled_from(["tokens", "requests"]),
    span=st.sampled_from(["total", "day", "week", "month"]),
)
RECORDS = st.builds(
    PriceRecord,
    version=st.just(0),
    model=st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1),
    upstream=st.none() | st.sampled_from(["gpu", "a,b", '"']),
    effective_us=st.integers(0, NOW_US),
    input_pico=picos,
    cached_input_pico=st.none() | picos,
    output_pico=picos,
    request_nano=picos,
    details=st.none()
    | st.builds(PriceDetails, reasoning_pico=picos, cache_write_pico=st.none() | picos),
).flatmap(
    lambda made: (
        st.just(made)
        if made.upstream is not None
        else st.builds(msgspec.structs.replace, st.just(made), free=st.none() | ALLOWANCES)
    )
)


@given(st.lists(RECORDS, max_size=3), st.booleans())
def test_files_read_back(records: list[PriceRecord], as_table: bool) -> None:
    """Export and import, as CSV or JSON, keep every amount and date."""
    entries = [entry(each) for each in records]
    text = as_csv(entries) if as_table else msgspec.json.encode(entries).decode()
    read = parse(text)
    made = [record(given, each.effective_us) for given, each in zip(read, records, strict=True)]
    assert records == made


def test_what_holds_is_left_out() -> None:
    """Importing what was exported sets nothing; what differs in one kind of token is set."""
    held = PriceRecord(version=3, model="m", effective_us=5, input_pico=150_000)
    follows = msgspec.structs.replace(held, version=4, model="n", markup_bp=12_000, markup_of="gpu")
    cost = PriceRecord(version=2, model="n", upstream="gpu", effective_us=5, input_pico=125_000)
    same = [entry(held), PriceEntry(model="m", input="0.15"), entry(follows)]
    assert [] == list(new_prices(same, [cost, held, follows], NOW_US))
    assert "20%" == entry(follows).markup
    other = [
        PriceEntry(model="m", input="0.15", reasoning="1"),
        PriceEntry(model="m", input="0.15", effective="2030-01-01"),
        PriceEntry(model="n", markup="21%", markup_of="gpu"),
        PriceEntry(model="m", input="0.15", free=" 5 requests / day"),
    ]
    made = list(new_prices(other, [cost, held, follows], NOW_US))
    detailed = PriceDetails(reasoning_pico=1_000_000)
    assert [detailed, None, None, None] == [each.details for each in made]
    assert [0, 1_893_456_000_000_000, 0, 0] == [each.effective_us for each in made]
    assert Allowance(amount=5, unit="requests", span="day") == made[3].free
    assert 12_100 == made[2].markup_bp


def test_a_markup_has_a_cost() -> None:
    """Set by then, or before it in the file: another one would be missed half-way."""
    markup = PriceEntry(model="m", markup="20%", markup_of="gpu", effective="2030-01-01")
    late = PriceEntry(model="m", upstream="gpu", input="1", effective="2030-01-02")
    soon = PriceEntry(model="m", upstream="gpu", input="1", effective="2029-12-31")
    other = PriceEntry(model="n", upstream="gpu", input="1")
    for wanted in ([markup], [late, markup], [markup, soon], [other, markup]):
        with pytest.raises(CommandError, match="none is set for 'm' at 'gpu'"):
            list(new_prices(wanted, [], NOW_US))
    assert 2 == len(list(new_prices([soon, markup], [], NOW_US)))


def test_a_price_of_nothing_is_set() -> None:
    """Also where none is set yet: another one of the file may come before it, or follow it."""
    wanted = [
        PriceEntry(model="m", input="1"),
        PriceEntry(model="m", effective="2030-01-01"),
        PriceEntry(model="n", upstream="gpu"),
        PriceEntry(model="n", markup="20%", markup_of="gpu"),
    ]
    made = list(new_prices(wanted, [], NOW_US))
    assert [10**6, 0, 0, 0] == [each.input_pico for each in made]
    stored = [
        msgspec.structs.replace(each, version=n, effective_us=each.effective_us or NOW_US)
        for n, each in enumerate(made, 1)
    ]
    assert [] == list(new_prices(wanted, stored, NOW_US))


def test_tables() -> None:
    """Columns in any order; empty fields have their defaults."""
    text = "\ufeffoutput,model,cached_input,input\n0.6,m,,0.15\n"
    assert [PriceEntry(model="m", input="0.15", output="0.6")] == parse(text)
    assert parse(text) == parse('{"price": [{"model": "m", "input": "0.15", "output": "0.6"}]}')


@pytest.mark.parametrize(
    "text",
    ["", "model,colour\nm,red\n", "input\n1\n", "[1]", '{"prices": []}', "[", '[{"model": 1}]'],
)
def test_what_is_no_list_of_prices(text: str) -> None:
    """It is refused as a whole, or is empty; no traceback."""
    try:
        assert [] == parse(text)
    except CommandError:
        return


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "0.00000001"},
        {"markup": "20%"},
        {"markup_of": "gpu"},
        {"markup": "20%", "markup_of": "gpu", "input": "1"},
        {"markup": "20%", "markup_of": "gpu", "upstream": "gpu"},
        {"markup": "0.001%", "markup_of": "gpu"},
        {"markup": "lots", "markup_of": "gpu"},
        {"markup": "1e999999", "markup_of": "gpu"},
        {"free": "lots"},
        {"free": "-5 tokens/day"},
        {"free": "5 tokens/hour"},
        {"free": "5 chats/day"},
        {"free": "99999999999999999 tokens/day"},
        {"free": "5 tokens/day", "upstream": "gpu"},
    ],
)
def test_what_cannot_be_kept(fields: dict[str, str]) -> None:
    """Amounts finer than the ledger's, and markups that contradict themselves."""
    with pytest.raises(CommandError):
        record(PriceEntry(model="m", **fields), 0)


@given(st.integers(0, 10_000_000))
def test_markups_read_back(points: int) -> None:
    """Basis points as a percentage, and back."""
    assert points == markup_bp(markup_text(points))


def test_markup_texts() -> None:
    """As people write them."""
    assert ["20%", "-5.5%", "0%", "100%"] == [
        markup_text(points) for points in (12_000, 9_450, 10_000, 20_000)
    ]
