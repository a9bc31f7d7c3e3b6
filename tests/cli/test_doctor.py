"""`baton doctor`: all checks in order, an exit code, and a remedy for what failed."""

from tests.cli.conftest import Cli


def test_a_sound_installation_passes(cli: Cli) -> None:
    """Every check is ok on a new data folder."""
    findings = cli.ok("doctor")
    names = [finding["check"] for finding in findings]
    assert [
        "python",
        "cpu",
        "library",
        "settings",
        "model",
        "folder",
        "store",
        "port",
        "address",
    ] == names
    assert {"ok"} == {finding["state"] for finding in findings}


def test_what_failed_has_a_remedy_and_exit_code_1(cli: Cli) -> None:
    """An upstream that is not there fails the whole, and the text says what to look at."""
    cli("upstream", "add", "gpu", "--url", "http://127.0.0.1:9/v1", "--model", "a")
    done = cli("doctor")
    assert 1 == done.code
    assert "FAILED   upstream gpu: http://127.0.0.1:9/v1" in done.out
    assert "→ look at the address with `baton upstream show gpu`" in done.out
