"""Snapshots are swapped whole; what did not change goes on, what is gone is closed in time."""

import asyncio
import concurrent.futures
import json
import pathlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from baton.config import Settings
from baton.configured import Configured
from baton.routing.routes import EMBEDDED
from baton.semantics.events import Call
from baton.semantics.overrides import Overrides
from baton.stores.base import Catalogue, PriceRecord, UpstreamRecord
from baton.upstreams.base import UpstreamError
from baton.upstreams.embedded import EmbeddedUpstream
from baton.upstreams.http import HttpUpstream
from tests.fakes.fake_completions import FakeCompletions
from tests.hearing import hearing
from tests.relaying import MODEL, THEIRS, Relay, relaying

CALL = Call(model="theirs", prompts=["a"], max_tokens=3, stream=True)
LISTENS_NOWHERE = "/nowhere/engine.sock"


def record(name: str, url: str = "http://127.0.0.1:9/v1", **fields: Any) -> UpstreamRecord:
    return UpstreamRecord(
        name=name, **{"url": url, "dialect": "vllm", "models": {"m": "theirs"}, **fields}
    )


def catalogue(*records: UpstreamRecord, version: int = 1) -> Catalogue:
    price = PriceRecord(version=version, model="m", effective_us=1, input_pico=version)
    return Catalogue(
        version=version, upstreams={each.name: each for each in records}, prices=(price,)
    )


def upstream(configured: Configured, name: str = "one") -> HttpUpstream:
    return configured._built[name][1]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_snapshot_stays_as_it_was() -> None:
    """Applying makes a new one, of one catalogue throughout; who holds the old one sees no
    change."""

    async def act() -> None:
        configured = Configured(Settings(), None, None)
        empty = configured.current
        configured.apply(catalogue(record("one"), version=7))
        first = configured.current
        configured.apply(catalogue(record("two", models={"n": "x"}), version=8))
        second = configured.current
        assert [(), ("m",), ("n",)] == [s.routes.models for s in (empty, first, second)]
        assert [0, 7, 8] == [s.catalogue.version for s in (empty, first, second)]
        assert [7, 8] == [s.prices.customer("m", 5).input_pico for s in (first, second)]
        assert [{"one"}, {"two"}] == [set(s.native) for s in (first, second)]
        await configured.close()

    run(act())


def test_what_was_read_before_and_comes_late_changes_nothing() -> None:
    """Two look at the book at once, after a change and after the next one: the newer one stays,
    whoever is done first."""

    async def act() -> None:
        configured = Configured(Settings(), None, None)
        configured.apply(catalogue(record("two"), version=8))
        configured.apply(catalogue(record("one"), version=7))
        assert 8 == configured.current.catalogue.version
        assert ["two"] == list(configured.sites)
        await configured.close()

    run(act())


def test_what_did_not_change_keeps_its_connections() -> None:
    """The same record is the same upstream; another one of its name is a new one."""

    async def act() -> None:
        async with FakeCompletions("vllm") as fake:
            configured = Configured(Settings(), None, None)
            mine = record("one", fake.url)
            configured.apply(catalogue(mine))
            await _asked(configured)
            configured.apply(catalogue(record("one", fake.url), record("two")))
            await _asked(configured)
            assert (1, 2) == (fake.accepted, len(fake.seen))
            configured.apply(catalogue(record("one", fake.url, weight=7)))
            await _asked(configured)
            assert (2, 3) == (fake.accepted, len(fake.seen))
            await configured.close()
            await fake.until(lambda: not fake.sessions)

    run(act())


async def _asked(configured: Configured) -> None:
    stream = await upstream(configured).open(CALL)
    while await stream.read():
        pass


def test_what_is_gone_ends_its_work_first() -> None:
    """A removed upstream's stream goes on to its end; then its connections are closed."""

    async def act() -> None:
        async with FakeCompletions("vllm") as fake:
            configured = Configured(Settings(), None, None)
            configured.apply(catalogue(record("one", fake.url)))
            fake.fault(interval_s=0.01)
            stream = await upstream(configured).open(CALL)
            await stream.read()
            configured.apply(catalogue())
            assert 1 == len(fake.sessions)
            while await stream.read():
                pass
            await fake.until(lambda: not fake.sessions)
            assert (0, 1) == (fake.aborted, fake.answered)
            await configured.close()

    run(act())


def change(relay: Relay, name: str, **fields: Any) -> None:
    """And wait until the worker plans with it."""
    relay.store.upstreams.update(name, "test", **fields)
    in_use(relay)


def remove(relay: Relay, name: str) -> None:
    relay.store.upstreams.remove(name, "test")
    in_use(relay)


def in_use(relay: Relay) -> None:
    newest, configured = relay.store.changes.latest(), relay.worker._configured
    relay.until(lambda: configured.current.catalogue.version == newest)


