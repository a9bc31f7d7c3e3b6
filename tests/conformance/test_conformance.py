"""Every conformance case against a real server and model: none may fail or be skipped."""

import pytest

from tests.conformance.cases import CAPABILITIES, FILES, Case, load
from tests.conformance.checks import registry
from tests.conformance.large import large_cases
from tests.conformance.runner import run_case
from tests.running import Server

CASES = [*(case for path in FILES for case in load(path)), *large_cases()]
KNOWN = registry()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(server: Server, case: Case) -> None:
    """The server answers the case as it demands; one that would be skipped counts as failed."""
    result = run_case(case, server.endpoint, CAPABILITIES, KNOWN)
    assert result.outcome == "pass", str(result)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(20))
def test_published_cases_again(server: Server, turn: int) -> None:
    """The published cases pass twenty times in a row on one server."""
    for case in load(FILES[0]):
        result = run_case(case, server.endpoint, CAPABILITIES, KNOWN)
        assert result.outcome == "pass", f"turn {turn}: {result}"
