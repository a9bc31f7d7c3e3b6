"""Answers of an upstream that means harm, as bytes, each with what must come of it.

`TEXT` is what a case that is harmless after all must give; every other case must end in an
UpstreamError. Endless answers are given by a generator and cut by the limits under test. The call
that they answer is `CALL`, streamed or not.
"""

import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from baton.semantics.events import Call
from tests.fakes.wire import LAST_CHUNK, chunk, chunked_head, whole

CALL = Call(model="m", prompts=["p"], max_tokens=4)
TEXT = "good"
JSON_TYPE = "Content-Type: application/json"
STREAM_TYPE = "Content-Type: text/event-stream"

Parts = Callable[[], Iterable[bytes]]


class Case(msgspec.Struct, frozen=True):
    name: str
    parts: Parts
    stream: bool
    harmless: bool = False
    """Answered as if nothing were wrong: text TEXT, usage believable or absent."""
    text: str = TEXT


def choice(**more: Any) -> dict[str, Any]:
    return {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop", **more}


def answer(*choices: Any, **more: Any) -> bytes:
    return json.dumps({"object": "text_completion", "choices": choices, **more}).encode()


def body(*choices: Any, **more: Any) -> Parts:
    return lambda: [whole(answer(*choices, **more), JSON_TYPE)]


def raw_body(content: bytes, *headers: str) -> Parts:
    return lambda: [whole(content, *(headers or (JSON_TYPE,)))]


def stream(*events: bytes) -> Parts:
    frames = [chunk(b"data: " + event + b"\n\n") for event in events]
    return lambda: [chunked_head(STREAM_TYPE), *frames, LAST_CHUNK]


def raw_stream(content: bytes, size: int = 0) -> Parts:
    pieces = [content[at : at + size] for at in range(0, len(content), size)] if size else [content]
    return lambda: [chunked_head(STREAM_TYPE), *map(chunk, pieces), LAST_CHUNK]


def endless(first: bytes, then: bytes) -> Parts:
    def parts() -> Iterator[bytes]:
        yield first
        while True:
            yield then

    return parts


def head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("latin-1")


GOOD = answer(choice())
GOOD_EVENT = b"data: " + GOOD + b"\n\ndata: [DONE]\n\n"
OK = "HTTP/1.1 200 OK"
BOMB = gzip.compress(bytes(10_000_000))
LENGTH = f"Content-Length: {len(GOOD)}"

HEADS = {
    "endless status line": endless(b"HTTP/1.1 200 ", b"O" * 4096),
    "endless header line": endless(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 4096),
    "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-Many: yes\r\n" * 100),
    "endless header name": endless(b"HTTP/1.1 200 OK\r\n", b"a" * 4096),
    "many small headers": lambda: [
        head(OK, LENGTH, JSON_TYPE, *(f"X-{n}: y" for n in range(101))) + GOOD
    ],
    "one large header": lambda: [head(OK, LENGTH, JSON_TYPE, f"X: {'a' * 40_000}") + GOOD],
    "endless interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "switching protocols": lambda: [head("HTTP/1.1 101 Switch", "Upgrade: h2c") + GOOD],
    "not HTTP": lambda: [b"220 mail.example.com ESMTP\r\n\r\n"],
    "another HTTP": lambda: [head("HTTP/2.0 200 OK", LENGTH) + GOOD],
    "binary": lambda: [bytes(range(256))],
    "bad status": lambda: [head("HTTP/1.1 2x0 OK", LENGTH) + GOOD],
    "two lengths": lambda: [head(OK, JSON_TYPE, LENGTH, "Content-Length: 5") + GOOD],
    "negative length": lambda: [head(OK, JSON_TYPE, "Content-Length: -1") + GOOD],
    "huge length": lambda: [head(OK, JSON_TYPE, f"Content-Length: {2**70}") + GOOD],
    "length and chunks": lambda: [
        head(OK, JSON_TYPE, LENGTH, "Transfer-Encoding: chunked") + chunk(GOOD) + LAST_CHUNK
    ],
    "coded chunks": lambda: [
        head(OK, JSON_TYPE, "Transfer-Encoding: gzip, chunked") + chunk(GOOD) + LAST_CHUNK
    ],
    "unknown transfer coding": lambda: [head(OK, JSON_TYPE, "Transfer-Encoding: x") + GOOD],
    "folded header": lambda: [head(OK, JSON_TYPE, LENGTH, "X: a", " b") + GOOD],
    "bare line feeds": lambda: [f"HTTP/1.1 200 OK\n{LENGTH}\n\n".encode() + GOOD + b"\r\n\r\n"],
    "null in a header": lambda: [head(OK, JSON_TYPE, LENGTH, "X: a\0b") + GOOD],
    "space before colon": lambda: [head(OK, JSON_TYPE, f"Content-Length : {len(GOOD)}") + GOOD],
    "gzip body": raw_body(gzip.compress(GOOD), JSON_TYPE, "Content-Encoding: gzip"),
    "gzip in capitals": raw_body(gzip.compress(GOOD), JSON_TYPE, "CONTENT-ENCODING: GZIP"),
    "second encoding": raw_body(
        GOOD, JSON_TYPE, "Content-Encoding: identity", "Content-Encoding: br"
    ),
    "gzip bomb": raw_body(BOMB, JSON_TYPE, "Content-Encoding: gzip"),
    "deflate bomb": raw_body(
        zlib.compress(bytes(10_000_000)), JSON_TYPE, "Content-Encoding: deflate"
    ),
    "redirect": lambda: [whole(b"", "Location: http://169.254.169.254/", status="302 Found")],
    "no content": lambda: [head("HTTP/1.1 204 No Content")],
    "cut length": lambda: [head(OK, JSON_TYPE, "Content-Length: 999") + GOOD],
    "closed at once": lambda: [],
}

