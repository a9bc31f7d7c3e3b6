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


def test_kinds_and_markup(cli: Cli) -> None:
    """Kinds of tokens have prices of their own; what callers pay can follow a cost."""
    words = ["price", "set", "small", "--input", "1", "--upstream", "gpu"]
    cost = cli.ok(*words, "--kind", "reasoning=3", "--kind", "cache_write=1.25")
    assert {"reasoning": "3.00", "cache_write": "1.25"} == cost["others"]
    followed = cli.ok("price", "set", "small", "--markup", "20%@gpu")
    assert ("1.20", "20% of gpu") == (followed["input"], followed["markup"])
    cli.ok(*words[:3], "--input", "2", "--upstream", "gpu")
    last = cli.ok("price", "list")[-1]
    assert ("2.40", None, 4) == (last["input"], last["upstream"], last["version"])
    for wrong in (["--kind", "colour=1"], ["--markup", "20%"], ["--markup", "20%@nowhere"]):
        assert 1 == cli("price", "set", "small", *wrong).code
    assert 4 == len(cli.ok("price", "list"))


def test_allowances(cli: Cli) -> None:
    """What is free is part of the price: it is listed, exported and imported, and belongs to what
    callers pay."""
    words = ["price", "set", "small", "--input", "1", "--free"]
    assert "100000 tokens/month" == cli.ok(*words, "100000 tokens/month")["free"]
    assert "100000 tokens/month" == cli("price", "export").json[0]["free"]
    assert [] == cli.ok("price", "import", "-", stdin=cli("price", "export", "--csv").out)
    for wrong in (["many"], ["5 requests/day", "--upstream", "gpu"]):
        assert 1 == cli(*words, *wrong).code


def test_files(cli: Cli) -> None:
    """A dry run changes nothing; an import sets what is not so yet; exports come back as they
    were."""
    table = "model,input,output,reasoning\nsmall,0.15,0.6,\nlarge,3,15,20\n"
    assert 2 == len(cli.ok("price", "import", "-", "--dry-run", stdin=table))
    assert [] == cli.ok("price", "list")
    assert "2 prices set." in cli("price", "import", "-", stdin=table).out
    assert [] == cli.ok("price", "import", "-", stdin=table)
    exported = cli("price", "export")
    assert ["small", "large"] == [each["model"] for each in exported.json]
    assert [] == cli.ok("price", "import", "-", stdin=exported.out)
    assert [] == cli.ok("price", "import", "-", stdin=cli("price", "export", "--csv").out)
    assert 1 == cli("price", "import", "/nowhere").code
