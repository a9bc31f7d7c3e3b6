"""The headers that Baton adds to an answer, as pairs for the wire."""

import re
from collections.abc import Sequence

HeaderPair = tuple[bytes, bytes]

VALUE_CHARS_MAX = 1024
_INVISIBLE = re.compile(r"[^ -~]")


def value(text: str) -> bytes:
    """A header's value: printable ASCII alone, no line ends, of bounded length."""
    return _INVISIBLE.sub("?", text[:VALUE_CHARS_MAX]).encode("ascii")


def identity(request_id: str, elapsed_s: float) -> list[HeaderPair]:
    """On every answer, also on errors: the id to ask about, and how long it took."""
    return [
        (b"x-request-id", value(request_id)),
        (b"openai-processing-ms", b"%d" % max(0, round(elapsed_s * 1000))),
    ]


def provenance(upstream: str, fills: Sequence[str], ignored: Sequence[str]) -> list[HeaderPair]:
    """Who answered, what Baton filled in, and which fields nobody acted upon; each if any."""
    told = (
        (b"x-baton-upstream", upstream),
        (b"x-baton-fills", ",".join(fills)),
        (b"x-baton-ignored", ",".join(ignored)),
    )
    return [(name, value(text)) for name, text in told if text]
