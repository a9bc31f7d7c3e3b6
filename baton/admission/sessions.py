"""Sessions of the console: a cookie that stands for a key, so that no browser keeps the key itself.

A token is sealed under a key that only Baton has: it holds the SHA-256 of the value that signed in,
and when it ends. None is stored. Each use looks the key up as if its value were shown, so that a
session ends with its key: revoked, expired, rotated away, or its party closed. One that was signed
out is named in the change log: all processes know within a second.

A cookie comes along with every request to its host, whoever made the page that sends it. So a
session alone opens nothing: a page shows the token's own mark (`mark`) beside it, which only pages
of Baton are told. What a caller showed is then `Session TOKEN MARK`, beside `Bearer KEY`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from baton.stores.base import StoreError
from baton.stores.vault import Seal

COOKIE = "baton_session"
MARK_HEADER = b"x-baton-csrf"
LASTS_S = 12 * 3600.0
CONCEALED_S = 120.0
"""How long a value may be on its way to the page that shows it."""
TOKEN_CHARACTERS_MAX = 512
_ABOUT = b"session"
_CONCEALED = b"concealed "
_SCHEME = b"Session "


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    digest: bytes
    """SHA-256 of the key's value that signed in."""
    ends_s: float
    """Seconds since 1970."""

    @property
    def name(self) -> str:
        """What it is called where it is ended. Of what it says, not of its token: that can be
        written in several ways."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).hexdigest()[:32]


class Concealed(msgspec.Struct, frozen=True, array_like=True):
    """What a page shows once."""

    value: str
    ends_s: float


Told = TypeVar("Told", Session, Concealed)


class Sessions:
    """Makes and opens tokens. `lasts_s`: how long one lasts, at most."""

    def __init__(self, seal: Seal, lasts_s: float = LASTS_S) -> None:
        self._seal, self.lasts_s = seal, lasts_s

    def begin(self, digest: bytes, now_s: float) -> str:
        """A new token for the key with that digest."""
        return self._sealed(_ABOUT, Session(digest, now_s + self.lasts_s))

    def open(self, token: str, now_s: float) -> Session | None:
        """What it says; None for one that is not ours, or over."""
        return self._opened(_ABOUT, token, Session, now_s)

    def conceal(self, value: str, about: str, now_s: float) -> str:
        """For a cookie: what one answer makes and the page after it shows, in whatever process."""
        return self._sealed(_CONCEALED + about.encode(), Concealed(value, now_s + CONCEALED_S))

    def revealed(self, token: str, about: str, now_s: float) -> str | None:
        """None for what was not concealed about that, or too long ago."""
        found = self._opened(_CONCEALED + about.encode(), token, Concealed, now_s)
        return None if found is None else found.value

    def _sealed(self, about: bytes, told: Session | Concealed) -> str:
        sealed = self._seal.seal(about, msgspec.msgpack.encode(told))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _opened(self, about: bytes, token: str, kind: type[Told], now_s: float) -> Told | None:
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            told = msgspec.msgpack.decode(self._seal.open(about, sealed), type=kind)
        except (binascii.Error, ValueError, StoreError, msgspec.MsgspecError):
            return None
        return told if now_s < told.ends_s else None

    def mark(self, token: str) -> str:
        """What a page must show beside the token."""
        return self._seal.digest(token.encode()).hex()[:32]

    def proved(self, token: str, mark: str) -> bool:
        """Whether the mark is that token's."""
        return hmac.compare_digest(self.mark(token).encode(), mark.encode())


def cookies(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The Cookie header; names are in lower case."""
    return next((value for name, value in headers if name == b"cookie"), None)


def token_in(cookies: bytes | None) -> str | None:
    """The token in a Cookie header."""
    for part in (cookies or b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


def shown(cookies: bytes | None, mark: bytes | None) -> bytes | None:
    """A session as an Authorization header would show it; None without a token or its mark."""
    token = None if mark is None else token_in(cookies)
    if token is None or mark is None:
        return None
    return _SCHEME + token.encode("latin-1") + b" " + mark.strip()


def parts(authorization: bytes) -> tuple[str, str] | None:
    """Token and mark, where it shows a session."""
    if not authorization.startswith(_SCHEME):
        return None
    token, _, mark = authorization.removeprefix(_SCHEME).decode("latin-1").partition(" ")
    return token, mark
