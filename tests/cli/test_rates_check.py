"""The server that rates are counted on, as `baton doctor` finds it."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from redis import Redis as Client

from baton.cli.rates_check import shared_rates
from baton.config import Settings
from tests.cli.conftest import Cli
from tests.running import free_port
from tests.servers import Redis, redis

SECRET = "secret-of-the-server"


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with redis() as started:
        yield started


@contextlib.contextmanager
def asked(server: Redis) -> Iterator[Client]:
    with contextlib.closing(Client(port=server.port)) as client:
        yield client


def found(url: str, answer_s: float = 5.0) -> tuple[str, str, str]:
    finding = shared_rates(Settings(redis_url=url), answer_s)
    assert "rates" == finding.check
    assert SECRET not in f"{finding.message}{finding.remedy}"
    return finding.state, finding.message, finding.remedy


def test_one_that_counts_is_named(server: Redis) -> None:
    """With its version and place; nothing of the trial stays there."""
    state, message, remedy = found(server.url)
    assert ("ok", "") == (state, remedy)
    with asked(server) as client:
        version = client.info("server")["redis_version"]
        assert f"{version} at 127.0.0.1:{server.port}/0 counts" in message
        assert client.exists("baton:nodes") == 0


def test_who_may_not_is_told(server: Redis) -> None:
    """A wrong password, and a user who lacks what counting needs; one who has it, and no more, may
    count."""
    place = f"127.0.0.1:{server.port}"
    with asked(server) as client:
        secret = [f"+{SECRET}"]
        client.acl_setuser("few", True, passwords=secret, commands=["+ping"])
        client.acl_setuser("other", True, passwords=secret, categories=["+@all"], keys=["other:*"])
        may = ["eval", "evalsha", "get", "set", "time", "zadd", "zcard", "zremrangebyscore"]
        allowed = [f"+{each}" for each in may]
        client.acl_setuser("enough", True, passwords=secret, commands=allowed, keys=["baton:*"])
    for user, why in (("nobody", "invalid username-password"), ("few", "no permissions")):
        state, message, remedy = found(f"redis://{user}:{SECRET}@{place}/0")
        assert ("failed", True) == (state, message.startswith(f"{place}/0: ")), message
        assert why in message
        assert "user and password" in remedy
    assert "failed" == found(f"redis://other:{SECRET}@{place}/0")[0]
    assert "tells no version" in found(f"redis://enough:{SECRET}@{place}/0")[1]


def test_one_that_is_not_there_is_told(server: Redis) -> None:
    """Also one that does not answer, a copy that takes no changes, and what is no address."""
    state, message, remedy = found(f"redis://u:{SECRET}@127.0.0.1:{free_port()}/3")
    assert ("failed", True, True) == (state, "/3: " in message, "counts by itself" in remedy)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        message = found(f"redis://127.0.0.1:{port}/0", 0.1)[1]
        assert f"127.0.0.1:{port}/0: no answer in 0.1 s" == message
    assert "/nowhere.sock: " in found("unix:///nowhere.sock")[1]
    assert ("failed", "write it so, or take it away") == found(f"redis://u:{SECRET}/x@h")[::2]
    with redis() as copy, asked(copy) as client:
        client.replicaof("127.0.0.1", str(server.port))
        assert "a copy of it" in found(copy.url)[2]


def test_doctor_looks_where_one_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not otherwise."""
    monkeypatch.setenv("BATON_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    done = cli("doctor")
    assert (1, True) == (done.code, "FAILED   rates: 127.0.0.1:" in done.out)
