"""How an upstream fared, by the admin API: every slot of a window, changes in pages."""

import time

import pytest

from baton.stores.history import UpstreamSlot
from baton.telemetry.upstreams import StateChange
from baton.web.admin_history import STATES, WINDOWS, SlotState, WindowName, state_of
from tests.fakes.web_parts import Web

UPSTREAM = {
    "name": "gpu-1",
    "url": "http://127.0.0.1:8000/v1",
    "dialect": "vllm",
    "models": {"big": "org/big"},
}
HISTORY = "/admin/v1/upstreams/gpu-1/history"


@pytest.fixture
def _gpu(site: Web, _no_upstreams_left: None) -> None:
    assert 201 == site.admin.post("/admin/v1/upstreams", UPSTREAM).status


@pytest.mark.usefixtures("_gpu")
def test_windows_and_pages(site: Web) -> None:
    """Every slot is there, the present one last; times are percentiles, changes come in pages."""
    now_s = int(time.time())
    seen = UpstreamSlot(
        upstream="gpu-1",
        start_s=now_s // 60 * 60,
        requests=9,
        failed=1,
        handoffs=2,
        ejections=1,
        ejected_ms=30_000,
        first={4: 3},
    )
    changes = [
        StateChange(
            at_us=now_s * 10**6 + n, upstream="gpu-1", worker="host/1", state=state, reason="send"
        )
        for n, state in enumerate(("ejected", "half-open", "warming"))
    ]
    site.parts.store.history.add([seen], changes, now_s)
    names: tuple[WindowName, ...] = ("hour", "day", "week")
    for name in names:
        told = site.admin.get(f"{HISTORY}?window={name}").json
        window = WINDOWS[name]
        assert (window.span_s, window.slots) == (told["span_s"], len(told["slots"]))
        starts = [each["start_us"] for each in told["slots"]]
        step_us = window.span_s * 10**6
        assert list(range(starts[0], starts[-1] + 1, step_us)) == starts
        assert now_s * 10**6 < starts[-1] + (window.span_s + 60) * 10**6
        [slot] = [each for each in told["slots"] if each["state"] != "idle"]
        assert ("ejected", 9, 1, 2, 1, 30_000) == tuple(
            slot[each]
            for each in ("state", "requests", "failed", "handoffs", "ejections", "ejected_ms")
        )
        assert 10 <= slot["first_token_p50_ms"] <= slot["first_token_p95_ms"] <= 25
    page = site.admin.get(f"{HISTORY}?limit=2").json
    assert ["warming", "half-open"] == [each["state"] for each in page["changes"]]
    assert page["changes"][-1]["id"] == page["next"]
    page = site.admin.get(f"{HISTORY}?limit=2&before={page['next']}").json
    assert (["ejected"], None) == ([each["state"] for each in page["changes"]], page["next"])
    assert ("send", "host/1") == tuple(page["changes"][0][each] for each in ("reason", "worker"))


@pytest.mark.usefixtures("_gpu")
@pytest.mark.parametrize(
    ("query", "param"), [("window=year", "window"), ("limit=0", "limit"), ("x=1", "x")]
)
def test_what_cannot_be_asked(site: Web, query: str, param: str) -> None:
    """400, with its name."""
    answer = site.admin.get(f"{HISTORY}?{query}")
    assert (400, param) == (answer.status, answer.error["param"])


def test_whose_history_there_is(site: Web) -> None:
    """Of the embedded model, too; of no unknown upstream."""
    told = site.admin.get("/admin/v1/upstreams/embedded/history").json
    assert ({"idle"}, []) == ({each["state"] for each in told["slots"]}, told["changes"])
    assert 404 == site.admin.get("/admin/v1/upstreams/none/history").status


@pytest.mark.parametrize(
    ("slot", "state"),
    [
        (UpstreamSlot(upstream="u", start_s=0), "idle"),
        (UpstreamSlot(upstream="u", start_s=0, handoffs=1), "idle"),
        (UpstreamSlot(upstream="u", start_s=0, requests=1, failed=1), "healthy"),
        (UpstreamSlot(upstream="u", start_s=0, requests=1, warming_ms=1), "warming"),
        (UpstreamSlot(upstream="u", start_s=0, warming_ms=1, failed_calls=1), "degraded"),
        (UpstreamSlot(upstream="u", start_s=0, lost_streams=1), "degraded"),
        (UpstreamSlot(upstream="u", start_s=0, degraded_ms=1, half_open_ms=1), "half-open"),
        (UpstreamSlot(upstream="u", start_s=0, half_open_ms=1, ejections=1), "ejected"),
        (UpstreamSlot(upstream="u", start_s=0, ejected_ms=1, warming_ms=1), "ejected"),
    ],
)
def test_the_worst_state_is_told(slot: UpstreamSlot, state: SlotState) -> None:
    """Of all that was seen in a slot."""
    assert state == state_of(slot)
    assert state in STATES
