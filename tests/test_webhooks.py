"""Webhooks to a real receiver: once for each threshold and window, signed, until it is taken."""

import asyncio
import hashlib
import hmac
import json
import pathlib
from typing import Any

import msgspec
import pytest

from baton import webhooks
from baton.config import Settings, SettingsError
from baton.stores.book import Store
from baton.stores.tables import account
from baton.telemetry import diary
from baton.upstreams.endpoint import Endpoint
from baton.webhooks import RETRY_S, SECOND_US, Webhooks
from tests.bookkeeping import new_key, new_store, settings
from tests.fakes.wire import Exchange, WireServer, whole

SECRET = "whsec"
NOW_US = 1_764_000_000 * SECOND_US


def configured(home: pathlib.Path, url: str, **more: Any) -> Settings:
    given = {"webhook_url": url, "webhook_secret": SECRET, "webhook_allow_private": True}
    return settings(home, **{**given, **more})


def receiver_of(config: Settings) -> Endpoint:
    target = webhooks.address(config)
    assert target is not None
    return target


def spend(store: Store, account_id: str, posted: int) -> None:
    with store.database.writing() as connection:
        mine = account.c.id == account_id
        connection.execute(account.update().where(mine).values(posted_nano=posted))


class Receiver(WireServer):
    """Answers with `statuses` in turn, then 204."""

    def __init__(self, *statuses: str) -> None:
        super().__init__(self._take)
        self.statuses = list(statuses)

    async def _take(self, exchange: Exchange) -> None:
        status = self.statuses.pop(0) if self.statuses else "200 OK"
        await exchange.send(whole(b"", status=status))

    def told(self) -> list[tuple[str, int]]:
        bodies = [json.loads(request.body) for request in self.requests]
        return [(body["account"], body["percent"]) for body in bodies]


