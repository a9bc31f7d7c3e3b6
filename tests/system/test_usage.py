"""Usage that is absent, wrong or nonsense, on every dialect's wire.

The caller never sees it, and the ledger has what is right, or is marked as estimated."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from baton.upstreams import registry
from tests.asking import Answer
from tests.bookkeeping import PRICE
from tests.fakes.dialects import FAKES, said
from tests.relaying import Relay, relaying

PROMPT, TEXT = "the river is", "slow and cold"
MAX_TOKENS, CHOICES = 8, 2
WIRES = {
    "ollama": ("prompt_eval_count", "eval_count"),
    "anthropic": ("input_tokens", "output_tokens"),
    "gemini": ("promptTokenCount", "candidatesTokenCount"),
}
OTHERS = ("prompt_tokens", "completion_tokens")
"""How the dialects say how many tokens prompt and answer have."""
NONSENSE: dict[str, tuple[Any, Any]] = {
    "absent": (None, None),
    "negative prompt": (-5, 3),
    "negative completion": (5, -3),
    "2^63": (2**63, 2**63),
    "2^200": (2**200, 1),
    "fractions": (1.5, 2.5),
    "texts": ("5", "many"),
    "an object": ({}, []),
    "true": (True, True),
    "zeros": (0, 0),
    "a prompt of gigabytes": (500_000_000, 3),
    "more than was asked for": (5, 500_000_000),
    "a little more than was asked for": (5, MAX_TOKENS * CHOICES + 1),
}


class Reporting:
    """A worker with an upstream of each dialect; a model is called as its dialect."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.asked: dict[str, tuple[str, dict[str, Any]]] = {}
        """What was shown of each request, by its id, with a name for it."""

    def ask(self, dialect: str, stream: bool, usage: tuple[Any, Any] | None) -> Answer:
        fake = self.relay.fakes[dialect]
        if usage is not None:
            told = dict(zip(WIRES.get(dialect, OTHERS), usage, strict=True))
            native = registry.dialect(dialect).adapter().capabilities
            fake.fault(usage=told, times=1 if native.n else CHOICES)
        fake.script(*[said(TEXT)] * CHOICES)
        options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return self.relay.user.complete(
            model=dialect, prompt=PROMPT, n=CHOICES, max_tokens=MAX_TOKENS, **options
        )

    def check(self) -> None:
        """The ledger has what the caller was shown, marked where it was not the upstream's own."""
        rows = {row.request_id: row for row in self.relay.rows()}
        for name, (label, usage) in self.asked.items():
            row = rows[name]
            counts = (row.prompt_tokens, row.completion_tokens)
            assert (usage["prompt_tokens"], usage["completion_tokens"]) == counts, label
            assert ("settled", "right" not in label) == (row.state, row.estimated), label
            assert 0 == row.overrun, label


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reporting]:
    home: pathlib.Path = tmp_path_factory.mktemp("reporting")
    with relaying(home, {name: name for name in FAKES}) as relay:
        for name in FAKES:
            relay.store.prices.set(msgspec.structs.replace(PRICE, model=name), "test")
            relay.store.upstreams.update(name, "test", models={name: "theirs"})
        while relay.user.get(f"/v1/models/{list(FAKES)[-1]}").status == 404:
            pass  # a change is in force within a second
        found = Reporting(relay)
        yield found
    found.check()


def usage_of(answer: Answer, stream: bool) -> dict[str, Any]:
    assert 200 == answer.status, answer.text
    if not stream:
        return dict(answer.json["usage"])
    assert answer.events is not None
    assert "[DONE]" == answer.events[-1], answer.events[-1]
    return dict(json.loads(answer.events[-2])["usage"])


def check_shown(usage: dict[str, Any], dialect: str) -> None:
    """Whole numbers that can be: of so many bytes, and of so much as was asked for."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    native = registry.dialect(dialect).adapter().capabilities
    details = [*usage["prompt_tokens_details"].values()]
    generated = [*usage["completion_tokens_details"].values()]
    for count in (prompt, completion, *details, *generated):
        assert type(count) is int
        assert count >= 0
    assert prompt + completion == usage["total_tokens"]
    assert max(details) <= prompt
    assert max(generated) <= completion
    assert 0 < prompt <= len(PROMPT) + native.wrapping_tokens
    assert 0 < completion <= MAX_TOKENS * CHOICES


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", sorted(FAKES))
def test_usage(reporting: Reporting, dialect: str, stream: bool) -> None:
    """A right report first, and then everything else."""
    wrong = []
    for label, usage in {"right": None, **NONSENSE}.items():
        answer = reporting.ask(dialect, stream, usage)
        try:
            shown = usage_of(answer, stream)
            check_shown(shown, dialect)
        except AssertionError as error:
            wrong.append(f"{label}: {error}")
            continue
        name = f"{dialect}{' streamed' * stream}: {label}"
        reporting.asked[answer.headers["x-request-id"]] = name, shown
    assert not wrong, "\n".join(wrong)
