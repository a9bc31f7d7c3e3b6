"""The headers that Baton adds to an answer, as whole lines for the wire."""

import functools
import re

VALUE_CHARS_MAX = 1024
IDENTITY = b"x-request-id: %b\r\nopenai-processing-ms: %d\r\n"
PROVENANCES_MAX = 256
"""Most answers tell the same of where they come from; callers choose what is ignored."""
_INVISIBLE = re.compile(r"[^ -~]")


def value(text: str) -> bytes:
    """A header's value: printable ASCII alone, no line ends, of bounded length."""
    return _INVISIBLE.sub("?", text[:VALUE_CHARS_MAX]).encode("ascii")


def line(name: bytes, text: str) -> bytes:
    """One header line, whatever the text."""
    return b"%b: %b\r\n" % (name, value(text))


def identity(request_id: str, elapsed_s: float) -> bytes:
    """On every answer, also on errors: the id to ask about, and how long it took."""
    return IDENTITY % (
        request_id.encode(),
        elapsed_s * 1000 if elapsed_s > 0 else 0,
    )


@functools.lru_cache(maxsize=PROVENANCES_MAX)
def provenance(upstream: str, fills: tuple[str, ...], ignored: tuple[str, ...]) -> bytes:
    """Who answered, what Baton filled in, and which fields nobody acted upon; each if any."""
    told = line(b"x-baton-upstream", upstream) if upstream else b""
    if fills:
        told += line(b"x-baton-fills", ",".join(fills))
    if ignored:
        told += line(b"x-baton-ignored", ",".join(ignored))
    return told
