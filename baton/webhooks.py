"""Webhooks: tells an address of the operator's when budgets are used so far.

One worker of all has the duty (stores/notices.py); it looks every few seconds, makes notices and
posts those that are due. Each is signed, so that the receiver can trust it, and tried again until
the receiver answers 2xx: at least once, in no particular order; receivers drop an `id` that they
know. The address is called through the transport of upstreams, so what may not be an upstream (the
cloud's metadata, link-local, private addresses unless allowed) is never called here either, and
redirects are not followed.

    POST /your/path
    baton-signature: t=1764000000,v1=<hex of HMAC-SHA256(secret, "1764000000." + body)>
"""

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import time

from baton.config import Settings, SettingsError
from baton.misset import percents
from baton.stores.base import StoreUnavailable
from baton.stores.notices import Notice, Notices
from baton.telemetry import diary
from baton.upstreams import endpoint
from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.endpoint import Endpoint, TransportLimits
from baton.upstreams.transport import Transport

LOOK_S = 5.0
DUTY_S = 30.0
"""A process that did not look for so long has lost the duty."""
RETRY_S = (10, 60, 300, 1_800, 7_200, 21_600, 43_200)
"""Waits after each failed try; then it is given up: about a day in all."""
LIMITS = TransportLimits(
    first_byte_timeout_s=10.0, stall_timeout_s=10.0, total_timeout_s=15.0, connections_max=4
)
SECOND_US = 1_000_000


def address(settings: Settings) -> Endpoint | None:
    """Where notices go; None: nowhere. Raises SettingsError for what cannot be called."""
    if not settings.webhook_url:
        return None
    if not settings.webhook_secret:
        raise SettingsError("BATON_WEBHOOK_URL needs BATON_WEBHOOK_SECRET: notices are signed")
    try:
        return endpoint.parse(
            settings.webhook_url, allow_private=settings.webhook_allow_private, limits=LIMITS
        )
    except ValueError as error:
        raise SettingsError(f"BATON_WEBHOOK_URL: {error}") from None


def signature(secret: str, body: bytes, at_s: int) -> str:
    """What a receiver computes itself and compares; `at_s` keeps old ones from being sent again."""
    code = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={code.hexdigest()}"


class Webhooks:
    """Looks and delivers, from `start` to `close`. Owned by one event loop."""

    def __init__(self, notices: Notices, target: Endpoint, settings: Settings) -> None:
        self._notices, self._percents = notices, percents(settings.webhook_percents)
        self._secret = settings.webhook_secret
        self._transport = Transport(target)
        self._owner = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Leave the duty to another process; what was being delivered is tried again there."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._transport.close()
        with contextlib.suppress(StoreUnavailable):
            await asyncio.to_thread(self._notices.leave, self._owner)

    async def look(self, now_us: int) -> int:
        """Make what is to be noticed and deliver what is due; returns how many were delivered."""
        if not await self._on_duty(now_us):
            return 0
        await asyncio.to_thread(self._notices.make, self._percents, now_us)
        due = await asyncio.to_thread(self._notices.due, now_us)
        delivered, began_s = 0, time.monotonic()
        for each in due:
            # Many to be made, or a slow receiver, keep us for longer than the duty lasts.
            at_us = now_us + int(time.monotonic() - began_s) * SECOND_US
            if not await self._on_duty(at_us):
                break  # another process delivers them
            delivered += await self._deliver(each, at_us)
        return delivered

    async def _on_duty(self, now_us: int) -> bool:
        until_us = now_us + round(DUTY_S * SECOND_US)
        return await asyncio.to_thread(self._notices.take, self._owner, now_us, until_us)

    async def _run(self) -> None:
        while True:
            with diary.outliving("webhooks"):
                try:
                    await self.look(time.time_ns() // 1000)
                except StoreUnavailable as error:
                    diary.warning("budgets cannot be looked at", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _deliver(self, each: Notice, now_us: int) -> bool:
        why = await self._post(each.body.encode(), now_us // SECOND_US)
        if why is None:
            await asyncio.to_thread(self._notices.delivered, each.id, now_us)
            return True
        waits = RETRY_S[each.attempts : each.attempts + 1]
        next_us = now_us + waits[0] * SECOND_US if waits else None
        await asyncio.to_thread(self._notices.failed, each.id, why, next_us)
        diary.warning("a webhook was not delivered", notice=each.id, reason=why, again=bool(waits))
        return False

    async def _post(self, body: bytes, at_s: int) -> str | None:
        """None when it was taken, else why not."""
        headers = (("baton-signature", signature(self._secret, body, at_s)),)
        path = "" if self._transport.endpoint.prefix else "/"
        try:
            response = await self._transport.send(HttpRequest(path, body, headers))
        except UpstreamError as error:
            return f"{error.phase}: {error.detail or error.kind}"
        response.dismiss()
        return None if 200 <= response.status < 300 else f"status {response.status}"
