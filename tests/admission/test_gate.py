"""The gate: who asks is known, unknown callers are refused, changes take effect."""

import asyncio
import pathlib
import time
from typing import Any

import pytest

from baton.admission import gate as gates
from baton.admission import issue
from baton.admission.counters import MachineCounters
from baton.admission.gate import Gate, Passage, credential
from baton.admission.origins import trusted
from baton.errors import RequestError
from baton.http.exchange import header_pairs
from baton.stores import windows
from baton.stores.base import BudgetRecord, KeyRecord, PartyRecord
from baton.stores.book import Store
from tests.bookkeeping import new_store


def gate_of(store: Store, proxies: str = "") -> Gate:
    return Gate(store, MachineCounters(store.home / "run/rates"), trusted(proxies))


def refusal(gate: Gate, authorization: bytes | None) -> tuple[int, str | None]:
    with pytest.raises(RequestError) as refused:
        asyncio.run(gate.identify(authorization))
    return refused.value.status, refused.value.code


def made(store: Store, **options: object) -> tuple[str, bytes]:
    """A key's id, and what its caller sends."""
    record, value = issue.create(store, "k", "test", **options)
    return record.id, f"Bearer {value}".encode()


def test_known_after_the_first_time(tmp_path: pathlib.Path) -> None:
    """The first request looks the key up, the next ones do not; the scheme's case does not
    matter."""
    store = new_store(tmp_path)
    key_id, shown = made(store, models=["a"])
    gate = gate_of(store)
    assert gate.known(shown) is None
    caller = asyncio.run(gate.identify(shown))
    assert key_id == caller.record.id == caller.payer.key_id
    assert caller is gate.known(shown)
    assert (True, False) == (caller.allowed("a"), caller.allowed("b"))
    lower = shown.replace(b"Bearer ", b"bearer  ")
    assert key_id == asyncio.run(gate.identify(lower)).record.id
    store.close()
    assert caller is asyncio.run(gate.identify(shown)), "without the store"


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (None, "missing_api_key"),
        (b"", "missing_api_key"),
        (b"Bearer", "missing_api_key"),
        (b"Bearer ", "missing_api_key"),
        (b"Basic dXNlcjpwYXNz", "missing_api_key"),
        (b"sk-without-a-scheme-000000", "missing_api_key"),
        (b"Bearer sk-short", "invalid_api_key"),
        (b"Bearer sk-unknown-but-long-enough", "invalid_api_key"),
        (b"Bearer sk-bt-0000000000000000000000000000", "invalid_api_key"),
        (b"Bearer sk-\xff\xfe" + b"x" * 30, "invalid_api_key"),
        (b"Bearer sk-' OR 1=1; --                ", "invalid_api_key"),
        (b"Bearer sk-" + b"x" * 100_000, "invalid_api_key"),
    ],
)
def test_who_is_not_known(tmp_path: pathlib.Path, shown: bytes | None, code: str) -> None:
    """Whatever is shown, the answer is a 401 that says what is missing."""
    assert (401, code) == refusal(gate_of(new_store(tmp_path)), shown)


def test_malformed_keys_are_not_looked_up(tmp_path: pathlib.Path) -> None:
    """A bad checksum costs no query: it is refused even when the store is away."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    (tmp_path / "baton.db").rename(tmp_path / "away.db")
    store.close()
    mistyped = b"Bearer sk-bt-0000000000000000000000000000"
    assert (401, "invalid_api_key") == refusal(gate, mistyped)


def test_revoked_and_expired_keys(tmp_path: pathlib.Path) -> None:
    """A revoked key is refused once the change is told, an expired one at its time."""
    store = new_store(tmp_path)
    key_id, shown = made(store)
    _, expired = made(store, expires_us=time.time_ns() // 1000 - 1)
    gate = gate_of(store)
    asyncio.run(gate.identify(shown))
    assert (401, "invalid_api_key") == refusal(gate, expired)
    store.keys.revoke(key_id, "test")
    gate.changed([key_id])
    assert gate.known(shown) is None
    assert (401, "invalid_api_key") == refusal(gate, shown)


def test_a_key_that_is_revoked_while_it_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who hears of it knows the caller yet: it is read once more, and refused."""
    store = new_store(tmp_path)
    key_id, shown = made(store)
    gate, read = gate_of(store), store.keys.by_digest

    def read_before(digest: bytes) -> KeyRecord | None:
        found = read(digest)
        if found is not None and found.revoked_us is None:
            store.keys.revoke(key_id, "test")
            gate.changed([key_id])
        return found

    monkeypatch.setattr(store.keys, "by_digest", read_before)
    assert (401, "invalid_api_key") == refusal(gate, shown)


