"""Who is let onto the fast path: plain requests of plain keys; all else is the room's, with its
refusals. Limits count the same on both."""

import collections
import concurrent.futures
import json
import pathlib
import time
from typing import Any

import pytest

from baton.stores.base import Allowance, PriceRecord
from tests.asking import Answer
from tests.flying import PROMPT, Kept, Sky, flying
from tests.http.serving import rest
from tests.relaying import MODEL
from tests.test_fast_path import told

PLAIN = {"model": MODEL, "prompt": PROMPT, "max_tokens": 9}


def spelled(text: str) -> bytes:
    """A plain request with this behind its fields."""
    return (json.dumps(PLAIN)[:-1] + text + "}").encode()


LONG = json.dumps({**PLAIN, "prompt": "a" * 20_000}).encode()
BODIES: dict[str, bytes] = {
    "a stream": spelled(', "stream": true'),
    "a stream, close": spelled(',"stream":true'),
    "a stream, apart": spelled(', "stream" :\t true'),
    "a stream, escaped": spelled(r', "str\u0065am": true'),
    "twice, a stream last": spelled(', "stream": false, "stream": true'),
    "no boolean": spelled(', "stream": 1'),
    "two choices": spelled(', "n": 2'),
    "of an engine": spelled(', "top_k": 5'),
    "unknown": spelled(', "zebra": 1'),
    "logprobs": spelled(', "logprobs": 1'),
    "a user": spelled(', "user": "somebody"'),
    "echo": spelled(', "echo": true'),
    "a seed": spelled(', "seed": 1'),
    "no ids": spelled(', "prompt": []'),
    "an id too high": spelled(', "prompt": [1, 2147483648]'),
    "an id below zero": spelled(', "prompt": [1, -1]'),
    "a fraction of an id": spelled(', "prompt": [1, 2.5]'),
    "ids in exponents": spelled(', "prompt": [1e2, 3.0, 0]'),
    "ids and a text": spelled(', "prompt": [1, "a"]'),
    "ids of several": spelled(', "prompt": [[1], [2]]'),
    "several prompts": spelled(', "prompt": ["a", "b"]'),
    "one stop": spelled(', "stop": "a"'),
    "more stops than its upstream takes": spelled(f', "stop": {json.dumps(list("abcdefg"))}'),
    "too many stops": spelled(f', "stop": {json.dumps(list("abcdefghijklmnopqrs"))}'),
    "a stop too long": spelled(f', "stop": ["{"a" * 300}"]'),
    "no stops": spelled(', "stop": []'),
    "null": spelled(', "stop": null, "temperature": null'),
    "usage of no stream": spelled(', "stream_options": {"include_usage": true}'),
    "options of no stream": spelled(', "stream_options": {}'),
    "too hot": spelled(', "temperature": 3'),
    "no tokens": spelled(', "max_tokens": 0'),
    "too many tokens": spelled(', "max_tokens": 100000000'),
    "a fraction": spelled(', "max_tokens": 1.5'),
    "no prompt": b'{"model": "m"}',
    "no model": b'{"prompt": "a"}',
    "an empty model": spelled(', "model": ""'),
    "another model": spelled(', "model": "other"'),
    "a long model": spelled(f', "model": "{"m" * 300}"'),
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "half a surrogate": spelled(r', "prompt": "\ud800"'),
    "no UTF-8": spelled(', "prompt": "a"')[:-2] + b"\xff" + b'"}',
    "deep": b'{"prompt": ' + b"[" * 5000,
    "long, a stream first": b'{"stream": true, ' + LONG[1:],
    "long, a stream last": LONG[:-1] + b', "stream": true}',
    "long, a stream in the middle": LONG[:-1]
    + b', "stream": true, "model": "m"'
    + b" " * 5000
    + b"}",
    "long, no JSON": LONG[:-1],
    "long, no UTF-8": LONG.replace(b"aaa", b"aa\xff", 1),
    "long, half a surrogate": LONG.replace(b"aaa", rb"a\udc00", 1),
    "long, a control character": LONG.replace(b"aaa", b"aa\x01", 1),
    "long, logprobs": LONG[:-1] + b', "logprobs": 1}',
}
LINES: dict[str, str] = {
    "strict": "x-baton-strict: true\r\n",
    "deterministic": "x-baton-deterministic: true\r\n",
    "once": "Idempotency-Key: one\r\n",
    "a page's": "Origin: https://app.test\r\n",
    "another key beside": "x-api-key: other\r\n",
}
PLAIN_BODIES: dict[str, bytes] = {
    "many stops": spelled(f', "stop": {json.dumps(list("abcd"))}'),
    "stops": spelled(r', "stop": ["", "a", "a", "\n"]'),
    "empty stops": spelled(', "stop": [""]'),
    "said twice": spelled(', "max_tokens": 5, "max_tokens": 7'),
    "escaped": spelled(r', "pr\u006fmpt": "\u0061"'),
    "not a stream": spelled(', "stream": false'),
    "a stream in the text": spelled(r', "prompt": "\"stream\" : true, and so on"'),
    "ids": spelled(', "prompt": [1, 2, 3]'),
    "an id": spelled(', "prompt" : [ 2147483647 ]'),
    "many ids": spelled(f', "prompt": {list(range(9000))}'),
    "long": LONG,
    "long and said twice": LONG[:-1] + b', "prompt": "b"}',
    "long and escaped": LONG.replace(b"aaa", rb"\u00e9\/\ud83d\ude00\\\"", 5),
    "long and full of quotes": LONG.replace(b"aa", rb"\"\""),
    "long and not ASCII": LONG.replace(b"aa", "é".encode()),
    "long, other fields first": b'{"max_tokens": 3, "stop": ["' + b"b" * 200 + b'"], ' + LONG[1:],
    "very long": LONG.replace(b"a" * 20_000, b"a" * 300_000),
}


