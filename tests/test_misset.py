"""What is said of settings that cannot be used, or that nobody can mean."""

from typing import Annotated, Literal

import msgspec
import pytest

from baton import misset
from baton.config import Settings

FIELDS = Settings.__struct_fields__


@pytest.mark.parametrize(
    ("name", "hint", "value", "said"),
    [
        ("workers", Annotated[int, msgspec.Meta(ge=1, le=64)], "x", "a whole number from 1 to 64"),
        (
            "a_s",
            Annotated[float, msgspec.Meta(gt=0, le=9)],
            "x",
            "a number of seconds above 0, at most 9",
        ),
        (
            "a_ms",
            Annotated[float, msgspec.Meta(ge=1, le=9)],
            "x",
            "a number of milliseconds from 1 to 9",
        ),
        ("a", bool, "x", "true or false"),
        ("a", str, 1, "a text"),
        ("a", Annotated[str, msgspec.Meta(min_length=1)], "", "a text that is not empty"),
        (
            "a",
            Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")],
            "eur",
            "a text of the form [A-Z]{3}",
        ),
        ("a", Literal["b", "c"], "d", "'b' or 'c'"),
    ],
)
def test_kinds(name: str, hint: object, value: object, said: str) -> None:
    """What was given, and what is expected, with unit and range."""
    assert f"is {value!r}, not {said}" == misset.kind(name, hint, value)


@pytest.mark.parametrize("name", ["admin_key", "webhook_secret", "database_url"])
def test_what_may_be_secret_is_not_said(name: str) -> None:
    """Only what is expected."""
    assert "is not a text" == misset.kind(name, str, ["sk-very-secret"])


def judged(name: str, good: list[str], bad: list[str], why: str) -> None:
    """Nothing is said of the good ones, and `why` of each bad one."""
    judge = misset.JUDGES[name]
    assert [None] * len(good) == [judge(each) for each in good]
    assert [True] * len(bad) == [why in (judge(each) or "") for each in bad]


def test_models() -> None:
    """Paths and known names may be anything; names on a hub or in a package are whole, and a URL
    is none."""
    good = ["", "none", "smollm2-135m-instruct", "/a/b.gguf", "a:b.gguf", "hf:me/toy:Q8_0"]
    judged("model", [*good, "hf://me/toy", "package:toy==1.0"], [], "")
    judged(
        "model", [], ["hf:toy", "hf:me/../x", "https://hub/me/toy", "package:toy"], "write it as"
    )


def test_settings_that_change_nothing_without_another() -> None:
    """Each is told where the other is off, and neither where it is on nor where it is as usual."""
    usual = msgspec.structs.asdict(Settings())
    other = {str: "x", int: 3, float: 0.25, bool: None}
    on = {"database_url": "x", "webhook_url": "x", "otel_url": "x", "currency": "EUR"}
    for name, needed in misset.NEEDED.items():
        assert {name, needed} <= usual.keys()
        off = misset.WITHOUT.get(needed, type(usual[needed])())
        value = other[type(usual[name])]
        given = {**usual, needed: off, name: not usual[name] if value is None else value}
        (said,) = misset.idle(given, usual)
        assert said.startswith(f"BATON_{name.upper()} changes nothing with")
        assert f"BATON_{needed.upper()}" in said
        assert [] == misset.idle({**given, needed: on.get(needed, usual[needed])}, usual)
    assert [] == misset.idle(usual, usual)
    assert [] == misset.idle({**usual, "model": "none"}, usual)


@pytest.mark.parametrize("name", ["public_url", "admin_url", "otel_url"])
def test_addresses(name: str) -> None:
    """Whole ones, with a path where wanted; "" stands for none."""
    good = [
        "",
        "http://a",
        "https://a.test:1/b/",
        "HTTP://[::1]:8080",
        "https://ключ.test",
        "http://u:p@a",
        "http://a:65535/b",
    ]
    bad = [
        "http://a:65536/b",
        "a.test",
        "a.test:80",
        "ftp://a",
        "http://",
        "http://a b",
        "https://a?b",
        "http:/a",
        " http://a",
        "http://[1.2.3.4]",
        "http://[:]:80",
        "http://a:١",
        "http://a℀b",
    ]
    judged(name, good, bad, "is no address")


def test_origins() -> None:
    """As browsers send them, or they would never be met; extensions have schemes of their own."""
    good = [
        "",
        "*",
        "null",
        "https://a.test, http://localhost:3000/",
        "chrome-extension://abc",
        "http://[::1]:1",
    ]
    bad = [
        "a.test",
        "http://a.test/b",
        "https://A.test",
        "http://a:80",
        "https://a:443",
        "https://*.a",
        "http://a, b",
    ]
    judged("cors_origins", good, bad, "which is no origin")


def test_hosts() -> None:
    """Names, what ends so, addresses and networks, and nothing around them."""
    good = [
        "",
        "relay.example.org, *.Example.org.",
        "localhost,10.0.0.1",
        "[::1],::1",
        "10.0.0.0/8, fd00::/8",
        "xn--fiq228c.test",
    ]
    bad = [
        "*",
        "https://a.test",
        "a.test:80",
        "a.test/b",
        "[::1]:80",
        "a, b c",
        "*a.test",
        "a.*",
        "a..b",
        "例子.test",
        "10.0.0.0/33",
    ]
    judged("allowed_hosts", good, bad, "which is no host")


def test_percents() -> None:
    """Thresholds in order; what is none is refused."""
    assert (5, 80) == misset.percents("80, 5,80")
    bad = ["abc", "0", "101", "50,", "1.5"]
    judged("webhook_percents", ["1", "50,80,100"], bad, "not percents from 1 to 100")


def test_places() -> None:
    """A host, in brackets where it has colons, and a port."""
    good = ["", "127.0.0.1:9090", "[::1]:9090", "localhost:0", "relay.internal:65535", "0:1"]
    bad = ["9090", ":9090", "::1:9090", "a:65536", "a:-1", "a:b", "a", "a:", "http://a:1", "a:1/b"]
    bad += ["a:1 ", "u@a:1", "[::1]", "[a]b:1", "[127.0.0.1]:1", "[::1::]:1", "a:١", "a℀b:1"]
    judged("admin_listen", good, bad, "not a host and a port")


def test_a_variable_that_is_no_setting_is_told() -> None:
    """With what may be meant; keys of upstreams have names of the operator's choice."""
    given = {"BATON_PROT": "1", "BATON_PORT": "1", "BATON_UPSTREAM_GPU_KEY": "x", "PORT": "1"}
    assert ["BATON_PROT is no setting: is BATON_PORT meant?"] == misset.misspelt(given, FIELDS)
    assert ["BATON_QQQQ is no setting."] == misset.misspelt({"BATON_QQQQ": ""}, FIELDS)
