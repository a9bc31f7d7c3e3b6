"""`baton bench`: a load on a real worker, charged to the key, and told whole or in failures."""

import json
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.relaying import relaying

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # not so where tests run in the background
from baton.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_load_is_measured_and_charged(cli: Cli, tmp_path: pathlib.Path) -> None:
    """All requests are whole, on the ledger, and the tokens told are those that were charged."""
    with relaying(tmp_path) as relay:
        where = ("--url", relay.url, "--key", relay.user.key)
        told = [
            cli.ok("bench", *where, "--requests", "12", "--concurrency", "3", *more)
            for more in (("--prompt", "x y", "--max-tokens", "5"), ("--no-stream",))
        ]
        bodies = list(relay.fake.seen)
    rows = relay.rows()
    assert [("m", relay.url, 12, 0, [])] * 2 == [
        (each["model"], each["url"], each["requests"], each["failed"], each["failures"])
        for each in told
    ]
    assert 24 == len(rows)
    assert sum(row.completion_tokens or 0 for row in rows) == sum(
        each["completion_tokens"] for each in told
    )
    assert {("x y", 5, True), ("Once upon a time", 32, False)} == {
        (body["prompt"], body["max_tokens"], body.get("stream", False)) for body in bodies
    }
    assert set(told[0]["latency_ms"]) == {"p50", "p90", "p99", "max"}
    assert None not in (told[0]["first_text_ms"], told[0]["between_texts_ms"])
    assert [None, None] == [told[1]["first_text_ms"], told[1]["between_texts_ms"]]


def test_refused_requests_are_failures(cli: Cli, tmp_path: pathlib.Path) -> None:
    """By their status, with what the server said; exit code 1."""
    with relaying(tmp_path) as relay:
        key = relay.key("slow", requests_per_minute=2).key
        words = ["bench", "--url", relay.url, "--key", key, "--requests", "5"]
        done = cli(*words, "--concurrency", "1")
        assert (1, "") == (done.code, done.err)
        as_json = cli(*words, "--json", "--model", "m")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["requests", "5"] in lines
    assert ["failed", "3"] in lines
    assert ["Milliseconds", "p50", "p90", "p99", "max"] in lines
    assert ["first", "text"] in [line[:2] for line in lines]
    assert ["429", "3", "Rate"] in [line[:3] for line in lines]
    [failures] = as_json.json["failures"]
    assert (1, "429", 5) == (as_json.code, failures["kind"], failures["requests"])
    assert "requests per minute" in failures["first"]
    assert (0.0, None) == (as_json.json["requests_per_s"], as_json.json["latency_ms"])


def test_a_cut_stream_is_a_failure(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Of any server: a stream without its end is not whole."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(cut_after_bytes=300)
        where = ("--url", relay.fake.url, "--model", "theirs")
        done = cli("bench", *where, "--requests", "3", "--json")
    assert 1 == done.code
    assert ("theirs", 3, 1) == tuple(done.json[name] for name in ("model", "requests", "failed"))
    assert "cut" == done.json["failures"][0]["kind"]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_interrupted_it_tells_what_was_measured(
    cli: Cli, tmp_path: pathlib.Path, words: tuple[str, ...]
) -> None:
    """Exit code 130; requests under way are not counted, and not waited for."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(times=7)
        relay.fake.fault(times=2, stall_after_bytes=0)
        command = [sys.executable, "-c", COMMAND, "bench", "--url", relay.fake.url, *words]
        command += ["--model", "m", "--concurrency", "2"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            relay.until(lambda: len(relay.fake.seen) == 9)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    assert (130, "baton: interrupted, 7 of 100 requests\n") == (process.returncode, err)
    assert 7 == (json.loads(out)["requests"] if words else int(out.split()[1]))


def test_what_cannot_be_asked(cli: Cli) -> None:
    """Bytes that are no text, nobody there, and more than is allowed."""
    assert "UTF-8" in cli("bench", "--model", "m", "--prompt", "caf\udce9").err
    nobody = cli("bench", "--url", "http://127.0.0.1:1")
    assert (1, True) == (nobody.code, "nothing answers" in nobody.err)
    over: dict[str, Any] = {"--requests": 100_001, "--concurrency": 1_001, "--max-tokens": 0}
    for option, value in over.items():
        assert 2 == cli("bench", option, str(value)).code


def test_the_key_that_pays_is_told(cli: Cli) -> None:
    """Before anything is asked: in the help of the command."""
    assert "The key is charged" in cli("bench", "--help").out
    assert "charged" in cli("--help").out
