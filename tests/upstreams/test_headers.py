"""Which headers an operator may add."""

import pytest

from baton.upstreams.headers import check_headers


def test_what_may_be_added() -> None:
    """Names and values of HTTP that are not Baton's own."""
    check_headers({"OpenAI-Organization": "org-1", "X-Api-Version": 'a b; c="d"'})


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"Host": "x"}, "Baton's own"),
        ({"AUTHORIZATION": "x"}, "Baton's own"),
        ({"Proxy-Authorization": "x"}, "Baton's own"),
        ({"Content-Length": "0"}, "Baton's own"),
        ({"a b": "x"}, "no name"),
        ({"a\r\nb": "x"}, "no name"),
        ({"X-A": "x\r\nHost: y"}, "value of the header 'X-A'"),
        ({"X-A": ""}, "value of the header"),
        ({"X-A": " x"}, "value of the header"),
        ({"X-A": "é"}, "value of the header"),
        ({"X-A": "1", "x-a": "2"}, "twice"),
        ({f"X-{number}": "x" for number in range(33)}, "more than 32"),
    ],
)
def test_what_may_not(headers: dict[str, str], wrong: str) -> None:
    """Framing, the key's own header, smuggled lines; the value is never repeated."""
    with pytest.raises(ValueError, match=wrong) as caught:
        check_headers(headers)
    assert "Host: y" not in str(caught.value)
