"""Rows become tables or JSON; times are read and written in one way."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.cli.main import CommandError
from baton.cli.output import moment_us, print_fields, print_rows, when

ROWS = [{"a": 1234, "b": ["x", "y"], "c": None}, {"a": 5, "b": {"k": "v"}, "c": True}]


def test_table_has_headings_and_readable_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """Lists, mappings, flags, missing values and numbers are written for people."""
    print_rows(ROWS, {"a": "Count", "b": "Names", "c": "Flag"}, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["Count", "Names", "Flag"] == lines[0]
    assert [["1,234", "x,", "y", "-"], ["5", "k=v", "yes"]] == lines[2:]


def test_json_is_the_whole_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """--json gives every field, also those that the table leaves out."""
    print_rows(ROWS, {"a": "Count"}, as_json=True)
    assert ROWS == json.loads(capsys.readouterr().out)


def test_json_is_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal's encoding has: it stays JSON, after what was printed before."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="latin1"))
    print("é")
    print_rows([{"a": "ключ"}], {"a": "A"}, as_json=True)
    before, _, after = raw.getvalue().partition(b"\n")
    assert ("é", [{"a": "ключ"}]) == (before.decode("latin1"), json.loads(after))


def test_fields_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """One object is a line per field."""
    print_fields({"a": 1, "long": "x"}, as_json=False)
    assert "a     1\nlong  x\n" == capsys.readouterr().out


@given(st.integers(0, 4_000_000_000_000_000))
def test_exact_times_read_back(at_us: int) -> None:
    """An exported time is the same microsecond when it is applied."""
    text = when(at_us, exact=True)
    assert text is not None
    assert at_us == moment_us(text, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2h", 7_200_000_007),
        ("1w", 604_800_000_007),
    ],
)
def test_times_are_dates_iso_times_or_spans(text: str, expected: int) -> None:
    """A span counts from now; a time without a zone is UTC."""
    assert expected == moment_us(text, 7)


def test_other_times_are_refused() -> None:
    """The message shows what can be written."""
    with pytest.raises(CommandError, match="2027-01-31"):
        moment_us("soon", 0)


@pytest.mark.parametrize("text", ["3000000d", "9999-12-31T23:00:00-08:00"])
def test_times_that_no_calendar_shows(text: str) -> None:
    """They could be stored, and no list shown any more."""
    with pytest.raises(CommandError, match="later than the year 9999"):
        moment_us(text, 1_800_000_000_000_000)
    assert "9999-12-31T23:59:59Z" == when(moment_us("9999-12-31T23:59:59", 0))


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59"])
def test_times_that_the_admin_api_does_not_take(text: str) -> None:
    """The second one could be stored, too, and no list shown any more."""
    with pytest.raises(CommandError, match="before 1970"):
        moment_us(text, 0)
    assert 0 == moment_us("1970-01-01", 0)


def test_no_time_is_none() -> None:
    """What has no time shows none."""
    assert when(None) is None
    assert "1970-01-01T00:00:01Z" == when(1_999_999)


ACTING = "a\x1b]0;owned\x07\u202eb\nc\x9b2J"
WRITTEN = "a\\x1b]0;owned\\x07\\u202eb\\x0ac\\x9b2J"


@pytest.mark.parametrize("value", [ACTING, [ACTING], {"k": ACTING}])
def test_what_callers_wrote_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str], value: object
) -> None:
    """Names of keys, and the `user` of requests: with escape sequences they could move the cursor,
    set its title or turn the text round. JSON has them as they are, escaped."""
    print_rows([{"a": value}], {"a": "Name"}, as_json=False)
    print_fields({"a": value}, as_json=False)
    assert 2 == capsys.readouterr().out.count(WRITTEN)
    print_rows([{"a": value}], {"a": "Name"}, as_json=True)
    assert [{"a": value}] == json.loads(capsys.readouterr().out)
