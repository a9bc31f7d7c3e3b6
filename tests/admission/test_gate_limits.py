"""Limits as callers meet them, through a whole worker: what is refused, how, and what is left."""

import pathlib
import threading
import time
from collections.abc import Callable

from baton.stores.base import BudgetRecord, PartyRecord
from tests.asking import Answer, Endpoint
from tests.relaying import Relay, relaying

TAKES_EFFECT_S = 1.5
"""A change reaches every worker within a second."""


def team(relay: Relay, **limits: object) -> Endpoint:
    """A key of a team of an organisation, with these limits on the team."""
    parties = relay.store.parties
    parties.add(PartyRecord(id="o", kind="organisation", name="Acme"), "test")
    record = PartyRecord(id="t", kind="team", name="Core", parent="o", **limits)  # type: ignore[arg-type]
    parties.add(record, "test")
    return relay.key("member", owner="t")


def ask(endpoint: Endpoint, **fields: object) -> Answer:
    return endpoint.complete(**{"prompt": "a b", "max_tokens": 4, **fields})


def until(condition: Callable[[], bool], within_s: float = TAKES_EFFECT_S) -> None:
    """Wait for something that becomes true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_requests_per_minute_of_a_team(tmp_path: pathlib.Path) -> None:
    """Every answer tells what is left; the refusal names the team and when it would pass."""
    with relaying(tmp_path) as relay:
        member = team(relay, requests_per_minute=2)
        first, second, third = (ask(member) for _ in range(3))
        assert [200, 200, 429] == [first.status, second.status, third.status]
        name = "x-ratelimit-remaining-requests"
        assert ["1", "0", "0"] == [each.headers[name] for each in (first, second, third)]
        assert "2" == first.headers["x-ratelimit-limit-requests"]
        assert ("rate_limit_exceeded", "requests") == (third.error["code"], third.error["type"])
        assert "the team 'Core' on requests per minute" in third.error["message"]
        assert 0 < int(third.headers["retry-after-ms"]) <= 30_000
        assert 200 == ask(relay.user).status, "nobody else's limit"


def test_tokens_per_minute_are_given_back(tmp_path: pathlib.Path) -> None:
    """The worst case is reserved; when a request ends, only what it used counts."""
    with relaying(tmp_path) as relay:
        member = team(relay, tokens_per_minute=200)
        answer = ask(member, max_tokens=150)
        assert 200 == answer.status
        left = int(answer.headers["x-ratelimit-remaining-tokens"])
        assert left <= 50
        used = answer.json["usage"]["total_tokens"]
        standing = member.get("/v1/key").json["levels"][1]
        assert 200 - used <= standing["tokens_remaining"] <= 200
        large = ask(member, max_tokens=300)
        assert (429, "tokens") == (large.status, large.error["type"])
        assert ("false", None) == (
            large.headers["x-should-retry"],
            large.headers.get("retry-after-ms"),
        )


def test_requests_at_once(tmp_path: pathlib.Path) -> None:
    """A second stream is refused while the first one runs, and let in when it has ended."""
    with relaying(tmp_path) as relay:
        member = team(relay, requests_at_once=1)
        relay.fake.fault(times=1, interval_s=0.02)
        answers: list[Answer] = []
        running = threading.Thread(
            target=lambda: answers.append(ask(member, max_tokens=40, stream=True))
        )
        running.start()
        relay.seen()
        refused = ask(member)
        assert (429, "rate_limit_exceeded") == (refused.status, refused.error["code"])
        assert "on requests at once" in refused.error["message"]
        running.join(10)
        assert [200] == [each.status for each in answers]
        until(lambda: ask(member).status == 200)


def test_a_budget_names_its_scope_and_its_end(tmp_path: pathlib.Path) -> None:
    """Used up: 429 insufficient_quota, never to be retried by itself, with the time of renewal;
    /v1/key says which limit it is."""
    with relaying(tmp_path) as relay:
        day = BudgetRecord(amount=100, span="day", zone="Asia/Kathmandu")
        member = team(relay, budgets=(day, BudgetRecord(amount=10**6, unit="tokens")))
        assert 200 == ask(member, max_tokens=8).status
        refused = ask(member, max_tokens=60)
        assert (429, "insufficient_quota") == (refused.status, refused.error["code"])
        assert "the budget of the team 'Core' for the day" in refused.error["message"]
        assert "false" == refused.headers["x-should-retry"]
        assert 0 < int(refused.headers["retry-after"]) <= 90_000
        tightest = member.get("/v1/key").json["tightest"]
        assert ("team", "nano_usd/day", 100) == (
            *(tightest["kind"], tightest["limit"]),
            tightest["amount"],
        )
        assert 0 <= tightest["remaining"] < 100


def test_a_lowered_budget_is_met_within_a_second(tmp_path: pathlib.Path) -> None:
    """What the worker holds by lease goes back to the book, and the next request is decided by the
    new budget; a raised one lets it pass again, as soon."""
    with relaying(tmp_path) as relay:
        member = team(relay, budgets=(BudgetRecord(amount=10**9),))
        assert 200 == ask(member).status
        assert relay.store.accounts.get("team:t/total").leased_nano > 10**6
        relay.store.parties.update("t", "test", budgets=(BudgetRecord(amount=1),))
        until(lambda: relay.store.accounts.get("team:t/total").leased_nano < 10**3)
        until(lambda: ask(member).status == 429)
        relay.store.parties.update("t", "test", budgets=(BudgetRecord(amount=10**9),))
        until(lambda: ask(member).status == 200)
        relay.store.parties.close("o", "test")
        until(lambda: ask(member).status == 401)


def test_addresses(tmp_path: pathlib.Path) -> None:
    """A key is refused from where it may not be used, with or without a proxy that says so."""
    with relaying(tmp_path, trusted_proxies="127.0.0.1") as relay:
        member = team(relay, networks=("10.0.0.0/8",))
        refused = ask(member)
        assert (403, "ip_not_allowed") == (refused.status, refused.error["code"])
        body = b'{"model": "m", "prompt": "a b"}'
        for address, status in (("10.1.1.1", 200), ("10.1.1.1, 203.0.113.1", 403)):
            headers = {"X-Forwarded-For": address}
            assert status == member.ask("POST", "/v1/completions", body, headers).status
