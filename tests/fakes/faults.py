"""What can go wrong with an answer of a fake, byte by byte."""

import asyncio
from typing import Any

import msgspec

from tests.fakes.wire import LAST_CHUNK, Exchange, chunk


class Fault(msgspec.Struct, kw_only=True):
    """What goes wrong with the next `times` answers; places are bytes of the body on the wire."""

    times: int = 1
    status: int = 0
    """Answer with this status, `body` and `headers` instead."""
    body: str = ""
    headers: list[str] = []
    delay_s: float = 0.0
    interval_s: float = 0.0
    """Between the events of a stream."""
    cut_after_bytes: int = -1
    cut_by: str = "fin"
    """`fin` or `rst`"""
    stall_after_bytes: int = -1
    insert_after_event: int = -1
    insert: str = ""
    """An event put into the stream after so many others."""
    piece_bytes: int = 0
    """Send the body in pieces of so many bytes, each a segment of its own."""
    usage: dict[str, Any] | None = None
    """Reported instead of the right one."""


async def send_faulty(exchange: Exchange, head: bytes, frames: list[bytes], fault: Fault) -> None:
    """Head and body; cut, stalled, slowed or in pieces as the fault says."""
    chunked = b"chunked" in head
    await exchange.send(head)
    sent = 0
    ends = [place for place in (fault.cut_after_bytes, fault.stall_after_bytes) if place >= 0]
    for frame in frames:
        data = frame if not ends else frame[: max(0, min(ends) - sent)]
        size = fault.piece_bytes or len(data) or 1
        for start in range(0, len(data), size):
            part = data[start : start + size]
            await exchange.send(chunk(part) if chunked else part)
        sent += len(data)
        if len(data) < len(frame):
            return await end_badly(exchange, fault)
        await asyncio.sleep(fault.interval_s)
    if ends:
        return await end_badly(exchange, fault)
    if chunked:
        await exchange.send(LAST_CHUNK)
    return None


async def end_badly(exchange: Exchange, fault: Fault) -> None:
    if fault.cut_after_bytes < 0:
        await exchange.stall()
    elif fault.cut_by == "rst":
        exchange.reset()
    else:
        exchange.close()