def test_cached_key_expires(tmp_path: pathlib.Path) -> None:
    """A key that is at hand is refused from its time on, without a change."""
    store = new_store(tmp_path)
    _, shown = made(store, expires_us=time.time_ns() // 1000 + 60_000_000)
    caller = asyncio.run(gate_of(store).identify(shown))
    assert (True, False) == (caller.valid(time.time()), caller.valid(time.time() + 61))


def test_changes_reach_the_caller(tmp_path: pathlib.Path) -> None:
    """After a change the key is read anew; what was used of its rate is not forgotten."""
    store = new_store(tmp_path)
    key_id, shown = made(store, requests_per_minute=2)
    gate = gate_of(store)
    caller = asyncio.run(gate.identify(shown))
    for _ in range(2):
        passage = asyncio.run(gate.enter(caller))
        assert b"2" == dict(header_pairs(passage.lines))[b"x-ratelimit-limit-requests"]
    store.keys.update(key_id, "test", budget_nano=7)
    gate.changed([key_id])
    again = asyncio.run(gate.identify(shown))
    assert (again.record.account,) == again.payer.limited
    with pytest.raises(RequestError) as refused:
        asyncio.run(gate.enter(again))
    headers = dict(refused.value.headers)
    assert (429, "0", "2") == (
        refused.value.status,
        headers["x-ratelimit-remaining-requests"],
        headers["x-ratelimit-limit-requests"],
    )
    assert 29_000 < int(headers["retry-after-ms"]) <= 30_000
    assert "the key 'k' on requests per minute" in refused.value.message
    unlimited = asyncio.run(gate.identify(made(store)[1]))
    assert (False, ()) == (unlimited.restricted, unlimited.limits)


def planted(store: Store, **team: Any) -> bytes:
    """An organisation, a team of it with these limits, and a key of that team: what it shows."""
    store.parties.add(PartyRecord(id="o", kind="organisation", name="Acme"), "test")
    store.parties.add(PartyRecord(id="t", kind="team", name="Core", parent="o", **team), "test")
    return made(store, owner="t")[1]


def test_a_session_ends_in_every_process(tmp_path: pathlib.Path) -> None:
    """What one gate signed out another one refuses: at once where it did not know the session, else
    once it is told of the change. The key itself, and its other sessions, stay valid."""
    store = new_store(tmp_path)
    key_id, bearer = made(store)
    here, there = gate_of(store), gate_of(store)

    async def run() -> None:
        cookies = []
        for _ in range(2):
            _, token = await here.sign_in(bearer.partition(b" ")[2].decode())
            cookies.append(f"baton_session={token}".encode())
        await there.signed_in(cookies[0])
        await here.sign_out(cookies[0])
        for late in (here, gate_of(store)):
            with pytest.raises(RequestError, match="key"):
                await late.signed_in(cookies[0])
        there.changed([store.changes.newest_first(at_most=1)[0].object_id])
        with pytest.raises(RequestError, match="key"):
            await there.signed_in(cookies[0])
        for gate in (here, there):
            await gate.signed_in(cookies[1])
            await gate.identify(bearer)

    asyncio.run(run())
    assert key_id == store.changes.newest_first(at_most=1)[0].object_id
    store.close()


def test_levels_hold_together(tmp_path: pathlib.Path) -> None:
    """Two keys of one team share its limits; what one uses the other has not; the refusal names the
    team; closing the organisation ends both."""
    store = new_store(tmp_path)
    first = planted(store, requests_per_minute=2, models=("a", "b"), requests_at_once=2)
    second = made(store, owner="t", models=("b", "c"))[1]
    gate = gate_of(store)
    callers = [asyncio.run(gate.identify(shown)) for shown in (first, second)]
    assert ["key", "team", "organisation"] == [level.kind for level in callers[0].levels]
    assert [(True, True, False), (False, True, False)] == [
        tuple(map(caller.allowed, "abc")) for caller in callers
    ]
    passages = [asyncio.run(gate.enter(caller)) for caller in callers]
    with pytest.raises(RequestError, match="the team 'Core' on requests per minute"):
        asyncio.run(gate.enter(callers[0]))
    assert 0 == asyncio.run(gate.left(callers[0]))["team:t"].at_once
    for passage in passages:
        passage.end(0)
        passage.end(0)
    assert 2 == asyncio.run(gate.left(callers[1]))["team:t"].at_once
    store.parties.close("o", "test")
    gate.changed(["o"])
    for shown in (first, second):
        assert (401, "invalid_api_key") == refusal(gate, shown)


def test_tokens_per_minute(tmp_path: pathlib.Path) -> None:
    """A request reserves its worst case and gives back what it did not use; one that is larger than
    the minute is told never to come again."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    caller = asyncio.run(gate.identify(planted(store, tokens_per_minute=100)))

    async def reserve(tokens: int) -> Passage:
        passage = await gate.enter(caller)
        await passage.reserve(tokens)
        return passage

    passage = asyncio.run(reserve(80))
    assert (b"100", b"20") == (
        dict(header_pairs(passage.lines))[b"x-ratelimit-limit-tokens"],
        dict(header_pairs(passage.lines))[b"x-ratelimit-remaining-tokens"],
    )
    with pytest.raises(RequestError, match="the team 'Core' on tokens per minute") as refused:
        asyncio.run(reserve(30))
    assert "tokens" == refused.value.type
    passage.end(10)
    asyncio.run(reserve(90)).end(90)
    with pytest.raises(RequestError, match="on tokens per minute") as later:
        asyncio.run(reserve(100))
    assert "x-should-retry" not in dict(later.value.headers), "it would pass in a minute"
    with pytest.raises(RequestError, match="limit 100, requested 101") as never:
        asyncio.run(reserve(101))
    assert ("x-should-retry", "false") in never.value.headers


def test_limits_of_both_kinds_are_told(tmp_path: pathlib.Path) -> None:
    """What is left of requests, and of tokens."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    limits = {"requests_per_minute": 5, "tokens_per_minute": 100}
    caller = asyncio.run(gate.identify(made(store, **limits)[1]))

    async def run() -> dict[bytes, bytes]:
        passage = await gate.enter(caller)
        await passage.reserve(30)
        passage.end(30)
        return dict(header_pairs(passage.lines))

    told = asyncio.run(run())
    assert (b"4", b"70") == (
        told[b"x-ratelimit-remaining-requests"],
        told[b"x-ratelimit-remaining-tokens"],
    )


def test_addresses(tmp_path: pathlib.Path) -> None:
    """Every level's list must have the address; a trusted proxy's word counts, nobody else's."""
    store = new_store(tmp_path)
    shown = planted(store, networks=("10.0.0.0/8",))
    gate = gate_of(store, proxies="192.0.2.1")
    caller = asyncio.run(gate.identify(shown))
    said = [(b"x-forwarded-for", b"10.9.9.9")]
    gate.check_origin(caller, "10.1.2.3", [])
    gate.check_origin(caller, "192.0.2.1", said)
    for peer, headers in (("192.0.2.1", []), ("192.0.2.2", said), ("", said), ("garbage", [])):
        with pytest.raises(RequestError) as refused:
            gate.check_origin(caller, peer, headers)
        assert (403, "ip_not_allowed") == (refused.value.status, refused.value.code)
    gate.check_origin(asyncio.run(gate.identify(made(store)[1])), "anywhere", [])


def test_a_rotated_key_ends_with_its_overlap(tmp_path: pathlib.Path) -> None:
    """The new value works from now on, the old one until its time, without a change."""
    store = new_store(tmp_path)
    key_id, old = made(store)
    gate = gate_of(store)
    asyncio.run(gate.identify(old))
    until_us = time.time_ns() // 1000 + 60_000_000
    _, value = issue.rotate(store, key_id, "test", until_us)
    gate.changed([key_id])
    new = f"Bearer {value}".encode()
    before, after = (asyncio.run(gate.identify(shown)) for shown in (old, new))
    assert key_id == before.record.id == after.record.id
    later_s = time.time() + 61
    assert (False, True) == (before.valid(later_s), after.valid(later_s))


def test_windows_roll_over(tmp_path: pathlib.Path) -> None:
    """A caller at hand pays from the window of the moment, and forgets nothing of its key."""
    store = new_store(tmp_path)
    day = BudgetRecord(amount=5, span="day", zone="Asia/Kathmandu")
    shown = planted(store, budgets=(day, BudgetRecord(amount=9, unit="tokens")))
    caller = asyncio.run(gate_of(store).identify(shown))
    window = windows.of(day, time.time_ns() // 1000)
    assert window.end_us is not None
    total = "tokens:team:t/total"
    assert {total, f"team:t/day@{window.label}"} == set(caller.payer.limited)
    assert caller.payer.limited == caller.payer.scopes
    assert caller.valid(window.end_us / 1e6 + 1)
    following = windows.of(day, window.end_us)
    assert {total, f"team:t/day@{following.label}"} == set(caller.payer.limited)
    bound = caller.payer.bounds[f"team:t/day@{following.label}"]
    assert ("the budget of the team 'Core' for the day", following.end_us) == (
        bound.name,
        bound.frees_us,
    )


def test_a_clock_that_is_set_back(tmp_path: pathlib.Path) -> None:
    """A caller at hand pays from the window of the moment again, not from one to come."""
    store = new_store(tmp_path)
    shown = planted(store, budgets=(BudgetRecord(amount=5, span="day"),))
    caller = asyncio.run(gate_of(store).identify(shown))
    (now,) = caller.payer.limited
    later_s = time.time() + 10 * 86_400
    assert caller.valid(later_s)
    assert (now,) != caller.payer.limited
    assert caller.valid(later_s - 10 * 86_400)
    assert (now,) == caller.payer.limited


def test_new_key_works_though_it_was_refused(tmp_path: pathlib.Path) -> None:
    """A key that was tried before it existed works once its creation is told."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    value = "sk-tried-too-early-000000000"
    assert (401, "invalid_api_key") == refusal(gate, f"Bearer {value}".encode())
    record = issue.import_key(store, "late", value, "test")
    gate.changed([record.id])
    assert record == asyncio.run(gate.identify(f"Bearer {value}".encode())).record


def test_caches_are_bounded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys come, as many as the cap are kept, the latest used ones."""
    store = new_store(tmp_path)
    monkeypatch.setattr(gates, "CALLERS_MAX", 3)
    monkeypatch.setattr(gates, "REFUSED_MAX", 3)
    gate = gate_of(store)
    shown = [made(store)[1] for _ in range(5)]
    for each in shown[:3]:
        asyncio.run(gate.identify(each))
    gate.known(shown[0])
    for each in shown[3:]:
        asyncio.run(gate.identify(each))
    assert [0, 3, 4] == [number for number in range(5) if gate.known(shown[number])]
    for number in range(9):
        refusal(gate, f"Bearer sk-unknown-000000000000-{number}".encode())
    assert 3 == len(gate._refused)


def test_store_away(tmp_path: pathlib.Path) -> None:
    """When keys cannot be looked up, the answer is 503, not 401."""
    store = new_store(tmp_path)
    _, shown = made(store)
    store.close()
    for path in tmp_path.glob("baton.db*"):
        path.unlink()
    (tmp_path / "baton.db").mkdir()
    assert (503, "overloaded") == refusal(gate_of(store), shown)


def test_one_extractor_for_all_headers() -> None:
    """Authorization, else x-api-key; never from anywhere else."""
    bearer = (b"authorization", b"Bearer sk-a")
    api_key = (b"x-api-key", b" sk-b ")
    cookie = (b"cookie", b"key=sk-c")
    assert b"Bearer sk-a" == credential([api_key, bearer])
    assert b"Bearer sk-b" == credential([cookie, api_key])
    assert credential([cookie]) is None
