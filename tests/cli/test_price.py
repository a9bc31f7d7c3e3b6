"""`baton price`: dollars per million tokens in, a dated version out."""

from tests.cli.conftest import Cli


def test_price_is_kept_exactly(cli: Cli) -> None:
    """What was typed is what is listed; the cached price follows the input where it is not set."""
    cli.ok("price", "set", "small", "--input", "0.15", "--output", "0.6")
    cli.ok("price", "set", "small", "--input", "0.1", "--cached-input", "0.05", "--request", "1")
    first, second = cli.ok("price", "list")
    assert ("0.15", "0.15", "0.60", "0.00") == tuple(
        first[name] for name in ("input", "cached_input", "output", "request")
    )
    assert (2, "0.05", "1.00") == (second["version"], second["cached_input"], second["request"])


def test_cost_and_date_are_kept(cli: Cli) -> None:
    """A price may be an upstream's, and may begin later."""
    words = ["price", "set", "small", "--upstream", "gpu", "--from", "2030-01-01"]
    made = cli.ok(*words)
    assert ("gpu", "2030-01-01T00:00:00Z") == (made["upstream"], made["effective"])


def test_what_is_no_price_is_refused(cli: Cli) -> None:
    """Nothing is stored from an amount that cannot be kept."""
    assert 1 == cli("price", "set", "small", "--input", "cheap").code
    assert [] == cli.ok("price", "list")
