"""The files of the interface, as they are served."""

from tests.fakes.web_parts import Web


def test_the_interface_is_served_without_a_key(site: Web) -> None:
    """With the address that callers use."""
    answer = site.user.ask("GET", "/openapi/relay.json", headers={"Authorization": None})
    assert (200, "application/json") == (answer.status, answer.content_type)
    assert [{"url": "https://relay.test/base"}] == answer.json["servers"]
    assert "/v1/completions" in answer.json["paths"]


def test_it_is_readable_as_it_is(site: Web) -> None:
    """One field a line: people open it in a browser."""
    assert len(site.user.get("/openapi/relay.json").text.splitlines()) > 1_000
