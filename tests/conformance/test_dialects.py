"""Every conformance case through a whole worker on each dialect's fake: none is silently wrong.

A case passes; or it is refused in the very words of the capability matrix, about a field that it
asks for and the dialect cannot have; or the dialect does it in another way, which is written down
in `otherwise.py` and judged by that. Whatever else comes back is a failure; no case is left out.
"""

import concurrent.futures
import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pytest

from baton.routing.matrix import PROBES, cell, pairs
from baton.upstreams import registry
from baton.upstreams.base import Capabilities
from tests.asking import Answer, Endpoint
from tests.conformance.cases import CAPABILITIES, FILES, Case, load
from tests.conformance.checks import registry as checks
from tests.conformance.large import large_cases
from tests.conformance.otherwise import OTHERWISE, otherwise
from tests.conformance.runner import run_case
from tests.fakes import word_model
from tests.fakes.dialects import FAKES
from tests.fakes.fake_completions import FakeCompletions
from tests.relaying import relaying

CASES = [*(case for path in FILES for case in load(path)), *large_cases()]
KNOWN = checks()
THREADS = 4
UNSUPPORTED = "unsupported_parameter"
REFUSED = {
    "anthropic": 54,
    "azure": 20,
    "baton": 5,
    "deepseek": 36,
    "fireworks": 25,
    "gemini": 43,
    "llama-server": 19,
    "mistral": 48,
    "ollama": 34,
    "openai": 20,
    "openai-chat": 28,
    "sglang": 5,
    "together": 46,
    "vllm": 5,
}
"""Cases of each dialect that are refused: a change that refuses more has to say so here. Of those
on every dialect 5 are about the tokenizer, which is served of the embedded model alone."""
TOKENIZER_ROUTES = ("/tokenize", "/detokenize", "/tokenizer_info")


class Sent(NamedTuple):
    """A request of a case, or of one of its checks, and what came of it."""

    path: str
    body: dict[str, Any]
    strict: bool
    answer: Answer


@dataclasses.dataclass(frozen=True)
class Caller(Endpoint):
    """Keeps what it sent, and knows the vocabulary of the fakes.

    A check that needs an id is told it by their model: the worker serves no tokenizer of a relayed
    one, which is what the cases of that are told."""

    sent: list[Sent] = dataclasses.field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        answer = super().ask(method, path, body, headers)
        strict = "x-baton-strict" in (headers or {})
        self.sent.append(Sent(path, fields_of(body), strict, answer))
        return answer

    def post(self, path: str, body: object, **headers: str | None) -> Answer:
        if path != "/tokenize":
            return super().post(path, body, **headers)
        assert isinstance(body, dict)
        told = {"tokens": word_model.encode(body["prompt"])}
        return Answer(200, {}, json.dumps(told).encode())


def fields_of(body: bytes | None) -> dict[str, Any]:
    """Of a request that is a JSON object; of any other none."""
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@functools.cache
def refusals(dialect: str) -> dict[str, tuple[str, ...]]:
    """What the matrix refuses, by the words it does it with: the fields that are asked for."""
    native = native_of(dialect)
    found: dict[str, tuple[str, ...]] = {}
    for probes in (*((probe,) for probe in PROBES), *pairs()):
        told = cell(native, *probes)
        if told.kind == "refused":
            asked = tuple(field for probe in probes for field in probe.fields)
            found.setdefault(told.note, asked)
    return found


@functools.cache
def filled(dialect: str) -> frozenset[str]:
    """Fields that Baton fills, which a strict request is refused for."""
    cells = ((probe, cell(native_of(dialect), probe)) for probe in PROBES)
    return frozenset(
        field for probe, told in cells if told.kind == "filled" for field in probe.fields
    )


def native_of(dialect: str) -> Capabilities:
    return registry.dialect(dialect).adapter().capabilities


def documented(sent: Sent, dialect: str) -> bool:
    """Whether a field that was asked for is refused, as the matrix says it."""
    if sent.answer.status != 400 or sent.answer.error["code"] != UNSUPPORTED:
        return False
    param, message = sent.answer.error["param"], sent.answer.error["message"]
    if sent.path.endswith(TOKENIZER_ROUTES):
        return bool(param == "model" and "its vocabulary is not here" in message)
    if sent.strict and param in filled(dialect):
        return param in sent.body
    asked = refusals(dialect).get(message, ())
    return param in sent.body and param in asked and f"'{param}'" in message


def verdict(case: Case, caller: Caller, dialect: str) -> str:
    """pass, refused, or what is wrong; a case is refused where the last that it sent is."""
    instead = otherwise(case.id, dialect, native_of(dialect))
    if instead is not None:
        case = msgspec.structs.replace(case, expect=instead)
    result = run_case(case, caller, CAPABILITIES, KNOWN)
    if result.outcome == "pass":
        return "pass"
    return "refused" if documented(caller.sent[-1], dialect) else str(result)


@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_every_case(tmp_path: pathlib.Path, dialect: str) -> None:
    """Each passes, or is refused as documented; whatever was begun is settled or released."""
    with relaying(tmp_path, {"fake": dialect}) as relay:
        if isinstance(relay.fake, FakeCompletions):
            relay.fake.seed_step = 1
        place = (relay.url, relay.user.key, relay.user.model)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(lambda case: verdict(case, Caller(*place), dialect), CASES))
    wrong = [told for told in found if told not in ("pass", "refused")]
    assert not wrong, "\n".join([f"{len(wrong)} on {dialect}:", *wrong])
    assert REFUSED[dialect] == found.count("refused")
    assert {"settled", "released"} >= {row.state for row in relay.rows()}


def test_every_dialect_is_here() -> None:
    """One that can be configured cannot be left out."""
    assert set(registry.names()) == set(FAKES)


def test_how_much_is_otherwise() -> None:
    """Few, all of them of cases that there are, and each said why."""
    assert 15 == len(OTHERWISE)
    assert {case for case, _ in OTHERWISE} <= {case.id for case in CASES}
    assert all(found.reason for _, found in OTHERWISE)
