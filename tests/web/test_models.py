"""What a key reaches: the list, one model, its own limits, and the model that was meant."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from baton.stores.base import KeyRecord, UpstreamRecord
from baton.stores.book import Store
from tests.asking import Endpoint
from tests.bookkeeping import intent, ledger_of, new_key, outcome
from tests.fakes.web_parts import HELD_NANO, MODEL, SPENT_NANO, Web
from tests.web.console.browsing import visitor


@pytest.fixture(scope="module", autouse=True)
def _upstream(site: Web) -> Iterator[None]:
    """A second model beside the embedded one, with a slash in its name."""
    record = UpstreamRecord(
        name="far", url="http://127.0.0.1:9/v1", dialect="openai", models={"org/big": "b"},
        created_us=1_600_000_000_000_000,
    )  # fmt: skip
    site.parts.store.upstreams.add(record, "test")
    site.run(site.parts.refresh)
    yield
    site.parts.store.upstreams.remove("far", "test")
    site.run(site.parts.refresh)


def test_models_are_listed_in_openai_s_shape(site: Web) -> None:
    """Each model once, with the context where it is known."""
    expected = [
        {
            "id": "org/big",
            "object": "model",
            "created": 1_600_000_000,
            "owned_by": "baton",
            "max_model_len": None,
        },
        {
            "id": MODEL,
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": "baton",
            "max_model_len": 128,
        },
    ]
    assert {"object": "list", "data": expected} == site.user.get("/v1/models").json


def test_one_model_by_its_name_also_with_a_slash(site: Web) -> None:
    """Plain or percent-encoded; another name is a 404 in OpenAI's words."""
    assert "org/big" == site.user.get("/v1/models/org/big").json["id"]
    assert "org/big" == site.user.get("/v1/models/org%2Fbig").json["id"]
    answer = site.user.get("/v1/models/none")
    assert (404, "model_not_found") == (answer.status, answer.error["code"])


def test_a_key_sees_only_its_models(site: Web) -> None:
    """A model that a key may not use does not exist for it."""
    other = site.key(models=("org/big",))
    assert ["org/big"] == [each["id"] for each in other.get("/v1/models").json["data"]]
    assert 404 == other.get(f"/v1/models/{MODEL}").status


def test_a_path_can_fix_the_model(site: Web) -> None:
    """Under /m/NAME/ there is that model and no other."""
    assert ["org/big"] == [
        each["id"] for each in site.user.get("/m/org/big/v1/models").json["data"]
    ]
    assert 200 == site.user.get(f"/m/{MODEL}/v1/models/{MODEL}").status
    assert 404 == site.user.get(f"/m/org%2Fbig/v1/models/{MODEL}").status
    assert [] == site.user.get("/m/none/v1/models").json["data"]


def test_models_need_a_key(site: Web) -> None:
    """What is offered is not for everybody's eyes."""
    assert 401 == site.user.ask("GET", "/v1/models", headers={"Authorization": None}).status


def test_a_key_can_read_its_own_limits(site: Web) -> None:
    """Limits, what is spent and held, and what is left of the budget; never the key."""
    other = site.key(budget_nano=10_000, requests_per_minute=7, models=(MODEL,))
    own = other.get("/v1/key").json
    assert (10_000, SPENT_NANO, HELD_NANO, 8_000) == (
        own["budget_nano"],
        own["spent_nano"],
        own["held_nano"],
        own["remaining_nano"],
    )
    assert (7, 7, [MODEL], "user") == (
        own["requests_per_minute"],
        own["requests_remaining"],
        own["models"],
        own["role"],
    )
    assert other.key not in other.get("/v1/key").text


def test_a_caller_sees_that_content_is_kept(site: Web) -> None:
    """And for how many days."""
    for days in (0, 7):
        own = site.key(keep_content_days=days).get("/v1/key").json
        assert days == own["keep_content_days"]


def test_no_limit_is_null(site: Web) -> None:
    """Without a budget nothing is said to be left."""
    own = site.user.get("/v1/key").json
    assert (None, None, None) == (
        own["budget_nano"],
        own["remaining_nano"],
        own["requests_per_minute"],
    )
    assert own == site.user.get(f"/m/{MODEL}/v1/key").json


@pytest.mark.parametrize(
    ("options", "path", "body", "status"),
    [
        ({}, "/tokenize", {}, 400),
        ({}, "/tokenize", {"model": MODEL}, 200),
        ({}, f"/m/{MODEL}/tokenize", {}, 200),
        ({}, f"/m/{MODEL}/tokenize", {"model": "org/big"}, 200),
        ({"default_model": MODEL}, "/tokenize", {}, 200),
        ({"models": (MODEL,)}, "/tokenize", {}, 200),
        ({"models": ("gone",)}, "/tokenize", {}, 400),
        ({"models": ("org/big",)}, "/tokenize", {"model": MODEL}, 404),
        ({}, "/tokenize", {"model": "none"}, 404),
        ({}, "/m/none/tokenize", {}, 404),
    ],
)
def test_the_meant_model(
    site: Web, options: dict[str, object], path: str, body: dict[str, object], status: int
) -> None:
    """The path's, else the body's, else the key's default, else the only one it reaches."""
    answer = site.key(**options).post(path, {"prompt": "x", **body})
    assert status == answer.status, answer.text


def test_free_allowances_that_remain(site: Web) -> None:
    """Of the models that the key may use, as the price in force has them; what was used free is on
    the ledger. Without allowances there are none to tell of."""
    assert [] == site.user.get("/v1/key").json["free"]
    store = site.parts.store
    free = {"amount": 5, "unit": "requests", "span": "day"}
    price = {"model": "org/big", "output_pico": 1_000, "free": free}
    assert 201 == site.admin.post("/admin/v1/prices", price).status
    record = new_key(store, "freely", models=("org/big",))
    used_free(store, record, 2)
    own = Endpoint(site.user.base_url, f"sk-test-{'freely':_<40}", MODEL).get("/v1/key").json
    [told] = own["free"]
    assert ("org/big", "requests", "day", 5, 2, 3) == tuple(
        told[each] for each in ("model", "unit", "span", "amount", "used", "remaining")
    )
    assert told["resets_us"] > time.time_ns() // 1000
    assert [] == site.key(models=(MODEL,)).get("/v1/key").json["free"]
    page = visitor(site, f"sk-test-{'freely':_<40}").get("/console/own").text
    assert "Free allowances" in page
    assert 201 == site.admin.post("/admin/v1/prices", {**price, "free": None}).status
    assert [] == site.user.get("/v1/key").json["free"]


def used_free(store: Store, record: KeyRecord, requests: int) -> None:
    """So many requests of the key, as if they had been relayed."""

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(requests):
                hold = await ledger.hold(intent(record, f"free-{number}", model="org/big"))
                ledger.settle(hold, outcome(5))

    asyncio.run(run())
