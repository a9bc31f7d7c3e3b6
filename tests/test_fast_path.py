"""Plain requests on the fast path and in the room: the same answers, rows, lines and numbers."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from baton.telemetry.metrics import Series
from tests.asking import Answer
from tests.fakes.wire import whole
from tests.flying import CHOICE, JSON, PROMPT, USAGE, Sky, answer, body, flying

REQUESTS: dict[str, dict[str, object]] = {
    "bare": {},
    "sampled": {"temperature": 0.2, "top_p": 0.9},
    "greedy": {"temperature": 0, "top_p": 1},
    "stops": {"stop": ["\n", " end"]},
    "not streamed": {"stream": False, "n": 1},
    "one token": {"max_tokens": 4},
    "not ASCII": {"prompt": 'Øre, 漢字 und \U0001f409\u0000 "quoted"\\'},
    "long": {"prompt": "once more " * 900, "max_tokens": 4000},
}
ANSWERS: dict[str, bytes] = {
    "usual": answer(),
    "cut": answer(choices=[{**CHOICE, "finish_reason": "length"}]),
    "nothing": answer(choices=[{**CHOICE, "text": ""}]),
    "ids": answer(choices=[{**CHOICE, "token_ids": [1, 2, 3, 4], "stop_reason": 3}]),
    "escaped": answer(choices=[{**CHOICE, "text": '\u2028 "\\ \x00 \U0001f409 </script>'}]),
    "cached": answer(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 2}}),
    "details": answer(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 0}}),
    "no media type": whole(body()),
    "with a charset": whole(body(), JSON + "; charset=utf-8", "X-Other: 1"),
}
TIMES = {"id", "created", "date", "x-request-id", "openai-processing-ms"}
OWN_COLUMNS = {
    "request_id", "created_us", "key_id", "account", "seq", "epoch", "slot",
    "queue_us", "hold_us", "first_byte_us", "last_byte_us",
}  # fmt: skip
OWN_OF_LINES = {"time", "request_id", "total_ms", "first_byte_ms", "key"}


def shown(found: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but what differs between any two: every byte of its body counts."""
    lines = [(name, value) for name, value in found.headers.items() if name not in TIMES]
    text = re.sub(rb'"id":"cmpl-[0-9a-f]{36}"', b'"id":""', found.raw)
    return found.status, lines, re.sub(rb'"created":\d{10}', b'"created":0', text)


@dataclasses.dataclass
class Told:
    """What a worker says of some requests, in their order."""

    answers: list[tuple[int, list[tuple[str, str]], bytes]] = dataclasses.field(
        default_factory=list
    )
    asked: list[Any] = dataclasses.field(default_factory=list)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    counts: tuple[int, int, int] = (0, 0, 0)


def told(home: pathlib.Path, scenario: Callable[[Sky], list[Answer]], *, fast: bool) -> Told:
    """Run the scenario in a worker of its own; everything that is seen of it."""
    home.mkdir()
    log = home / "access.jsonl"
    found = Told()
    with flying(home, fast=fast, access_log=str(log)) as sky:
        found.answers = [shown(each) for each in scenario(sky)]
        sky.quiet()
        found.asked = sky.upstream.asked
        snapshot = sky.relay.run(numbers(sky))
        found.numbers, found.counts = snapshot, sky.course.counts
    for row in sky.relay.rows():
        columns = msgspec.to_builtins(row)
        found.rows.append({name: columns[name] for name in columns.keys() - OWN_COLUMNS})
        found.rows[-1]["scopes"] = columns["scopes"].replace(columns["key_id"], "key")
        assert columns["hold_us"] is not None, columns
    for line in log.read_text().splitlines():
        fields = json.loads(line)
        assert fields["key"].startswith("key_"), fields
        found.lines.append({name: fields[name] for name in fields.keys() - OWN_OF_LINES})
        found.lines[-1]["timed"] = "first_byte_ms" in fields
    return found


async def numbers(sky: Sky) -> dict[str, Any]:
    """The worker's metrics without times."""
    found = sky.relay.worker.room.books.metrics.snapshot()
    counted: dict[str, Any] = msgspec.to_builtins(found)
    counted["series"] = [series(each) for each in found.series]
    counted["journal_wait"] = sum(found.journal_wait.counts)
    for each in counted["upstreams"]:
        each.pop("state_s", None)
    return counted


def series(found: Series) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(found)
    return {
        name: sum(value["counts"]) if isinstance(value, dict) and "counts" in value else value
        for name, value in fields.items()
    }


def test_requests(tmp_path: pathlib.Path) -> None:
    """Each plain request, each answer: the same bytes to the upstream and to the caller, the same
    headers in the same order, the same columns, lines of the log and metrics."""

    def scenario(sky: Sky) -> list[Answer]:
        found = []
        with sky.warm() as caller:
            for fields in REQUESTS.values():
                found.append(caller.complete(**fields))
            for theirs in ANSWERS.values():
                sky.upstream.answers(theirs)
                found.append(caller.complete())
        return found

    fast, room = (told(tmp_path / str(f), scenario, fast=f) for f in (True, False))
    count = len(REQUESTS) + len(ANSWERS)
    assert ((count, count, 0), (0, 0, 0)) == (fast.counts, room.counts)
    names = [*REQUESTS, *ANSWERS]
    assert dict(zip(names, room.answers, strict=True)) == dict(
        zip(names, fast.answers, strict=True)
    )
    assert {200} == {status for status, _, _ in fast.answers}
    assert room.asked == fast.asked
    assert PROMPT == fast.asked[1]["prompt"]
    assert room.rows == fast.rows
    assert count + 1 == len(fast.rows)
    assert room.lines == fast.lines
    assert room.numbers == fast.numbers
