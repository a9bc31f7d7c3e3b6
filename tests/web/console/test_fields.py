"""Fields of forms become what the admin API takes, exactly, or are refused by name."""

import html
from decimal import Decimal

import jinja2
import msgspec
import pytest

from baton.errors import RequestError
from baton.web.admin_keys import KeyBody
from baton.web.console import fields
from baton.web.console.forms import Form
from baton.web.console.plain import whole


@pytest.mark.parametrize(
    ("text", "nano"),
    [("", None), ("12.50", 12_500_000_000), ("0.000000001", 1), ("$1,000", 10**12), ("0", 0)],
)
def test_amounts_are_exact(text: str, nano: int | None) -> None:
    assert nano == fields.usd(Form([("budget", text)]), "budget")


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e99", "a lot", "0.0000000001"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        fields.usd(Form([("budget", text)]), "budget")
    assert (400, "budget") == (refused.value.status, refused.value.param)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "²", "9" * 20])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(RequestError):
        fields.whole(Form([("n", text)]), "n")


def test_whole_numbers_and_lists() -> None:
    form = Form([("n", "1 000,000"), ("l", "a, b\n a,,")])
    assert 1_000_000 == fields.whole(form, "n")
    assert ("a", "b") == fields.listed(form, "l")


def test_days() -> None:
    assert 86_400 * 10**6 == fields.day_end_us(Form([("d", "1970-01-01")]), "d")
    assert fields.day_end_us(Form(), "d") is None
    with pytest.raises(RequestError):
        fields.day_end_us(Form([("d", "31.1.2027")]), "d")


def test_budgets_are_rows_with_an_amount() -> None:
    names = ("budget_amount", "budget_unit", "budget_span", "budget_zone")
    rows = [
        ("1.5", "nano_usd", "month", ""),
        ("", "tokens", "day", "UTC"),
        ("9", "tokens", "day", "Asia/Shanghai"),
    ]
    form = Form([(name, value) for row in rows for name, value in zip(names, row, strict=True)])
    assert (
        {"amount": 1_500_000_000, "unit": "nano_usd", "span": "month", "zone": "UTC"},
        {"amount": 9, "unit": "tokens", "span": "day", "zone": "Asia/Shanghai"},
    ) == fields.budgets(form)


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("1,000,000,000,000,000", "tokens", 10**15),
        (str(2**62), "tokens", 2**62),
        ("4611686018.427387904", "nano_usd", 2**62),
    ],
)
def test_a_budget_is_as_large_as_the_api_takes_it(text: str, unit: str, amount: int) -> None:
    """A form that shows one that was set elsewhere can be sent as it is."""
    fixed = [("budget_unit", unit), ("budget_span", "day"), ("budget_zone", "UTC")]
    (found,) = fields.budgets(Form([("budget_amount", text), *fixed]))
    assert amount == found["amount"]
    assert amount == fields.body(KeyBody, {"name": "n", "budgets": [found]}).budgets[0].amount


@pytest.mark.parametrize(("text", "unit"), [("9e18", "nano_usd"), ("1e19", "tokens")])
def test_more_than_64_bits_is_no_amount(text: str, unit: str) -> None:
    fixed = [("budget_unit", unit), ("budget_span", "day"), ("budget_zone", "UTC")]
    with pytest.raises(RequestError) as refused:
        fields.budgets(Form([("budget_amount", text), *fixed]))
    assert (400, "budgets") == (refused.value.status, refused.value.param)


def test_a_body_is_checked_as_json_is() -> None:
    assert "n" == fields.body(KeyBody, {"name": "n"}).name
    with pytest.raises(RequestError) as refused:
        fields.body(KeyBody, {"name": ""})
    assert (400, "name") == (refused.value.status, refused.value.param)
    assert 150_000 == fields.scaled("0.15", "input", Decimal(10**6))


@pytest.mark.parametrize(("text", "found"), [("", None), ("2.5", 2.5), (" 30 ", 30.0)])
def test_seconds(text: str, found: float | None) -> None:
    assert found == fields.seconds(Form([("s", text)]), "s")


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "soon", "1,5", "0x1"])
def test_what_are_no_seconds(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        fields.seconds(Form([("s", text)]), "s")
    assert (400, "s") == (refused.value.status, refused.value.param)


@pytest.mark.parametrize(
    ("pairs", "changed"),
    [
        ([("a", "1"), ("b", "2")], {"a": 1, "b": 2}),
        ([("a", "1"), ("b", "2"), ("was.a", "1"), ("was.b", "2")], {}),
        ([("a", "1,000"), ("b", "2"), ("was.a", "1000"), ("was.b", "3")], {"b": 2}),
        ([("a", ""), ("b", ""), ("was.a", ""), ("was.b", "1")], {"b": None}),
    ],
)
def test_what_is_not_changed_is_left_out(
    pairs: list[tuple[str, str]], changed: dict[str, object]
) -> None:
    """By what it means, not by how it is written."""
    read = {name: fields.whole for name in "ab"}
    found = fields.changed(
        Form(pairs), lambda form: {name: made(form, name) for name, made in read.items()}
    )
    assert changed == found


class Named(msgspec.Struct):
    """What a page tells of."""

    name: str


@pytest.mark.parametrize(
    "name", ["a", "a\x7fb\x85", "a\u202eb\u200d", '"\\\n\x1b', "\\u0041", "é中🜁"]
)
def test_what_a_page_told_comes_back(name: str) -> None:
    """Whatever is in it: a page writes out what a terminal would act on."""
    page = jinja2.Environment(autoescape=True).from_string("{{ told }}")
    written = page.render(told=whole(fields.told(Named(name), ["name"])))
    assert {"name": name} == fields.seen(Form([(fields.SEEN, html.unescape(written))]))
    assert fields.seen(Form()) is None


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "null", '{"a":NaN}', '{"a":' + "[" * 9_999, "\x00"]
)
def test_what_no_page_told(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        fields.seen(Form([(fields.SEEN, text)]))
    assert (400, "seen") == (refused.value.status, refused.value.param)
