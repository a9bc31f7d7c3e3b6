"""Rates that nodes share: a limit holds over all of them; without the server each has a part."""

import asyncio
import contextlib
import math
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest

from baton.admission import shared_counters
from baton.admission.counters import MachineCounters
from baton.admission.rates import Decision, Left, Limit
from baton.admission.shared_counters import ANSWER_S, SharedCounters
from baton.config import SettingsError
from baton.telemetry.diary import FIELDS
from tests.servers import Redis, redis

NODES = ("a", "b", "c")
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with redis() as started:
        yield started


@contextlib.asynccontextmanager
async def nodes(
    folder: pathlib.Path, server: Redis, answer_s: float = ANSWER_S
) -> AsyncIterator[list[SharedCounters]]:
    """Three machines, each with one worker."""
    async with contextlib.AsyncExitStack() as ending:
        found = []
        for name in NODES:
            own = MachineCounters(folder / name)
            ending.callback(own.close)
            shared = SharedCounters(own, server.url, name, answer_s)
            ending.push_async_callback(shared.close)
            found.append(shared)
        yield found


async def passed(found: list[SharedCounters], limit: Limit, requests: int) -> int:
    """How many of so many requests pass that arrive at once, over all nodes."""
    asked = [found[number % len(found)].arrive((limit,)) for number in range(requests)]
    decisions = await asyncio.gather(*asked)
    assert all(each is not None and (each.allowed or each.wait_s > 0) for each in decisions)
    return sum(each is not None and each.allowed for each in decisions)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_limit_holds_over_all_nodes(tmp_path: pathlib.Path, server: Redis) -> None:
    """Of 500 requests at once on three nodes as many pass as one minute has; a few may be held
    where nobody needs them any more."""
    limit = Limit("key:one", "one", requests_per_minute=100)

    async def run() -> None:
        # However busy this machine is: a server that is late is another test's.
        async with nodes(tmp_path, server, DEADLINE_S) as found:
            count = await passed(found, limit, 500)
            assert 97 <= count <= 101  # one comes back each 0.6 s

    asyncio.run(run())