def test_bodies(tmp_path: pathlib.Path) -> None:
    """What is not plain, in any spelling, is answered as the room answers it, and counted once."""
    left: list[str] = []

    def scenario(sky: Sky) -> list[Answer]:
        found = []
        with sky.kept() as caller:
            for name, data in (BODIES | PLAIN_BODIES).items():
                assert 200 == caller.complete().status  # the upstream is well, whatever was before
                before = sky.course.flown
                assert 200 == caller.complete().status
                flown, after = sky.course.flown - before, sky.course.boarded
                found.append(caller.post(data))
                left.extend([name] * (flown - (sky.course.boarded - after)))
        return found

    fast = told(tmp_path / "fast", scenario, fast=True)
    assert list(BODIES) == left
    room = told(tmp_path / "room", scenario, fast=False)
    names = [*BODIES, *PLAIN_BODIES]
    for name, a, b in zip(names, room.answers, fast.answers, strict=True):
        assert (name, a) == (name, b)
    assert room.asked == fast.asked
    assert (room.rows, room.lines, room.numbers) == (fast.rows, fast.lines, fast.numbers)
    assert {200, 400, 404} <= {status for status, _, _ in fast.answers}


def test_very_long_ones_are_seldom_read_twice(tmp_path: pathlib.Path) -> None:
    """One that turns out not to be plain keeps the very long ones of its key in the room, and no
    others; for a moment."""
    very_long = LONG.replace(b"a" * 20_000, b"a" * 70_000)
    with flying(tmp_path) as sky, sky.warm() as caller:
        for data, boards in (
            (very_long, True),
            (LONG[:-1] + b', "user": "u"}', False),
            (very_long[:-1] + b', "stream": true}', False),
            (very_long, True),
            (very_long[:-1] + b', "user": "u"}', False),
            (very_long, False),
            (LONG, True),
        ):
            before = sky.course.boarded
            assert 200 == caller.post(data).status
            assert (boards, len(data)) == (sky.course.boarded > before, len(data))
        before, deadline = sky.course.boarded, time.monotonic() + 10
        while sky.course.boarded == before:
            assert 200 == caller.post(very_long).status
            assert time.monotonic() < deadline


