"""Run cases against an endpoint: one result each, never an exception for what a server answers."""

import dataclasses
import http.client
import traceback
from collections.abc import Iterable, Iterator
from typing import Literal

from tests.asking import Answer, Endpoint
from tests.conformance.cases import Case, Exchange, Expected, send
from tests.conformance.checks import Check, registry, run_check
from tests.conformance.expecting import CheckFailed, expect, shown

Outcome = Literal["pass", "fail", "skip"]


@dataclasses.dataclass(frozen=True)
class Result:
    case: Case
    outcome: Outcome
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.case.id} {self.outcome}: {self.case.title}: {self.reason}"


def run_all(
    cases: Iterable[Case], endpoint: Endpoint, capabilities: frozenset[str]
) -> Iterator[Result]:
    known = registry()
    for case in cases:
        yield run_case(case, endpoint, capabilities, known)


def run_case(
    case: Case, endpoint: Endpoint, capabilities: frozenset[str], known: dict[str, Check]
) -> Result:
    """Send the case's request and check the answer; `skip` names the capabilities that lack."""
    if lacking := [need for need in case.needs if need not in capabilities]:
        return Result(case, "skip", "needs " + ", ".join(lacking))
    try:
        answer = send(case.request, endpoint, {})
        _check_answer(case.expect, answer)
        for wanted in case.expect.checks:
            run_check(known, wanted, Exchange(case, answer, endpoint))
    except CheckFailed as failure:
        return Result(case, "fail", str(failure))
    except (OSError, http.client.HTTPException) as failure:
        return Result(case, "fail", f"no answer: {failure!r}")
    except (AssertionError, ValueError, LookupError, TypeError, AttributeError):
        return Result(case, "fail", f"not as expected: {traceback.format_exc(limit=-1)}")
    return Result(case, "pass")


def _check_answer(expected: Expected, answer: Answer) -> None:
    expect(answer.status in expected.statuses, f"status {shown(answer)}, want {expected.status}")
    if expected.error is None or answer.status < 400:
        return
    error = answer.error
    expect(isinstance(error.get("message"), str) and error["message"], shown(answer))
    for name, value in expected.error.items():
        expect(error.get(name) == value, f"error.{name}={error.get(name)!r}: {shown(answer)}")
