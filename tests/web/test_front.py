"""Probes are answered before anything is loaded; the rest is loaded once, beside all that runs."""

import asyncio
import threading
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from baton.http.paths import PROBE_PATHS
from baton.web.front import PROBES, Front, build
from baton.web.services import Services, readiness
from tests.asking import Endpoint
from tests.fakes.web_parts import Web, serving
from tests.hearing import hearing


def test_alive_whatever_is_missing(site: Web) -> None:
    """The liveness probe asks for the process alone."""
    answer = site.user.ask("GET", "/healthz?probe=1", headers={"Authorization": None})
    assert (200, {"status": "ok", "version": "0.0-test"}) == (answer.status, answer.json)


def test_ready_or_not(site: Web) -> None:
    """200 with the parts when ready, 503 with the same shape when not."""
    assert 200 == site.user.get("/readyz").status
    before = site.parts.ready
    site.parts.ready = readiness(store=False, engine="down", upstreams=2)
    answer, same = site.user.get("/readyz"), site.user.get("/health")
    site.parts.ready = before
    expected = {
        "status": "unready",
        "store": "down",
        "engine": "down",
        "upstreams": 2,
        "draining": False,
    }
    assert (503, expected) == (answer.status, answer.json)
    assert (503, expected) == (same.status, same.json)
    assert 200 == site.user.get("/health").status


def test_a_probe_is_a_get(site: Web) -> None:
    """Any other method is wrong, as everywhere."""
    answer = site.user.ask("POST", "/readyz")
    assert (405, "GET, HEAD") == (answer.status, answer.headers["allow"])


def test_probes_are_known_at_the_door() -> None:
    """Where names are looked at: they are answered under any."""
    assert set(PROBE_PATHS) == PROBES.keys()


class Slow:
    """Rooms that are loaded when the test says so, or fail to be."""

    def __init__(self) -> None:
        self.go, self.loads, self.fails = threading.Event(), 0, False

    def load(self, _services: Services) -> ASGIApp:
        self.loads += 1
        assert self.go.wait(10)
        if self.fails:
            raise OSError("too many open files")
        return self.room

    async def room(self, scope: Scope, _receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "path": scope["path"], "status": 204}
        await send({**start, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(front: Front, path: str) -> MutableMapping[str, Any]:
    """The first message of an answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await front({"type": "http", "method": "GET", "path": path}, receive, send)
    return sent[0]


def test_all_who_ask_wait_for_one_loading(site: Web) -> None:
    """Probes and everything else on the loop go on meanwhile; a visitor who leaves takes nothing
    with him."""
    slow, services = Slow(), site.parts.services()

    async def run() -> None:
        front = Front(services, slow.load)
        first, left, second = (
            asyncio.get_running_loop().create_task(asked(front, path)) for path in "abc"
        )
        assert 200 == (await asked(front, "/readyz"))["status"]
        left.cancel()
        slow.go.set()
        assert ["a", "c"] == [(await first)["path"], (await second)["path"]]
        assert "d" == (await asked(front, "d"))["path"]

    asyncio.run(run())
    assert 1 == slow.loads


def test_a_loading_that_failed_is_tried_again(site: Web) -> None:
    """By the next who asks; the one before hears of a fault of ours, as from everywhere."""
    slow = Slow()
    slow.fails = True
    slow.go.set()
    with hearing() as told, serving(build(site.parts.services(), slow.load)) as (port, _):
        endpoint = Endpoint(f"http://127.0.0.1:{port}", "", "")
        answer = endpoint.get("/v1/models")
        slow.fails = False
        assert 204 == endpoint.get("/v1/models").status
    assert (500, "internal_error") == (answer.status, answer.error["code"])
    assert answer.headers["x-request-id"] in answer.error["message"]
    assert ["the routes cannot be loaded"] == [entry["event"] for entry in told]