BODIES = {
    "no JSON": raw_body(b"<html>sorry</html>"),
    "HTML with its type": raw_body(b"<html>", "Content-Type: text/html"),
    "a stream where none was asked for": raw_body(GOOD_EVENT, STREAM_TYPE),
    "empty": raw_body(b""),
    "null": raw_body(b"null"),
    "a list": raw_body(b"[]"),
    "deep nesting": raw_body(b'{"choices":' + b"[" * 100_000),
    "deep nesting in a field": raw_body(b'{"error":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "invalid UTF-8": raw_body(GOOD.replace(b"good", b"\xff\xfe")),
    "lone surrogate": raw_body(GOOD.replace(b"good", b"\\ud800")),
    "an error with status 200": body(error={"message": "out of memory"}),
    "flat error with status 200": raw_body(b'{"object":"error","message":"no"}'),
    "no choices": body(),
    "choices null": raw_body(b'{"choices":null}'),
    "choices an object": raw_body(b'{"choices":{"0":1}}'),
    "index too large": body(choice(index=1)),
    "index negative": body(choice(index=-2)),
    "index a text": body(choice(index="0")),
    "index a fraction": body(choice(index=0.5)),
    "index huge": body(choice(index=2**70)),
    "two for one": body(choice(), choice()),
    "thousands of choices": body(*itertools.repeat(choice(text=""), 9_000)),
    "as many choices as fit": raw_body(b'{"choices":[' + b'{"index":0},' * 80_000 + b"{}]}"),
    "text a number": body(choice(text=5)),
    "text a list": body(choice(text=["a"])),
    "unknown finish_reason": body(choice(finish_reason="abort")),
    "finish_reason a number": body(choice(finish_reason=7)),
    "unfinished": body(choice(finish_reason=None)),
    "token ids as text": body(choice(token_ids=["1"])),
    "a body of 4 MB": body(choice(text="x" * 4_000_000)),
    "endless body": endless(chunked_head(JSON_TYPE), chunk(b'{"choices":[' + b" " * 60_000)),
    "endless chunk extension": endless(chunked_head(JSON_TYPE) + b"5;", b"x" * 4096),
    "endless trailers": endless(chunked_head(JSON_TYPE) + b"0\r\n", b"X: y\r\n" * 1000),
    "bad chunk size": lambda: [chunked_head(JSON_TYPE) + b"zz\r\n" + GOOD],
    "huge chunk size": lambda: [chunked_head(JSON_TYPE) + b"FFFFFFFFFFFFFFFFF\r\n" + GOOD],
}

STREAMS = {
    "no events": raw_stream(b"hello"),
    "only done": stream(b"[DONE]"),
    "nothing": raw_stream(b""),
    "only comments": raw_stream(b": ping\n\n" * 100),
    "no JSON in an event": stream(b"{", b"[DONE]"),
    "an error event": stream(answer(choice(finish_reason=None)), b'{"error":{"message":"boom"}}'),
    "an error text": stream(b'{"error":"boom","error_type":"x"}'),
    "a flat error": stream(b'{"object":"error","message":"boom"}'),
    "done before the end": stream(answer(choice(finish_reason=None)), b"[DONE]"),
    "end without finish": stream(answer(choice(finish_reason=None))),
    "text after the end": stream(GOOD, answer(choice(text="more"))),
    "index out of range": stream(answer(choice(index=7))),
    "endless event": endless(chunked_head(STREAM_TYPE), chunk(b"data: " + b"x" * 60_000)),
    "endless empty lines": endless(chunked_head(STREAM_TYPE), chunk(b"\n" * 60_000)),
    "endless comments": endless(chunked_head(STREAM_TYPE), chunk(b": x\n\n" * 10_000)),
    "endless data lines": endless(chunked_head(STREAM_TYPE), chunk(b"data:\n" * 10_000)),
    "endless null events": endless(chunked_head(STREAM_TYPE), chunk(b"data: null\n\n" * 5_000)),
    "endless text": endless(
        chunked_head(STREAM_TYPE),
        chunk(b"data: " + answer(choice(text="x" * 50_000, finish_reason=None)) + b"\n\n"),
    ),
    "JSON where a stream was asked for": raw_body(GOOD),
    "gzip stream": lambda: [
        chunked_head(STREAM_TYPE, "Content-Encoding: gzip"),
        chunk(gzip.compress(GOOD_EVENT)),
        LAST_CHUNK,
    ],
    "cut in the middle of a chunk": lambda: [chunked_head(STREAM_TYPE) + b"ffff\r\ndata: {"],
}

USAGES = {
    "negative usage": {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2},
    "usage of 2^63": {"prompt_tokens": 2**63, "completion_tokens": 1, "total_tokens": 1},
    "usage of 2^200": {"prompt_tokens": 2**200, "completion_tokens": 1, "total_tokens": 1},
    "usage in text": {"prompt_tokens": "5", "completion_tokens": "3"},
    "usage in fractions": {"prompt_tokens": 1.5, "completion_tokens": 2.5},
    "usage true": {"prompt_tokens": True, "completion_tokens": True},
    "usage a list": [1, 2, 3],
    "usage a number": 7,
    "usage a text": "5 tokens",
    "usage of zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "usage empty": {},
    "usage with odd details": {
        "prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": "none",
    },
}  # fmt: skip

SEPARATORS = "a\u2028b\u2029c\u0085d\x0be\rf\ngh"

HARMLESS_STREAMS = {
    "one byte at a time": (raw_stream(GOOD_EVENT, 1), TEXT),
    "CR line ends": (raw_stream(GOOD_EVENT.replace(b"\n", b"\r")), TEXT),
    "CRLF line ends in halves": (raw_stream(GOOD_EVENT.replace(b"\n", b"\r\n"), 7), TEXT),
    "done in the text": (stream(answer(choice(text="[DONE]")), b"[DONE]"), "[DONE]"),
    "an event in the text": (
        stream(answer(choice(text='\n\ndata: {"choices":[]}\n\n')), b"[DONE]"),
        '\n\ndata: {"choices":[]}\n\n',
    ),
    "line separators in the text": (
        stream(
            json.dumps({"choices": [choice(text=SEPARATORS)]}, ensure_ascii=False).encode(),
            b"[DONE]",
        ),
        SEPARATORS,
    ),
    "event and id fields": (raw_stream(b"event: x\nid: 1\nretry: 9\n" + GOOD_EVENT), TEXT),
    "events after done": (stream(GOOD, b"[DONE]", answer(choice(text="evil"))), TEXT),
    "no done": (stream(GOOD), TEXT),
    "finish said twice": (stream(GOOD, answer(choice(text="")), b"[DONE]"), TEXT),
    "a byte order mark": (raw_stream(b"\xef\xbb\xbf" + GOOD_EVENT), TEXT),
    "null events": (stream(b"null", GOOD, b"null", b"[DONE]"), TEXT),
    "ends by close": (lambda: [head(OK, STREAM_TYPE), GOOD_EVENT], TEXT),
    "interim answers first": (
        lambda: [
            head("HTTP/1.1 103 Early Hints", "Link: x"),
            head("HTTP/1.1 100 Continue"),
            *stream(GOOD, b"[DONE]")(),
        ],
        TEXT,
    ),
    "trailers": (
        lambda: [chunked_head(STREAM_TYPE), chunk(GOOD_EVENT), b"0\r\nX-Sum: 5\r\n\r\n"],
        TEXT,
    ),
    "no media type": (lambda: [chunked_head(), chunk(GOOD_EVENT), LAST_CHUNK], TEXT),
}


def cases() -> list[Case]:
    """All of them, by name."""
    found = [Case(name, parts, stream=False) for name, parts in (HEADS | BODIES).items()]
    found += [Case(name, parts, stream=True) for name, parts in STREAMS.items()]
    found += [
        Case(f"{name}, streamed", stream(GOOD, answer(usage=usage), b"[DONE]"), True, True)
        for name, usage in USAGES.items()
    ]
    found += [
        Case(name, body(choice(), usage=usage), False, True) for name, usage in USAGES.items()
    ]
    found += [
        Case(name, parts, True, True, text) for name, (parts, text) in HARMLESS_STREAMS.items()
    ]
    return found
