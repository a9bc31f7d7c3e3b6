"""Requests and tokens per minute, and requests at once. Pure arithmetic on cells of integers.

A request is under several limits at once (its key's, its user's, its team's …) and passes all of
them or none. Each limit has a row of cells; who owns the cells sees to it that nobody else changes
them meanwhile (counters.py).

Requests count when they arrive, by the generic cell rate algorithm: one number, the time at which
the whole minute will be available again. A request counts one, however many prompts it has. The
whole minute may be used at once; from then on there is one request each 60/limit seconds.

Tokens are reserved for the worst case and counted as used, by the same algorithm, when the request
ends. A reservation does not wear off with time: if it did, giving back what was not needed would
allow a burst twice. So what is used and what may be used never exceed the minute together.

Times are nanoseconds of a clock that does not go back. One more than a minute ahead was written
before the machine started anew, and counts as nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

MINUTE_NS = 60_000_000_000
RATE_MAX = 100_000_000
"""Per minute; a higher limit is counted as this one."""
AT_ONCE_RETRY_S = 1.0
"""Nobody knows when a request under way ends."""

REQUESTS_FULL, TOKENS_FULL, AT_ONCE, PENDING = range(4)
"""Cells of a row: when all requests, all tokens are available again; requests under way, and the
tokens reserved for them."""
CELLS = 4

Kind = Literal["requests", "tokens", "at_once"]


class Cells(Protocol):
    """Integers of 64 bits, by their place."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, value: int, /) -> None: ...