def test_what_is_left_is_told_of_all_nodes(
    tmp_path: pathlib.Path, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has counted nothing asks; without the server it tells its own part."""
    monkeypatch.setattr(shared_counters, "TOLD_S", 60.0)
    limit = Limit("key:told", "t", requests_per_minute=60, tokens_per_minute=6_000)
    own = msgspec.structs.replace(limit, scope="key:at-once", requests_at_once=2)
    alone = Limit("key:alone", "a", requests_at_once=2)

    async def run() -> None:
        async with nodes(tmp_path, server, DEADLINE_S) as (first, second, third):
            for _ in range(20):
                await first.arrive((limit,))
            await first.reserve((limit,), 3_000)
            await second.learn((limit, own, alone))
            told = second.left((limit, own, alone))
            assert 38 <= (told[0].requests or 0) <= 41  # one comes back each second
            assert 2_900 <= (told[0].tokens or 0) <= 3_200
            assert (60, 6_000, 2) == (told[1].requests, told[1].tokens, told[1].at_once)
            assert Left(None, None, 2) == told[2]
            asked = second._questions, second._shares["key:told", "requests"].told_s
            await second.learn((limit,))
            assert asked == (second._questions, second._shares["key:told", "requests"].told_s)
            third._away_until_s = math.inf
            third._nodes = 3
            await third.learn((limit,))
            assert (Left(20, 2_000, None),) == third.left((limit,))

    asyncio.run(run())


def test_tokens_are_shared_and_come_back(tmp_path: pathlib.Path, server: Redis) -> None:
    """What one node has reserved no other has; what was not used is there again at once."""
    limit = Limit("key:two", "two", tokens_per_minute=1_000)

    async def run() -> None:
        async with nodes(tmp_path, server) as (first, second, _):
            for node in (first, second):
                await node.arrive((limit,))
            mine = await first.reserve((limit,), 900)
            theirs = await second.reserve((limit,), 900)
            assert (True, False) == (mine and mine.allowed, theirs and theirs.allowed)
            first.end((limit,), 900, 10)
            deadline = time.monotonic() + DEADLINE_S
            while True:
                theirs = await second.reserve((limit,), 900)
                if theirs is not None and theirs.allowed:
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    asyncio.run(run())


async def reserved(node: SharedCounters, limits: tuple[Limit, ...], tokens: int) -> Decision:
    decision = await node.reserve(limits, tokens)
    assert decision is not None
    return decision


def test_a_refusal_tells_what_is_left(tmp_path: pathlib.Path, server: Redis) -> None:
    """What the server lent for a request that was refused all the same is not counted as used:
    a smaller one passes, and waiting is no longer than one machine would say."""
    limit = Limit("key:seven", "seven", tokens_per_minute=1_000)

    async def run() -> None:
        async with nodes(tmp_path, server) as (first, *_):
            assert (await reserved(first, (limit,), 600)).allowed
            refused = await reserved(first, (limit,), 500)
            assert not refused.allowed
            assert 400 <= refused.remaining < 500
            assert 0 < refused.wait_s <= 6
            assert (await reserved(first, (limit,), refused.remaining)).allowed

    asyncio.run(run())


def test_what_is_left_is_left_on_all_nodes(tmp_path: pathlib.Path, server: Redis) -> None:
    """A node tells what others have used, too."""
    limit = Limit("key:eight", "eight", 1_000, 1_000)

    async def run() -> None:
        async with nodes(tmp_path, server) as (first, second, _):
            await reserved(first, (limit,), 900)
            assert (await reserved(second, (limit,), 10)).remaining <= 100
            await asyncio.gather(*(first.arrive((limit,)) for _ in range(900)))
            decision = await second.arrive((limit,))
            assert decision is not None
            assert decision.remaining <= 110

    asyncio.run(run())


REFUSED = ("by its key", "for its size")


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_takes_nothing_from_others(
    tmp_path: pathlib.Path, server: Redis, why: str
) -> None:
    """Requests that are refused again and again on one node leave their team's limit to others."""
    number = REFUSED.index(why)
    team = Limit(f"team:{number}", "team", tokens_per_minute=30_000)
    own = Limit(f"key:own{number}", "own", tokens_per_minute=1_000)
    limits, tokens = ((own, team), 600) if why == "by its key" else ((team,), 40_000)

    async def run() -> None:
        async with nodes(tmp_path, server, DEADLINE_S) as (first, second, _):
            await reserved(first, (own,), 600)
            for _ in range(3):
                asked = [reserved(first, limits, tokens) for _ in range(60)]
                assert not any(each.allowed for each in await asyncio.gather(*asked))
                assert (await reserved(second, (team,), 8_000)).allowed

    asyncio.run(run())


def test_who_leaves_takes_no_answer_along(tmp_path: pathlib.Path, server: Redis) -> None:
    """Those who wait share a question: where who asked it has left, the others have its answer all
    the same, and what it brought is not lost."""
    limit = Limit("key:left", "left", tokens_per_minute=1_000)

    async def run() -> None:
        async with nodes(tmp_path, server, DEADLINE_S) as (first, second, _):
            loop = asyncio.get_running_loop()
            async with first._asking:
                asking, sharing = (loop.create_task(first.reserve((limit,), 300)) for _ in range(2))
                await asyncio.sleep(0)  # both wait
                server.signal(signal.SIGSTOP)
            try:
                await until(lambda: first._questions == 1)
                asking.cancel()
                await asyncio.wait([asking])
            finally:
                server.signal(signal.SIGCONT)
            decision = await sharing
            assert decision is not None
            assert decision.allowed
            share = first._shares["key:left", "tokens"]
            assert share.credit >= 300
            await second.learn((limit,))
            assert (second.left((limit,))[0].tokens or 0) <= 700

    asyncio.run(run())


def test_few_round_trips(tmp_path: pathlib.Path, server: Redis) -> None:
    """A request is counted against a share that the process has: it does not ask each time."""
    limit = Limit("key:three", "three", requests_per_minute=60_000)

    async def run() -> None:
        async with nodes(tmp_path, server) as (first, *_):
            for _ in range(500):
                await first.arrive((limit,))
            assert first._questions <= 3

    asyncio.run(run())


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_without_the_server_each_has_a_part(tmp_path: pathlib.Path, how: str) -> None:
    """A server that is away holds nobody up: a machine goes on with its part, and shares again when
    the server is back."""
    limit = Limit("key:four", "four", requests_per_minute=90)

    async def run(server: Redis) -> None:
        async with nodes(tmp_path, server) as found:
            await until(lambda: all(each._nodes == len(NODES) for each in found))
            server.kill() if how == "killed" else server.signal(signal.SIGSTOP)
            began_s = time.monotonic()
            await passed(found, limit, 3)
            assert time.monotonic() - began_s < 5
            assert await passed(found, limit, 300) <= 93, "three parts of 30"
            server.start() if how == "killed" else server.signal(signal.SIGCONT)
            await until(lambda: not any(each.away for each in found))
            fresh = Limit("key:five", "five", requests_per_minute=30)
            assert 27 <= await passed(found, fresh, 200) <= 31

    with redis() as server:
        asyncio.run(run(server))


def test_that_the_server_is_away_is_told_once(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However long it is, and that it is back."""

    async def run(server: Redis) -> None:
        own = MachineCounters(tmp_path)
        shared = SharedCounters(own, server.url, "a", DEADLINE_S)
        server.kill()
        for _ in range(3):
            await shared._exchange({})
        assert (True, False) == (shared.apart, own.apart)
        server.start()
        await until(lambda: "again" in caplog.text)
        assert not shared.apart
        await shared.close()
        own.close()

    with redis() as server:
        asyncio.run(run(server))
    told = [record.getMessage() for record in caplog.records]
    assert ["alone", "again"] == [words.rpartition(" ")[2] for words in told]


def test_why_the_server_does_not_count_is_told(
    tmp_path: pathlib.Path, server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """In the words that came, from the server or from the connection."""
    limit = Limit("key:six", "six", requests_per_minute=90)
    wrong = f"redis://nobody:wrong@127.0.0.1:{server.port}"

    async def run(url: str) -> None:
        own = MachineCounters(tmp_path)
        shared = SharedCounters(own, url, "a")
        await shared.arrive((limit,))
        assert shared.away
        await shared.close()
        own.close()

    for url in (wrong, f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs=/nowhere.pem"):
        asyncio.run(run(url))
    reasons = [getattr(record, FIELDS)["reason"] for record in caplog.records]
    assert "invalid username-password pair" in reasons[0]
    assert "No such file" in reasons[1]


def test_what_the_server_was_not_asked_for_does_not_go_back(tmp_path: pathlib.Path) -> None:
    """Tokens that a machine reserved by itself while the server was away, and did not use, are no
    others' to use: the limit holds over all nodes."""
    limit = Limit("key:six", "six", tokens_per_minute=900)

    async def run(server: Redis) -> None:
        async with nodes(tmp_path, server) as (first, second, third):
            server.kill()
            await first.reserve((limit,), 150)
            assert first.away
            alone = await first.reserve((limit,), 150)
            assert alone is not None
            assert alone.allowed
            server.start()
            await until(lambda: not (first.away or second.away or third.away))
            all_of_it = await second.reserve((limit,), 900)
            assert all_of_it is not None
            assert all_of_it.allowed
            first.end((limit,), 150, 0)
            first._shares["key:six", "tokens"].since_s = 0.0
            await first._give_back()
            more = await third.reserve((limit,), 140)
            assert more is not None
            assert not more.allowed

    with redis() as server:
        asyncio.run(run(server))


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "redis://x:y",
        "redis://u:secret/more@x",
        "redis://x/0?ssl=true",
        "rediss://x/0?ssl_cert_reqs=maybe",
    ],
)
def test_what_is_no_url_is_told(tmp_path: pathlib.Path, url: str) -> None:
    """A wrong setting stops the start with its name, also an option that there is not: it would
    fail every request of a key with limits. No password is told."""

    async def run() -> None:
        own = MachineCounters(tmp_path)
        with pytest.raises(SettingsError, match="BATON_REDIS_URL") as refused:
            SharedCounters(own, url, "a")
        assert "secret" not in str(refused.value)
        own.close()

    asyncio.run(run())