@pytest.mark.parametrize("origins", ["https://app.test", ""])
def test_heads(tmp_path: pathlib.Path, origins: str) -> None:
    """A request whose head says more is not for the fast path, also where it came before."""
    with flying(tmp_path, cors_origins=origins) as sky:
        for name, lines in LINES.items():
            with sky.warm() as caller:
                first, second = (caller.post(spelled(""), lines=lines) for _ in range(2))
                assert (name, 0) == (name, sky.course.boarded)
                assert first.status == second.status
                if name == "a page's" and origins:
                    assert origins == second.headers["access-control-allow-origin"]
                if name == "once":
                    assert "true" == second.headers["idempotent-replayed"]
        with sky.warm() as caller:
            for _ in range(2):
                assert 200 == caller.post(spelled(""), "/m/m/v1/completions").status
        assert 0 == sky.course.boarded
        sky.quiet()


def test_requests_in_parts(tmp_path: pathlib.Path) -> None:
    """Wherever they are cut, each is answered once, and so is what comes right behind."""
    pause_s = 0.002
    with flying(tmp_path) as sky, sky.warm() as caller:
        request = caller.request()
        body_at = request.index(b"\r\n\r\n") + 4
        places = [*range(1, body_at, 17), body_at - 1, body_at, body_at + 1, len(request) - 1]
        for at in places:
            caller.socket.sendall(request[:at])
            time.sleep(pause_s)
            caller.socket.sendall(request[at:])
            assert 200 == caller.receive().status
            assert 200 == caller.complete().status
        assert sky.course.flown >= len(places)
        for at in (body_at + 1, len(request) - 1):
            for part in (request[:body_at], request[body_at:at], request[at:]):
                caller.socket.sendall(part)
                time.sleep(pause_s)
            assert 200 == caller.receive().status
        caller.socket.sendall(request[:body_at])
        time.sleep(pause_s)
        caller.socket.sendall(request[body_at:] + request)
        found = b""
        while found.count(b"HTTP/1.1 200 ") < 2 or not found.endswith(b"}}}"):
            found += caller.socket.recv(65536)
        assert 1 + 2 * len(places) + 2 + 2 == len(sky.upstream.requests)
        sky.quiet()


def test_a_body_that_comes_too_late(tmp_path: pathlib.Path) -> None:
    """Behind its refusal: nobody runs it, and nobody pays for it."""
    with flying(tmp_path, body_timeout_s=0.2) as sky, sky.warm() as caller:
        head, separator, body = caller.request().partition(b"\r\n\r\n")
        for _ in range(2):
            caller.socket.sendall(head + separator)
            time.sleep(0.002)
            caller.socket.sendall(body)
            assert 200 == caller.receive().status
        caller.socket.sendall(head + separator)
        assert 408 == caller.receive().status
        caller.socket.sendall(body)
        assert b"" == rest(caller.socket)
        sky.quiet()
        assert 3 == len(sky.upstream.requests)
    assert 3 == len(sky.relay.rows())


def test_another_key_on_the_same_connection(tmp_path: pathlib.Path) -> None:
    """Is another head: each is charged what it asked for."""
    with flying(tmp_path) as sky:
        sky.relay.key("other")
        with sky.warm() as caller, sky.kept("other") as other:
            caller.complete()
            caller.socket.sendall(other.request())
            caller.receive()
            caller.socket.sendall(other.request())
            caller.receive()
            caller.socket.sendall(
                other.request()[:60].replace(b"sk-test", b"sk-fest") + b"\r\n\r\n"
            )
            assert 401 == caller.receive().status
        assert (2, 2, 0) == sky.course.counts
    assert 2 == len({row.key_id for row in sky.relay.rows()})
    keys = [row.key_id for row in sky.relay.rows()]
    assert keys[0] == keys[1] != keys[2] == keys[3]


@pytest.mark.parametrize(
    "options",
    [{"strict": True}, {"deterministic": True}, {"keep_content_days": 1}, {"networks": ["::/0"]}],
)
def test_keys_that_ask_for_more(tmp_path: pathlib.Path, options: dict[str, Any]) -> None:
    with flying(tmp_path) as sky:
        sky.relay.key("odd", **options)
        with sky.kept("odd") as caller:
            statuses = {caller.complete().status for _ in range(3)}
        assert 1 == len(statuses)
        assert (0, 3 - 1) == (sky.course.boarded, sky.course.left)
        sky.quiet()


