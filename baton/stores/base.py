"""What is stored, in the words of the domain, and the Protocol that every store implements.

Money: nano-USD integers. Prices: pico-USD per token integers. Times: microseconds since 1970 (UTC).
Configuration objects carry no secret in plain text except `UpstreamRecord.secret`, which is decrypted
when a worker loads its catalogue and never leaves memory (repr hides it).
"""

from typing import Literal

import msgspec

Role = Literal["user", "admin"]


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key; the key itself is never stored, only its SHA-256."""

    id: str
    name: str
    digest: bytes
    head: str
    """First characters, for people to recognise it by."""
    tail: str
    role: Role = "user"
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    models: tuple[str, ...] = ()
    """Public names it may use; empty: all."""
    default_model: str | None = None
    requests_per_minute: int | None = None
    budget_nano: int | None = None
    """What it may spend in all; None: no limit."""
    strict: bool = False
    deterministic: bool = False
    parse_special: bool = True


class UpstreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A configured place that answers. `models` maps public names to its own names."""

    name: str
    url: str
    dialect: str
    models: dict[str, str]
    secret: str | None = None
    allow_private: bool = True
    """Whether its address may be loopback or private (never link-local or metadata)."""
    in_flight_max: int = 1024
    first_byte_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    total_timeout_s: float | None = None
    priority: int = 0
    """Lower is tried first."""
    weight: int = 100
    fields: tuple[str, ...] = ()
    """Fields outside OpenAI's contract that it takes (top_k, min_p …)."""
    created_us: int = 0

    def __repr__(self) -> str:
        return f"<UpstreamRecord {self.name} {self.dialect} {self.url}>"


class PriceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs from `effective_us` on: pico-USD per token (= micro-USD per million)."""

    version: int
    model: str
    upstream: str | None = None
    """None: the customer's price; a name: the operator's cost there."""
    effective_us: int
    input_pico: int = 0
    cached_input_pico: int = 0
    output_pico: int = 0
    request_nano: int = 0


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent snapshot of the configuration that requests are planned with."""

    version: int
    """The number of the last change that it contains."""
    upstreams: dict[str, UpstreamRecord]
    prices: tuple[PriceRecord, ...]


class ChangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the change log: what every worker polls, and the audit log."""

    seq: int
    at_us: int
    actor: str
    kind: str
    """key | upstream | price"""
    object_id: str
    action: str
    """create | update | revoke | delete"""
