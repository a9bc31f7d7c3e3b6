"""The rules that keep an operator's URLs from reaching what only this machine can reach (SSRF).

One table, two questions: is a URL taken when an upstream is configured, and is it called when the
name leads somewhere else by then? Each row is a host as it is written and what it resolves to.
"""

import asyncio

import pytest

from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.dialer import TcpDialer
from baton.upstreams.endpoint import parse
from baton.upstreams.judging import METADATA_NAMES, judge
from baton.upstreams.transport import Transport
from tests.fakes.wire import Exchange, WireServer, whole

PUBLIC = "93.184.216.34"
UNWRITTEN = [
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "0x7f.1",
    "127.1",
    "017700000001",
    "127.0.0.1.",
    "[::ffff:169.254.169.254%25eth0]",
    "[fe80::1%25eth0]",
    "exa mple.com",
    "①②⑦.0.0.1",
]
"""Decimal, octal, hexadecimal and short forms, interfaces, look-alikes: not taken at all."""
ALWAYS = [
    "169.254.169.254",
    "169.254.0.1",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[::169.254.169.254]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "[::]",
    "224.0.0.1",
    "255.255.255.255",
    *sorted(METADATA_NAMES),
]
"""Link-local, metadata, unspecified, multicast: never, in whatever clothes."""
PRIVATE = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "[::1]", "[fc00::1]", "[::ffff:10.0.0.1]"]
"""Only where the operator allows private addresses."""


def taken(host: str, *, allow_private: bool, leads_to: str = PUBLIC) -> bool:
    """Whether an upstream with this host may be configured."""

    async def resolver(_host: str, _port: int) -> list[str]:
        return [leads_to]

    async def scenario() -> bool:
        try:
            await judge(parse(f"http://{host}/v1", allow_private=allow_private), resolver)
        except ValueError:
            return False
        return True

    return asyncio.run(scenario())


@pytest.mark.parametrize("host", UNWRITTEN)
def test_forms_that_nobody_reads_are_not_taken(host: str) -> None:
    """Whatever is allowed."""
    try:
        assert not taken(host, allow_private=True)
    except ValueError:
        return  # not even a URL


@pytest.mark.parametrize("host", ALWAYS)
def test_metadata_and_link_local_are_denied_at_creation(host: str) -> None:
    """Also to operators who allow private addresses."""
    assert not taken(host, allow_private=True)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_need_a_word(host: str) -> None:
    """The record's allow_private."""
    assert taken(host, allow_private=True)
    assert not taken(host, allow_private=False)


@pytest.mark.parametrize("leads_to", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_a_name_is_judged_by_where_it_leads(leads_to: str) -> None:
    """At creation; a public name is taken."""
    assert not taken("upstream.test", allow_private=True, leads_to=leads_to)
    assert taken("upstream.test", allow_private=False)


def test_what_does_not_resolve_is_left_to_the_dialer() -> None:
    """A server may be configured before it is there."""

    async def resolver(_host: str, _port: int) -> list[str]:
        raise OSError

    asyncio.run(judge(parse("http://later.test"), resolver))


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::ffff:169.254.169.254"])
def test_a_name_that_changes_its_mind_gains_nothing(address: str) -> None:
    """Rebinding: good when it was configured, bad when it is called; nothing is connected to."""
    answers = [[PUBLIC], [address]]

    async def resolver(_host: str, _port: int) -> list[str]:
        return answers.pop(0)

    async def scenario() -> None:
        endpoint = parse("http://rebinding.test")
        await judge(endpoint, resolver)
        with pytest.raises(UpstreamError) as caught:
            await TcpDialer(endpoint, resolver).dial(asyncio.Protocol)
        assert caught.value.kind == "refused"
        assert "is denied" in caught.value.detail

    asyncio.run(scenario())


def test_one_bad_address_among_good_ones_denies_the_name() -> None:
    """At the dialer: nobody chooses which of them it would have been."""

    async def resolver(_host: str, _port: int) -> list[str]:
        return [PUBLIC, "169.254.169.254"]

    async def scenario() -> None:
        endpoint = parse("http://mixed.test", allow_private=True)
        with pytest.raises(ValueError, match="link-local"):
            await judge(endpoint, resolver)
        with pytest.raises(UpstreamError, match="refused"):
            await TcpDialer(endpoint, resolver).dial(asyncio.Protocol)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(status: str) -> None:
    """The answer is the redirect; its target is never asked."""
    targets: list[str] = []

    async def redirect(exchange: Exchange) -> None:
        await exchange.send(whole(b"", f"Location: {targets[0]}/x", status=status))

    async def hidden_answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"secret"))

    async def scenario() -> None:
        async with WireServer(hidden_answer) as hidden, WireServer(redirect) as server:
            targets.append(hidden.url)
            transport = Transport(parse(server.url, allow_private=True))
            response = await transport.send(HttpRequest(path="/", body=b""))
            assert str(response.status) == status[:3]
            transport.close()
            assert hidden.accepted == 0

    asyncio.run(scenario())
