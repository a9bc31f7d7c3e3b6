"""Where an upstream is and what it may cost to wait for it: one frozen value, checked once."""

import urllib.parse

import msgspec

from baton.upstreams.addresses import checked_host

DEFAULT_PORTS = {"http": 80, "https": 443}


class TransportLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of one upstream's connections; units are in the names."""

    connect_timeout_s: float = 5.0
    """Resolving, TCP and TLS together, over all addresses."""
    wait_timeout_s: float = 10.0
    """In the queue for a connection, when all are lent."""
    first_byte_timeout_s: float = 60.0
    """From the request's last byte written to the whole head of the answer."""
    stall_timeout_s: float = 30.0
    """Between two bytes of the answer. Time in which we do not read does not count."""
    total_timeout_s: float = 600.0
    idle_s: float = 50.0
    """Below the 60 s after which most servers and load balancers close an idle connection."""
    stale_window_s: float = 1.0
    """A kept-alive connection that is closed so soon after a request was written had been closed
    before it arrived; later than this the server may have begun the work, so no second try."""
    resolved_s: float = 30.0
    """How long a resolution is used: names change, and each new one is judged again."""
    connections_max: int = 1024
    waiting_max: int = 1024
    head_bytes_max: int = 32 * 1024
    header_fields_max: int = 100
    interim_answers_max: int = 8
    """1xx answers before the real one."""
    response_bytes_max: int = 64 * 1024 * 1024
    """Bytes on the wire of one answer, framing included."""
    buffered_bytes_max: int = 4 * 1024
    """Unread body bytes beyond which the socket is not read; one read more may be in hand."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checked base URL. `prefix` comes before, `query` after the path of every request."""

    secure: bool
    host: str
    port: int
    prefix: str = ""
    query: str = ""
    allow_private: bool = False
    """Whether loopback and private addresses may be called; link-local and metadata never."""
    ca_file: str = ""
    """Certificate authorities in PEM that replace the system's."""
    limits: TransportLimits = TransportLimits()

    @property
    def certified(self) -> str:
        """The name that its certificate has to have: no certificate has a name's last dot."""
        return self.host.removesuffix(".")

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = DEFAULT_PORTS["https" if self.secure else "http"]
        return host if self.port == default else f"{host}:{self.port}"


def parse(
    url: str,
    *,
    default_prefix: str = "",
    allow_private: bool = False,
    ca_file: str = "",
    limits: TransportLimits | None = None,
) -> Endpoint:
    """The endpoint that a base URL names. ValueError says what is wrong with the URL.

    `default_prefix` is used where the URL has no path: `http://gpu:8000` means `http://gpu:8000/v1`
    for a server that speaks OpenAI's routes. Credentials in the URL are refused: URLs are logged.
    """
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("the URL holds characters that must be percent-encoded")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("the URL must start with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("the URL holds credentials; give the key by itself")
    if parts.fragment:
        raise ValueError("the URL holds a fragment")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    return Endpoint(
        secure=parts.scheme == "https",
        host=checked_host(parts.hostname),
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        prefix=parts.path.rstrip("/") or default_prefix,
        query=parts.query,
        allow_private=allow_private,
        ca_file=ca_file,
        limits=limits or TransportLimits(),
    )
