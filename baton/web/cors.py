"""Which browsers' pages may call Baton: one policy for every route and the completion endpoint."""

from dataclasses import dataclass, field

Header = tuple[bytes, bytes]
EXPOSED = (
    b"x-request-id, openai-processing-ms, retry-after, retry-after-ms, x-should-retry, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, "
    b"x-baton-upstream, x-baton-fills, x-baton-ignored, x-baton-handoffs, idempotent-replayed"
)
PREFLIGHT_S = b"600"


@dataclass(frozen=True)
class Cors:
    """The setting `cors_origins`. Without credentials: keys travel in a header, never in a
    cookie.
    """

    everybody: bool = False
    origins: frozenset[bytes] = field(default_factory=frozenset)

    @classmethod
    def of(cls, setting: str) -> "Cors":
        named = {each.strip().rstrip("/").encode() for each in setting.split(",") if each.strip()}
        return cls(b"*" in named, frozenset(named - {b"*"}))

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """To add to an answer. `vary` also where the origin is refused: caches keep them apart."""
        if not origin or not (self.everybody or self.origins):
            return ()
        if self.everybody:
            allowed = b"*"
        elif origin in self.origins:
            allowed = origin
        else:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", EXPOSED),
            (b"vary", b"origin"),
        )

    def preflight(self, origin: bytes | None, wanted: bytes) -> tuple[Header, ...]:
        """The answer to OPTIONS: empty where that origin may not call. `wanted`: headers asked
        for.
        """
        headers = self.headers(origin)
        if len(headers) < 2:
            return ()
        return (
            *headers,
            (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
            (b"access-control-allow-headers", wanted or b"authorization, content-type"),
            (b"access-control-max-age", PREFLIGHT_S),
        )
