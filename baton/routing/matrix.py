"""The capability matrix: each field of the contract on each dialect, as the planner decides. Pure.

Nothing here is a statement of its own: a cell is what `capabilities.fills` answers to a request
that asks for that field alone. The page docs/reference/capabilities.md is made of it, and the tests
that enumerate all fields, pairs of fields and dialects take their requests from here.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Literal

import msgspec

from baton.engine_fields import TYPES
from baton.errors import RequestError
from baton.protocol import CompletionRequest
from baton.routing.capabilities import fills
from baton.upstreams.base import Capabilities

Kind = Literal["native", "filled", "refused"]
Asked = Mapping[str, object]


class Probe(msgspec.Struct, frozen=True):
    """A row: a field, how it is asked for, and what to call that."""

    label: str
    fields: tuple[str, ...]
    """The contract's names of what is asked, any of which a refusal may name."""
    asked: Asked
    """Fields of a CompletionRequest; values that stand out, to be found again on a wire."""


class Cell(msgspec.Struct, frozen=True):
    kind: Kind
    note: str = ""
    """What Baton does, or what would work."""


PROMPT = "the river"
PROBES = (
    Probe("prompt", ("prompt",), {}),
    Probe("prompt: several", ("prompt",), {"prompts": [PROMPT, "a b"]}),
    Probe("prompt: token ids", ("prompt",), {"prompts": [[1, 2, 3]]}),
    Probe("max_tokens", ("max_tokens",), {"max_tokens": 7}),
    Probe("max_tokens: 0", ("max_tokens",), {"max_tokens": 0}),
    Probe("temperature: up to 1", ("temperature",), {"temperature": 0.625}),
    Probe("temperature: above 1", ("temperature",), {"temperature": 1.625}),
    Probe("top_p", ("top_p",), {"top_p": 0.875}),
    Probe("presence_penalty", ("presence_penalty",), {"presence_penalty": 0.375}),
    Probe("frequency_penalty", ("frequency_penalty",), {"frequency_penalty": -0.375}),
    Probe("logit_bias", ("logit_bias",), {"logit_bias": {17: 3.5}}),
    Probe("seed", ("seed",), {"seed": 4711}),
    Probe("stop: up to 4", ("stop",), {"stop": ["~stop1", "~stop2"]}),
    Probe("stop: up to 16", ("stop",), {"stop": [f"~stop{letter}" for letter in "abcdefgh"]}),
    Probe("n", ("n",), {"n": 3, "best_of": 3}),
    Probe("n: at temperature 0", ("n",), {"n": 3, "best_of": 3, "temperature": 0.0}),
    Probe("best_of", ("best_of",), {"best_of": 4}),
    Probe("suffix", ("suffix",), {"suffix": " of stone"}),
    Probe("echo", ("echo",), {"echo": True}),
    Probe("echo with logprobs", ("echo", "logprobs"), {"echo": True, "logprobs": 2}),
    Probe("logprobs: up to 5", ("logprobs",), {"logprobs": 2}),
    Probe("logprobs: up to 20", ("logprobs",), {"logprobs": 20}),
    Probe("user", ("user",), {"user": "somebody"}),
    Probe("stream", ("stream",), {"stream": True}),
)


def request(*probes: Probe) -> CompletionRequest | None:
    """A request that asks for all of these; None where they are not one valid request."""
    asked: dict[str, object] = {"prompts": [PROMPT], "max_tokens": 5}
    changed: set[str] = set()
    for probe in probes:
        if changed & probe.asked.keys() - {"best_of"}:
            return None
        changed |= probe.asked.keys()
        asked |= probe.asked
    made = msgspec.convert({"model": "m", **asked}, CompletionRequest)
    ranked = made.best_of > made.n
    if made.best_of < made.n or (ranked and made.stream) or (made.echo and made.suffix):
        return None
    return made


def pairs() -> Iterator[tuple[Probe, Probe]]:
    """Any two rows that one valid request can ask for together."""
    return (pair for pair in combinations(PROBES, 2) if request(*pair) is not None)


def cell(native: Capabilities, *probes: Probe) -> Cell:
    """What becomes of a request that asks for this (or these) on an upstream of this kind."""
    asked = request(*probes)
    assert asked is not None
    try:
        needed = fills(asked, native)
    except RequestError as error:
        return Cell("refused", error.message)
    names = {field for probe in probes for field in probe.fields}
    if names in ({"prompt"}, {"suffix"}):  # a chat is asked for what is missing behind or between
        names.add("continuation")
    mine = [fill for fill in needed if fill in names]
    return Cell("filled", ", ".join(mine)) if mine else Cell("native")


def markdown(dialects: Mapping[str, Capabilities]) -> str:
    """The table, rows for fields and columns for dialects."""
    lines = [_row(["field", *dialects]), _row(["---"] * (len(dialects) + 1))]
    for probe in PROBES:
        kinds = [cell(native, probe).kind for native in dialects.values()]
        lines.append(_row([probe.label, *kinds]))
    return "\n".join(lines) + "\n"


def engine_markdown(dialects: Mapping[str, Capabilities]) -> str:
    """Fields of one engine: where they can be forwarded."""
    able = {name: native for name, native in dialects.items() if native.fields}
    lines = [_row(["field", *able]), _row(["---"] * (len(able) + 1))]
    for field in TYPES:
        said = ["where listed" if field in native.fields else "ignored" for native in able.values()]
        lines.append(_row([field, *said]))
    return "\n".join(lines) + "\n"


def remedies(dialects: Mapping[str, Capabilities]) -> str:
    """What the refusals say, field by field."""
    lines = []
    for probe in PROBES:
        said: dict[str, list[str]] = {}
        for name, native in dialects.items():
            found = cell(native, probe)
            if found.kind == "refused":
                said.setdefault(found.note.partition(": ")[2], []).append(name)
        lines += [f"- {probe.label} — {', '.join(who)}: {what}" for what, who in said.items()]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
