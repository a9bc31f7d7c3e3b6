"""What an upstream tells its watch of each call, by real faults on the wire."""

import asyncio
import contextlib
from typing import Any

import pytest

from baton.errors import RequestError
from baton.semantics.events import Call
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpUpstream
from tests.upstreams.test_http import upstream

LIMITS = TransportLimits(first_byte_timeout_s=0.1, stall_timeout_s=0.1)


class Listening:
    """A watch that writes down what it hears."""

    def __init__(self, troubled: bool) -> None:
        self.troubled = troubled
        self.heard: list[str] = []

    def failed(self, error: UpstreamError) -> None:
        self.heard.append(f"{error.phase} {error.kind}")

    def accepted(self) -> None:
        self.heard.append("accepted")

    def whole(self) -> None:
        self.heard.append("whole")


async def asked(built: HttpUpstream, **fields: Any) -> None:
    call = Call(**{"model": "m", "prompts": ["a b"], "max_tokens": 9, "stream": True, **fields})
    with contextlib.suppress(UpstreamError, RequestError):
        stream = await built.open(call)
        while await stream.read():
            pass


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ({"status": 500}, ["first_byte status"]),
        ({"status": 429}, ["first_byte overloaded"]),
        ({"status": 400}, ["accepted"]),
        ({"delay_s": 9.0}, ["first_byte timeout"]),
        ({"stall_after_bytes": 300}, ["stream timeout"]),
        ({"cut_after_bytes": 300}, ["stream network"]),
        ({"cut_after_bytes": 300, "cut_by": "rst"}, ["stream network"]),
        ({"insert_after_event": 1, "insert": "{"}, ["stream protocol"]),
    ],
)
def test_what_goes_wrong(fault: dict[str, Any], heard: list[str]) -> None:
    """Each failure once, by its phase and kind; a refused request says that the upstream lives."""

    async def act() -> None:
        async with upstream("vllm", LIMITS) as (fake, built):
            built.watch = watch = Listening(troubled=False)
            fake.fault(**fault)
            await asked(built)
            assert heard == watch.heard

    asyncio.run(act())


def test_what_goes_well() -> None:
    """Told while there is trouble, and not at all else; an answer without [DONE] is not whole."""

    async def act() -> None:
        async with upstream("vllm") as (fake, built):
            for troubled, heard in ((False, []), (True, ["accepted", "whole"])):
                built.watch = watch = Listening(troubled)
                await asked(built)
                await asked(built, stream=False)
                assert heard * 2 == watch.heard
            fake.fault(cut_after_bytes=0)
            await asked(built)
            assert watch.heard[-1].startswith(("stream", "first_byte"))

    asyncio.run(act())


def test_who_leaves_says_nothing() -> None:
    """Neither closing a stream under its reader nor a cancelled call counts against anybody."""

    async def act() -> None:
        async with upstream("vllm") as (fake, built):
            built.watch = watch = Listening(troubled=False)
            fake.fault(times=2, stall_after_bytes=300)
            reader = asyncio.get_running_loop().create_task(asked(built))
            await fake.until(lambda: len(fake.seen) == 1)
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            stream = await built.open(Call(model="m", prompts=["a"], max_tokens=9, stream=True))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while await stream.read():
                        pass
            stream.close()
            assert [] == watch.heard

    asyncio.run(act())
