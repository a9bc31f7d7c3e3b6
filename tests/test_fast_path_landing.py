"""What is not plain goes on in the room, and ends as it does when it began there."""

import json
import pathlib
from typing import Any

from tests.asking import Answer
from tests.fakes.wire import LAST_CHUNK, chunk, chunked_head, whole
from tests.flying import CHOICE, JSON, USAGE, Sky, answer, body
from tests.test_fast_path import Told, told

WHOLE = answer()
HEAD = WHOLE[: -len(body())]
CHUNKED = chunked_head(JSON)
Said = tuple[tuple[bytes, ...], str]
"""The parts of an answer, and what its server does then."""


def of(**fields: object) -> Said:
    return (answer(**fields),), ""


def usage(**fields: object) -> Said:
    return of(usage={**USAGE, **fields})


def choice(**fields: object) -> Said:
    return of(choices=[{**CHOICE, **fields}])


def error(status: str, *lines: str, **fields: object) -> Said:
    told = {"error": {"message": "no", "type": "t", "param": None, "code": None, **fields}}
    return (whole(json.dumps(told).encode(), JSON, *lines, status=status),), ""


LANDING: dict[str, Said] = {
    "head in two": ((WHOLE[:40], WHOLE[40:]), ""),
    "byte by byte": ((WHOLE[:90], *(WHOLE[at : at + 1] for at in range(90, len(WHOLE)))), ""),
    "head, then body": ((HEAD, body()), ""),
    "body in two": ((WHOLE[:-20], WHOLE[-20:]), ""),
    "chunks in two reads": ((CHUNKED + chunk(body()[:9]), chunk(body()[9:]) + LAST_CHUNK), ""),
    "two chunks in one read": (
        (CHUNKED + chunk(body()[:9]) + chunk(body()[9:]) + LAST_CHUNK,),
        "",
    ),
    "without a length": ((b"HTTP/1.1 200 OK\r\n" + JSON.encode() + b"\r\n\r\n" + body(),), "close"),
    "an early hint": ((b"HTTP/1.1 103 Early Hints\r\n\r\n", WHOLE), ""),
    "500": error("500 Oh"),
    "503": error("503 Busy"),
    "400": error("400 No", param="prompt"),
    "404": error("404 No"),
    "401": error("401 No"),
    "redirect": ((whole(b"", "Location: /", status="302 Found"),), ""),
    "no content": ((b"HTTP/1.1 204 No Content\r\n\r\n",), ""),
    "empty": ((whole(b"", JSON),), ""),
    "another media type": ((whole(body(), "Content-Type: text/html"),), ""),
    "a stream": ((whole(b"data: [DONE]\n\n", "Content-Type: text/event-stream"),), ""),
    "broken JSON": ((whole(body()[:-1], JSON),), ""),
    "more than JSON": ((whole(body() + b"{}", JSON),), ""),
    "no JSON": ((whole(b"\xff\xfe", JSON),), ""),
    "compressed": ((whole(body(), JSON, "Content-Encoding: gzip"),), ""),
    "two choices": of(choices=[CHOICE, {**CHOICE, "index": 1}]),
    "the same choice twice": of(choices=[CHOICE, CHOICE]),
    "no choices": of(choices=[]),
    "another index": choice(index=1),
    "an odd index": choice(index=-2),
    "content filter": choice(finish_reason="content_filter"),
    "abort": choice(finish_reason="abort"),
    "no reason": choice(finish_reason=None),
    "an error within": of(error={"message": "no"}),
    "an error's object": of(object="error"),
    "no usage": of(usage=...),
    "null usage": of(usage=None),
    "zero usage": usage(prompt_tokens=0, completion_tokens=0),
    "negative usage": usage(prompt_tokens=-3),
    "huge usage": usage(completion_tokens=10**12),
    "usage of another shape": of(usage=[1]),
    "a part of usage": of(usage={"prompt_tokens": 3}),
    "more tokens than asked for": usage(completion_tokens=10),
    "no tokens": usage(completion_tokens=0),
    "no tokens of the prompt": usage(prompt_tokens=0),
    "more tokens than characters": usage(prompt_tokens=13),
    "more tokens than bytes": usage(prompt_tokens=900),
    "audio": usage(completion_tokens_details={"audio_tokens": 2}),
    "images": usage(prompt_tokens_details={"image_tokens": 2}),
    "more cached than there are": usage(prompt_tokens_details={"cached_tokens": 9}),
    "written to a cache": usage(prompt_tokens_details={"cache_write_tokens": 2}),
    "thought": usage(completion_tokens_details={"reasoning_tokens": 2}),
    "an end by another name": choice(finish_reason="eos_token"),
    "without text": of(choices=[{"index": 0, "finish_reason": "stop"}]),
    "long text": choice(text="a " * 600_000),
    "cut in the head": ((WHOLE[:30],), "close"),
    "cut in the body": ((WHOLE[:-5],), "close"),
    "reset in the body": ((WHOLE[:-5],), "reset"),
    "broken framing": ((b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",), ""),
    "no HTTP": ((b"hello, who is there?\r\n\r\n",), ""),
    "stale": ((), "close"),
    "stale, reset": ((), "reset"),
}
FLOWN = {"head in two", "an early hint"}
"""Plain after all: nothing is heard of an answer before its head is whole."""
LAST: dict[str, Said] = {"429": error("429 Later", "Retry-After: 7")}
"""After these the upstream is left alone."""


def run(home: pathlib.Path, cases: dict[str, Said], ways: dict[str, Any], *, fast: bool) -> Told:
    def scenario(sky: Sky) -> list[Answer]:
        found = []
        for name, (parts, then) in cases.items():
            with sky.warm() as caller:
                caller.complete()
                before = sky.course.counts
                sky.upstream.answers(*parts, then=then)
                found.append(caller.complete())
                after = sky.course.counts
                ways[name] = tuple(b - a for a, b in zip(before, after, strict=True))
        return found

    return told(home, scenario, fast=fast)


def same(tmp_path: pathlib.Path, cases: dict[str, Said], flown: set[str]) -> Told:
    """Run the cases in the room and on the fast path; what is told of both is the same."""
    ways: dict[str, Any] = {}
    room = run(tmp_path / "room", cases, {}, fast=False)
    fast = run(tmp_path / "fast", cases, ways, fast=True)
    landed = {name: (1, int(name in flown), int(name not in flown)) for name in cases}
    assert landed == ways
    for number, name in enumerate(cases):
        assert (name, room.answers[number]) == (name, fast.answers[number])
    assert room.asked == fast.asked
    rows = [*zip(room.rows, fast.rows, strict=True)]
    assert [a for a, b in rows if a != b] == [b for a, b in rows if a != b]
    lines = [*zip(room.lines, fast.lines, strict=True)]
    assert [a for a, b in lines if a != b] == [b for a, b in lines if a != b]
    assert room.numbers == fast.numbers
    return fast


def test_answers(tmp_path: pathlib.Path) -> None:
    """Of any kind: the same answer to the caller, on the ledger, in the log and in the numbers."""
    found = same(tmp_path, LANDING, FLOWN)
    assert {200, 400, 502, 503} == {status for status, _, _ in found.answers}


def test_an_upstream_that_asks_to_be_left_alone(tmp_path: pathlib.Path) -> None:
    """Its wish is the caller's, and the next request is not sent."""
    found = same(tmp_path, LAST, set())
    assert 503 == found.answers[0][0]