class Limit(msgspec.Struct, frozen=True):
    """What all requests under one key or party may do together."""

    scope: str
    """Its account's name: `key:…`, `team:…`."""
    name: str
    """What errors call it."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_at_once: int | None = None

    @property
    def lasting(self) -> bool:
        """Whether it has to know when a request ends."""
        return self.tokens_per_minute is not None or self.requests_at_once is not None


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass a kind of limit: of the one that refuses it, else the tightest."""

    kind: Kind
    name: str
    allowed: bool
    limit: int
    remaining: int
    """What would pass at once after this one."""
    reset_s: float
    """Until the whole minute is available again."""
    wait_s: float = 0.0
    """Until this one would pass; infinite where it never would."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """As OpenAI names them; nothing for requests at once, which it does not have."""
        if self.kind == "at_once":
            return ()
        return (
            (f"x-ratelimit-limit-{self.kind}", str(self.limit)),
            (f"x-ratelimit-remaining-{self.kind}", str(self.remaining)),
            (f"x-ratelimit-reset-{self.kind}", duration(self.reset_s)),
        )

    def lines(self) -> bytes:
        """The same as header lines."""
        kind = KINDS[self.kind]
        if not kind:
            return b""
        return LINES % (
            *(kind, self.limit, kind, self.remaining, kind),
            duration(self.reset_s).encode(),
        )


KINDS: Mapping[Kind, bytes] = {"requests": b"requests", "tokens": b"tokens", "at_once": b""}
LINES = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n"


class Left(msgspec.Struct, frozen=True):
    """What a limit would let through now; None where it has no such limit."""

    requests: int | None
    tokens: int | None
    at_once: int | None


def arrive(
    limits: Sequence[Limit], cells: Cells, rows: Sequence[int], now_ns: int
) -> Decision | None:
    """Count a request against all limits, or none: `rows[i]` is where cells of `limits[i]` begin.

    None where no limit of them has to do with it."""
    decision: Decision | None = None
    for limit, row in zip(limits, rows, strict=True):
        if limit.requests_per_minute is not None:
            one = _one_request(limit, cells, row, now_ns)
            decision = one if decision is None else _tighter(decision, one)
        if limit.requests_at_once is not None:
            decision = _tighter(decision, _one_more(limit, cells, row))
    if decision is not None and not decision.allowed:
        return decision
    for limit, row in zip(limits, rows, strict=True):
        if limit.requests_per_minute is not None:
            used_ns = cells[row + REQUESTS_FULL] - now_ns
            used_ns = used_ns if 0 < used_ns <= MINUTE_NS else 0
            cells[row + REQUESTS_FULL] = now_ns + used_ns + _interval(limit.requests_per_minute)
        if limit.requests_at_once is not None:
            cells[row + AT_ONCE] += 1
    return decision


def arrive_alone(limit: Limit, cells: Cells, row: int, now_ns: int) -> Decision | None:
    """`arrive` under a single limit that counts requests alone, as most keys have: one pass."""
    allowed = limit.requests_per_minute
    if allowed is None:
        return None
    at = row + REQUESTS_FULL
    interval_ns, used_ns = MINUTE_NS // min(allowed, RATE_MAX), cells[at] - now_ns
    if not 0 < used_ns <= MINUTE_NS:
        used_ns = 0
    after_ns = used_ns + interval_ns
    spare_ns = MINUTE_NS - after_ns
    if spare_ns < 0:
        return Decision("requests", limit.name, False, allowed, 0, used_ns / 1e9, -spare_ns / 1e9)
    cells[at] = now_ns + after_ns
    return Decision("requests", limit.name, True, allowed, spare_ns // interval_ns, after_ns / 1e9)


def reserve(
    limits: Sequence[Limit], cells: Cells, rows: Sequence[int], tokens: int, now_ns: int
) -> Decision | None:
    """Reserve tokens of all limits, or of none. None where no limit counts tokens."""
    decision: Decision | None = None
    for limit, row in zip(limits, rows, strict=True):
        decision = _tighter(decision, _more_tokens(limit, cells, row, tokens, now_ns))
    if decision is not None and decision.allowed:
        for limit, row in zip(limits, rows, strict=True):
            if limit.tokens_per_minute is not None:
                cells[row + PENDING] += tokens
    return decision


def end(
    limits: Sequence[Limit], cells: Cells, rows: Sequence[int], tokens: tuple[int, int], now_ns: int
) -> None:
    """A request that arrived is over: `tokens` are those reserved, and those used instead."""
    reserved, used = tokens
    for limit, row in zip(limits, rows, strict=True):
        if limit.requests_at_once is not None:
            cells[row + AT_ONCE] = max(0, cells[row + AT_ONCE] - 1)
        if limit.tokens_per_minute is not None:
            cells[row + PENDING] = max(0, cells[row + PENDING] - reserved)
            used_ns = _used_ns(cells[row + TOKENS_FULL], now_ns)
            used_ns += _cost_ns(used, limit.tokens_per_minute)
            cells[row + TOKENS_FULL] = now_ns + min(used_ns, MINUTE_NS)


def left(limit: Limit, cells: Cells, row: int, now_ns: int) -> Left:
    """What would pass now."""
    request, tokens = _one_request(limit, cells, row, now_ns), None
    if limit.tokens_per_minute is not None:
        tokens = _tokens_left(limit.tokens_per_minute, cells, row, now_ns)
    at_once = limit.requests_at_once
    return Left(
        None if request is None else request.remaining + request.allowed,
        tokens,
        None if at_once is None else max(0, at_once - cells[row + AT_ONCE]),
    )


def idle(cells: Cells, row: int, now_ns: int) -> bool:
    """Whether the row says nothing: as good as one that was never used."""
    return not (
        cells[row + AT_ONCE]
        or cells[row + PENDING]
        or _used_ns(cells[row + REQUESTS_FULL], now_ns)
        or _used_ns(cells[row + TOKENS_FULL], now_ns)
    )


def _one_request(limit: Limit, cells: Cells, row: int, now_ns: int) -> Decision | None:
    allowed = limit.requests_per_minute
    if allowed is None:
        return None
    interval_ns = _interval(allowed)
    used_ns = _used_ns(cells[row + REQUESTS_FULL], now_ns)
    spare_ns = MINUTE_NS - used_ns - interval_ns
    if spare_ns < 0:
        return Decision("requests", limit.name, False, allowed, 0, used_ns / 1e9, -spare_ns / 1e9)
    reset_s = (used_ns + interval_ns) / 1e9
    return Decision("requests", limit.name, True, allowed, spare_ns // interval_ns, reset_s)


def _one_more(limit: Limit, cells: Cells, row: int) -> Decision | None:
    """Only a refusal is told: nobody needs to know how many more may run."""
    if limit.requests_at_once is None or cells[row + AT_ONCE] < limit.requests_at_once:
        return None
    return Decision("at_once", limit.name, False, limit.requests_at_once, 0, 0.0, AT_ONCE_RETRY_S)


def _more_tokens(limit: Limit, cells: Cells, row: int, tokens: int, now_ns: int) -> Decision | None:
    allowed = limit.tokens_per_minute
    if allowed is None:
        return None
    used_ns = _used_ns(cells[row + TOKENS_FULL], now_ns)
    after_ns = used_ns + _cost_ns(cells[row + PENDING] + tokens, allowed)
    remaining = _tokens_left(allowed, cells, row, now_ns)
    if after_ns <= MINUTE_NS:
        return Decision("tokens", limit.name, True, allowed, remaining - tokens, after_ns / 1e9)
    wait_s = math.inf if tokens > allowed else (after_ns - MINUTE_NS) / 1e9
    return Decision("tokens", limit.name, False, allowed, remaining, used_ns / 1e9, wait_s)


def _tighter(one: Decision | None, other: Decision | None) -> Decision | None:
    """The refusal that lasts longest, else what leaves least."""
    if one is None or other is None:
        return one or other
    if one.allowed and other.allowed:
        return other if other.remaining < one.remaining else one
    return max(one, other, key=lambda each: (not each.allowed, each.wait_s))


def _used_ns(full_at_ns: int, now_ns: int) -> int:
    used_ns = full_at_ns - now_ns
    return used_ns if 0 < used_ns <= MINUTE_NS else 0


def _interval(per_minute: int) -> int:
    return MINUTE_NS // min(per_minute, RATE_MAX)


def _cost_ns(tokens: int, per_minute: int) -> int:
    """How much of a minute they are, rounded up."""
    return -(-tokens * MINUTE_NS // per_minute)


def _tokens_left(per_minute: int, cells: Cells, row: int, now_ns: int) -> int:
    spare_ns = MINUTE_NS - _used_ns(cells[row + TOKENS_FULL], now_ns)
    return max(0, spare_ns * per_minute // MINUTE_NS - cells[row + PENDING])


def duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