def test_each_threshold_once(tmp_path: pathlib.Path) -> None:
    """At 50, 80 and 100 percent, once each, whatever the spending does in between; signed, so that
    the receiver can check it."""
    store = new_store(tmp_path)
    mine = new_key(store, budget_nano=1_001).account
    free = new_key(store, "free").account

    async def run() -> tuple[list[int], Receiver]:
        async with Receiver() as receiver:
            config = configured(tmp_path, f"{receiver.url}/hook?a=b")
            hooks, delivered = Webhooks(store.notices, receiver_of(config), config), []
            for posted in (0, 500, 501, 501, 900, 2_000, 2_000):
                spend(store, mine, posted)
                spend(store, free, posted)
                delivered.append(await hooks.look(NOW_US))
            await hooks.close()
            return delivered, receiver

    delivered, receiver = asyncio.run(run())
    assert [0, 0, 1, 0, 1, 1, 0] == delivered
    assert [(mine, 50), (mine, 80), (mine, 100)] == receiver.told()
    request = receiver.requests[0]
    told = dict(part.split("=") for part in request.headers["baton-signature"].split(","))
    mac = hmac.new(SECRET.encode(), told["t"].encode() + b"." + request.body, hashlib.sha256)
    assert (str(NOW_US // SECOND_US), mac.hexdigest()) == (told["t"], told["v1"])
    assert ("POST", "/hook?a=b") == (request.method, request.path)
    body = json.loads(request.body)
    assert ("notice_1", "nano_usd", 1_001, 501) == (
        *(body["id"], body["unit"]),
        *(body["limit"], body["used"]),
    )


def test_until_it_is_taken(tmp_path: pathlib.Path) -> None:
    """A receiver that fails, or sends elsewhere, is asked again later and later, then given up."""
    store = new_store(tmp_path)
    spend(store, new_key(store, budget_nano=10).account, 5)
    refusals = ["500 Internal Server Error", "302 Found", *["404 Not Found"] * 10]

    async def run() -> tuple[int, int, int]:
        async with Receiver(*refusals) as receiver:
            config = configured(tmp_path, receiver.url)
            hooks, now_us = Webhooks(store.notices, receiver_of(config), config), NOW_US
            await hooks.look(now_us)
            await hooks.look(now_us + RETRY_S[0] * SECOND_US - 1)
            early = len(receiver.requests)
            for wait_s in (*RETRY_S, 10**6):
                now_us += wait_s * SECOND_US
                await hooks.look(now_us)
            await hooks.close()
            return early, len(receiver.requests), len(store.notices.due(10**18))

    assert (1, 1 + len(RETRY_S), 0) == asyncio.run(run())


def test_one_of_all_processes(tmp_path: pathlib.Path) -> None:
    """Two that look at once deliver each notice once; when one leaves, or is silent too long, the
    other has the duty."""
    store = new_store(tmp_path)
    mine = new_key(store, budget_nano=10).account
    spend(store, mine, 5)

    async def run() -> tuple[list[int], int]:
        async with Receiver() as receiver:
            config = configured(tmp_path, receiver.url)
            one, two = (Webhooks(store.notices, receiver_of(config), config) for _ in range(2))
            counts = [await one.look(NOW_US), await two.look(NOW_US)]
            spend(store, mine, 8)
            counts.append(await two.look(NOW_US + 29 * SECOND_US))
            counts.append(await two.look(NOW_US + 30 * SECOND_US))
            spend(store, mine, 10)
            await two.close()
            counts.append(await one.look(NOW_US + 31 * SECOND_US))
            await one.close()
            return counts, len(receiver.requests)

    assert ([1, 0, 0, 1, 1], 3) == asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"<html>" + b"x" * 200_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
)
def test_what_a_receiver_says_behind_its_yes(tmp_path: pathlib.Path, answer: bytes) -> None:
    """It does not count: a long body, or one that never ends, is no reason to tell it again."""
    store = new_store(tmp_path)
    mine = new_key(store, budget_nano=10).account

    async def run() -> tuple[list[int], int]:
        async def take(exchange: Exchange) -> None:
            await exchange.send(answer)

        async with WireServer(take) as receiver, asyncio.timeout(10):
            config = configured(tmp_path, receiver.url)
            hooks, delivered = Webhooks(store.notices, receiver_of(config), config), list[int]()
            for posted in (5, 5, 10):
                spend(store, mine, posted)
                delivered.append(await hooks.look(NOW_US + 10 * SECOND_US * len(delivered)))
            await hooks.close()
            return delivered, len(receiver.requests)

    assert ([1, 0, 2], 3) == asyncio.run(run())


def test_a_slow_receiver_of_many(tmp_path: pathlib.Path) -> None:
    """Who lost the duty meanwhile leaves the rest to whoever has it."""
    store = new_store(tmp_path)
    spend(store, new_key(store, budget_nano=10).account, 10)

    async def run() -> tuple[list[int], list[int]]:
        async with Receiver() as receiver, asyncio.timeout(10):
            config = configured(tmp_path, receiver.url)
            one, two = (Webhooks(store.notices, receiver_of(config), config) for _ in range(2))
            go_on, answer = asyncio.Event(), receiver.answer

            async def hang(exchange: Exchange) -> None:
                receiver.answer = answer
                await go_on.wait()
                await answer(exchange)

            receiver.answer = hang
            looking = asyncio.get_running_loop().create_task(one.look(NOW_US))
            await receiver.until(lambda: len(receiver.requests) == 1)
            counts = [await two.look(NOW_US + 31 * SECOND_US)]
            go_on.set()
            counts.append(await looking)
            await one.close()
            await two.close()
            return counts, [percent for _, percent in receiver.told()]

    assert ([3, 1], [50, 50, 80, 100]) == asyncio.run(run())


def test_each_is_signed_when_it_goes_out(tmp_path: pathlib.Path) -> None:
    """Not when the look began: a receiver that kept us waiting with one refuses old ones."""
    store = new_store(tmp_path)
    spend(store, new_key(store, budget_nano=10).account, 8)

    async def run() -> list[int]:
        async with Receiver() as receiver, asyncio.timeout(10):
            config = configured(tmp_path, receiver.url)
            target = receiver_of(config)
            short = msgspec.structs.replace(target.limits, first_byte_timeout_s=1.0)
            hooks = Webhooks(store.notices, msgspec.structs.replace(target, limits=short), config)
            answer = receiver.answer

            async def hang(exchange: Exchange) -> None:
                receiver.answer = answer
                await exchange.stall()

            receiver.answer = hang
            assert 1 == await hooks.look(NOW_US)
            assert [] == store.notices.due(NOW_US + RETRY_S[0] * SECOND_US - 1)
            await hooks.close()
            signed = [request.headers["baton-signature"] for request in receiver.requests]
            return [int(each.split(",")[0][2:]) - NOW_US // SECOND_US for each in signed]

    first, second = asyncio.run(run())
    assert 0 == first < second


def test_it_tells_by_itself(tmp_path: pathlib.Path) -> None:
    """Started, it looks without being asked."""
    store = new_store(tmp_path)
    spend(store, new_key(store, budget_nano=10).account, 10)

    async def run() -> list[int]:
        async with Receiver() as receiver, asyncio.timeout(10):
            config = configured(tmp_path, receiver.url)
            hooks = Webhooks(store.notices, receiver_of(config), config)
            hooks.start()
            await receiver.until(lambda: len(receiver.requests) >= 3)
            await hooks.close()
            return sorted(percent for _, percent in receiver.told())

    assert [50, 80, 100] == asyncio.run(run())


@pytest.mark.parametrize(
    "fields",
    [
        {"webhook_secret": ""},
        {"webhook_url": "ftp://x"},
        {"webhook_url": "http://user:pass@x"},
        {"webhook_url": "http://0x7f000001/"},
    ],
)
def test_what_cannot_be_called(tmp_path: pathlib.Path, fields: dict[str, str]) -> None:
    """It stops the start, with a message that names the setting."""
    with pytest.raises(SettingsError, match="BATON_WEBHOOK_URL"):
        webhooks.address(configured(tmp_path, "http://x", **fields))
    assert webhooks.address(settings(tmp_path)) is None


def test_private_addresses_only_when_allowed(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same rules as for upstreams: a loopback receiver is not called unless that is set, which
    the log says."""
    store = new_store(tmp_path)
    spend(store, new_key(store, budget_nano=10).account, 10)

    async def run() -> tuple[int, int]:
        async with Receiver() as receiver:
            config = configured(tmp_path, receiver.url, webhook_allow_private=False)
            hooks = Webhooks(store.notices, receiver_of(config), config)
            delivered = await hooks.look(NOW_US)
            await hooks.close()
            return delivered, len(receiver.requests)

    assert (0, 0) == asyncio.run(run())
    told = [diary.fields_of(record)["reason"] for record in caplog.records]
    assert ["connect: address 127.0.0.1 is denied: loopback"] * 3 == told
