"""The proxy itself: each trouble at exactly its byte, once; else nothing is changed."""

import asyncio
import random
import time

import pytest

from tests.fakes.wire import Exchange, WireServer, whole
from tests.faults.fault_proxy import FaultProxy, Kind, Trouble, trouble_of

BODY = bytes(range(32, 127)) * 3
ANSWER = whole(BODY)
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SOON_S = 0.1


async def answer(exchange: Exchange) -> None:
    await exchange.send(ANSWER)


async def read(port: int) -> tuple[bytes, str]:
    """What comes of one answer, and how it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)
    found = b""
    try:
        async with asyncio.timeout(SOON_S):
            while len(found) < len(ANSWER):
                data = await reader.read(1 << 16)
                if not data:
                    return found, "fin"
                found += data
    except TimeoutError:
        return found, "silence"
    except ConnectionResetError:
        return found, "rst"
    finally:
        writer.transport.abort()
    return found, "whole"


def through(trouble: Trouble | None) -> tuple[bytes, str]:
    """One answer with that trouble; the next one is whole."""

    async def run() -> tuple[bytes, str]:
        async with WireServer(answer) as server, FaultProxy(server.port) as proxy:
            proxy.arm(trouble)
            found = await read(proxy.port)
            assert (ANSWER, "whole") == await read(proxy.port)
            assert (trouble is not None) == proxy.hits
            return found

    return asyncio.run(run())


def test_nothing() -> None:
    """Without trouble all passes as it is."""
    assert (ANSWER, "whole") == through(None)


ENDS: list[tuple[Kind, str]] = [("fin", "fin"), ("stall", "silence"), ("half_open", "silence")]


@pytest.mark.parametrize(("kind", "end"), ENDS)
@pytest.mark.parametrize("place", [0, 1, 17, len(ANSWER) - 1])
def test_a_cut_at_its_byte(kind: Kind, end: str, place: int) -> None:
    """So many bytes come, and then that end."""
    assert (ANSWER[:place], end) == through(Trouble(kind, place))


def test_a_reset() -> None:
    """RST may overtake what was sent; nothing behind its place comes."""
    found, end = through(Trouble("rst", 40))
    assert "rst" == end
    assert ANSWER[:40].startswith(found)


def test_one_byte_of_noise() -> None:
    """In place of the next brace; the rest is as it was."""
    found, end = through(Trouble("corrupt", 60))
    assert (ANSWER.replace(b"{", b"\xff", 1), "whole") == (found, end)


@pytest.mark.parametrize(
    "trouble", [Trouble("late", 9, latency_s=0.05), Trouble("slow", 9, bytes_per_s=8000)]
)
def test_slowness(trouble: Trouble) -> None:
    """All comes, later."""
    began = time.monotonic()
    assert (ANSWER, "whole") == through(trouble)
    assert time.monotonic() - began > 0.03


def test_the_same_seed_is_the_same_trouble() -> None:
    """So that a failure can be had again."""
    troubles = [[trouble_of(random.Random(seed), 500) for _ in range(9)] for seed in (1, 1, 2)]
    assert troubles[0] == troubles[1] != troubles[2]