def moved(relay: Relay) -> None:
    """The second one's address is the third one's now, and nobody listens at its own."""
    two, three = relay.fakes["two"], relay.fakes["three"]
    change(relay, "two", url=three.url)
    relay.run(two.stop())


@pytest.mark.parametrize(
    ("act", "heir"),
    [
        (lambda relay: change(relay, "two", weight=7), "two"),
        (lambda relay: change(relay, "two", secret="sk-another"), "two"),
        (lambda relay: change(relay, "two", models={MODEL: THEIRS, "n": "x"}), "two"),
        (moved, "three"),
        (lambda relay: remove(relay, "two"), "three"),
        (lambda relay: change(relay, "two", models={MODEL: "other"}), "three"),
        (lambda relay: change(relay, "two", dialect="openai-chat"), "three"),
        (lambda relay: change(relay, "two", overrides=Overrides(forbid=("seed",))), "three"),
    ],
)
def test_a_stream_is_handed_to_whoever_is_there_by_then(
    tmp_path: pathlib.Path, act: Callable[[Relay], None], heir: str
) -> None:
    """Upstreams that were changed since it began are asked where and how they are now; one that
    was removed, or would need another plan, is not asked."""
    with relaying(tmp_path, {"one": "vllm", "two": "vllm", "three": "vllm"}) as relay:
        one = relay.fakes["one"]
        one.fault(stall_after_bytes=2000)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = {"prompt": "a b", "max_tokens": 60, "seed": 1, "stream": True}
            answer = pool.submit(relay.user.complete, **asked)
            relay.seen()
            act(relay)
            relay.run(one.stop())
            events = answer.result().events or []
        seen = {name: len(fake.seen) for name, fake in relay.fakes.items() if fake.seen}
    assert {"one": 1, heir: 1} == seen
    assert "[DONE]" == events[-1]
    assert 60 == sum(json.loads(event)["choices"] != [] for event in events[:-1])
    [row] = relay.rows()
    assert ("settled", 1, 60) == (row.state, row.handoffs, row.completion_tokens)


@pytest.mark.parametrize(
    "act",
    [
        lambda relay: remove(relay, "fake"),
        lambda relay: change(relay, "fake", total_timeout_s=None),
    ],
)
def test_what_runs_has_the_time_that_its_upstream_had(
    tmp_path: pathlib.Path, act: Callable[[Relay], None]
) -> None:
    """An upstream that was removed or changed takes no time from its streams."""
    with relaying(tmp_path, request_timeout_s=0.5) as relay:
        change(relay, "fake", total_timeout_s=60.0)
        relay.fake.fault(interval_s=0.05)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(relay.user.complete, prompt="a", max_tokens=40, stream=True)
            relay.seen()
            act(relay)
            assert "[DONE]" == (answer.result().events or [])[-1]
        assert 1 == len(relay.fake.seen)


def test_a_bad_record_is_told_and_left_out() -> None:
    """An unknown dialect or URL stops nobody else; a good record of the same name stays."""

    async def act() -> None:
        configured = Configured(Settings(), None, None)
        good = record("good")
        with hearing() as told:
            configured.apply(
                catalogue(record("bad", dialect="?"), record("worse", "ftp://x"), good)
            )
        assert ["bad", "worse"] == [entry["upstream"] for entry in told]
        assert {"good"} == set(configured.current.native)
        with hearing() as told:
            configured.apply(catalogue(record("good", dialect="?")))
        assert [("good", "error")] == [(entry["upstream"], entry["level"]) for entry in told]
        assert ("m",) == configured.current.routes.models
        await configured.close()

    run(act())


def test_limits_of_an_upstream_stand_over_settings() -> None:
    """What the record leaves open is as the settings say; connections are the lesser of both."""

    async def act() -> None:
        configured = Configured(Settings(upstream_connections_max=50), None, None)
        configured.apply(
            catalogue(record("own", total_timeout_s=7.0, in_flight_max=3), record("plain"))
        )
        own, plain = (upstream(configured, name)._transport.limits for name in ("own", "plain"))
        assert (7.0, 600.0) == (own.total_timeout_s, plain.total_timeout_s)
        assert (60.0, 30.0) == (own.first_byte_timeout_s, own.stall_timeout_s)
        assert (3, 50) == (own.connections_max, plain.connections_max)
        await configured.close()

    run(act())


def test_the_embedded_model() -> None:
    """It has its public name, stays over swaps, and is closed at the end."""

    async def act() -> None:
        embedded = EmbeddedUpstream(EMBEDDED, LISTENS_NOWHERE)
        configured = Configured(Settings(), "tiny", embedded)
        configured.apply(catalogue(record("one")))
        assert ("tiny", "m") == configured.current.routes.models
        before = configured.current
        configured.engine_described()
        assert before is not configured.current
        assert before.catalogue is configured.current.catalogue
        with pytest.raises(UpstreamError):
            await embedded.open(CALL)
        await configured.close()

    run(act())
