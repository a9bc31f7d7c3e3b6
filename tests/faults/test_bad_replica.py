"""One bad replica of three through a whole worker: callers notice nothing, the operator is told."""

import concurrent.futures
import pathlib
from collections import Counter

from tests.asking import Answer
from tests.relaying import Relay, relaying

NAMES = ("one", "two", "three")
REQUESTS = 300
CALLERS = 6
TOUCHES_MAX = 5


def replicas(relay: Relay) -> None:
    """All of one priority."""
    for name in NAMES:
        relay.add_upstream(name, relay.fakes[name])
    sites = relay.worker._configured.sites
    relay.until(lambda: {0} == {sites[name].priority for name in NAMES})


def ask_all(relay: Relay, stream: bool) -> list[Answer]:
    user = relay.user
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        return list(
            pool.map(
                lambda number: user.complete(prompt=f"a {number}", max_tokens=2, stream=stream),
                range(REQUESTS),
            )
        )


def test_a_replica_that_fails(tmp_path: pathlib.Path) -> None:
    """At most 5 requests touch it and all are answered; health, failures and times of each are in
    the admin interface and in /metrics."""
    with relaying(tmp_path, dict.fromkeys(NAMES, "vllm")) as relay:
        replicas(relay)
        relay.fake.fault(times=10**6, status=500)
        answers = ask_all(relay, stream=True)
        touched = len(relay.fake.seen)
        admin = relay.key("admin", role="admin")
        told = {
            each["name"]: each["live"] for each in admin.get("/admin/v1/upstreams").json["data"]
        }
        metrics = relay.user.get("/metrics").text
    assert {200} == {answer.status for answer in answers}
    assert 1 <= touched <= TOUCHES_MAX
    used = Counter(answer.headers["x-baton-upstream"] for answer in answers)
    assert {"two", "three"} == set(used)
    assert touched == told["one"]["failed_calls"]
    assert told["one"]["first_token_p50_ms"] is None
    for name in ("two", "three"):
        assert ("healthy", {"healthy": 1}) == (told[name]["state"], told[name]["workers"])
        assert 0 < told[name]["first_token_p50_ms"] <= told[name]["first_token_p95_ms"]
        assert used[name] > REQUESTS / 4
    assert f'baton_upstream_failed_calls_total{{upstream="one"}} {touched}.0' in metrics
    assert {"settled"} == {row.state for row in relay.rows()}
