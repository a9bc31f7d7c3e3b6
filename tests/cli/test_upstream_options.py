"""Headers, keys and overrides as words of a command line."""

import pytest

from baton.cli.main import CommandError
from baton.cli.upstream_options import headers_of, keys_of, overrides_of, pairs_of


def test_headers() -> None:
    """A value may hold colons; one that begins with $ is a variable."""
    given = ["X-Org: a:b", "X-Token: $TOKEN"]
    assert headers_of(given, {"TOKEN": "t"}) == {"X-Org": "a:b", "X-Token": "t"}


@pytest.mark.parametrize("given", ["X-Org", "X-Token: $TOKEN"])
def test_headers_that_say_nothing(given: str) -> None:
    """No value, or a variable that is not set."""
    with pytest.raises(CommandError):
        headers_of([given], {})


def test_keys() -> None:
    """From variables alone; an empty one is none."""
    assert keys_of(["A", "B"], {"A": "1", "B": " 2\n"}) == ("1", "2")
    with pytest.raises(CommandError, match="C, which holds a key"):
        keys_of(["C"], {"C": " "})


def test_overrides() -> None:
    """Values are JSON."""
    assert overrides_of(["a=1", 'b={"c":"d=e"}'], [], ["u"], ["seed"]) == {
        "force": {"a": 1, "b": {"c": "d=e"}},
        "default": {},
        "remove": ["u"],
        "forbid": ["seed"],
    }
    with pytest.raises(CommandError, match="write name=JSON"):
        overrides_of(["a=b"], [], [], [])


def test_words_for_models() -> None:
    """The last "=" parts them."""
    assert {"a=b": "qwen", "*": "prefill"} == pairs_of(["a=b=qwen", "*=prefill"])