def test_models_of_a_key(tmp_path: pathlib.Path) -> None:
    with flying(tmp_path) as sky:
        sky.relay.key("narrow", models=["other"])
        with sky.kept("narrow") as caller:
            assert [404] * 3 == [caller.complete().status for _ in range(3)]
        with sky.warm() as caller:
            assert 200 == caller.complete().status
        assert (1, 1, 0) == sky.course.counts


def test_rates(tmp_path: pathlib.Path) -> None:
    """Of many at once exactly as many pass as may; the one too many is refused as in the room."""
    many, few = 12, 8

    def scenario(sky: Sky) -> list[Answer]:
        sky.relay.key("slow", requests_per_minute=few)
        with sky.kept("slow") as caller:
            found = [caller.complete() for _ in range(few + 2)]
        for each in found:
            for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests"):
                each.headers.pop(name, None)  # type: ignore[attr-defined]
        return found

    fast, room = (told(tmp_path / str(f), scenario, fast=f) for f in (True, False))
    assert (few - 1, few - 1, 0) == fast.counts
    assert [200] * few + [429] * 2 == [status for status, _, _ in fast.answers]
    hidden = [[(s, lines) for s, lines, _ in each.answers] for each in (room, fast)]
    assert hidden[0] == hidden[1]
    assert (room.rows, room.lines, room.numbers) == (fast.rows, fast.lines, fast.numbers)
    with flying(tmp_path) as sky:
        sky.relay.key("slow", requests_per_minute=few)
        callers = [sky.kept("slow") for _ in range(many)]
        with concurrent.futures.ThreadPoolExecutor(many) as pool:
            once = list(pool.map(Kept.complete, callers))
            again = list(pool.map(Kept.complete, callers))
        statuses = [each.status for each in (*once, *again)]
        assert {200: few, 429: 2 * many - few} == {s: statuses.count(s) for s in set(statuses)}
        sky.quiet()
        for each in callers:
            each.socket.close()


def test_budgets(tmp_path: pathlib.Path) -> None:
    """The last nano-USD may be spent, and not one more: 38 are held, 11 charged. The lease of the
    first is used up and acquired anew on the way."""

    def scenario(sky: Sky) -> list[Answer]:
        sky.relay.key("poor", budget_nano=38 + 59 * 11)
        with sky.kept("poor") as caller:
            return [caller.complete() for _ in range(63)]

    fast, room = (told(tmp_path / str(f), scenario, fast=f) for f in (True, False))
    for each in (fast, room):  # which one is refused may depend on what is on its way to the book
        assert {200: 60, 429: 3} == collections.Counter(status for status, _, _ in each.answers)
        assert [11] * 60 == [row["charge"] for row in each.rows]
    assert sorted(room.answers) == sorted(fast.answers)
    assert 0 < fast.counts[1] < 60
    assert room.numbers == fast.numbers


def test_free_allowance(tmp_path: pathlib.Path) -> None:
    """Is given by the room, and the same."""

    def scenario(sky: Sky) -> list[Answer]:
        sky.relay.store.prices.set(
            PriceRecord(
                version=0,
                model=MODEL,
                effective_us=2,
                input_pico=1000,
                output_pico=2000,
                free=Allowance(amount=40),
            ),
            "test",
        )
        sky.relay.run(sky.relay.worker.refresh())
        with sky.warm() as caller:
            return [caller.complete() for _ in range(4)]

    fast, room = (told(tmp_path / str(f), scenario, fast=f) for f in (True, False))
    assert 0 == fast.counts[1]
    assert room.answers == fast.answers
    assert (room.rows, room.lines) == (fast.rows, fast.lines)


def test_a_price_of_the_future(tmp_path: pathlib.Path) -> None:
    """Holds from its microsecond on, on a lane that was there before."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        at_us = time.time_ns() // 1000 + 700_000
        price = PriceRecord(
            version=0, model=MODEL, effective_us=at_us, input_pico=7000, output_pico=0
        )
        sky.relay.store.prices.set(price, "test")
        sky.relay.run(sky.relay.worker.refresh())
        while time.time_ns() // 1000 < at_us + 100_000:
            assert 200 == caller.complete().status
        counts = sky.course.counts
    assert counts[0] == counts[1] > 10
    rows = sky.relay.rows()
    assert {11, 21} == {row.charge for row in rows}
    for row in rows:
        assert (21 if row.created_us >= at_us else 11) == row.charge
