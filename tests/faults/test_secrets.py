"""What callers send is nowhere but on its way: in no file, nor in what Baton tells of itself."""

import json
import pathlib

from tests import running
from tests.asking import Endpoint
from tests.faults.conftest import FAKE_MODEL, add_upstream, set_prices

PROMPT = "canaryprompt of the caller"
ORDER = "canary-order-77"
WRONG = "sk-canary-nobodys-key-000000"


def test_canaries(home: pathlib.Path, fake_url: str) -> None:
    """A key, a prompt, an idempotency key and an answer that repeats the prompt, in plain and
    idempotent requests, streamed, refused and broken: in 0 bytes of database, journals, logs,
    metrics and error bodies, while it runs and afterwards."""
    with running.serving(home, {"BATON_MODEL": "none", "BATON_ACCESS_LOG": "-"}) as server:
        add_upstream(server, fake_url)
        set_prices(server)
        made = json.loads(server.cli("key", "create", "canary", "--budget", "1", "--json"))
        key = str(made["value"])
        caller = Endpoint(server.base_url, key, FAKE_MODEL)
        told = []
        for number in range(3):
            for stream in (False, True):
                body = {"model": FAKE_MODEL, "prompt": PROMPT, "echo": True, "max_tokens": 4}
                body |= {"stream": stream}
                assert PROMPT in caller.post("/v1/completions", body).text
                name = f"{ORDER}-{number % 2}-{stream}"
                kept = caller.post("/v1/completions", body, Idempotency_Key=name)
                assert PROMPT in kept.text.replace('","', "") or stream
                other = {**body, "max_tokens": 5}
                told.append(caller.post("/v1/completions", other, Idempotency_Key=name))
        refusals: list[dict[str, object]] = [
            {"model": PROMPT, "prompt": PROMPT},
            {"model": FAKE_MODEL, "prompt": PROMPT, "n": 0},
            {"model": FAKE_MODEL, "prompt": [PROMPT, 1]},
            {"model": FAKE_MODEL, "prompt": PROMPT, "max_tokens": 10**9},
        ]
        told += [
            caller.post("/v1/completions", body, Idempotency_Key=ORDER) for body in refusals[1:]
        ]
        told += [Endpoint(server.base_url, WRONG, FAKE_MODEL).complete(prompt=PROMPT)]
        told += [
            Endpoint(server.base_url, key, FAKE_MODEL).ask("POST", "/v1/completions", b'{"pro')
        ]
        metrics = Endpoint(server.base_url, server.admin_key, FAKE_MODEL).get("/metrics")
        usage = Endpoint(server.base_url, server.admin_key, FAKE_MODEL).get("/admin/v1/usage")
        assert {422, 400, 401} == {answer.status for answer in told}
        canaries = [key, PROMPT, "canaryprompt", ORDER, WRONG]
        for answer in [*told, metrics, usage]:
            assert [] == [each for each in canaries if each in answer.text], answer.text
        during = found(home, canaries)
        server.stop()
    assert [] == during
    assert [] == found(home, canaries)


def found(home: pathlib.Path, canaries: list[str]) -> list[tuple[str, str]]:
    """In which file under the home, or the server's log beside it, which canary stands."""
    files = [path for path in home.rglob("*") if path.is_file()]
    files.append(home.parent / f"{home.name}.log")
    return [
        (path.name, each)
        for path in files
        for each in canaries
        if each.encode() in path.read_bytes()
    ]
