"""Probes: off unless wanted; a dead upstream is found and a healed one is back by itself."""

import asyncio
import pathlib
from collections.abc import Callable

from baton.probes import Probe, Probes, question
from baton.routing.health import FAILURES_MAX
from baton.sites import Site
from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.failures import failure
from baton.upstreams.registry import dialect
from tests.fakes.scripted import Scripted
from tests.relaying import Relay, relaying

ASKED = HttpRequest(path="/models", body=b"", method="GET")


class Server:
    """Answers probes with what it is told, statuses or failures; for ever the last of them."""

    def __init__(self, *answers: int | UpstreamError | None) -> None:
        self.answers = list(answers)

    async def status(self, request: HttpRequest) -> int:
        assert request is ASKED
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, UpstreamError):
            raise answer
        assert isinstance(answer, int)
        return answer


def probed(site: Site, *answers: int | UpstreamError | None, interval_s: float = 10.0) -> str:
    """The site's state after each answer, asked for one after the other."""
    probe = Probe(site, Server(*answers), ASKED, interval_s)

    async def ask() -> None:
        for _ in answers:
            await probe.ask()

    asyncio.run(ask())
    return site.state


def site_at(now: list[float]) -> Site:
    return Site("a", Scripted(), clock=lambda: now[0])


def test_every_failure_counts_as_a_request_s() -> None:
    """Nobody there, an error of the server, silence: five in a row eject."""
    for bad in (failure("connect", "refused"), 503):
        assert "ejected" == probed(site_at([0.0]), *[bad] * FAILURES_MAX)
    assert "suspect" == probed(site_at([0.0]), None, interval_s=0.01)


def test_whoever_answers_is_there() -> None:
    """Also with a refusal of the question; an ejected one warms up at once."""
    for good in (200, 401, 404, 429):
        site = site_at([0.0])
        assert "healthy" == probed(site, good)
        assert "ejected" == probed(site, *[500] * FAILURES_MAX)
        assert "warming" == probed(site, good)


def test_answers_that_break_off_are_not_excused() -> None:
    """Only a request shows that they are whole again."""
    now = [0.0]
    site = site_at(now)
    for _ in range(FAILURES_MAX):
        site.failed(failure("stream", "network"))
    assert "ejected" == probed(site, 200)
    now[0] = 31.0
    assert "half-open" == probed(site, 200)


def test_one_that_is_full_is_not_asked() -> None:
    """A probe would wait in line, and tell of the line."""
    site = site_at([0.0])
    site.in_flight_max = 0
    assert "healthy" == probed(site, *[500] * FAILURES_MAX)


def test_each_in_its_interval() -> None:
    """Not at once, not twice, and not after it is gone."""
    now = [100.0]
    probes = Probes(lambda: now[0])
    one, two = (Probe(site_at(now), Server(200), ASKED, interval_s) for interval_s in (10.0, 25.0))
    probes.put("one", one)
    probes.put("two", two)
    found = []
    for at in range(100, 160, 5):
        now[0] = float(at)
        found += [(at, each is two) for each in probes.due()]
    expected = [(110, False), (120, False), (125, True), (130, False), (140, False)]
    assert [*expected, (150, False), (150, True)] == found
    probes.forget("one")
    now[0] = 170.0
    assert [] == probes.due()


def test_the_question() -> None:
    """Where each dialect lists its models."""
    assert ("/models", "GET") == (question(dialect("vllm")).path, question(dialect("vllm")).method)
    assert "/v1/models" == question(dialect("ollama")).path


def state(relay: Relay) -> Callable[[str], bool]:
    return lambda wanted: relay.worker._configured.sites["fake"].state == wanted


def test_a_worker_probes_only_who_wants_it(tmp_path: pathlib.Path) -> None:
    """Without a request: nothing by default; found out and back again where it is wanted."""
    with relaying(tmp_path) as relay:
        relay.add_upstream("fake", relay.fake, probe_interval_s=1.0)
        relay.until(lambda: any(r.path == "/v1/models" for r in relay.fake.requests))
        assert state(relay)("healthy")
        relay.worker._configured.sites["fake"].failed(failure("connect", "refused"))
        assert relay.worker._configured.sites["fake"].troubled
        relay.until(lambda: not relay.worker._configured.sites["fake"].troubled)
        relay.add_upstream("fake", relay.fake)
        relay.until(lambda: not relay.worker._configured.probes._probes)
    assert [] == relay.rows()
