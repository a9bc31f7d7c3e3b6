"""The case files themselves: what they name exists, and nothing in them is there twice."""

import collections

from tests.conformance.cases import CAPABILITIES, FILES, load
from tests.conformance.checks import registry
from tests.conformance.large import large_cases

CASES = [*(case for path in FILES for case in load(path)), *large_cases()]


def _names(wanted: object) -> str:
    assert isinstance(wanted, str | list)
    return str(wanted[0]) if isinstance(wanted, list) else wanted.split(":")[0]


def test_every_check_is_known() -> None:
    """A check that no case could run would pass silently: there is none."""
    named = {_names(wanted) for case in CASES for wanted in case.expect.checks}
    assert named - set(registry()) == set()


def test_every_capability_is_known() -> None:
    """What a case needs is a capability that this server claims, so none is skipped."""
    assert {need for case in CASES for need in case.needs} - CAPABILITIES == set()


def test_ids_are_unique() -> None:
    """A case is found by its id."""
    counts = collections.Counter(case.id for case in CASES)
    assert [case_id for case_id, count in counts.items() if count > 1] == []


def test_the_published_cases_are_all_there() -> None:
    """The published file was copied whole."""
    assert len(load(FILES[0])) == 77
